"""Is the version what it should be in itself? Data, figures, threshold, mixture, energies."""

import math
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from flows.common.gate_results import figure
from flows.promotion.gates.case import Case
from flows.promotion.gates.gate import GateFinding, unmeasured
from flows.promotion.version.canary import SAME_ENERGY, largest_difference


def data_verdict(case: Case) -> GateFinding:
    """The rows passed the checks of their contract.

    Bad rows were quarantined; whether too many were is part of the verdict.
    """
    checked = case.evidence["validation"]
    passed = checked["passed"] is True
    return GateFinding(
        passed,
        "" if passed else f"checks failed: {checked['message']}",
        (figure("valid rows", checked["rows_valid"]), figure("of rows", checked["rows_in"])),
    )


def recorded_figures(case: Case) -> GateFinding:
    """Every figure written down at training is a finite number."""
    bad = sorted(_not_finite(case.evidence["evaluate"]))
    note = f"not a finite number: {', '.join(bad)}" if bad else "every recorded figure is finite"
    return GateFinding(not bad, note)


def _not_finite(value: Any, name: str = "") -> Iterator[str]:
    if isinstance(value, Mapping):
        for key, part in value.items():
            yield from _not_finite(part, f"{name}.{key}".strip("."))
    elif isinstance(value, list):
        for number, part in enumerate(value):
            yield from _not_finite(part, f"{name}[{number}]")
    elif isinstance(value, float) and not math.isfinite(value):
        yield name


def deployable_threshold(case: Case) -> GateFinding:
    """Set without test labels, and among the energies of the validation rows."""
    if not case.evidence["calibrate"]["deployable"]:
        protocol = case.evidence["split"]["protocol"]
        return GateFinding(
            False,
            f"the {protocol} protocol set the threshold with test labels; "
            "train with split.protocol=deployment to get a model for production",
        )
    low, high = float(case.calibration[0]), float(case.calibration[-1])
    return GateFinding(
        low <= case.threshold <= high,  # False for NaN
        figures=(figure("threshold", case.threshold, at_least=low, at_most=high),),
    )


def guaranteed_rate(case: Case) -> GateFinding:
    """Validation rows enough to guarantee `calibration.target_rate`."""
    if not case.evidence["calibrate"]["deployable"]:
        return unmeasured("set with test labels: nothing is guaranteed")
    threshold = case.evidence["calibrate"]["threshold"]
    asked, rows = threshold["target_rate"], threshold["calibration_rows"]
    rate = figure("guaranteed rate", threshold["guaranteed_rate"], at_most=asked)
    held = threshold["guaranteed_rate"] <= asked + 1e-12
    if held:
        return GateFinding(True, figures=(rate, figure("validation rows", rows)))
    needed = math.ceil(1 / asked) - 1
    note = (
        f"{rows} validation {'row' if rows == 1 else 'rows'} cannot guarantee a false-alarm rate "
        f"of {asked:g}: train on more rows (validation needs {needed}) or ask for a higher rate, "
        "calibration.target_rate"
    )
    return GateFinding(False, note, (rate, figure("validation rows", rows)))


def sound_mixture(case: Case) -> GateFinding:
    """No component of the mixture has collapsed."""
    health, policy = case.health, case.policy
    if health is None:
        kind = case.evidence["config"]["detector"]["name"]
        return unmeasured(f"not applicable: {kind} has no mixture")
    return GateFinding(
        0 <= health.min_phi <= 1
        and health.max_condition <= policy.max_condition
        and health.effective_components >= policy.min_effective_components - 1e-9,
        figures=(
            figure("largest condition number", health.max_condition, at_most=policy.max_condition),
            figure(
                "effective components",
                health.effective_components,
                at_least=policy.min_effective_components,
            ),
            figure("smallest phi", health.min_phi),
        ),
    )


def reproduces_its_energies(case: Case) -> GateFinding:
    """Scored now, the test rows get the energies recorded at training."""
    if not np.isfinite(case.candidate).all():
        return GateFinding(False, "the candidate gives non-finite energies")
    worst = largest_difference(case.candidate, case.recorded)
    return GateFinding(
        worst <= SAME_ENERGY,
        figures=(figure("largest difference from the recorded", worst, at_most=SAME_ENERGY),),
    )
