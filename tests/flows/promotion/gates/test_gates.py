"""The gates: worse, equal, better; what is missing fails; what cannot be measured says so."""

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest

from flows.common.gate_results import GateResult
from flows.common.policy import PromotionPolicy
from flows.promotion.gates import production_policy
from flows.promotion.gates.case import Case, Material, MixtureState
from flows.promotion.gates.quality import false_alarm_band
from flows.promotion.gates.table import GATES, find_gate, judged_gates

ROWS, ANOMALIES = 400, 80


def case(**changes) -> Case:
    """A healthy candidate as good as production, on rows it tells apart well but not fully."""
    rng = np.random.default_rng(0)
    labels = np.arange(ROWS) < ANOMALIES
    energies = labels * 2.5 + rng.normal(size=ROWS)
    threshold = 1.6
    healthy = Case(
        policy=PromotionPolicy(),
        evidence={
            "validation": {"passed": True, "message": "", "failures": []}
            | {"rows_in": 10, "rows_valid": 10},
            "evaluate": {"deployment": {"roc_auc": {"value": 0.9}}},
            "calibrate": {
                "deployable": True,
                "threshold": {
                    "target_rate": 0.05,
                    "guaranteed_rate": 0.0498,
                    "calibration_rows": 300,
                },
            },
            "split": {"protocol": "deployment"},
        },
        frame=None,
        labels=labels,
        slices=np.where(labels, np.where(np.arange(ROWS) % 2, "dos", "probe"), "normal"),
        recorded=energies,
        candidate=energies,
        production=energies + 0.01 * rng.normal(size=ROWS),
        production_error="",
        baselines={"pca": energies + rng.normal(size=ROWS)},
        baseline_rows=np.arange(ROWS),
        threshold=threshold,
        calibration=np.sort(rng.normal(size=300)),
        health=MixtureState(0.1, 50.0, 3.0),
    )
    return dataclasses.replace(healthy, **changes)


def judge(case: Case, only_relative: bool = False):
    """Every gate that looks at energies; `production_policy` looks at the registry as well."""
    material = Material(case.policy, None, None, None, case)
    return [
        result
        for result in judged_gates(material, ("energies",), only_relative=only_relative)
        if result.gate != production_policy.GATE
    ]


def compare(case: Case):
    return judge(case, only_relative=True)


def failed(results) -> list[str]:
    return [gate.title for gate in results if not gate.passed]


def worse(energies: np.ndarray, by: float) -> np.ndarray:
    return energies - by * (np.arange(ROWS) < ANOMALIES)


def test_a_healthy_candidate_passes_every_gate():
    actual = judge(case())
    assert failed(actual) == []
    # The rows are labelled, and no other version was in production.
    unmeasured = [gate.gate for gate in actual if not gate.measured]
    assert unmeasured == ["alert rate", "not worse than the best before"]


def test_a_detector_without_a_mixture_is_told_so_and_one_with_a_sick_one_fails():
    without = case(health=None)
    without = dataclasses.replace(
        without, evidence={**without.evidence, "config": {"detector": {"name": "pca"}}}
    )
    (gate,) = [gate for gate in judge(without) if gate.gate == "mixture health"]
    assert gate.passed
    assert not gate.measured
    assert gate.message == "not applicable: pca has no mixture"
    assert failed(judge(case(health=MixtureState(0.1, 1e12, 3.0)))) == ["mixture health"]


def test_the_worse_candidate_is_refused_the_better_and_the_equal_pass():
    base = case()
    assert failed(compare(base)) == []
    assert failed(compare(dataclasses.replace(base, production=worse(base.candidate, 1.5)))) == []
    energies = worse(base.candidate, 1.5)
    actual = compare(dataclasses.replace(base, candidate=energies))
    assert failed(actual) == ["not worse than production"]
    assert "difference -0." in actual[0].message


def test_the_margin_decides_how_much_worse_may_pass():
    base = case()
    slightly = dataclasses.replace(base, candidate=worse(base.candidate, 0.3))
    wide = dataclasses.replace(slightly, policy=PromotionPolicy(margin=0.5))
    narrow = dataclasses.replace(slightly, policy=PromotionPolicy(margin=0.0))
    assert failed(compare(wide)) == []
    assert failed(compare(narrow)) == ["not worse than production"]


