from __future__ import annotations

import subprocess
import sys

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from data_checks.base.errors import SourceError
from data_checks.rows.rows import check_rows
from tests.data_checks.conftest import small_contract, small_frame

FEATURES = ["amount", "kind", "ok", "fee"]


def test_good_rows_are_all_scorable_without_label_and_identifier() -> None:
    actual = check_rows(small_frame()[FEATURES], small_contract())
    assert actual.scorable.all()
    assert actual.features.column_names == FEATURES
    assert actual.rejected == 0
    assert set(actual.reasons) == set(actual.remarks) == {None}


def test_extra_columns_do_not_matter() -> None:
    contract = small_contract()
    assert check_rows(small_frame().assign(more=1), contract).features.equals(
        check_rows(small_frame()[FEATURES], contract).features
    )


@pytest.mark.parametrize(
    ("column", "value", "reason"),
    [
        ("amount", "many", "amount: 'many' is not a number"),
        ("amount", None, "amount: missing value"),
        ("amount", np.inf, "amount: inf is not a finite 32-bit number"),
        ("fee", -1e39, "fee: -1e+39 is not a finite 32-bit number"),
        ("kind", "pink", "kind: 'pink': level not in the vocabulary"),
        ("kind", None, "kind: missing value"),
        ("ok", "perhaps", "ok: 'perhaps' is not a truth value"),
    ],
)
def test_a_row_that_cannot_be_scored_comes_back_with_its_reason(
    column: str, value: object, reason: str
) -> None:
    frame = small_frame(5)[FEATURES].astype(object)
    frame.loc[3, column] = value
    actual = check_rows(frame, small_contract(rules=[]), outside="reject")
    assert actual.scorable.tolist() == [True, True, True, False, True]
    assert actual.reasons[3] == reason
    assert len(actual.features) == 5


@pytest.mark.parametrize("column", ["kind", "amount", "ok"])
def test_of_a_long_value_the_beginning_is_said(column: str) -> None:
    frame = small_frame(5)[FEATURES].astype(object)
    frame.loc[3, column] = "x" * 100_000
    actual = check_rows(frame, small_contract(rules=[]), outside="reject")
    assert "'xxx" in actual.reasons[3]
    assert len(actual.reasons[3]) < 300
    assert len(actual.refusal) < 500


def test_levels_and_numbers_outside_are_marked_unless_they_are_to_be_rejected() -> None:
    frame = small_frame(5)[FEATURES]
    frame.loc[1, "amount"] = 5000.0
    frame.loc[3, "kind"] = "pink"
    marked = check_rows(frame, small_contract(rules=[]))
    assert marked.scorable.all()
    assert marked.remarks[1] == "amount: 5000 is outside [0, 1000]"
    assert marked.remarks[3] == "kind: 'pink': level not in the vocabulary"
    assert marked.unseen == {"kind": 1}
    assert marked.refusal == ""
    contract = small_contract(rules=[], scoring={"outside": "reject"})
    rejected = check_rows(frame, contract)
    assert rejected.scorable.tolist() == [True, False, True, False, True]
    assert rejected.causes == {
        "amount: outside [0, 1000]": 1,
        "kind: level not in the vocabulary": 1,
    }
    assert rejected.refusal.startswith("row 1, column 'amount': 5000 is outside [0, 1000]; correct")
    assert rejected.refusal.endswith("(1 more row cannot be scored)")
    assert check_rows(frame, contract, outside="mark").scorable.all()


def test_a_row_that_cannot_be_scored_does_not_count_as_one_with_a_new_level() -> None:
    frame = small_frame(5)[FEATURES].astype(object)
    frame.loc[[1, 3], "kind"] = "pink"
    frame.loc[3, "amount"] = "much"
    assert check_rows(frame, small_contract(rules=[])).unseen == {"kind": 1}
    assert check_rows(frame[3:4], small_contract(rules=[])).unseen == {}


@pytest.mark.parametrize(
    ("vocabulary", "read", "expected"),
    [
        (["007", "012"], [7, 12, 7], ["007", "012", "007"]),
        (["007", "012"], [7.0, None, 12.0], ["007", None, "012"]),
        (["7", "007"], [7, 7, 7], ["7", "7", "7"]),  # written so
        (["07", "007"], [7, 7, 7], ["7", "7", "7"]),  # two levels could be meant: none is guessed
        (["True", "False"], [True, False, True], ["True", "False", "True"]),
        (["1.50", "2"], [1.5, 2.0, 9.0], ["1.50", "2", "9"]),
    ],
)
def test_levels_that_a_reader_took_for_numbers_are_spelled_as_the_vocabulary_does(
    vocabulary: list[str], read: list[object], expected: list[object]
) -> None:
    columns = [c.model_dump() for c in small_contract().columns]
    columns[2] |= {"vocabulary": vocabulary, "unseen": "other", "drop_levels": []}
    frame = small_frame(3)[FEATURES].assign(kind=read)
    actual = check_rows(frame, small_contract(columns=columns, rules=[]))
    assert actual.features.column("kind").to_pylist() == expected


