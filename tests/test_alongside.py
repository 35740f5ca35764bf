"""A helper thread that dies fails its test at once."""

import time

import pytest

from tests.alongside import alongside


def test_the_waiting_block_is_interrupted():
    started = time.monotonic()

    def fails():
        raise LookupError("no such page")

    with pytest.raises(LookupError, match="no such page"), alongside(fails):
        time.sleep(3600)
    assert time.monotonic() - started < 1800  # the block did not sleep to its end


def test_what_the_work_gave_is_there():
    with alongside(lambda: 3) as other:
        assert other.result() == 3