def test_a_required_slice_may_not_get_worse_though_the_whole_does_not():
    base = case(policy=PromotionPolicy(required_slices=("dos",), margin=0.1))
    energies = base.candidate.copy()
    energies[base.slices == "dos"] -= 2.0
    energies[base.slices == "probe"] += 3.0
    actual = compare(dataclasses.replace(base, candidate=energies))
    assert "not worse than production: dos" in failed(actual)


@pytest.mark.parametrize(
    ("changes", "gate"),
    [
        ({"slices": None}, "not worse than production: dos"),
        ({"slices": np.full(ROWS, "normal")}, "not worse than production: dos"),
    ],
)
def test_a_required_slice_that_is_missing_fails(changes, gate):
    policy = PromotionPolicy(required_slices=("dos",))
    assert gate in failed(compare(case(policy=policy, **changes)))


def test_production_that_cannot_be_scored_fails_the_comparison():
    assert failed(compare(case(production=None, production_error="KeyError"))) == [
        "not worse than production"
    ]


def test_score_drift_is_told_and_refuses_nobody():
    base = case()
    other = dataclasses.replace(base, candidate=-base.candidate)
    (gate,) = [gate for gate in compare(other) if gate.gate == "score drift"]
    assert (gate.passed, gate.verdict) == (True, "for information")
    assert gate.figures[2].value == pytest.approx(-1, abs=0.01)
    broken = dataclasses.replace(base, candidate=np.full(ROWS, np.nan))
    assert "score drift" not in failed(judge(broken))


def test_the_first_version_has_nothing_to_be_compared_with():
    actual = compare(case(production=None))
    assert (actual[0].passed, actual[0].measured) == (True, False)


def test_a_simple_detector_beyond_doubt_better_blocks():
    base = case()
    baseline = base.labels * 6.0 + np.random.default_rng(1).normal(size=ROWS)
    actual = judge(dataclasses.replace(base, baselines={"knn": baseline}))
    assert failed(actual) == ["not beaten by simple detectors"]
    assert "beaten by knn" in actual[-1].message


@pytest.mark.parametrize("name", ["untrained", "random weights"])
def test_the_same_network_untrained_blocks_as_a_simple_detector_does(name):
    base = case()
    untrained = base.labels * 6.0 + np.random.default_rng(1).normal(size=ROWS)
    actual = judge(dataclasses.replace(base, baselines={name: untrained}))
    assert failed(actual) == ["not beaten by simple detectors"]
    (gate,) = [gate for gate in actual if not gate.passed]
    assert f"beaten by {name}: training did harm" in gate.message
    assert "--detector" not in gate.message


def test_beaten_within_the_margin_passes_and_says_so():
    base = case()
    slightly = {"knn": base.candidate + 0.12 * base.labels}
    policy = PromotionPolicy(simple_margin=0.02)
    actual = judge(dataclasses.replace(base, baselines=slightly, policy=policy))
    (gate,) = [gate for gate in actual if gate.gate == "not beaten by simple detectors"]
    assert gate.figures[0].high < 0  # beaten beyond doubt
    assert gate.passed
    assert gate.limit == -0.02
    assert (
        "beaten, within the tolerated margin of .02 (`promotion.simple_margin`), by knn"
        in gate.message
    )


def test_labelled_rows_without_simple_detectors_fail():
    assert "not beaten by simple detectors" in failed(judge(case(baselines={})))


def test_without_labels_the_label_free_gates_decide_and_say_so():
    actual = {gate.gate: gate for gate in judge(case(labels=None, baselines={}))}
    assert failed(actual.values()) == []
    unmeasured = {name for name, gate in actual.items() if gate.verdict == "not measured"}
    assert unmeasured == {
        "ROC AUC floor",
        "recall floor",
        "false-alarm rate",
        "not worse than production",
        "not worse than the best before",
        "not beaten by simple detectors",
    }
    assert "quality not measured" in actual["ROC AUC floor"].message


def test_few_rows_without_labels_that_are_all_flagged_are_refused():
    """Eight rows: one for validation, which guarantees nothing, and every test row an alarm."""
    base = case(labels=None, baselines={}, threshold=-50.0, calibration=np.array([-50.0, -50.0]))
    calibrate = {
        "deployable": True,
        "threshold": {"target_rate": 0.05, "guaranteed_rate": 0.5, "calibration_rows": 1},
    }
    base = dataclasses.replace(base, evidence={**base.evidence, "calibrate": calibrate})
    actual = {gate.gate: gate for gate in judge(base)}
    assert failed(actual.values()) == ["guaranteed false-alarm rate", "alert rate"]
    assert "1 validation row cannot guarantee" in actual["guaranteed false-alarm rate"].message
    assert "validation needs 19" in actual["guaranteed false-alarm rate"].message
    assert (actual["alert rate"].value, actual["alert rate"].limit) == (1.0, 0.5)