@pytest.mark.parametrize(
    ("vocabulary", "cells", "expected"),
    [
        (["007", "012"], [7, 12, 7], ["007", "012", "007"]),
        (["007", "012"], ["007", 12, 7.0], ["007", "012", "007"]),
        (["007", "012"], ["7", 12, None], ["7", "012", None]),  # a text is taken as it is written
        (["True", "False"], [True, "False", False], ["True", "False", "False"]),
    ],
)
def test_a_level_does_not_hang_on_the_form_or_on_other_rows(
    vocabulary: list[str], cells: list[object], expected: list[object]
) -> None:
    columns = [c.model_dump() for c in small_contract().columns]
    columns[2] |= {"vocabulary": vocabulary, "unseen": "other", "drop_levels": []}
    columns[2] |= {"nullable": True, "impute": "constant", "impute_value": vocabulary[0]}
    contract = small_contract(columns=columns, rules=[])
    frame = small_frame(3)[FEATURES].assign(kind=pd.Series(cells, dtype=object))
    rows = frame.to_dict("list")
    assert check_rows(frame, contract).features.column("kind").to_pylist() == expected
    assert check_rows(rows, contract).features.column("kind").to_pylist() == expected
    for row in range(3):
        alone = {name: values[row : row + 1] for name, values in rows.items()}
        actual = check_rows(alone, contract).features.column("kind")
        assert actual.to_pylist() == expected[row : row + 1]


@pytest.mark.parametrize(
    ("cells", "expected"),
    [
        (pd.arrays.SparseArray([1.0, 0.0, 1.0]), [1.0, 0.0, 1.0]),
        (np.array([1, 2, 3], dtype="complex64"), [None, None, None]),
        (pd.Series([object(), {1}, "2"], dtype=object), [None, None, 2.0]),
        (pd.Series(["\ud800", "1", 3 + 1j], dtype=object), [None, 1.0, None]),
    ],
)
def test_values_that_arrow_does_not_know_are_judged_as_all_others(
    cells: object, expected: list[float | None]
) -> None:
    actual = check_rows(small_frame(3)[FEATURES].assign(amount=cells), small_contract(rules=[]))
    assert actual.features.column("amount").to_pylist() == expected
    assert actual.scorable.tolist() == [value is not None for value in expected]


def test_a_level_is_one_value() -> None:
    frame = small_frame(2)[FEATURES].assign(kind=pd.Series(["red", ["red"]], dtype=object))
    with pytest.raises(SourceError, match=r"row 1, column 'kind': \['red'\] is not one value"):
        check_rows(frame, small_contract())


def test_what_is_out_of_range_is_scored_with_a_remark() -> None:
    frame = small_frame(5)[FEATURES]
    frame.loc[2, "amount"] = 5000.0
    frame.loc[4, "fee"] = 1000.5
    actual = check_rows(frame, small_contract())
    assert actual.scorable.all()
    assert actual.remarks[2] == "amount: 5000 is outside [0, 1000]"
    assert "fee <= amount" in actual.remarks[4]


def test_new_levels_are_counted_when_the_policy_lets_them_pass() -> None:
    columns = [c.model_dump() for c in small_contract().columns]
    columns[2]["unseen"] = "other"
    frame = small_frame(6)[FEATURES]
    frame.loc[[1, 4], "kind"] = "pink"
    actual = check_rows(frame, small_contract(columns=columns))
    assert actual.scorable.all()
    assert actual.unseen == {"kind": 2}


def test_a_gap_that_the_contract_imputes_stays_a_gap_here() -> None:
    columns = [c.model_dump() for c in small_contract().columns]
    columns[1] |= {"nullable": True, "impute": "median"}
    frame = small_frame(4)[FEATURES]
    frame.loc[1, "amount"] = np.nan
    actual = check_rows(frame, small_contract(columns=columns))
    assert actual.scorable.all()
    assert actual.features.column("amount").null_count == 1


@pytest.mark.parametrize("kind", ["pandas", "table", "batch"])
def test_any_kind_of_table_is_taken(kind: str) -> None:
    frame = small_frame(4)[FEATURES]
    table = pa.Table.from_pandas(frame, preserve_index=False)
    rows = {"pandas": frame, "table": table, "batch": table.to_batches()[0]}[kind]
    assert check_rows(rows, small_contract()).scorable.all()


def test_missing_and_doubled_columns_are_named() -> None:
    frame = small_frame(3)
    with pytest.raises(SourceError, match="missing column 'fee'"):
        check_rows(frame.drop(columns="fee"), small_contract())
    with pytest.raises(SourceError, match="twice: 'fee'"):
        check_rows(pd.concat([frame, frame[["fee"]]], axis=1), small_contract())


def test_a_level_that_reads_like_a_gap_is_one_only_if_the_contract_says_so() -> None:
    columns = [c.model_dump() for c in small_contract().columns]
    columns[2]["vocabulary"] = ["NA", "EU"]
    frame = small_frame(2)[FEATURES].assign(kind=["NA", "EU"])
    source = {"kind": "csv", "file": "small.csv"}
    for missing, scorable in (([], [True, True]), (["NA"], [False, True])):
        contract = small_contract(columns=columns, source={**source, "missing": missing})
        assert check_rows(frame, contract).scorable.tolist() == scorable


cells = st.sampled_from([None, "x", 3, 3.5, "4.5", np.inf, -2, "red"])


@given(column=st.sampled_from(FEATURES), values=st.lists(cells, min_size=3, max_size=3))
def test_rows_are_judged_alone(column: str, values: list) -> None:
    frame = small_frame(3)[FEATURES].astype(object)
    frame[column] = pd.Series(values, dtype=object)
    together = check_rows(frame, small_contract())
    for row in range(3):
        # Text keeps 3 and "3" alike; otherwise Arrow would infer another type for one value alone.
        alone = check_rows(
            frame.iloc[[row]].astype(str).where(frame.iloc[[row]].notna(), None), small_contract()
        )
        assert alone.scorable[0] == together.scorable[row]


def test_scoring_never_imports_great_expectations() -> None:
    code = (
        "import sys, data_checks.rows.rows, data_checks.sources.sources;"
        "import data_checks.drafting.drafting;"
        "print([m for m in ('great_expectations', 'torch', 'mlflow', 'prefect')"
        " if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
