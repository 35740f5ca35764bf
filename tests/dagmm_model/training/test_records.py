"""Rows shuffled ahead by a thread come in the order that they would anyway."""

import numpy as np
import pytest

from dagmm_model.base.checkpoint import Checkpointing, TrainingStopped
from dagmm_model.networks.presets import resolve
from dagmm_model.training import records
from dagmm_model.training.epochs import Execution
from dagmm_model.training.loop import train

ROWS = np.random.default_rng(0).normal(size=(90, 4)).astype(np.float32)


def trained(checkpoint=None):
    settings = resolve("paper", 4, 90, {"epochs": 6, "batch_size": 30, "learning_rate": 1e-2})
    return train(ROWS, settings, [1, 2], Execution((), checkpoint, device="cpu")).parameters


@pytest.mark.parametrize("before", [0, 10**9])
@pytest.mark.parametrize("after", [0, 10**9])
def test_shuffling_ahead_changes_nothing(monkeypatch, tmp_path, before, after):
    expected = trained()
    answers = iter([False] * 5)
    monkeypatch.setattr(records, "AHEAD", before)
    with pytest.raises(TrainingStopped):
        trained(Checkpointing(tmp_path, 0.0, stop=lambda: next(answers, True)))
    monkeypatch.setattr(records, "AHEAD", after)
    resumed = trained(Checkpointing(tmp_path, 0.0))
    for name, value in trained().items():
        assert (value == expected[name]).all(), name
        assert (resumed[name] == expected[name]).all(), name
