"""Ranks that share a batch have the gradients, and train the model, of one with all rows."""

import os
import signal
import socket
import time

import numpy as np
import pytest
import torch

from dagmm_model import DAGMM, Checkpointing
from dagmm_model.base.checkpoint import TrainingStopped
from dagmm_model.base.distributed import (
    ALONE,
    NCCL,
    Part,
    Ranks,
    RanksLost,
    launched_ranks,
    watched,
    world_size,
)
from dagmm_model.base.settings import SettingsError
from dagmm_model.engines.numpy.engine import NumpyEngine
from dagmm_model.engines.torch.engine import TorchEngine
from dagmm_model.mixture.moments import Moments
from dagmm_model.networks.network import initialise, streams
from dagmm_model.networks.settings import DagmmSettings
from tests.dagmm_model.ranks import Team

N, WIDTH, SEEDS = 200, 9, (1, 2)
TORCH = {np.float32: torch.float32, np.float64: torch.float64}
OPTIONS = [
    {},
    {"dropout": 0.0, "reconstruction_features": "log_error", "latent_scaling": "standardised"},
    {"latent_scaling": "standardised", "linear_path": "pca", "reconstruction_reduction": "mean"},
    {"mixture_term": "variational", "latent_scaling": "standardised"},
    {"lambda_energy": 0.0, "lambda_penalty": 0.0},
    {"freeze_compression": True, "gradient_clip": 0.1},
]


@pytest.fixture(scope="module")
def team():
    ranks = Team(2)
    yield ranks
    ranks.stop()


def rows_of():
    return np.random.default_rng(0).random((N, WIDTH))


def weights_of(weighted):
    return np.random.default_rng(1).uniform(0.1, 2.0, N) if weighted else None


def engine_of(ranks, kind, options, weighted, dtype):
    settings = DagmmSettings(encoder_widths=(6, 4, 2), n_components=3, **options)
    start = initialise(settings, WIDTH, SEEDS, rows_of())
    more = {"dtype": dtype if kind is NumpyEngine else TORCH[dtype], "ranks": ranks}
    return kind(rows_of(), weights_of(weighted), start, settings, **more)


def step(ranks, kind, options, weighted, dtype, batch, share=None):
    """Losses, gradients and the parameters after ten steps, of this rank's part of the batches."""
    engine = engine_of(ranks, kind, options, weighted, dtype)
    mine = ranks.part(batch) if share is None else share[ranks.rank]
    part = Part(mine.start, batch)
    orders = np.random.default_rng(3).random((len(SEEDS), 10, N)).argsort(axis=2)[..., :batch]
    dropout = [streams(seed)[2] for seed in SEEDS]
    rows = orders[:, :1, mine]
    losses = engine.run(rows, 1e-3, dropout, part)
    gradients = engine.parameter_gradients()
    engine.run(orders[..., mine], 1e-3, dropout, part)
    return losses, gradients, engine.parameters()


def assert_close(got, wanted, rtol):
    np.testing.assert_allclose(got[0], wanted[0], rtol=rtol)
    for actual, expected in zip(got[1:], wanted[1:], strict=True):
        scale = max(np.abs(value).max() for value in expected.values())
        for name, value in expected.items():
            np.testing.assert_allclose(actual[name], value, rtol=0, atol=rtol * scale, err_msg=name)


@pytest.mark.parametrize(
    ("batch", "weighted"),
    [
        (64, False),
        (33, True),  # the ranks have 16 and 17 rows
        pytest.param(64, True, marks=pytest.mark.slow),
        pytest.param(33, False, marks=pytest.mark.slow),
    ],
)
@pytest.mark.parametrize("options", OPTIONS, ids=lambda o: "-".join(map(str, o)) or "paper")
@pytest.mark.parametrize("kind", [NumpyEngine, TorchEngine])
def test_two_ranks_have_the_gradients_of_the_whole_batch(team, kind, options, weighted, batch):
    first, second = team.run(step, kind, options, weighted, np.float64, batch)
    assert_close(first, step(ALONE, kind, options, weighted, np.float64, batch), 1e-10)
    for ours, theirs in zip(first[1:], second[1:], strict=True):
        assert all((ours[name] == theirs[name]).all() for name in ours), "the ranks differ"


@pytest.mark.parametrize("kind", [NumpyEngine, TorchEngine])
def test_in_float32_to_1e_5(team, kind):
    first, _ = team.run(step, kind, {}, False, np.float32, 64)
    alone = step(ALONE, kind, {}, False, np.float32, 64)
    assert_close(first[:2], alone[:2], 1e-5)


@pytest.mark.parametrize("kind", [NumpyEngine, TorchEngine])
@pytest.mark.parametrize("share", [(slice(0, 0), slice(0, 64)), (slice(0, 60), slice(60, 64))])
def test_shares_may_be_as_unequal_as_they_like(team, kind, share):
    actual, _ = team.run(step, kind, {}, False, np.float64, 64, share)
    assert_close(actual, step(ALONE, kind, {}, False, np.float64, 64), 1e-10)


