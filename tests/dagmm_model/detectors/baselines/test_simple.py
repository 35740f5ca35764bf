"""The simple detectors against their definitions."""

from pathlib import Path

import numpy as np
import pytest
from sklearn.decomposition import PCA

from dagmm_model.detectors.baselines.simple import SIMPLE
from dagmm_model.detectors.catalogue import make_detector
from dagmm_model.detectors.file_format import load_detector, save_detector
from dagmm_model.detectors.interface import Explaining, NotEnoughRowsError


@pytest.fixture
def rows() -> np.ndarray:
    rng = np.random.default_rng(0)
    return rng.normal(size=(400, 6)) @ rng.normal(size=(6, 6)) + 5.0


@pytest.mark.parametrize("name", SIMPLE)
def test_a_far_row_has_more_energy_than_any_training_row(name: str, rows: np.ndarray) -> None:
    detector = make_detector(name).fit(rows)
    far = rows.mean(axis=0) + 50.0 * rows.std(axis=0) * np.array([1, -1, 1, -1, 1, -1])
    assert detector.energy(far[None])[0] > detector.energy(rows).max()


@pytest.mark.parametrize("name", SIMPLE)
def test_energy_does_not_depend_on_the_rows_scored_with_it(name: str, rows: np.ndarray) -> None:
    detector = make_detector(name).fit(rows)
    together = detector.energy(rows[:5])
    alone = np.concatenate([detector.energy(row[None]) for row in rows[:5]])
    np.testing.assert_allclose(alone, together, rtol=1e-9)


@pytest.mark.parametrize("name", SIMPLE)
def test_constant_columns_do_no_harm(name: str, rows: np.ndarray) -> None:
    padded = np.hstack([rows, np.full((len(rows), 1), 3.0)])
    assert np.isfinite(make_detector(name).fit(padded).energy(padded)).all()


@pytest.mark.parametrize("name", SIMPLE)
def test_too_few_rows_are_refused(name: str, rows: np.ndarray) -> None:
    with pytest.raises(NotEnoughRowsError, match="1 training rows"):
        make_detector(name).fit(rows[:1])


@pytest.mark.parametrize("name", ["pca", "mahalanobis", "knn"])
def test_on_disk_it_is_the_same(name: str, rows: np.ndarray, tmp_path: Path) -> None:
    detector = make_detector(name, seed=4).fit(rows)
    save_detector(detector, tmp_path)
    again = load_detector(tmp_path)
    np.testing.assert_array_equal(again.energy(rows), detector.energy(rows))
    assert (again.settings_, again.history_) == (detector.settings_, ())


def test_mahalanobis_is_the_quadratic_form_and_knows_no_units(rows: np.ndarray) -> None:
    centred = rows - rows.mean(axis=0)
    inverse = np.linalg.inv(np.cov(rows.T, bias=True))
    expected = np.einsum("ni,ij,nj->n", centred, inverse, centred)
    np.testing.assert_allclose(
        make_detector("mahalanobis").fit(rows).energy(rows), expected, rtol=1e-8
    )
    scaled = rows * np.array([1e-3, 1.0, 1e3, 10.0, 0.1, 7.0])
    np.testing.assert_allclose(
        make_detector("mahalanobis").fit(scaled).energy(scaled), expected, rtol=1e-6
    )


def test_principal_components_equal_scikit_learns(rows: np.ndarray) -> None:
    scaled = (rows - rows.min(axis=0)) / (rows.max(axis=0) - rows.min(axis=0))
    pca = PCA(2).fit(scaled)
    expected = ((scaled - pca.inverse_transform(pca.transform(scaled))) ** 2).sum(axis=1)
    np.testing.assert_allclose(
        make_detector("pca", components=2).fit(rows).energy(rows), expected, rtol=1e-8
    )


def test_principal_components_name_the_column_that_is_off(rows: np.ndarray) -> None:
    detector = make_detector("pca", components=1).fit(rows)
    assert isinstance(detector, Explaining)
    off = rows[:1].copy()
    off[0, 2] += 100.0 * rows[:, 2].std()
    actual = detector.explain(np.concatenate([off, rows[:3]]))
    assert actual.shares[0].argmax() == 2
    np.testing.assert_allclose(actual.shares.sum(axis=1), 1.0)
    assert (actual.component == -1).all()


def test_neighbours_are_drawn_reproducibly(rows: np.ndarray) -> None:
    first = make_detector("knn", seed=3, limit=50).fit(rows).energy(rows)
    again = make_detector("knn", seed=3, limit=50).fit(rows).energy(rows)
    np.testing.assert_array_equal(first, again)
    assert (first == 0).sum() == 0
