"""What a reader leaves behind when a file cannot be read to its end."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow.csv
import pytest

from data_checks.base.errors import SourceError
from data_checks.contract.column_names import Columns
from data_checks.contract.source_settings import CsvSource
from data_checks.readers.csv import text


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
@pytest.mark.parametrize("end", ["error", "stopped"])
def test_arrows_threads_are_left_nothing_of_python(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, encoding: str, end: str
) -> None:
    """Arrow's thread that reads ahead may outlive the interpreter, and must not call into it."""
    path = tmp_path / "t.csv"
    rows = "a,b\n" + f"1,{'2' * 40}\n" * 300_000
    path.write_bytes((rows + ("3,4,5\n" if end == "error" else "")).encode(encoding))
    given: list[Any] = []
    honest = pyarrow.csv.open_csv

    def spy(stream: Any, **options: Any) -> Any:
        reader = honest(stream, **options)
        given.append((stream, options["parse_options"].invalid_row_handler))
        return reader

    monkeypatch.setattr(pyarrow.csv, "open_csv", spy)
    source = CsvSource(kind="csv", encoding=encoding)
    batches = text.read_csv(str(path), source, Columns(["a", "b"], ["a"]))
    if end == "error":
        with pytest.raises(SourceError, match=r"row 300002 .*3 fields instead of 2: '3,4,5'"):
            list(batches)
    else:
        next(batches)
        batches.close()  # type: ignore[attr-defined]
    [(stream, handler)] = given
    assert handler is None
    assert stream.read(1) == b""  # whoever reads on is at the end, and asks the file for nothing