@pytest.mark.parametrize("kind", [NumpyEngine, TorchEngine])
def test_statistics_of_each_rank_alone_would_be_another_objective(kind):
    """What plain data parallelism averages; if it were the same, the tests above showed nothing."""
    options, name = {"dropout": 0.0}, "estimation.0.weight"
    whole = step(ALONE, kind, options, False, np.float64, 64)[1][name]
    engine = engine_of(ALONE, kind, options, False, np.float64)
    rows = np.random.default_rng(3).random((len(SEEDS), 10, N)).argsort(axis=2)[:, 0, :64]
    halves = []
    for half in (rows[:, :32], rows[:, 32:]):
        engine.undo()
        engine.run(half[:, None], 1e-3, [])
        halves.append(engine.parameter_gradients()[name])
    assert np.abs(np.mean(halves, axis=0) - whole).max() > 1e-2 * np.abs(whole).max()


def merged(ranks, z, gamma):
    part = ranks.part(len(z))
    return ranks.merge(Moments.of(z[part], gamma[part]))


def test_moments_of_the_ranks_are_those_of_all_rows(team):
    rng = np.random.default_rng(0)
    z, gamma = 1e3 + rng.normal(size=(101, 3)), rng.dirichlet(np.ones(4), 101)
    whole = Moments.of(z, gamma)
    for actual in team.run(merged, z, gamma):
        for name in ("weight", "mean", "scatter"):
            wanted = getattr(whole, name)
            np.testing.assert_allclose(
                getattr(actual, name), wanted, rtol=0, atol=1e-12 * np.abs(wanted).max()
            )


def passed(ranks, data):
    return ranks.from_first(data if ranks.first else None), [
        rows.tolist() for rows in ranks.gather(np.full((ranks.rank + 1, 2), ranks.rank + 0.5))
    ]


@pytest.mark.parametrize("data", [None, b"", b"checkpoint"])
def test_bytes_and_rows_reach_every_rank(team, data):
    wanted = (data, [[[0.5, 0.5]], [[1.5, 1.5], [1.5, 1.5]]])
    assert team.run(passed, data) == [wanted, wanted]


SAME = 1e-4
"""Energies are of order 1; 150 steps in float32, whose sums have another order."""


def fitted(ranks, folder, epochs=None, stop_after=None):
    """Energies of a detector that the ranks have trained; None on the others, or where stopped."""
    rows = mixed_rows()
    seen = []
    place = Checkpointing(folder, 0.0, stop=lambda: stop_after == len(seen) and ranks.first)
    detector = DAGMM(epochs=epochs, members=2, batch_size=64, learning_rate=1e-3, random_state=0)
    try:
        detector.fit(rows, observers=[seen.append], checkpoint=place, ranks=ranks)
    except TrainingStopped:
        return "stopped"
    return detector.energy(rows) if ranks.first else None


def mixed_rows():
    rng = np.random.default_rng(4)
    return np.concatenate([rng.normal(size=(150, 6)), rng.normal(3.0, 0.5, size=(121, 6))])


def test_the_recommended_detector_is_the_same_from_one_rank_and_from_two(team, tmp_path):
    alone = fitted(ALONE, tmp_path / "alone", epochs=30)
    first, second = team.run(fitted, tmp_path / "two", 30)
    assert second is None
    np.testing.assert_allclose(first, alone, rtol=0, atol=SAME)
    untrained = fitted(ALONE, tmp_path / "untrained", 0)
    assert np.abs(first - untrained).max() > 1000 * SAME


@pytest.mark.parametrize("before", ["one", "two"])
def test_a_training_goes_on_with_another_number_of_ranks(team, tmp_path, before):
    def train(ranks, *arguments):
        if ranks == "one":
            return [fitted(ALONE, *arguments)]
        return team.run(fitted, *arguments)

    after = {"one": "two", "two": "one"}[before]
    # Only the first rank was asked to stop; all did, or the next test would wait for ever.
    assert set(train(before, tmp_path, 30, 11)) == {"stopped"}
    resumed = train(after, tmp_path, 30)[0]
    whole = fitted(ALONE, tmp_path / "whole", 30)
    np.testing.assert_allclose(resumed, whole, rtol=0, atol=SAME)


def train_beside(ranks, folder, trouble):
    """A training whose second rank gets into trouble after the fifth epoch."""
    rows, epochs = mixed_rows(), []

    def watch(record):
        epochs.append(record.epoch)
        if not ranks.first and record.epoch == 5:
            trouble()

    detector = DAGMM(epochs=30, members=2, batch_size=64, learning_rate=1e-3, random_state=0)
    try:
        detector.fit(rows, observers=[watch], checkpoint=Checkpointing(folder, 0.0), ranks=ranks)
    except RanksLost as error:
        return len(epochs), str(error)
    return detector.energy(rows) if ranks.first else None


