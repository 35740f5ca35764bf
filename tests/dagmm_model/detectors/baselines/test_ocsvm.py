"""The one-class machine: scikit-learn's scores without its objects, exact and approximate."""

from pathlib import Path

import numpy as np
import pytest
from scipy.stats import spearmanr
from sklearn.svm import OneClassSVM

from dagmm_model.base.settings import SettingsError
from dagmm_model.detectors.catalogue import make_detector
from dagmm_model.detectors.file_format import load_detector, save_detector
from dagmm_model.detectors.interface import TooLarge


@pytest.fixture(scope="module")
def rows() -> np.ndarray:
    rng = np.random.default_rng(0)
    return np.concatenate([rng.normal(size=(300, 4)), 6.0 + 0.3 * rng.normal(size=(200, 4))])


def test_the_exact_machine_scores_as_scikit_learns(rows):
    scaled = (rows - rows.mean(axis=0)) / rows.std(axis=0)
    theirs = OneClassSVM(nu=0.1, gamma=0.25).fit(scaled)
    detector = make_detector("oc-svm", nu=0.1).fit(rows)
    assert detector.settings_.kernel == "exact"
    assert detector.settings_.gamma == 0.25
    expected = -theirs.decision_function(scaled)
    # The solver's tolerance is 1e-3 of the decision values; the order of the rows differs.
    np.testing.assert_allclose(detector.energy(rows), expected, atol=2e-2)


def test_beyond_the_limit_the_approximation_orders_rows_alike(rows):
    exact = make_detector("oc-svm", nu=0.1).fit(rows)
    approximate = make_detector("oc-svm", nu=0.1, limit=100, features=300, passes=50).fit(rows)
    assert approximate.settings_.kernel == "nystroem"
    energies = [d.energy(rows) for d in (exact, approximate)]
    assert spearmanr(*energies).statistic > 0.9
    assert 0.02 < (energies[1] > 0).mean() < 0.25  # nu of them outside, about


def test_between_two_clusters_is_anomalous(rows):
    for kernel in ("exact", "nystroem"):
        detector = make_detector("oc-svm", kernel=kernel).fit(rows)
        between = detector.energy(np.full((1, 4), 3.0))[0]
        assert between > np.quantile(detector.energy(rows), 0.95), kernel


@pytest.mark.parametrize("kernel", ["exact", "nystroem"])
def test_on_disk_it_is_the_same_and_no_object_is_kept(kernel, rows, tmp_path: Path):
    detector = make_detector("oc-svm", kernel=kernel).fit(rows)
    save_detector(detector, tmp_path)
    again = load_detector(tmp_path)
    np.testing.assert_array_equal(again.energy(rows), detector.energy(rows))
    assert again.settings_ == detector.settings_
    assert {file.suffix for file in tmp_path.iterdir()} == {".json", ".safetensors"}


def test_the_exact_machine_is_refused_before_it_starts_on_too_many_rows():
    detector = make_detector("oc-svm", kernel="exact")
    with pytest.raises(TooLarge, match=r"320 GB.*kernel='nystroem'"):
        detector.check_size(200_000, 10)
    make_detector("oc-svm").check_size(200_000, 10)


@pytest.mark.parametrize(
    ("settings", "message"),
    [({"nu": 0.0}, "nu=0.0"), ({"nu": 1.5}, "nu=1.5"), ({"kernel": "linear"}, "kernel='linear'")],
)
def test_what_cannot_be_used_is_named(settings, message):
    with pytest.raises(SettingsError, match=message):
        make_detector("oc-svm", **settings)
