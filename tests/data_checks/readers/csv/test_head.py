"""What stands before the rows of a delimited file shifts no row and no message."""

from __future__ import annotations

import bz2
import gzip
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from data_checks.base.errors import SourceError, TextEncodingError
from data_checks.contract.model import Contract
from data_checks.contract.source_settings import CsvSource
from data_checks.drafting.drafting import draft_contract
from data_checks.readers.csv.head import read_head
from data_checks.sources.reading import read_batches
from data_checks.sources.sources import ingest

COLUMNS = [{"name": name, "type": "numeric"} for name in ("a", "b")]
ROWS = [f"{i},{i / 2}" for i in range(40)]
BEFORE = {
    "nothing": "",
    "blank": "\n",
    "blanks": "\n \n\t\n\n",
    "separator": "sep=,\n",
    "quoted separator": '"sep=,"\n',
    "blank and separator": "\nsep=,\n\n",
}


def contract(**source: object) -> Contract:
    return Contract.model_validate(
        {"name": "c", "source": {"kind": "csv", **source}, "columns": COLUMNS}
    )


def both_ways(made: Contract, path: Path) -> pd.DataFrame:
    """Read to train and to score; the rows must be the same."""
    done = ingest(made, path.parent / "out.parquet", data=path, data_dir=path.parent)
    table = pq.read_table(done.path).to_pandas()
    scored = pa.Table.from_batches(read_batches(made, str(path), with_label=False)).to_pandas()
    assert scored["a"].astype(float).tolist() == table["a"].tolist()
    return table


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"], ids=["LF", "CRLF", "CR"])
@pytest.mark.parametrize("header", ["a,b", '"a","b"', None], ids=["plain", "quoted", "none"])
@pytest.mark.parametrize("before", BEFORE.values(), ids=BEFORE.keys())
@pytest.mark.parametrize("mark", ["", "\ufeff"], ids=["", "BOM"])
def test_rows_are_counted_from_the_first_row(
    tmp_path: Path, mark: str, before: str, header: str | None, end: str
) -> None:
    lines = [*([header] if header else []), *ROWS]
    path = tmp_path / "t.csv"
    content = mark + before + "\n".join(lines) + "\n"
    path.write_bytes(content.replace("\n", end).encode())
    table = both_ways(contract(header=header is not None), path)
    assert table["a"].tolist() == list(range(40))
    assert table["row_id"].tolist() == list(range(40))
    assert table["__unparsed__"].isna().all()


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"], ids=["LF", "CRLF", "CR"])
def test_a_header_over_several_lines_is_one_row(tmp_path: Path, end: str) -> None:
    path = tmp_path / "t.csv"
    header = '"temperature\n(mean,\n in K)",b'
    path.write_bytes(("\n" + "\n".join([header, *ROWS])).replace("\n", end).encode())
    drafted = draft_contract(path)
    assert [c.name for c in drafted.contract.columns] == ["temperature (mean, in K)", "b"]
    done = ingest(drafted.contract, tmp_path / "o.parquet", data_dir=tmp_path)
    assert pq.read_table(done.path).column("row_id").to_pylist() == list(range(40))


@pytest.mark.parametrize(("encoding", "example"), [("utf-16", "utf-16"), ("cp1252", "latin-1")])
def test_bytes_of_another_encoding_name_one_that_may_fit(
    tmp_path: Path, encoding: str, example: str
) -> None:
    path = tmp_path / "t.csv"
    path.write_bytes("\n".join(["a,b", "1,\u00fc"]).encode(encoding))
    with pytest.raises(
        TextEncodingError, match=rf"line \d: .*as utf-8, or .*\(for example {example}\)"
    ):
        read_head(str(path), CsvSource(kind="csv"))


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be", "utf-32", "cp1252"])
@pytest.mark.parametrize("before", ["", "\n", "sep=,\n"])
def test_other_encodings(tmp_path: Path, encoding: str, before: str) -> None:
    path = tmp_path / "t.csv"
    path.write_bytes((before + "\n".join(["a,b", *ROWS])).encode(encoding))
    table = both_ways(contract(encoding=encoding), path)
    assert table["a"].tolist() == list(range(40))


def test_blank_lines_between_rows_are_no_rows(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text("\na,b\n\n" + "\n\n".join(ROWS) + "\n\n")
    assert both_ways(contract(), path)["row_id"].tolist() == list(range(40))


@pytest.mark.parametrize(("before", "line"), [("", 4), ("\n\n", 6), ("sep=,\n", 5), ('"', 5)])
def test_messages_count_the_lines_of_the_file(tmp_path: Path, before: str, line: int) -> None:
    path = tmp_path / "t.csv"
    header = "a,b\n"
    if before == '"':
        before, header = "", '"a\n",b\n'
    path.write_text(before + header + "1,2\n3,4\n5,6,7\n8,9\n")
    with pytest.raises(SourceError, match=rf"row {line} .*3 fields instead of 2"):
        list(read_batches(contract(), str(path)))
    path.write_text(before + "a,a\n1,2\n")
    with pytest.raises(SourceError, match=r"line \d+: column named twice"):
        list(read_batches(contract(), str(path)))


@pytest.mark.parametrize(
    ("text", "words"),
    [("depth,speed\n1,2\n", "The file has 'depth', 'speed'"), ("1,2\n3,4\n", "header: false")],
)
def test_the_header_of_another_table_is_not_taken_for_values(tmp_path, text, words) -> None:
    path = tmp_path / "t.csv"
    path.write_text(text)
    with pytest.raises(SourceError, match=words):
        list(read_batches(contract(), str(path)))


def test_a_header_longer_than_a_block(tmp_path: Path) -> None:
    names = [f"column-{i:06d}-{'x' * 60}" for i in range(25_000)]
    path = tmp_path / "t.csv"
    path.write_text(",".join(names) + "\n" + ",".join(["1"] * len(names)) + "\n")
    head = read_head(str(path), CsvSource(kind="csv"))
    assert list(head.rows[0]) == names
    assert len(head.rows) == 2


def test_only_blank_lines_or_a_header(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    for content, words in (("\n \n", "empty"), ("sep=,\n", "empty"), ("\na,b\n\n", "no rows")):
        path.write_text(content)
        with pytest.raises(SourceError, match=words):
            ingest(contract(), tmp_path / "o", data=path, data_dir=tmp_path)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"PK\x03\x04\x14\x00", "zip archive"),
        (gzip.compress(b"a,b\n1,2\n"), r"end in \.gz"),
        (bz2.compress(b"a,b\n1,2\n"), r"end in \.bz2"),
        (b"PAR1\x15\x04", "source.kind is parquet"),
        (b"SQLite format 3\0", "source.kind is sql"),
        (b"\xd0\xcf\x11\xe0\xa1", "Excel"),
    ],
    ids=("zip", "gzip", "bzip2", "parquet", "sqlite", "excel"),  # gzip's bytes hold the time
)
def test_what_is_no_delimited_file_is_called_by_its_name(
    tmp_path: Path, content: bytes, words: str
) -> None:
    (tmp_path / "t.csv").write_bytes(content)
    with pytest.raises(SourceError, match=words):
        draft_contract(tmp_path / "t.csv")


def test_a_column_may_have_the_name_that_a_parquet_file_begins_with(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("PAR1,PAR2\n" + "".join(f"{i / 3},{i}\n" for i in range(9)))
    assert [c.name for c in draft_contract(tmp_path / "t.csv").contract.columns] == ["PAR1", "PAR2"]
