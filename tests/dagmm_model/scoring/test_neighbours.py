"""Distances to reference rows against scikit-learn's."""

import numpy as np
import pytest
from sklearn.neighbors import NearestNeighbors

from dagmm_model.scoring.neighbours import FLOOR, LEAST, MOST, NEIGHBOURS, VALUES, References


def rows_of(n, width):
    """In float32's digits, which references are kept in."""
    return np.random.default_rng(0).normal(size=(n, width)).astype(np.float32).astype(np.float64)


def references(x):
    return References.of(x.__getitem__, *x.shape, seed=0)


def expected(kept, x, k):
    distances = NearestNeighbors(n_neighbors=k).fit(kept).kneighbors(x)[0]
    weights = 1.0 / np.arange(1, k + 1)
    return np.log(distances + FLOOR) @ (weights / weights.sum())


@pytest.mark.parametrize("n", [2, 4, 40])
def test_energies_are_weighted_logarithms_of_distances(n):
    x = rows_of(n, 6)
    far = x + 3.0
    actual, _ = references(x)
    np.testing.assert_allclose(actual.energy(far), expected(x, far, min(n, NEIGHBOURS)), rtol=1e-9)


def test_a_reference_row_is_not_its_own_neighbour():
    x = rows_of(30, 3)
    actual, own = references(x)
    for j in (0, 29):
        others = np.delete(x, j, axis=0)
        energy = actual.energy(x, own)[j]
        assert energy == pytest.approx(expected(others, x[j : j + 1], NEIGHBOURS)[0], rel=1e-6)


def test_a_copy_of_a_training_row_has_a_finite_energy():
    actual, own = references(np.zeros((8, 2)))
    np.testing.assert_allclose(actual.energy(np.zeros((8, 2))), np.log(FLOOR))
    np.testing.assert_allclose(actual.energy(np.zeros((8, 2)), own), np.log(FLOOR))
    alone, own = references(np.zeros((1, 2)))
    assert alone.energy(np.zeros((1, 2)), own).tolist() == [0.0]


@pytest.mark.parametrize(
    ("n", "width", "kept"),
    [(100, 5, 100), (9000, 5, MOST), (9000, 118, VALUES // 118), (900, 1500, LEAST)],
)
def test_references_are_bounded(n, width, kept):
    actual, own = References.of(lambda rows: np.zeros((len(rows), width)), n, width, 0)
    assert actual.rows.shape == (kept, width)
    assert np.sort(own[own >= 0]).tolist() == list(range(kept))
