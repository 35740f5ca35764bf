import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn import metrics

from dagmm_model.evaluation.metrics import (
    binomial_interval,
    deployment_metrics,
    paper_metrics,
    slice_metrics,
)

# Few distinct energies, so that ties are the rule and not the exception.
SCORED = st.lists(st.tuples(st.booleans(), st.integers(-5, 5)), min_size=4, max_size=80).filter(
    lambda rows: len({label for label, _ in rows}) == 2
)


@given(SCORED)
def test_areas_agree_with_scikit_learn_ties_included(rows):
    labels, energies = map(np.array, zip(*rows, strict=True))
    ours = deployment_metrics(labels, energies, 0.0, resamples=2)
    assert ours.roc_auc.value == pytest.approx(metrics.roc_auc_score(labels, energies))
    assert ours.average_precision.value == pytest.approx(
        metrics.average_precision_score(labels, energies)
    )
    assert ours.f1.value == pytest.approx(metrics.f1_score(labels, energies > 0, zero_division=0))
    assert ours.recall.value == pytest.approx(metrics.recall_score(labels, energies > 0))


@given(SCORED)
def test_paper_protocol_flags_at_least_as_many_rows_as_there_are_anomalies(rows):
    labels, energies = map(np.array, zip(*rows, strict=True))
    ours = paper_metrics(labels, energies)
    flagged = energies >= ours.threshold
    assert flagged.sum() >= labels.sum()
    assert ours.f1 == pytest.approx(metrics.f1_score(labels, flagged))


def test_bootstrap_interval_covers_the_true_auc_about_95_times_in_100():
    rng = np.random.default_rng(1)
    covered = 0
    for trial in range(200):
        labels = np.arange(150) < 50
        energies = rng.standard_normal(150) + labels  # AUC = Phi(1 / sqrt 2)
        auc = deployment_metrics(labels, energies, 0.0, resamples=200, seed=trial).roc_auc
        covered += auc.low <= 0.7602 <= auc.high
    assert 180 <= covered <= 199


def test_pooling_neighbours_for_the_bootstrap_keeps_figures_and_hardly_moves_intervals(monkeypatch):
    from dagmm_model.evaluation import metrics as evaluation

    rng = np.random.default_rng(2)
    labels = np.arange(20_000) < 4_000
    energies = rng.standard_normal(20_000) + labels
    exact = deployment_metrics(labels, energies, 1.0)
    monkeypatch.setattr(evaluation, "BOOTSTRAP_RUNS", 1_000)
    pooled = deployment_metrics(labels, energies, 1.0)
    for name in ("roc_auc", "average_precision", "precision", "recall", "f1"):
        ours, theirs = getattr(pooled, name), getattr(exact, name)
        assert ours.value == theirs.value
        assert ours.low == pytest.approx(theirs.low, abs=4e-3)
        assert ours.high == pytest.approx(theirs.high, abs=4e-3)


def test_without_labels_only_the_alert_rate_is_reported():
    ours = deployment_metrics(None, [0.0, 1.0, 2.0, 3.0], 1.5)
    assert ours.alert_rate == 0.5
    assert ours.roc_auc is None
    assert "no labels" in ours.not_reported


def test_without_anomalies_the_false_alarm_rate_is_still_reported():
    ours = deployment_metrics([False] * 4, [0.0, 1.0, 2.0, 3.0], 2.5)
    assert ours.false_alarm_rate.value == 0.25
    assert ours.recall is None
    assert "no labelled anomalies" in ours.not_reported


def test_slices_report_their_own_flagged_rate():
    actual = slice_metrics(["dos", "dos", "probe"], [True] * 3, [5.0, 0.0, 5.0], 1.0)
    assert [(s.value, s.rows, s.flagged) for s in actual] == [("dos", 2, 1), ("probe", 1, 1)]


def test_a_slice_of_both_kinds_has_a_recall_and_a_false_alarm_rate():
    labels = [True, True, False, False, False, False]
    (mixed,) = slice_metrics(["a"] * 6, labels, [5.0, 5.0, 5.0, 0.0, 0.0, 0.0], 1.0)
    assert (mixed.anomalies, mixed.flagged) == (2, 3)
    assert mixed.recall == binomial_interval(2, 2)
    assert mixed.false_alarm_rate == binomial_interval(1, 4)
    dos, probe = slice_metrics(["dos", "probe"], [True, False], [5.0, 0.0], 1.0)
    assert (dos.recall.value, dos.false_alarm_rate) == (1.0, None)
    assert (probe.recall, probe.false_alarm_rate.value) == (None, 0.0)


def test_without_normal_rows_the_recall_is_still_reported():
    ours = deployment_metrics([True] * 4, [0.0, 1.0, 2.0, 3.0], 0.5)
    assert ours.recall == binomial_interval(3, 4)
    assert (ours.precision, ours.false_alarm_rate) == (None, None)
    assert "no labelled normal rows" in ours.not_reported


def test_binomial_interval_is_exact_at_the_ends():
    assert binomial_interval(0, 10).low == 0.0
    assert binomial_interval(0, 10).high == pytest.approx(1 - 0.025**0.1)


def test_energies_that_are_not_finite_are_refused():
    with pytest.raises(ValueError, match="1 energies are not finite"):
        paper_metrics([True, False], [np.inf, 0.0])
