"""The same values are the same row, however they were written."""

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from data_checks.contract.model import Contract
from data_checks.rows.rows import check_rows
from flows.verdicts.rows import row_key, row_texts, taken_rows

CONTRACT = Contract.model_validate(
    {
        "name": "t",
        "source": {"kind": "csv", "decimal": ",", "delimiter": ";"},
        "columns": [
            {"name": "x", "type": "numeric", "nullable": True, "impute": "median"},
            {"name": "kind", "type": "categorical", "vocabulary": ["a", "1", "true"]},
            {"name": "on", "type": "boolean"},
        ],
    }
)


def texts(**columns):
    return row_texts(check_rows(pa.table(columns), CONTRACT).features)


def test_notation_does_not_matter():
    written = texts(x=["1,5", ""], kind=["1", "a"], on=["true", "false"])
    typed = texts(x=[1.5, np.nan], kind=["1", "a"], on=[True, False])
    assert written == typed
    assert written[0] == '{"kind":"1","on":true,"x":1.5}'


def test_zero_has_one_sign_and_order_of_columns_does_not_matter():
    one = texts(x=[0.0], kind=["a"], on=[True])
    other = texts(on=[True], x=[-0.0], kind=["a"])
    assert row_key(one[0]) == row_key(other[0])


@given(
    st.floats(-1e30, 1e30) | st.none(),
    st.sampled_from(["a", "1", "true", "new one"]),
    st.booleans(),
)
def test_a_kept_row_is_read_as_it_was(x, kind, on):
    table = pa.table({"x": pa.array([x], pa.float64()), "kind": [kind], "on": [on]})
    kept = row_texts(check_rows(table, CONTRACT).features)
    taken, features = taken_rows(kept, CONTRACT)
    assert taken.all()
    assert row_texts(features) == kept


def test_a_row_from_before_a_column_came_is_left_out():
    whole = '{"kind":"a","on":true,"x":2.0}'
    taken, features = taken_rows(['{"x":1.0,"on":true}', whole], CONTRACT)
    assert taken.tolist() == [False, True]
    assert row_texts(features) == [whole]


@pytest.mark.parametrize("outside", ["mark", "reject"])
def test_values_outside_are_as_the_caller_wants_them(outside):
    taken, _ = taken_rows(['{"kind":"new","on":true,"x":1.0}'], CONTRACT, outside)
    assert taken.all() == (outside == "mark")
