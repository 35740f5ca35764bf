"""Killed anywhere and started again, a run ends with the same bits; another run is refused."""

import json
import os
import pickle
import random
import signal
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from safetensors import safe_open
from safetensors.numpy import save_file

from dagmm_model import DAGMM, Checkpointing, CheckpointMismatch, TrainingDiverged
from dagmm_model.base.checkpoint import FILE, damage
from dagmm_model.networks.settings import DagmmSettings
from dagmm_model.training import feed
from dagmm_model.training.epochs import Execution
from dagmm_model.training.loop import train
from tests.forkserver import processes

ROWS = np.random.default_rng(0).normal(size=(230, 5)).astype(np.float32)
HELD = np.random.default_rng(1).normal(size=(40, 5)).astype(np.float32)
SETTINGS = DagmmSettings(
    encoder_widths=(4, 2), epochs=12, batch_size=20, learning_rate=1e-3, keep_best=True
)


def train_and_die(folder, kill_at):
    """Train, and be killed at a write; before or after the file is in place, so half are torn."""
    feed.PIECE = 3  # several checkpoints within an epoch
    writes, replace_file = 0, Path.replace

    def counted(self, target):
        nonlocal writes
        writes += 1
        if writes == kill_at and kill_at % 2:
            os.kill(os.getpid(), signal.SIGKILL)
        result = replace_file(self, target)
        if writes == kill_at:
            os.kill(os.getpid(), signal.SIGKILL)
        return result

    Path.replace = counted
    trained = train(
        ROWS, SETTINGS, [1, 2], Execution(checkpoint=Checkpointing(folder, 0.0)), validation=HELD
    )
    np.savez(folder / "out.npz", kept=trained.kept, **trained.parameters)


def run(folder, kill_at):
    process = processes.Process(target=train_and_die, args=(folder, kill_at))
    process.start()
    process.join(600)
    return process.exitcode


def test_a_killed_run_goes_on_to_the_same_bits(tmp_path):
    for kill_at in (1, 4, 7, 10, 13, 6):
        assert run(tmp_path, kill_at) == -signal.SIGKILL
    assert run(tmp_path, 0) == 0
    expected = train(ROWS, SETTINGS, [1, 2], validation=HELD)
    got = np.load(tmp_path / "out.npz")
    assert tuple(got["kept"]) == expected.kept
    for name, value in expected.parameters.items():
        assert (got[name] == value).all(), name


def test_a_finished_run_ends_at_once(tmp_path):
    place = Checkpointing(tmp_path)
    first = train(ROWS, replace(SETTINGS, keep_best=False), [1], Execution(checkpoint=place))
    seen = []
    second = train(ROWS, replace(SETTINGS, keep_best=False), [1], Execution([seen.append], place))
    assert seen == []
    assert second.history == first.history
    for name, value in first.parameters.items():
        assert (second.parameters[name] == value).all()


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"settings": replace(SETTINGS, epochs=13)}, "settings.epochs is 12 there and 13 here"),
        ({"seeds": [2]}, "seeds is"),
        ({"x": ROWS + 1}, "rows is"),
        ({"sample_weight": np.ones(230)}, "rows is"),
        ({"data_digest": "other"}, "data_digest is '' there and 'other' here"),
        ({"engine": "torch"}, "engine is 'NumpyEngine'"),
    ],
)
def test_the_checkpoint_of_another_run_is_refused(tmp_path, change, named):
    arguments = {
        "x": ROWS,
        "settings": SETTINGS,
        "seeds": [1],
        "validation": HELD,
        "how": Execution(checkpoint=Checkpointing(tmp_path)),
    }
    train(**arguments)
    if "data_digest" in change:
        change = {"how": Execution(checkpoint=Checkpointing(tmp_path, **change))}
    elif "engine" in change:
        change = {"how": replace(arguments["how"], device="cpu", **change)}
    with pytest.raises(CheckpointMismatch, match="belongs to another run") as raised:
        train(**(arguments | change))
    assert named in str(raised.value)


def test_a_changed_setting_is_named_before_the_rows_that_it_changes(tmp_path):
    options = {"preset": "paper", "epochs": 2, "random_state": 0}
    DAGMM(**options).fit(ROWS, checkpoint=Checkpointing(tmp_path))
    with pytest.raises(CheckpointMismatch, match=r"settings\.scaling is 'minmax' there"):
        DAGMM(scaling="numeric", **options).fit(ROWS, checkpoint=Checkpointing(tmp_path))


