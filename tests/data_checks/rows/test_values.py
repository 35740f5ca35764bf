"""One rule for gaps, blanks and numbers, whatever the type, the reader and the other values."""

from __future__ import annotations

import datetime
import uuid
from decimal import Decimal
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from data_checks.base.errors import SourceError
from data_checks.contract.columns import Column
from data_checks.contract.model import Contract
from data_checks.contract.notation import PLAIN, Notation
from data_checks.readers.csv.text import BLOCK_BYTES
from data_checks.rows.rows import check_rows
from data_checks.rows.values import cast_column, plain_array, type_values
from data_checks.sources.sources import ingest

NUMBER = Column(name="x", type="numeric")
LEVEL = Column(name="x", type="categorical", vocabulary=("a",))
FLAG = Column(name="x", type="boolean")
TIME = Column(name="x", type="timestamp")
TYPES = (NUMBER, LEVEL, FLAG, TIME, Column(name="x", type="identifier"))
cells = st.sampled_from(
    ["1", "-999", "-999.0", " -999", "NA", "?", "", " ", "x", "nan", "-nan", "inf", " 2.5 ", "1e3"]
)


def texts(values: list[str]) -> pa.Array:
    return pa.array(values, pa.string())


@given(values=st.lists(cells, min_size=1, max_size=8), other=st.lists(cells, max_size=8))
def test_what_a_value_means_does_not_depend_on_its_neighbours(
    values: list[str], other: list[str]
) -> None:
    notation = Notation(missing=("", "NA", "?", "-999"))

    def read(column: Column, these: list[str]) -> list[tuple[object, bool]]:
        typed = type_values(texts(these), column, notation)
        unread = [False] * len(these) if typed.unread is None else typed.unread.to_pylist()
        return list(zip(typed.values.to_pylist(), unread, strict=True))

    for column in TYPES:
        together = read(column, [*values, *other])[: len(values)]
        assert together == [read(column, [value])[0] for value in values]


@pytest.mark.parametrize("place", [0, 70_000, 139_999])
def test_a_numeric_marker_is_a_gap_in_every_block(tmp_path: Path, place: int) -> None:
    rows = 140_000
    frame = pd.DataFrame({"temp": np.arange(rows) % 97 + 0.5, "pad": "p" * 80})
    frame["temp"] = frame["temp"].astype(object)
    frame.loc[[3, rows - 5], "temp"] = ["-999", " -999.0"]
    frame.loc[place, "temp"] = "NA"
    path = tmp_path / "t.csv"
    frame.to_csv(path, index=False)
    assert path.stat().st_size > BLOCK_BYTES
    contract = Contract.model_validate(
        {
            "name": "sent",
            "source": {"kind": "csv", "missing": ["", "NA", "-999"]},
            "columns": [{"name": "temp", "type": "numeric"}, {"name": "pad", "type": "ignored"}],
        }
    )
    done = ingest(contract, tmp_path / "t.parquet", data=path, data_dir=tmp_path)
    table = pq.read_table(done.path)
    gaps = np.flatnonzero(table.column("temp").is_null().to_numpy())
    assert gaps.tolist() == sorted({3, place, rows - 5})
    assert table.column("__unparsed__").null_count == rows


@pytest.mark.parametrize(
    "values",
    [
        pa.array(["-999", "1"]),
        pa.array(["-999.0", "1"], pa.large_string()),
        pa.array([" -999", "1"], pa.string_view()),
        pa.array([-999, 1]),
        pa.array([-999, 1], pa.int16()),
        pa.array([-999.0, 1.0], pa.float32()),
        pa.array([Decimal("-999.00"), Decimal(1)]),
        pa.array(["-999", "1"]).dictionary_encode(),
        pa.array([None, 1]),
    ],
    ids=lambda values: str(values.type),
)
def test_a_marker_is_a_gap_however_the_column_is_typed(values: pa.Array) -> None:
    notation = Notation(missing=("-999", "1970-01-01", "?"))
    number = type_values(plain_array(values), NUMBER, notation)
    assert number.values.to_pylist() == [None, 1.0]
    assert number.unread is None
    level = type_values(plain_array(values), LEVEL, notation)
    assert level.values.to_pylist()[0] is None
    assert level.values.to_pylist()[1] in ("1", "1.00")
    assert level.unread is None


def test_a_marker_that_is_a_whole_number_is_a_gap_for_every_type_and_no_other_code_is() -> None:
    for marker in ("-999", "-999.0"):
        notation = Notation(missing=(marker, "0"))
        written = texts(["-999", "-999.0", " -999.00 ", "0.0", "000", "-9990"])
        level = type_values(written, LEVEL, notation)
        assert level.values.to_pylist() == [None] * 4 + ["000", "-9990"]
        for column in (column for column in TYPES if column.type in ("boolean", "timestamp")):
            typed = type_values(written[:4], column, notation)
            assert typed.values.null_count == 4
            assert typed.unread is None


