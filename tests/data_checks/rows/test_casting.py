from __future__ import annotations

import json

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from data_checks.base.errors import SourceError
from data_checks.contract.columns import Column
from data_checks.contract.model import Contract
from data_checks.contract.sections import Label
from data_checks.rows.casting import anomaly_flags, cast_batch, stored_schema
from data_checks.rows.values import cast_column
from tests.data_checks.conftest import small_contract, small_frame

NUMBER = Column(name="x", type="numeric")
TEXT = Column(name="x", type="categorical", vocabulary=("a",))
finite = st.floats(allow_nan=False, allow_infinity=False)


def numbers(values: list) -> list:
    return cast_column(pa.array(values, pa.string()), NUMBER).to_pylist()


@given(values=st.lists(finite, max_size=20))
def test_numbers_written_as_text_come_back_exactly(values: list[float]) -> None:
    assert numbers([repr(value) for value in values]) == values


@given(values=st.lists(finite, min_size=1, max_size=10), junk=st.text(max_size=6))
def test_one_bad_value_does_not_touch_the_others(values: list[float], junk: str) -> None:
    actual = numbers([*(repr(value) for value in values), f"#{junk}"])
    assert actual == [*values, None]


@pytest.mark.parametrize(
    "text", ["1,234", "1 234", "abc", "0x10", "1_0", "--1", "1e", "١", "12 EUR"]
)
def test_what_is_no_number_is_null(text: str) -> None:
    assert numbers([text, "1"]) == [None, 1.0]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("+1", 1.0),
        (".5", 0.5),
        ("1.", 1.0),
        (" 2 ", 2.0),
        ("1E3", 1000.0),
        ("-inf", -np.inf),
        ("1e400", np.inf),
    ],
)
def test_ways_to_write_numbers(text: str, value: float) -> None:
    assert numbers([text, "x"]) == [value, None]


def test_gaps_are_gaps_and_not_bad_values() -> None:
    frame = small_frame(3).astype(object)
    frame.loc[0, "amount"] = "NA"
    frame.loc[1, "amount"] = "what?"
    frame.loc[2, "kind"] = ""
    batch = pa.RecordBatch.from_pandas(frame.astype(str), preserve_index=False)
    typed = cast_batch(batch, small_contract(), 0)
    assert typed.column("__unparsed__").to_pylist() == [None, json.dumps({"amount": "what?"}), None]
    assert typed.column("amount").null_count == 2
    assert typed.column("kind").to_pylist()[2] is None


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (pa.array([1, 2, None]), ["1", "2", None]),
        (pa.array([1.0, 2.5, float("nan")]), ["1", "2.5", None]),
        (pa.array([True, False]), ["true", "false"]),
        (pa.array(["a", None]).dictionary_encode().dictionary_decode(), ["a", None]),
    ],
)
def test_levels_are_text_and_1_is_1_point_0(values: pa.Array, expected: list) -> None:
    assert cast_column(values, TEXT).to_pylist() == expected


def test_truth_values() -> None:
    words = pa.array(["TRUE", "f", "Yes", "0", "maybe", ""])
    actual = cast_column(words, Column(name="b", type="boolean")).to_pylist()
    assert actual == [True, False, True, False, None, None]


def test_timestamps_with_and_without_a_pattern() -> None:
    iso = cast_column(pa.array(["2026-01-02T03:04:05", "soon"]), Column(name="t", type="timestamp"))
    assert [None if v is None else v.isoformat() for v in iso.to_pylist()] == [
        "2026-01-02T03:04:05+00:00",
        None,
    ]
    german = Column(name="t", type="timestamp", timestamp_format="%d.%m.%Y")
    actual = cast_column(pa.array(["31.12.2026", "12/31/2026"]), german).to_pylist()
    assert actual[0].isoformat() == "2026-12-31T00:00:00+00:00"
    assert actual[1] is None


def test_a_column_of_a_foreign_type_is_refused_by_name() -> None:
    frame = small_frame(2)
    table = pa.Table.from_pandas(frame, preserve_index=False)
    table = table.set_column(1, "amount", pa.array([[1], [2]]))
    with pytest.raises(SourceError, match="'amount' is list"):
        cast_batch(table, small_contract(), 0)


@pytest.mark.parametrize(
    ("label", "expected"),
    [
        (Label(column="l", normal=("a",), anomalous=("b",)), [0, 1, None, None]),
        (Label(column="l", normal=("a",), anomalous="*"), [0, 1, 1, None]),
        (Label(column="l", normal="*", anomalous=("b",)), [0, 1, 0, None]),
    ],
)
def test_anomaly_flags(label: Label, expected: list) -> None:
    assert anomaly_flags(pa.array(["a", "b", "c", None]), label).to_pylist() == expected


def test_the_schema_is_what_a_batch_has() -> None:
    contract = small_contract()
    batch = pa.RecordBatch.from_pandas(small_frame(5), preserve_index=False)
    typed = cast_batch(batch, contract, 10)
    assert typed.schema == stored_schema(contract)
    assert typed.column("row_id").to_pylist() == [10, 11, 12, 13, 14]


NUMBERS = [pa.array(v) for v in ([0, 1, None], [0.0, 1.0, None], ["0", "1", None])]
TRUTHS = pa.array([False, True, None])


@pytest.mark.parametrize(
    ("listed", "values"),
    [
        *[(listed, values) for listed in (("0", "1"), ("0.0", "1.0")) for values in NUMBERS],
        *[(listed, TRUTHS) for listed in (("false", "true"), ("False", "True"))],
        (("0", "1"), pa.array(["0.0", "1.0", None])),
    ],
)
def test_a_label_means_the_same_whichever_program_wrote_it(
    listed: tuple[str, str], values: pa.Array
) -> None:
    contract = Contract.model_validate(
        {
            "name": "c",
            "source": {"kind": "csv", "file": "c.csv"},
            "columns": [{"name": "a", "type": "numeric"}],
            "label": {"column": "state", "normal": [listed[0]], "anomalous": [listed[1]]},
        }
    )
    raw = pa.table({"a": pa.array([1.0, 2.0, 3.0]), "state": values})
    table = cast_batch(raw, contract, 0)
    assert table["state"].to_pylist() == [*listed, None]
    assert table["__anomaly__"].to_pylist() == [0, 1, None]


def test_levels_with_a_decimal_point_are_the_level_without() -> None:
    """Pandas writes whole numbers as 1.0 where one of them is missing."""
    column = {"name": "c", "type": "categorical", "vocabulary": ["1", "2", "007", "a.0"]}
    contract = Contract.model_validate(
        {"name": "c", "source": {"kind": "csv", "file": "c.csv"}, "columns": [column]}
    )
    raw = pa.table({"c": pa.array(["1.0", "2", "7", "7.0", "a", "1.5"])})
    assert cast_batch(raw, contract, 0)["c"].to_pylist() == ["1", "2", "7", "7.0", "a", "1.5"]