def test_a_checkpoint_from_before_there_was_a_setting_is_one_of_its_default(tmp_path):
    settings, place = replace(SETTINGS, keep_best=False), Checkpointing(tmp_path)
    train(ROWS, settings, [1], Execution(checkpoint=place))
    with safe_open(tmp_path / FILE, framework="numpy") as file:
        header, arrays = file.metadata(), {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    identity = json.loads(header["identity"])
    del identity["settings"]["initial_weights"]
    arrays["engine.jitter"] = np.array(arrays["engine.jitter"][0])  # it was one for all members
    del header["sha256"]  # which the first version did not write, either
    save_file(arrays, tmp_path / FILE, header | {"format": "1", "identity": json.dumps(identity)})
    seen = []
    train(ROWS, settings, [1], Execution([seen.append], place))
    assert seen == []
    with pytest.raises(CheckpointMismatch, match="initial_weights is 'glorot' there"):
        train(ROWS, replace(settings, initial_weights="fan_in"), [1], Execution(checkpoint=place))


def test_what_a_kill_within_a_write_left_is_removed(tmp_path):
    (tmp_path / f".{FILE}.0a1b2c3d.tmp").write_bytes(b"torn")
    train(
        ROWS, replace(SETTINGS, keep_best=False), [1], Execution(checkpoint=Checkpointing(tmp_path))
    )
    assert [path.name for path in tmp_path.iterdir()] == [FILE]


def test_a_damaged_checkpoint_is_refused(tmp_path):
    place = Checkpointing(tmp_path)
    train(ROWS, SETTINGS, [1], Execution(checkpoint=place), validation=HELD)
    data = (tmp_path / FILE).read_bytes()
    (tmp_path / FILE).write_bytes(data[: len(data) // 2])
    with pytest.raises(CheckpointMismatch, match="is damaged"):
        train(ROWS, SETTINGS, [1], Execution(checkpoint=place), validation=HELD)


def test_no_flipped_bit_is_resumed_from(tmp_path):
    place = Checkpointing(tmp_path)
    train(ROWS, SETTINGS, [1], Execution(checkpoint=place), validation=HELD)
    intact = (tmp_path / FILE).read_bytes()
    assert damage(tmp_path) == ""
    chance = random.Random(0)
    for _ in range(60):
        data = bytearray(intact)
        data[chance.randrange(len(data))] ^= 1 << chance.randrange(8)
        (tmp_path / FILE).write_bytes(data)
        with pytest.raises(CheckpointMismatch, match=FILE):
            train(ROWS, SETTINGS, [1], Execution(checkpoint=place), validation=HELD)
        assert str(tmp_path / FILE) in damage(tmp_path)


@pytest.mark.parametrize("engine", ["numpy", "torch"])
def test_divergence_names_epoch_batch_term_and_remedy(engine):
    settings = DagmmSettings(
        encoder_widths=(4, 2), epochs=50, batch_size=20, learning_rate=1e25, dropout=0.0
    )
    with pytest.raises(TrainingDiverged, match="training diverged in epoch") as raised:
        train(ROWS, settings, [1], Execution(engine=engine, device="cpu"))
    error = raised.value
    assert error.epoch >= 1
    assert 1 <= error.batch <= 12
    assert error.term in ("total", "reconstruction", "energy", "penalty")
    assert error.remedy in str(error)
    assert all(np.isfinite(value).all() for value in error.parameters.values())
    again = pickle.loads(pickle.dumps(error))
    assert (str(again), again.remedy) == (str(error), error.remedy)


def test_parameters_that_the_last_step_broke_are_not_kept(tmp_path):
    settings = DagmmSettings(
        encoder_widths=(4, 2), epochs=1, batch_size=1000, learning_rate=1e39, dropout=0.0
    )
    place = Checkpointing(tmp_path, every_seconds=0.0)
    with pytest.raises(TrainingDiverged, match="the update is not finite; lower") as raised:
        train(ROWS, settings, [1], Execution(checkpoint=place))
    assert (raised.value.epoch, raised.value.batch) == (1, 1)
    assert all(np.isfinite(value).all() for value in raised.value.parameters.values())
    assert not (tmp_path / FILE).exists()


def test_batches_are_equal_and_none_is_larger_than_asked_for():
    for n in (1, 2, 5, 100, 1023, 1024, 1025, 198_371):
        for size in (1, 7, 128, 1024):
            steps, batch = feed.batch_plan(n, size)
            assert 1 <= batch <= size
            assert n - steps < steps * batch <= n


def test_choosing_an_epoch_without_validation_rows_is_refused():
    with pytest.raises(ValueError, match="validation"):
        train(ROWS, SETTINGS, [1])


def test_no_epochs_give_the_untrained_network():
    from dagmm_model.networks.network import initialise

    trained = train(ROWS, replace(SETTINGS, epochs=0), [1], validation=HELD)
    assert trained.history == ()
    for name, value in initialise(SETTINGS, 5, [1]).items():
        np.testing.assert_array_equal(trained.parameters[name], value)