def test_scoring_reads_csv_and_typed_rows_by_one_rule() -> None:
    columns = [
        {"name": "x", "type": "numeric"},
        {"name": "k", "type": "categorical", "vocabulary": ["1", "a"]},
        {"name": "ok", "type": "boolean"},
    ]
    source = {"kind": "csv", "missing": ["", "-999", "?"]}
    contract = Contract.model_validate({"name": "c", "source": source, "columns": columns})
    written = pd.DataFrame(
        {"x": [" 1.5", "-999", "?"], "k": ["a ", "1", " ?"], "ok": [" TRUE", "0 ", " -999 "]}
    )
    typed = pa.table(
        {
            "x": pa.array([1.5, -999, None]),
            "k": pa.array(["a", "1", None]),
            "ok": pa.array([True, False, None]),
        }
    )
    for rows in (written, typed, typed.to_pandas()):
        checked = check_rows(rows, contract)
        assert checked.features.column("x").to_pylist() == [1.5, None, None]
        assert checked.features.column("k").to_pylist() == ["a", "1", None]
        assert checked.features.column("ok").to_pylist() == [True, False, None]
        assert list(checked.reasons) == [
            None,
            "x: missing value",
            "x: missing value; k: missing value; ok: missing value",
        ]


@pytest.mark.parametrize("blank", [" ", "\t", "  ", "\u00a0"])
def test_blanks_around_a_value_are_no_part_of_it(tmp_path: Path, blank: str) -> None:
    rows = [["age", "work", "flag", "when", "id", "income"]]
    rows += [["54", "Private", "true", "2026-01-01 10:00", "r1", "<=50K"]]
    rows += [["?", "?", "no", "2026-01-02", "r2", ">50K"], ["41", "", "1", "", "r3", "<=50K"]]
    path = tmp_path / "t.csv"
    path.write_text("".join(f",{blank}".join(row) + f"{blank}\n" for row in rows))
    gap = {"nullable": True}
    contract = Contract.model_validate(
        {
            "name": "ws",
            "source": {"kind": "csv", "missing": ["", " ?"]},
            "columns": [
                {"name": "age", "type": "numeric", **gap, "impute": "median"},
                {
                    "name": "work", "type": "categorical", "vocabulary": ["Private"], **gap,
                    "impute": "constant", "impute_value": "Private",
                },
                {"name": "flag", "type": "boolean"},
                {"name": "when", "type": "timestamp", **gap},
                {"name": "id", "type": "identifier"},
            ],
            "label": {"column": "income", "normal": ["<=50K "], "anomalous": [" >50K"]},
        }
    )  # fmt: skip
    done = ingest(contract, tmp_path / "t.parquet", data=path, data_dir=tmp_path)
    table = pq.read_table(done.path)
    assert table.column("work").to_pylist() == ["Private", None, None]
    assert table.column("flag").to_pylist() == [True, False, True]
    assert table.column("id").to_pylist() == ["r1", "r2", "r3"]
    assert table.column("when").null_count == 1
    assert table.column("__anomaly__").to_pylist() == [0, 1, 0]
    assert table.column("__unparsed__").null_count == 3


def test_a_vocabulary_that_was_written_with_blanks_goes_on_holding() -> None:
    padded = Column(name="k", type="categorical", vocabulary=(" a", " b"))
    assert (
        cast_column(texts([" a", " b", " ", "NA "]), padded).to_pylist()
        == [" a", " b"] + [None] * 2
    )


@pytest.mark.parametrize(
    ("decimal", "thousands", "good", "bad"),
    [
        (",", "", {"16,02": 16.02, ",5": 0.5, "7": 7}, ["1.5", "1.234,5", "1,2,3"]),
        (",", ".", {"1.234,50": 1234.5, "1.234.567": 1234567, "12,5": 12.5}, ["1.5", "12.34"]),
        (".", ",", {"6,834.10": 6834.1, "1,234": 1234, "1234.5": 1234.5}, ["1,5", "1,2345"]),
        (".", "'", {"1'234.5": 1234.5, "1\u2019234": 1234}, ["1'2"]),
        (",", " ", {"1 234,5": 1234.5, "1\u00a0234\u202f567": 1234567}, ["1 2"]),
        (".", "_", {"1_000": 1000}, ["1_0"]),
    ],
)  # fmt: skip
def test_numbers_with_other_marks(
    decimal: str, thousands: str, good: dict[str, float], bad: list[str]
) -> None:
    notation = Notation(decimal=decimal, thousands=thousands)
    actual = type_values(texts([*good, *bad, "", " 3 "]), NUMBER, notation)
    assert actual.values.to_pylist() == [*good.values(), *[None] * len(bad), None, 3.0]
    assert actual.unread is not None
    assert actual.unread.to_pylist() == [False] * len(good) + [True] * len(bad) + [False, False]


