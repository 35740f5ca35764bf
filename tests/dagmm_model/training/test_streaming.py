"""Rows read group by group: sums are exact, every row is seen, memory holds two windows."""

import threading
import time
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score
from threadpoolctl import threadpool_limits

from dagmm_model import DAGMM, Checkpointing
from dagmm_model.base.checkpoint import TrainingStopped
from dagmm_model.base.distributed import ALONE, Ranks
from dagmm_model.base.settings import SettingsError
from dagmm_model.detectors.streamed.fit import fit_streamed
from dagmm_model.detectors.streamed.passes import fit_scaler, fit_streamed_scorer, whole
from dagmm_model.networks.network import initialise
from dagmm_model.networks.presets import resolve
from dagmm_model.scoring.final_mixture import fit_scorer as fit_in_memory
from dagmm_model.tables.scaling import Scaler, covariance_of
from dagmm_model.training.streaming import RowGroups, WindowFeed, moments_of, prefetched
from tests.dagmm_model.ranks import Team

ROWS, WIDTH = 900, 5


def table(rows=ROWS, seed=0):
    """Three clusters in five columns: one is constant, one mostly 0, one far from the origin."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(rows, WIDTH)) + rng.integers(0, 3, (rows, 1)) * 4.0
    x[:, 1] = 7.0
    x[:, 2] = np.where(rng.random(rows) < 0.05, x[:, 2], 0.0)
    x[:, 3] += 1e6
    return x


def grouped(x, cuts=(100, 230, 231, 500), sample=None):
    bounds = list(pairwise([0, *sorted(cuts), len(x)]))
    return RowGroups(
        tuple(b - a for a, b in bounds),
        lambda number: x[slice(*bounds[number])],
        x if sample is None else sample,
    )


class Epoch:
    """As much of a `Progress` as a feed looks at."""

    def __init__(self, epoch, done=0):
        self.epoch, self.done = epoch, done


@settings(max_examples=25)
@given(st.lists(st.integers(0, ROWS), max_size=6), st.integers(1, 4), st.randoms())
def test_moments_of_any_groups_on_any_ranks_in_any_order_are_those_of_all_rows(cuts, size, random):
    x = table() - [0, 0, 0, 1e6 - 1e3, 0]  # what is lost is the offset over the deviation
    groups = grouped(x, cuts)
    numbers = list(range(len(groups.sizes)))
    random.shuffle(numbers)
    groups = RowGroups(
        tuple(groups.sizes[i] for i in numbers), lambda i, read=groups.read: read(numbers[i]), x
    )
    merged, wanted = None, whole(x)
    for rank in range(size):
        (part,) = moments_of(groups, Alone(rank, size), lambda rows: [whole(rows)])
        merged = part if merged is None else merged.merge(part)
    np.testing.assert_allclose(merged.mean, wanted.mean, rtol=1e-12)
    scale = np.abs(wanted.scatter).max()
    np.testing.assert_allclose(merged.scatter, wanted.scatter, rtol=0, atol=1e-12 * scale)


class Alone(Ranks):
    """A rank whose share is looked at before it is merged."""

    def merge(self, moments):
        return moments


KINDS = ["none", "minmax", "standard", "numeric", "robust", "soft", "clipped", "whitened"]


@pytest.mark.parametrize("kind", KINDS)
def test_the_scaler_is_that_of_all_rows_in_memory(kind):
    x = table()
    wanted = Scaler.fit(kind, x)
    chosen = replace(resolve("recommended-fast", WIDTH, ROWS), scaling=kind)
    actual, (mean, covariance) = fit_scaler(chosen, grouped(x), ALONE)
    np.testing.assert_allclose(actual.transform(x), wanted.transform(x), rtol=1e-6, atol=1e-6)
    scaled = actual.transform(x)
    expected = covariance_of(scaled.__getitem__, *scaled.shape)
    np.testing.assert_allclose(mean, expected[0], rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(covariance, expected[1], rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"refinement": 0},
        {"final_mixture": "em"},
        {"criterion": "reconstruction"},
        {"latent_scaling": "none", "refinement": 0},
        {"masking": 0.7, "linear_path": "none", "wide_code": 0},
    ],
)
def test_the_scorer_is_that_of_all_rows_in_memory(options):
    x = Scaler.fit("whitened", table()).transform(table())
    chosen = replace(resolve("recommended-fast", WIDTH, ROWS), n_components=3, **options)
    parameters = initialise(chosen, WIDTH, [1, 2], x)
    arguments = parameters, chosen, np.full(2, 1e-3)
    with threadpool_limits(1):
        wanted = fit_in_memory(*arguments, x.__getitem__, ROWS, None, [1, 2])
        actual = fit_streamed_scorer(*arguments, grouped(x), [1, 2], ALONE)
    np.testing.assert_allclose(actual.energy(x), wanted.energy(x), rtol=1e-7, atol=1e-7)


def steps_of(feed, epoch, done=0):
    """Rows of every step that is left, ``(steps, b)`` as the first member takes them."""
    actual, rows = [], None
    for piece in feed.pieces(Epoch(epoch, done)):
        rows = piece.rows if piece.rows is not None else rows
        actual += [rows[order, 0] for order in piece.order[0].reshape(piece.order.shape[1], -1)]
    return actual


def feeds(size, buffer_rows=300, rows=907, batch=64):
    x = np.arange(float(rows))[:, None].astype(np.float32)
    groups = grouped(x, range(50, rows, 50))
    return [WindowFeed(groups, batch, buffer_rows, [1, 2], Ranks(r, size)) for r in range(size)]


@pytest.mark.parametrize("size", [1, 2, 3])
def test_an_epoch_sees_every_row_once_but_for_a_few_other_ones_each_time(size):
    left_out = []
    for epoch in range(3):
        steps = [steps_of(feed, epoch) for feed in feeds(size)]
        assert {len(of_rank) for of_rank in steps} == {feeds(1)[0].steps}
        seen = np.concatenate([rows for of_rank in steps for rows in of_rank])
        assert len(set(seen)) == len(seen), "a row twice in an epoch"
        assert len(seen) > 0.97 * 907
        left_out.append(set(range(907)) - set(seen))
        batches = [sum(len(rows) for rows in step) for step in zip(*steps, strict=True)]
        assert 48 <= min(batches) <= max(batches) <= 80  # windows of four or five steps
    assert left_out[0] != left_out[1]


def test_windows_do_not_depend_on_the_number_of_ranks_and_change_with_the_epoch():
    one, two = feeds(1)[0], feeds(2)[1]
    for epoch in range(2):
        for mine, other in zip(one.windows(epoch), two.windows(epoch), strict=True):
            assert mine[0].tolist() == other[0].tolist()
            assert mine[1] == other[1]
    assert next(one.windows(0))[0].tolist() != next(one.windows(1))[0].tolist()


def test_a_batch_mixes_rows_of_all_groups_of_its_window():
    (feed,) = feeds(1)
    groups, _ = next(feed.windows(0))
    first = steps_of(feed, 0)[0]
    assert set(first.astype(int) // 50) == set(groups.tolist())
    assert len(groups) == 5


@pytest.mark.parametrize("done", [1, 4, 5, 9])
def test_an_epoch_goes_on_in_the_middle_of_a_window(done):
    for feed in feeds(2):
        whole_epoch, rest = steps_of(feed, 1), steps_of(feed, 1, done)
        assert len(rest) == len(whole_epoch) - done
        for a, b in zip(whole_epoch[done:], rest, strict=True):
            assert (a == b).all()


def test_the_next_group_is_read_while_one_is_in_work_and_no_further():
    reading, main = [], threading.get_ident()

    def read(number):
        assert threading.get_ident() != main
        reading.append(number)
        return number

    for number in prefetched(read, range(5)):
        deadline = time.monotonic() + 60
        while len(reading) < min(number + 2, 5):
            assert time.monotonic() < deadline, "the next one is not being read"
        time.sleep(0.02)
        assert len(reading) <= number + 2, "it reads further ahead than one"


def anomalies():
    return np.random.default_rng(9).uniform(-6, 14, (200, WIDTH)) + [0, 0, 0, 1e6, 0]


def fitted(ranks, folder=None, stop_after=None, **options):
    """Energies of test rows by a detector fitted on windows of 2000 of 6000 rows."""
    x, seen = table(6000), []
    groups = grouped(x, range(400, 6000, 400), x[::7])
    place = None
    if folder is not None:
        place = Checkpointing(folder, 0.0, stop=lambda: stop_after == len(seen) and ranks.first)
    detector = DAGMM(epochs=4, members=2, batch_size=128, random_state=0, **options)
    try:
        fit_streamed(
            detector,
            groups,
            buffer_rows=2000,
            observers=[seen.append],
            checkpoint=place,
            ranks=ranks,
        )
    except TrainingStopped:
        return "stopped"
    return detector.energy(np.concatenate([table(400, 5), anomalies()])) if ranks.first else None


def auc(energies):
    return roc_auc_score(np.arange(600) >= 400, energies)


@pytest.fixture(scope="module")
def in_memory():
    detector = DAGMM(epochs=4, members=2, batch_size=128, random_state=0).fit(table(6000))
    return auc(detector.energy(np.concatenate([table(400, 5), anomalies()])))


@pytest.fixture(scope="module")
def team():
    ranks = Team(2)
    yield ranks
    ranks.stop()


def test_streamed_it_detects_as_in_memory(in_memory):
    assert in_memory > 0.9
    assert auc(fitted(ALONE)) == pytest.approx(in_memory, abs=0.01)


@pytest.mark.slow
def test_two_ranks_stream_it_together_and_another_number_goes_on(team, in_memory, tmp_path):
    first, second = team.run(fitted, tmp_path / "whole")
    assert second is None
    assert auc(first) == pytest.approx(in_memory, abs=0.01)
    assert team.run(fitted, tmp_path / "stopped", 2) == ["stopped", "stopped"]
    assert auc(fitted(ALONE, tmp_path / "stopped")) == pytest.approx(in_memory, abs=0.01)


def test_a_streamed_training_goes_on_to_the_last_bit(tmp_path):
    assert fitted(ALONE, tmp_path, 2) == "stopped"
    np.testing.assert_array_equal(fitted(ALONE, tmp_path), fitted(ALONE))


@pytest.mark.parametrize(
    "options",
    [{"keep_best": True}, {"preset": "recommended-fast", "layer_epochs": 2, "linear_path": "none"}],
)
def test_what_needs_all_rows_is_refused(options):
    with pytest.raises(SettingsError, match="needs all rows in memory"):
        fitted(ALONE, **options)


@pytest.mark.parametrize("sampled", [False, True])
def test_a_value_that_is_not_finite_is_named(sampled):
    x = table()
    x[240, 3] = np.inf
    groups = grouped(x, sample=x if sampled else table())
    with pytest.raises(ValueError, match="row 9 of group 3, column 3 is not finite"):
        fit_streamed(DAGMM(), groups)


def test_rows_of_objects_are_numbers():
    x = table()
    plain, objects = (
        fit_streamed(DAGMM(epochs=1, members=1, random_state=0), grouped(rows))
        for rows in (x, x.astype(object))
    )
    np.testing.assert_array_equal(plain.energy(x), objects.energy(x))


@pytest.mark.parametrize("size", [1, 7, 64, ROWS])
def test_two_values_far_from_0_are_recognised_in_any_groups(size):
    x = np.where(np.random.default_rng(0).random((ROWS, 1)) < 0.3, 65536.0, 65535.0)
    chosen = replace(resolve("recommended-fast", 1, ROWS), scaling="numeric")
    actual, _ = fit_scaler(chosen, grouped(x, range(size, ROWS, size)), ALONE)
    np.testing.assert_array_equal(actual.transform(x), x - 65535.0)
