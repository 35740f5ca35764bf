"""Detectors trained together are what each is by itself, with its own rows, order and dropout."""

import warnings

import numpy as np
import pytest

from dagmm_model import DAGMM
from dagmm_model.detectors import batched
from dagmm_model.detectors.batched import fit_many
from dagmm_model.training.epochs import TrainingDiverged

SAME = 1e-3
"""Of energies of order 1 to 10: some dozen steps in float32, whose sums have another order."""


def tables():
    rng = np.random.default_rng(0)
    mix = rng.normal(size=(5, 5))
    return [rng.normal(size=(n, 5)) @ mix + shift for n, shift in ((250, 0), (203, 3), (230, 0))]


def detectors(**options):
    common = {"preset": "paper", "epochs": 6, "batch_size": 64, "learning_rate": 1e-3}
    return [DAGMM(**common | options, random_state=seed) for seed in (1, 2, 3)]


@pytest.mark.parametrize("engine", ["numpy", "torch"])
@pytest.mark.parametrize("options", [{"members": 2}, {"preset": "recommended"}], ids=str)
def test_they_are_as_if_fitted_one_by_one(engine, options, monkeypatch):
    together = detectors(engine=engine, device="cpu", **options)
    singles = detectors(engine=engine, device="cpu", **options)
    for one, table in zip(singles, tables(), strict=True):
        one.fit(table)

    def refused(*arguments, **more):
        raise AssertionError("a detector was trained by itself")

    monkeypatch.setattr(batched, "train_in_phases", refused)
    fit_many(together, tables())
    for one, many_of, table in zip(singles, together, tables(), strict=True):
        np.testing.assert_allclose(many_of.energy(table), one.energy(table), rtol=0, atol=SAME)
        np.testing.assert_allclose(many_of.offset_, one.offset_, atol=SAME)
        assert many_of.n_iter_ == 6
        ours, theirs = many_of.history_[-1], one.history_[-1]
        assert ours.total == pytest.approx(theirs.total, abs=SAME)
        assert ours.phi == pytest.approx(theirs.phi, abs=SAME)
    first, second = (of.energy(tables()[0]) for of in together[:2])
    assert np.abs(first - second).max() > 100 * SAME


def test_what_does_not_go_together_is_trained_by_itself():
    mixed = [*detectors(), *detectors(early_stopping=2)[:1], *detectors(n_components=3)[:1]]
    rows = [*tables(), tables()[0], tables()[0]]
    fit_many(mixed, [*rows[:2], rows[2][:60], *rows[3:]])  # the third makes one step an epoch
    for detector, table in zip(mixed, rows, strict=True):
        assert np.isfinite(detector.energy(table)).all()


def test_of_a_group_that_diverges_each_is_told_apart(monkeypatch):
    def diverges(*arguments, **more):
        raise TrainingDiverged(1, 1, "energy", {})

    expected = detectors()[0].fit(tables()[0]).energy(tables()[0])
    monkeypatch.setattr(batched, "train_many", diverges)
    together = detectors()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        fit_many(together, tables())
    assert (together[0].energy(tables()[0]) == expected).all()