BYTES = [b"low", b"h\xe4gh"]
KEY = uuid.UUID("12345678-1234-5678-1234-567812345678")
EVERY_TYPE = {
    "bool": pa.array([True]),
    "uint64": pa.array([2**63], pa.uint64()),
    "half": pa.array([1.5], pa.float16()),
    "decimal": pa.array([Decimal("17.49")]),
    "decimal256": pa.array([Decimal("17.49")], pa.decimal256(50, 2)),
    "time": pa.array([1], pa.time32("s")),
    "duration": pa.array([1], pa.duration("s")),
    "date": pa.array([datetime.date(2026, 1, 1)]),
    "timestamp": pa.array([1], pa.timestamp("s", "Europe/Berlin")),
    "interval": pa.array([(1, 2, 3)], pa.month_day_nano_interval()),
    "binary": pa.array([b"a"]),
    "large binary": pa.array([b"a"], pa.large_binary()),
    "fixed binary": pa.array([b"ab"], pa.binary(2)),
    "binary view": pa.array([b"a"], pa.binary_view()),
    "large text": pa.array(["1"], pa.large_string()),
    "text view": pa.array(["1"], pa.string_view()),
    "null": pa.nulls(1),
    "list": pa.array([[1]]),
    "struct": pa.array([{"a": 1}]),
    "map": pa.array([[("a", 1)]], pa.map_(pa.string(), pa.int32())),
    "dictionary": pa.array(["a"]).dictionary_encode(),
    "dictionary of bytes": pa.array([b"a"]).dictionary_encode(),
    "uuid": pa.array([KEY.bytes], pa.uuid()),
    "json": pa.array(["{}"], pa.json_()),
    "bool8": pa.array([1], pa.bool8()),
    "run ends": pa.RunEndEncodedArray.from_arrays([1], ["a"]),
}


NO_VALUES = ("list", "struct", "map", "interval")
NO_NUMBERS = (
    "binary",
    "large binary",
    "fixed binary",
    "binary view",
    "dictionary of bytes",
    "time",
)
NO_NUMBERS += ("duration", "date", "timestamp", *NO_VALUES)


@pytest.mark.parametrize("column", TYPES[:3], ids=lambda column: column.type)
@pytest.mark.parametrize("kind", EVERY_TYPE)
def test_every_arrow_type_is_read_or_refused_by_name(kind: str, column: Column) -> None:
    columns = [column.model_dump(), {"name": "y", "type": "numeric"}]
    contract = Contract.model_validate(
        {"name": "c", "source": {"kind": "parquet"}, "columns": columns}
    )
    rows = pa.table({"x": EVERY_TYPE[kind], "y": [1.0]})
    if kind in (NO_NUMBERS if column.type == "numeric" else NO_VALUES):
        with pytest.raises(SourceError, match=rf"t\.parquet: column 'x' is .*{column.type}"):
            check_rows(rows, contract, where="t.parquet")
    else:
        assert check_rows(rows, contract, where="t.parquet").features.num_rows == 1


def test_uuids_are_text(tmp_path: Path) -> None:
    table = pa.table({"x": pa.array([KEY.bytes, None], pa.uuid()), "y": [1.0, 2.0]})
    pq.write_table(table, tmp_path / "t.parquet")
    columns = [{"name": "x", "type": "identifier", "nullable": True}]
    columns.append({"name": "y", "type": "numeric"})
    contract = Contract.model_validate(
        {"name": "c", "source": {"kind": "parquet", "file": "t.parquet"}, "columns": columns}
    )
    done = ingest(contract, tmp_path / "out.parquet", data_dir=tmp_path)
    assert pq.read_table(done.path).column("x").to_pylist() == [str(KEY), None]


@pytest.mark.parametrize(
    "kind", [pa.binary(), pa.large_binary(), pa.binary_view(), pa.binary(4), "dictionary"]
)
@pytest.mark.parametrize("wanted", ["categorical", "identifier", "boolean", "label"])
def test_bytes_that_are_no_text_are_named(tmp_path: Path, kind: pa.DataType, wanted: str) -> None:
    values = [b"low ", b"h\xe4gh"]
    array = pa.array(values).dictionary_encode() if kind == "dictionary" else pa.array(values, kind)
    pq.write_table(pa.table({"y": [1.0, 2.0], "x": array}), tmp_path / "t.parquet")
    columns = [{"name": "y", "type": "numeric"}]
    settings: dict[str, object] = {}
    if wanted == "label":
        settings["label"] = {"column": "x", "normal": ["low"], "anomalous": "*"}
    else:
        more = {"vocabulary": ["low"]} if wanted == "categorical" else {}
        columns.append({"name": "x", "type": wanted, **more})
    contract = Contract.model_validate(
        {"name": "c", "source": {"kind": "parquet"}, "columns": columns, **settings}
    )
    with pytest.raises(SourceError) as caught:
        ingest(contract, tmp_path / "o", data=tmp_path / "t.parquet", data_dir=tmp_path)
    assert "t.parquet: column 'x' is" in str(caught.value)
    assert "binary" in str(caught.value)
    assert "row 1" in str(caught.value)
    assert PLAIN.plain
