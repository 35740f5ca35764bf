"""The catalogue: every entry exists, keeps the interface, and names what it refuses."""

import numpy as np
import pytest

from dagmm_model.base.settings import SettingsError
from dagmm_model.detectors.catalogue import CATALOGUE, make_detector


@pytest.mark.parametrize("name", CATALOGUE)
def test_every_entry_is_what_it_says(name):
    actual = CATALOGUE[name].load()
    assert actual.name == name
    assert CATALOGUE[name].about
    assert CATALOGUE[name].source
    make_detector(name)


@pytest.mark.parametrize(
    ("name", "preset", "settings", "message"),
    [
        ("pac", None, {}, "unknown detector 'pac'; did you mean 'pca'"),
        ("dagmm", "paper-thyriod", {}, "did you mean 'paper-thyroid'"),
        ("pca", "paper", {}, "unknown preset of pca 'paper'"),
        ("pca", None, {"component": 1}, "did you mean 'components'"),
        ("dagmm", None, {"epoch": 1}, "did you mean 'epochs'"),
        ("pca", None, {"components": 0}, "components=0 cannot be used"),
        ("dagmm", None, {"epochs": "many"}, "epochs='many'"),
        ("dagmm", None, {"jitter": "small"}, "jitter='small' cannot be used; give a number"),
    ],
)
def test_what_is_unknown_or_unusable_is_named(name, preset, settings, message):
    with pytest.raises(SettingsError, match=message):
        make_detector(name, preset, **settings)


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (np.zeros(3), "shape"),
        (np.array([[0.0, 1.0], [np.nan, 2.0]]), "row 1, column 0"),
        (np.zeros((1, 2)), "1 training rows"),
    ],
)
def test_rows_that_cannot_be_fitted_are_named(rows, message):
    with pytest.raises(ValueError, match=message):
        make_detector("mahalanobis").fit(rows)


def test_rows_of_another_width_and_an_unfitted_detector_are_refused():
    detector = make_detector("pca")
    with pytest.raises(ValueError, match="not fitted"):
        detector.energy(np.zeros((2, 3)))
    detector.fit(np.random.default_rng(0).normal(size=(20, 3)))
    with pytest.raises(ValueError, match="X has 2 columns"):
        detector.energy(np.zeros((2, 2)))
