"""The classics against the library that fits them, or against their definitions."""

import numpy as np
import pytest
from sklearn.decomposition import KernelPCA
from sklearn.ensemble import IsolationForest
from sklearn.metrics.pairwise import rbf_kernel
from sklearn.mixture import GaussianMixture
from sklearn.neighbors import LocalOutlierFactor

from dagmm_model.detectors.baselines.subspace import pursue
from dagmm_model.detectors.catalogue import make_detector
from dagmm_model.tables.rows import canonical_order
from tests.dagmm_model.detectors.baselines.tables import plane


@pytest.fixture
def table():
    train, rows, _ = plane()
    return train[canonical_order(train)], rows


def scaled(train, rows):
    return (rows - train.mean(axis=0)) / train.std(axis=0)


@pytest.mark.parametrize("n", [256, 40, 2])
def test_isolation_forest_scores_as_scikit_learn_does(table, n):
    train, rows = table
    train = train[:n] if n > 2 else np.vstack([train[:1], train[-1:]])
    train = train[canonical_order(train)]
    expected = -IsolationForest(random_state=3).fit(train).score_samples(rows)
    got = make_detector("isolation-forest", seed=3).fit(train).energy(rows)
    np.testing.assert_allclose(got, expected, rtol=1e-12)


def test_lof_is_scikit_learns_on_distinct_rows(table):
    train, rows = table
    expected = LocalOutlierFactor(n_neighbors=10, novelty=True).fit(scaled(train, train))
    got = make_detector("lof", neighbours=10, scaling="standard").fit(train)
    np.testing.assert_allclose(
        got.energy(rows), -expected.score_samples(scaled(train, rows)), rtol=1e-9
    )


def test_copies_of_a_row_do_not_make_lof_blind(table):
    train, rows = table
    copies = np.vstack([train, np.repeat(train[:1], 200, axis=0)])
    energies = make_detector("lof", scaling="none").fit(copies).energy(rows)
    once = make_detector("lof", scaling="none").fit(train).energy(rows)
    np.testing.assert_array_equal(energies, once)


@pytest.mark.parametrize("larger_tail", ["column", "table"])
def test_ecod_is_a_sum_of_tails_of_the_table_with_the_row(table, larger_tail):
    train, rows = table
    train = np.round(np.hstack([np.exp(train), -np.exp(train)]), 1)  # skewed both ways, with ties
    rows = np.round(np.hstack([np.exp(rows), -np.exp(rows)]), 1)
    detector = make_detector("ecod", larger_tail=larger_tail).fit(train)
    third = ((train - train.mean(axis=0)) ** 3).mean(axis=0)
    for row, energy in zip(rows[:20], detector.energy(rows[:20]), strict=True):
        together = np.vstack([train, row])  # the row counts as one of the table
        left = -np.log((together <= row).mean(axis=0))
        right = -np.log((together >= row).mean(axis=0))
        skewed = np.where(third < 0, left, right)
        expected = max(left.sum(), right.sum(), skewed.sum())
        if larger_tail == "column":
            expected = np.maximum(left, right).sum()
        assert energy == pytest.approx(expected, rel=1e-12)


def test_gmm_is_the_negative_log_likelihood(table):
    train, rows = table
    model = GaussianMixture(3, reg_covar=0.02, random_state=5).fit(scaled(train, train))
    detector = make_detector("gmm", seed=5, components=3, regularisation=0.02).fit(train)
    expected = -model.score_samples(scaled(train, rows))
    np.testing.assert_allclose(detector.energy(rows), expected, rtol=1e-6)
    assert detector.health_.effective_components > 1


def test_kmeans_is_the_distance_to_the_nearest_centre(table):
    train, rows = table
    detector = make_detector("kmeans", clusters=5).fit(train)
    centres = detector.state()[1]["centres"]
    distances = ((scaled(train, rows)[:, None] - centres) ** 2).sum(axis=2)
    np.testing.assert_allclose(detector.energy(rows), distances.min(axis=1), rtol=1e-9)


def test_kernel_pca_is_what_the_components_leave_of_the_row_in_feature_space(table):
    train, rows = table
    x, y = scaled(train, train), scaled(train, rows)
    pca = KernelPCA(6, kernel="rbf", gamma=0.2, eigen_solver="dense").fit(x)
    centred = 1.0 - 2.0 * rbf_kernel(y, x, gamma=0.2).mean(axis=1) + rbf_kernel(x, gamma=0.2).mean()
    expected = centred - (pca.transform(y) ** 2).sum(axis=1)
    got = make_detector("kernel-pca", components=6, gamma=0.2).fit(train).energy(rows)
    np.testing.assert_allclose(got, expected, rtol=1e-7, atol=1e-10)


def test_pursuit_takes_gross_errors_off_a_low_rank_table():
    rng = np.random.default_rng(0)
    low_rank = rng.normal(size=(200, 2)) @ rng.normal(size=(2, 90))
    wrong = np.where(rng.random(low_rank.shape) < 0.03, 50.0 * rng.normal(size=low_rank.shape), 0)
    for table in (low_rank + wrong, (low_rank + wrong).T):
        actual = pursue(table, 500, 1e-8)
        truth = low_rank if actual.shape == low_rank.shape else low_rank.T
        np.testing.assert_allclose(actual, truth, atol=1e-4)


def test_robust_pca_keeps_its_axes_where_cells_are_wrong():
    rng = np.random.default_rng(1)
    axes = rng.normal(size=(2, 10))
    train = rng.normal(size=(400, 2)) @ axes
    rows = rng.normal(size=(100, 2)) @ axes
    wrong = np.where(rng.random(train.shape) < 0.03, 100.0, train)
    robust = make_detector("robust-pca", scaling="none").fit(wrong).energy(rows)
    assert np.sqrt(robust.max()) < 1e-3 * np.abs(rows).max()
