"""Rows that are watched: their losses are those of the objective, and change nothing."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from dagmm_model.base.checkpoint import Checkpointing, TrainingStopped
from dagmm_model.networks.network import initialise
from dagmm_model.networks.objective import objective
from dagmm_model.networks.presets import resolve
from dagmm_model.training import feed
from dagmm_model.training.epochs import Execution
from dagmm_model.training.held_out import TIMES, held_losses, is_taken
from dagmm_model.training.loop import train

CHANCE = np.random.default_rng(0)
ROWS = CHANCE.normal(size=(90, 4)).astype(np.float32)
HELD = CHANCE.normal(size=(30, 4)).astype(np.float32)
SETTINGS = resolve("paper", 4, 90, {"epochs": 6, "batch_size": 30, "learning_rate": 1e-2})


def test_they_are_the_terms_of_the_objective_by_the_given_parameters():
    settings = replace(SETTINGS, dropout=0.0)
    start = initialise(settings, 4, [1, 2], ROWS)
    actual = held_losses(HELD, settings, [1, 2])(start)
    tensors = {name: torch.from_numpy(value) for name, value in start.items()}
    weight = torch.ones((2, len(HELD)), dtype=torch.float64)
    losses, _ = objective(tensors, torch.from_numpy(HELD)[None], weight, settings, settings.jitter)
    for name, value in losses._asdict().items():
        assert actual[name] == pytest.approx(value.mean().item(), rel=1e-4), name
    alone = replace(settings, lambda_energy=0.0, lambda_penalty=0.0)
    assert set(held_losses(HELD, alone, [1, 2])(start)) == {"total", "reconstruction"}


def test_watching_changes_no_bit_and_begins_with_the_weights_as_drawn():
    watched, unwatched = (train(ROWS, SETTINGS, [1], validation=v) for v in (HELD, None))
    for name, value in unwatched.parameters.items():
        assert (watched.parameters[name] == value).all(), name
    first = held_losses(HELD, SETTINGS, [1])(initialise(SETTINGS, 4, [1], ROWS))
    terms = watched.history[0].terms
    assert {name: terms[f"validation_{name}"] for name in first} == first
    assert terms["validation_total"] > watched.history[-1].terms["validation_total"]
    assert not [name for name in unwatched.history[0].terms if name.startswith("validation_")]


@pytest.mark.parametrize("writes", [1, 5, 8])
def test_a_run_that_was_stopped_within_an_epoch_goes_on_with_the_same_history(
    monkeypatch, tmp_path, writes
):
    def terms(checkpoint=None):
        done = train(ROWS, SETTINGS, [1], Execution((), checkpoint), validation=HELD)
        return [record.terms for record in done.history]

    monkeypatch.setattr(feed, "PIECE", 1)
    answers = iter([False] * writes)
    with pytest.raises(TrainingStopped):
        terms(Checkpointing(tmp_path, 0.0, stop=lambda: next(answers, True)))
    assert terms(Checkpointing(tmp_path, 0.0)) == terms()


@pytest.mark.parametrize("epochs", [1, 7, TIMES, 600, 20_001])
def test_how_often_they_are_taken_has_a_bound_and_begins_and_ends_with_the_training(epochs):
    accepted = [epoch for epoch in range(epochs) if is_taken(epoch, epochs)]
    assert {0, epochs - 1} <= set(accepted)
    assert len(accepted) <= TIMES + 1
