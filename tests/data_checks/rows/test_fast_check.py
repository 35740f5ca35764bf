"""Rows that are taken as they stand are those that the long way would have left as they are."""

from __future__ import annotations

import math
from typing import Any
from unittest import mock

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from data_checks.base.errors import SourceError
from data_checks.rows.fast_check import SoundRows
from data_checks.rows.rows import RowCheck, RowChecker
from tests.data_checks.conftest import small_contract

GOOD = {"amount": 1.5, "kind": "red", "ok": True, "fee": 2}
ODD = [None, True, False, 0, -1, 7, 2**53 + 1, 10**400, 1e39, -0.0, -999, math.nan, math.inf, "",
       " red", "red", "blue", "pink", "NA", "1.5", "many", "yes"]  # fmt: skip
NESTED = [[1], {"a": 1}]
"""Refused at once as a level, by the long way, which is the only one that they take."""
CONTRACTS = [
    small_contract(),
    small_contract(rules=[]),
    small_contract(rules=[], source={"kind": "csv", "file": "x.csv", "missing": ["-999", "blue"]}),
]
CHECKERS = [RowChecker(contract) for contract in CONTRACTS]


def the_long_way(checker: RowChecker, rows: dict[str, list[Any]]) -> RowCheck:
    with mock.patch.object(SoundRows, "__call__", return_value=None):
        return checker(rows)


def same(one: RowCheck, other: RowCheck) -> None:
    assert one.features.schema == other.features.schema
    assert one.features.equals(other.features)
    assert one.scorable.tolist() == other.scorable.tolist()
    assert one.reasons.tolist() == other.reasons.tolist()
    assert one.remarks.tolist() == other.remarks.tolist()
    assert (one.unseen, one.causes, one.refusal) == (other.unseen, other.causes, other.refusal)


@pytest.mark.parametrize("checker", CHECKERS, ids=range(len(CHECKERS)))
@given(st.data())
def test_both_ways_give_the_same(checker: RowChecker, data: st.DataObject) -> None:
    count = data.draw(st.integers(1, 3))
    number = st.floats(allow_nan=True) | st.integers(-(10**6), 10**6)
    odd = st.sampled_from(ODD)
    anything = odd | st.sampled_from(NESTED)
    of = {
        "amount": number | anything,
        "kind": st.sampled_from(["red", "green", "blue"]) | odd,
        "ok": st.booleans() | anything,
        "fee": number | anything,
    }
    rows = {
        name: data.draw(st.lists(values, min_size=count, max_size=count))
        for name, values in of.items()
    }
    same(checker(rows), the_long_way(checker, rows))


@pytest.mark.parametrize("value", ODD, ids=repr)
@pytest.mark.parametrize("column", list(GOOD))
def test_one_odd_value_in_any_column(column: str, value: object) -> None:
    rows = {name: [good, good] for name, good in GOOD.items()}
    rows[column] = [GOOD[column], value]
    for checker in CHECKERS:
        same(checker(rows), the_long_way(checker, rows))


@pytest.mark.parametrize("value", NESTED, ids=repr)
@pytest.mark.parametrize("column", list(GOOD))
def test_a_nested_value_is_read_nowhere(column: str, value: object) -> None:
    rows = {name: [good, good] for name, good in GOOD.items()} | {column: [GOOD[column], value]}
    if column == "kind":
        with pytest.raises(SourceError, match=r"row 1, column 'kind': .* is not one value"):
            CHECKERS[0](rows)
    else:
        assert CHECKERS[0](rows).scorable.tolist() == [True, False]


def test_good_rows_take_the_short_way() -> None:
    rows = {name: [good, good] for name, good in GOOD.items()}
    actual = SoundRows(CHECKERS[0].features)(rows)
    assert isinstance(actual, pa.Table)
    assert actual.equals(the_long_way(CHECKERS[0], rows).features)


def test_rules_of_several_columns_are_looked_at_all_the_same() -> None:
    rows = {"amount": [1.0, 1.0], "kind": ["red", "red"], "ok": [True, True], "fee": [0.5, 50.0]}
    checker = RowChecker(small_contract(rules=[{"name": "less", "check": "fee <= amount"}]))
    assert SoundRows(checker.features)(rows) is not None
    same(checker(rows), the_long_way(checker, rows))
    assert [text is None for text in checker(rows).remarks] == [True, False]
