"""Memory that is used again must not be seen in what was scored before, or by another thread."""

import pickle
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from dagmm_model import DAGMM
from dagmm_model.scoring.workspace import KEPT, Workspace, Workspaces

ROWS = np.random.default_rng(0).normal(size=(1500, 5))


@pytest.fixture(
    scope="module", params=[{}, {"preset": "recommended-fast"}], ids=["recommended", "fast"]
)
def detector(request):
    return DAGMM(epochs=2, random_state=0, **request.param).fit(ROWS[:300])


def test_what_was_scored_stays_when_other_rows_are_scored(detector):
    first, explained = detector.energy(ROWS), detector.explain(ROWS[:700])
    kept = first.copy(), explained.shares.copy(), explained.responsibility.copy()
    detector.explain(-3.0 * ROWS)
    np.testing.assert_array_equal(first, kept[0])
    np.testing.assert_array_equal(explained.shares, kept[1])
    np.testing.assert_array_equal(explained.responsibility, kept[2])
    np.testing.assert_array_equal(detector.energy(ROWS), kept[0])


def test_threads_at_once_get_the_energies_that_each_gets_alone(detector):
    tables = [ROWS[:size] * factor for size, factor in ((1, 3.0), (130, 1.0), (1500, 0.5))] * 8
    alone = [detector.energy(rows) for rows in tables]
    with ThreadPoolExecutor(4) as pool:
        for actual, expected in zip(pool.map(detector.energy, tables), alone, strict=True):
            np.testing.assert_array_equal(actual, expected)


def test_arrays_are_kept_unless_they_are_large_and_never_copied_along():
    workspaces = Workspaces()
    with workspaces.one() as work, workspaces.one() as other:
        assert other is not work
        small, large = work("small", 3, 4), work("large", KEPT + 1)
        assert np.shares_memory(work("small", 2), small)
        assert not np.shares_memory(small, large)
    assert len(pickle.dumps(workspaces)) < small.nbytes + 200
    with workspaces.one() as work, workspaces.one() as other:
        (again,) = (one for one in (work, other) if np.shares_memory(one("small", 1), small))
        assert not np.shares_memory(again("large", 1), large)
    assert Workspace()("x", 0, 3).shape == (0, 3)