def test_too_few_anomalies_measure_no_floor():
    labels = np.arange(ROWS) < 3
    actual = {gate.gate: gate for gate in judge(case(labels=labels))}
    assert not actual["ROC AUC floor"].measured


@pytest.mark.parametrize(
    ("changes", "gate"),
    [
        ({"health": MixtureState(0.1, 1e12, 3.0)}, "mixture health"),
        ({"health": MixtureState(0.1, float("nan"), 3.0)}, "mixture health"),
        ({"health": MixtureState(float("nan"), 10.0, 3.0)}, "mixture health"),
        ({"threshold": 99.0}, "deployable threshold"),
        ({"threshold": float("nan")}, "deployable threshold"),
        ({"candidate": np.full(ROWS, np.nan)}, "reproduces its energies"),
        ({"recorded": np.zeros(ROWS)}, "reproduces its energies"),
        ({"evidence": {}}, "data verdict"),
        ({"policy": PromotionPolicy(min_roc_auc=0.999)}, "ROC AUC floor"),
        ({"policy": PromotionPolicy(min_recall=0.999)}, "recall floor"),
        ({"threshold": 0.0}, "false-alarm rate"),
    ],
)
def test_every_gate_can_fail(changes, gate):
    if gate == "false-alarm rate":  # calibrated as if normal rows had far smaller energies
        changes = {"calibration": np.sort(case().calibration - 1.6)}
        changes["threshold"] = float(changes["calibration"][-3])
    assert gate in failed(judge(case(**changes)))


@pytest.mark.parametrize("gate", GATES, ids=lambda gate: gate.name)
def test_a_gate_that_raises_keeps_its_name_and_blocks_if_it_can_block(gate):
    (actual,) = gate.results(None)
    assert actual.gate == gate.name
    assert "cannot be judged" in actual.message
    assert actual.holds_back == gate.blocks


@pytest.mark.parametrize("gate", GATES, ids=lambda gate: gate.name)
def test_a_gate_is_known_by_the_name_that_the_documentation_gives(gate):
    assert find_gate(gate.name) is gate
    assert find_gate(gate.name.upper().replace(" ", "_")) is gate
    page = Path("docs/promotion.md").read_text(encoding="utf-8")
    blocking = "yes" if gate.overridable else "never"
    assert f"| {gate.name} | {gate.about} | {blocking if gate.blocks else 'informs'} |" in page


def test_a_result_is_read_back_as_it_was_written_and_the_first_versions_as_well():
    for result in judge(case()):
        assert GateResult.model_validate_json(result.model_dump_json()) == result
    old = {"seconds": 0.0, "gate": "recall floor", "passed": False, "measured": True}
    read = GateResult.model_validate({**old, "message": "0.1, floor 0.5", "overridden": ""})
    assert read.sentence() == "recall floor: FAILED – 0.1, floor 0.5"


def test_figures_that_are_no_numbers_are_written_as_json():
    (actual,) = [r for r in judge(case(threshold=float("nan"))) if r.gate == "deployable threshold"]
    assert "threshold not a number" in actual.message
    assert json.loads(actual.model_dump_json())["value"] is None


def test_all_gates_are_judged_even_if_all_fail():
    broken = case(candidate=np.full(ROWS, np.nan), threshold=float("nan"), evidence={})
    assert len(judge(broken)) >= 8
    assert len(failed(judge(broken))) >= 7


def test_the_false_alarm_band_is_kept_by_calibrated_thresholds():
    """Thresholds of few rows vary a lot; a band that took them for exact would refuse many."""
    refused = 0
    for seed in range(300):
        rng = np.random.default_rng(seed)
        calibration = np.sort(rng.normal(size=40))
        judged = case(
            calibration=calibration,
            threshold=float(calibration[-3]),
            candidate=rng.normal(size=ROWS),
        )
        refused += not false_alarm_band(judged).passed
    assert refused <= 3
