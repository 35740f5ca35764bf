"""Every gate, in the order in which it is judged and told. All are judged, all are reported."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable

from flows.common.errors import UsageError
from flows.common.verdicts import GateResult
from flows.promotion import approval, serving_check, standing_hold
from flows.promotion.gates import comparisons, quality, shadowed, soundness, standing_policy
from flows.promotion.gates.case import Case
from flows.promotion.gates.finding import Finding
from flows.promotion.gates.gate import Gate, Needs
from flows.promotion.gates.material import Material


def _of_case(judge: Callable[[Case], Finding | Iterable[Finding]]) -> Callable[..., object]:
    """A judge of energies as a judge of the material."""

    def judged(material: Material) -> Finding | Iterable[Finding]:
        assert material.case is not None
        return judge(material.case)

    return judged


def _sealed(material: Material) -> Finding:
    problems = material.stored.problems(material.policy)
    if problems:
        untouched = "files that are not those of the evidence are not opened: no other gate that "
        return Finding(False, "; ".join([*problems, f"{untouched}needs them is judged"]))
    return Finding(True, f"sha256 {material.stored.sha256[:16]}… holds for every file")


EVIDENCE = Gate(
    "evidence",
    "every file is the one that the evidence was sealed with",
    _sealed,
    needs="registry",
    overridable=False,
)
APPROVAL = Gate(
    approval.GATE,
    "as many people as `promotion.approvals` asks for approved this evidence; nobody rejected it",
    lambda m: approval.judge(m.stored.version, m.policy, m.stored.requested_by),
    needs="registry",
    overridable=False,
)
HOLD = Gate(
    standing_hold.GATE,
    "nobody holds the model since a rollback, or `--release` or a later approval frees it",
    standing_hold.judge,
    needs="registry",
    overridable=False,
    relative=True,
)

GATES: tuple[Gate, ...] = (
    EVIDENCE,
    Gate(
        "data verdict",
        "the rows passed the checks of their contract",
        _of_case(soundness.data_verdict),
        of_detector=True,
    ),
    Gate(
        "recorded figures",
        "every figure written down at training is a finite number",
        _of_case(soundness.recorded_figures),
    ),
    Gate(
        "deployable threshold",
        "set without test labels, and among the energies of the validation rows",
        _of_case(soundness.deployable_threshold),
    ),
    Gate(
        "guaranteed false-alarm rate",
        "validation rows enough to guarantee `calibration.target_rate`",
        _of_case(soundness.guaranteed_rate),
    ),
    Gate(
        "mixture health",
        "no component of the mixture has collapsed",
        _of_case(soundness.mixture_health),
        of_detector=True,
    ),
    Gate(
        "reproduces its energies",
        "scored now, the test rows get the energies recorded at training",
        _of_case(soundness.reproduces_its_energies),
        of_detector=True,
    ),
    Gate(
        "ROC AUC floor",
        "at least `promotion.min_roc_auc` on the test rows",
        _of_case(quality.roc_auc_floor),
        of_detector=True,
    ),
    Gate(
        "recall floor",
        "at least `promotion.min_recall` at the calibrated threshold",
        _of_case(quality.recall_floor),
    ),
    Gate(
        "false-alarm rate",
        "within the band that the calibration promises for the normal test rows",
        _of_case(quality.false_alarm_rate),
    ),
    Gate(
        "alert rate",
        "of test rows without labels at most `promotion.max_alert_rate` are flagged",
        _of_case(quality.alert_rate),
    ),
    Gate(
        "not worse than production",
        "average precision within `promotion.margin` of production's, both scored now, overall and "
        "for `promotion.required_slices`",
        _of_case(comparisons.not_worse_than_production),
        of_detector=True,
        relative=True,
    ),
    Gate(
        "not worse than the best before",
        "the same against the best version that was in production under the same contract: the "
        "margin is spent once",
        _of_case(comparisons.not_worse_than_the_best),
        of_detector=True,
        relative=True,
    ),
    Gate(
        "score drift",
        "how differently the version and production see the same rows",
        _of_case(comparisons.score_drift),
        of_detector=True,
        blocks=False,
        relative=True,
    ),
    Gate(
        "not beaten by simple detectors",
        "no simple detector, nor the same network untrained, is better by "
        "`promotion.simple_margin` beyond doubt",
        _of_case(comparisons.simple_detectors),
        of_detector=True,
    ),
    Gate(
        standing_policy.GATE,
        "its policy asks for no less than that of the version in production",
        lambda m: standing_policy.judge(m.client, m.stored, m.production),
        relative=True,
    ),
    Gate(
        shadowed.GATE,
        "scored `promotion.min_shadow_rows` live rows beside production, over "
        "`promotion.min_shadow_hours`, and raised other alerts on at most "
        "`promotion.max_shadow_disagreement` of them",
        shadowed.judge,
        needs="registry",
        relative=True,
    ),
    Gate(
        serving_check.GATE,
        "MLflow serves it over HTTP, with the recorded energies, in time and in memory",
        lambda m: serving_check.judge(m.server, m.stored.canary, m.policy),
        needs="served model",
        of_detector=True,
    ),
    APPROVAL,
    HOLD,
)
"""Order matters to readers only: no gate depends on another one's result."""


def judged(
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
    return in_order(result for gate in chosen for result in gate.results(material))


def in_order(results: Iterable[GateResult]) -> tuple[GateResult, ...]:
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
