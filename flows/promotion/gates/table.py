"""Every gate, in the order in which it is judged and told. All are judged, all are reported."""

from collections.abc import Collection, Iterable

from flows.common.errors import UsageError
from flows.common.gate_results import GateResult
from flows.promotion.gates import (
    comparisons,
    people,
    production_policy,
    quality,
    serving_check,
    shadowed,
    soundness,
)
from flows.promotion.gates.case import Material
from flows.promotion.gates.gate import Gate, GateFinding, Needs, everything


def _sealed(material: Material) -> GateFinding:
    """Every file is the one that the evidence was sealed with."""
    problems = material.stored.problems(material.policy.max_evidence_days)
    if problems:
        untouched = "files that are not those of the evidence are not opened: no other gate that "
        return GateFinding(False, "; ".join([*problems, f"{untouched}needs them is judged"]))
    return GateFinding(True, f"sha256 {material.stored.sha256[:16]}… holds for every file")


EVIDENCE = Gate("evidence", _sealed, everything, needs="registry", overridable=False)
GATES: tuple[Gate, ...] = (
    EVIDENCE,
    Gate("data verdict", soundness.data_verdict, of_detector=True),
    Gate("recorded figures", soundness.recorded_figures),
    Gate("deployable threshold", soundness.deployable_threshold),
    Gate("guaranteed false-alarm rate", soundness.guaranteed_rate),
    Gate("mixture health", soundness.sound_mixture, of_detector=True),
    Gate("reproduces its energies", soundness.reproduces_its_energies, of_detector=True),
    Gate("ROC AUC floor", quality.roc_auc_floor, of_detector=True),
    Gate("recall floor", quality.recall_floor),
    Gate("false-alarm rate", quality.false_alarm_band),
    Gate("alert rate", quality.alert_rate),
    Gate(
        "not worse than production",
        comparisons.not_worse_than_production,
        of_detector=True,
        relative=True,
    ),
    Gate(
        "not worse than the best before",
        comparisons.not_worse_than_the_best,
        of_detector=True,
        relative=True,
    ),
    Gate("score drift", comparisons.score_drift, of_detector=True, relative=True, blocks=False),
    Gate("not beaten by simple detectors", comparisons.simple_detectors, of_detector=True),
    Gate(
        production_policy.GATE,
        production_policy.no_weaker_policy,
        lambda m: (m.client, m.stored, m.production),
        relative=True,
    ),
    Gate(shadowed.GATE, shadowed.shadowed_enough, everything, needs="registry", relative=True),
    Gate(
        serving_check.GATE,
        serving_check.serves_alike,
        lambda m: (m.server, m.stored.canary, m.policy),
        needs="served model",
        of_detector=True,
    ),
    Gate(
        people.APPROVAL,
        people.enough_approvals,
        lambda m: (m.stored.version, m.policy, m.stored.requested_by),
        needs="registry",
        overridable=False,
    ),
    Gate(
        people.HOLD,
        people.nobody_holds,
        everything,
        needs="registry",
        overridable=False,
        relative=True,
    ),
)
"""Order matters to readers only: no gate depends on another one's result."""


def judged_gates(
    material: Material,
    needs: Iterable[Needs],
    *,
    only_relative: bool = False,
    without: Collection[str] = (),
) -> tuple[GateResult, ...]:
    """Judge the gates that need nothing else than what is at hand, in the table's order."""
    chosen = [
        gate
        for gate in GATES
        if gate.needs in set(needs)
        and (gate.relative or not only_relative)
        and gate.name not in without
    ]
    return in_table_order(result for gate in chosen for result in gate.results(material))


def in_table_order(results: Iterable[GateResult]) -> tuple[GateResult, ...]:
    """Results in the table's order."""
    places = {gate.name: place for place, gate in enumerate(GATES)}
    return tuple(sorted(results, key=lambda result: places[result.gate]))


def find_gate(name: str) -> Gate:
    """The gate of a name, or of the title of one of its results, in any case and spelling of `-`.

    Raises:
        UsageError: There is none.
    """
    wanted = _plain(name)
    for gate in GATES:
        if wanted == _plain(gate.name) or wanted.startswith(_plain(gate.name) + ": "):
            return gate
    known = ", ".join(gate.name for gate in GATES)
    raise UsageError(f"no gate {name!r}; gates: {known}")


def _plain(name: str) -> str:
    return " ".join(name.lower().replace("-", " ").replace("_", " ").split())
