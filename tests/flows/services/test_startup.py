"""What is started first for a training."""

import sys

import pytest

from flows.services.startup import beside


@pytest.mark.parametrize(("rank", "helped"), [(None, True), ("0", True), ("1", False)])
def test_only_the_first_rank_has_a_helper_and_it_ends_with_the_block(rank, helped, monkeypatch):
    monkeypatch.delitem(sys.modules, "great_expectations", raising=False)
    monkeypatch.delenv("RANK", raising=False)
    if rank is not None:
        monkeypatch.setenv("RANK", rank)
    with beside() as process:
        assert (process is not None) == helped
        assert process is None or process.poll() is None
    assert process is None or process.returncode is not None


def test_what_is_loaded_already_needs_no_helper(monkeypatch):
    monkeypatch.setitem(sys.modules, "great_expectations", sys)
    with beside() as process:
        assert process is None