def die():
    os.kill(os.getpid(), signal.SIGKILL)


def hang():
    time.sleep(3600)


def straggle():
    time.sleep(1.0)


def test_a_rank_that_straggles_is_waited_for(team, tmp_path):
    actual, _ = team.run(train_beside, tmp_path / "two", straggle)
    whole = fitted(ALONE, tmp_path / "alone", 30)
    np.testing.assert_allclose(actual, whole, rtol=0, atol=SAME)


@pytest.mark.parametrize(
    "trouble", [die, pytest.param(hang, marks=pytest.mark.slow)], ids=["dies", "hangs"]
)
def test_a_rank_that_dies_or_hangs_ends_the_others_and_one_process_goes_on(tmp_path, trouble):
    team = Team(2, **({"timeout": 15.0} if trouble is hang else {}))
    team.start(train_beside, tmp_path, trouble)
    epochs, message = team.answer(0)
    assert epochs in (5, 6)
    assert "resumes from the last checkpoint" in message
    if trouble is hang:
        team.processes[1].kill()
    team.processes[1].join(300)
    assert team.processes[1].exitcode == -signal.SIGKILL
    team.stop()
    seen = []
    place = Checkpointing(tmp_path, 0.0)
    resumed = DAGMM(epochs=30, members=2, batch_size=64, learning_rate=1e-3, random_state=0)
    resumed.fit(mixed_rows(), observers=[seen.append], checkpoint=place)
    assert seen[0].epoch in (5, 6), "it did not go on from the checkpoint"
    whole = fitted(ALONE, tmp_path / "alone", 30)
    np.testing.assert_allclose(resumed.energy(mixed_rows()), whole, rtol=0, atol=SAME)


def layered(ranks):
    layers = {"preset": "recommended-fast", "layer_epochs": 1, "linear_path": "none"}
    DAGMM(**layers, random_state=0).fit(rows_of(), ranks=ranks)


def test_layers_by_themselves_are_trained_by_one_process():
    with pytest.raises(SettingsError, match=r"layer_epochs=1 .* several ranks"):
        layered(Ranks(0, 2))


def test_a_launcher_that_says_half_of_it_is_told_what_is_missing(monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("RANK", "0")
    for name in ("LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT"):
        monkeypatch.delenv(name, raising=False)
    with (
        pytest.raises(SettingsError, match="LOCAL_RANK, MASTER_ADDR, MASTER_PORT is not set"),
        launched_ranks(1.0),
    ):
        pass


def test_a_number_of_ranks_that_is_none_is_named(monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "many")
    with pytest.raises(SettingsError, match="WORLD_SIZE is 'many', not a number of processes"):
        world_size()


def test_ranks_that_do_not_come_are_given_up(monkeypatch):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    for name, value in {
        "RANK": 0,
        "WORLD_SIZE": 2,
        "LOCAL_RANK": 0,
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": port,
    }.items():
        monkeypatch.setenv(name, str(value))
    with pytest.raises(RanksLost, match="died or no longer answers"), launched_ranks(1.0):
        pass


def take_gpus(ranks, uuids):
    """What a rank is told where its machine has these GPUs."""
    from types import SimpleNamespace
    from unittest import mock

    with mock.patch.multiple(
        torch.cuda,
        device_count=lambda: len(uuids),
        get_device_properties=lambda device: SimpleNamespace(uuid=uuids[int(device[5:])]),
    ):
        try:
            return ranks.place("cuda" if uuids else "cpu")
        except SettingsError as error:
            return str(error)


def on_a_machine_of_its_own(ranks, *uuids):
    return take_gpus(ranks, uuids[ranks.rank])


def test_two_ranks_on_one_gpu_are_refused_at_once_and_on_both(team):
    assert team.run(take_gpus, ["a", "b"]) == ["cuda:0", "cuda:1"]
    assert team.run(take_gpus, []) == ["cpu", "cpu"]
    for message in team.run(take_gpus, ["a"]):
        assert "ranks 0 and 1 have GPU a together; start as many ranks" in message
    for message in team.run(on_a_machine_of_its_own, ["a"], []):
        assert "rank 0 has GPU a, rank 1 has cpu; start as many ranks" in message
    assert team.run(on_a_machine_of_its_own, ["a"], ["b"]) == ["cuda:0", "cuda:0"]


def test_nccl_leaves_it_to_us_to_end_the_process():
    """Of the three modes that do something about a lost rank, only one lets a process live."""
    assert NCCL["TORCH_NCCL_ASYNC_ERROR_HANDLING"] == "2"
    lost = torch.distributed.DistBackendError("NCCL communicator was aborted on rank 0.")
    with pytest.raises(RanksLost, match="from the last checkpoint"), watched():
        raise lost
