"""A delimited stream left in the middle is read no further, waits for nobody and aborts nothing."""

from __future__ import annotations

import io
import time
from contextlib import nullcontext

import pyarrow as pa
import pyarrow.csv
import pytest

from data_checks.readers.csv.reading_ahead import ReadingAhead


class Recording(io.RawIOBase):
    """Rows without end; remembers whether anybody read after it was given back."""

    def __init__(self, content: bytes) -> None:
        self._rest = content
        self.given_back = False
        self.read_later = False

    def read(self, size: int = -1) -> bytes:
        time.sleep(0.01)
        self.read_later |= self.given_back
        accepted, self._rest = self._rest[:size], self._rest[size:]
        return accepted


@pytest.mark.parametrize("bad_row", [b"", b"1\n"], ids=["a caller that stops", "a bad row"])
def test_nothing_is_read_once_the_stream_is_given_back(bad_row: bytes) -> None:
    row = b"1.5,2.5\n"
    stream = Recording(row * 2000 + bad_row + row * 200_000)
    options = pyarrow.csv.ReadOptions(
        column_names=["a", "b"], block_size=len(row) * 1000, use_threads=False
    )
    expected = pytest.raises(pa.ArrowInvalid) if bad_row else nullcontext()
    with expected, ReadingAhead(stream) as ahead:
        ahead.reader = pyarrow.csv.open_csv(ahead.source, read_options=options)
        for _ in range(3):
            ahead.reader.read_next_batch()
    stream.given_back = True
    time.sleep(0.2)
    assert not stream.read_later
