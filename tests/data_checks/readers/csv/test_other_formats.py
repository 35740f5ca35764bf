"""Files that are no delimited text are named for what they are, and nothing is drafted of them."""

from __future__ import annotations

import gzip
import io
import sqlite3
import zipfile
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from scipy.io import savemat

from data_checks.base.errors import SourceError
from data_checks.drafting.drafting import draft_contract

TEXT = "a,b\n" + "".join(f"{i},{i / 2}\n" for i in range(40))


def zipped() -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        archive.writestr("t.csv", TEXT)
    return content.getvalue()


def parquet() -> bytes:
    content = io.BytesIO()
    pq.write_table(pa.table({"a": [1.0, 2.0]}), content)
    return content.getvalue()


def matlab() -> bytes:
    content = io.BytesIO()
    savemat(content, {"X": [[1.0, 2.0]]})
    return content.getvalue()


FOREIGN: dict[str, tuple[bytes | Callable[[], bytes], str]] = {
    "t.xlsx": (zipped, "Excel workbook"),
    "t.csv": (lambda: gzip.compress(TEXT.encode()), "must end in .gz"),
    "twice.csv.gz": (lambda: gzip.compress(gzip.compress(TEXT.encode())), "must end in .gz"),
    "old.xls": (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + b"\0" * 40, "Excel workbook"),
    "p.csv": (parquet, "source.kind is parquet"),
    "m.csv": (matlab, "source.kind is mat"),
    "lines.jsonl": (b'{"a": 1, "b": 2}\n{"a": 3, "b": 4}\n', "JSON"),
    "t.json": (b' [\n {"a": 1}, {"a": 2}]\n', "JSON"),
    "rows.json": (b"[[1, 2], [3, 4]]", "JSON"),
    "page.csv": (b"<!DOCTYPE html>\n<html><body>404, not found</body></html>\n", "HTML"),
    "t.pdf": (b"%PDF-1.7\n", "PDF"),
}


@pytest.mark.parametrize("name", FOREIGN)
def test_what_is_no_delimited_text_is_named(tmp_path: Path, name: str) -> None:
    content, remedy = FOREIGN[name]
    path = tmp_path / name
    path.write_bytes(content if isinstance(content, bytes) else content())
    with pytest.raises(SourceError, match="this is") as raised:
        draft_contract(path)
    assert remedy in str(raised.value)


def test_a_database_is_named(tmp_path: Path) -> None:
    path = tmp_path / "t.db"
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE t (a)")
    connection.commit()
    connection.close()
    with pytest.raises(SourceError, match=r"source\.kind is sql"):
        draft_contract(path)


@pytest.mark.parametrize("header", ["PK,BZh,PAR1", "{a},[b],<c>", "<html>,[1],%PDF"])
def test_names_that_only_resemble_one_are_names(tmp_path: Path, header: str) -> None:
    path = tmp_path / "t.csv"
    if header.startswith("<html"):
        header = "a," + header
        rows = "".join(f"1,{i},{i / 2},x\n" for i in range(40))
    else:
        rows = "".join(f"{i},{i / 2},{'xy'[i % 2]}\n" for i in range(40))
    path.write_text(f"{header}\n{rows}")
    drafted = draft_contract(path)
    assert [column.name for column in drafted.contract.columns] == header.split(",")
