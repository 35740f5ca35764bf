import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dagmm_model.tables.preprocessing import Encoder, EncodingError, FeatureColumn

MIXED = Encoder(
    (
        FeatureColumn("duration"),
        FeatureColumn("service", "categorical", ("http", "ftp", "dns")),
        FeatureColumn("host_login", "categorical", ("0", "1"), drop=("1",)),
        FeatureColumn("encrypted", "boolean"),
    )
)
ROWS = {
    "duration": [1.5, -2.0],
    "service": ["dns", "http"],
    "host_login": [0, 1],
    "encrypted": ["true", "F"],
}


def test_feature_names_follow_the_column_and_level_order():
    assert MIXED.feature_names == (
        "duration",
        "service=http",
        "service=ftp",
        "service=dns",
        "host_login=0",
        "encrypted",
    )


@pytest.mark.parametrize(
    "table",
    [
        ROWS,
        pd.DataFrame(ROWS),
        pd.DataFrame(ROWS).astype({"service": "category"}),
        pd.DataFrame(ROWS).astype({"service": "string", "host_login": float}),
    ],
    ids=["dict", "frame", "categorical", "string"],
)
def test_every_table_form_encodes_the_same(table):
    expected = [[1.5, 0, 0, 1, 1, 1], [-2.0, 1, 0, 0, 0, 0]]
    assert MIXED.encode(table).tolist() == expected


@given(st.lists(st.sampled_from(["a", "b", "c", "zzz"]), min_size=1))
def test_one_hot_has_one_indicator_for_a_known_level_and_none_for_an_unseen_one(values):
    encoder = Encoder((FeatureColumn("c", "categorical", ("a", "b", "c"), unseen="other"),))
    sums = encoder.encode({"c": values}).sum(axis=1)
    assert sums.tolist() == [0.0 if value == "zzz" else 1.0 for value in values]


def test_large_offset_with_small_spread_survives():
    stamps = 1.7e9 + np.arange(5.0)
    assert np.ptp(Encoder((FeatureColumn("t"),)).encode({"t": stamps})) == 4.0


@pytest.mark.parametrize(
    ("column", "values", "named"),
    [
        (FeatureColumn("n"), [1.0, float("nan")], ["'n'", "row 1", "nan"]),
        (FeatureColumn("n"), [1.0, 2.0, float("inf")], ["'n'", "row 2", "inf"]),
        (FeatureColumn("n"), [1e300], ["'n'", "row 0"]),
        (FeatureColumn("n"), ["1", "x"], ["'n'", "row 1", "'x'"]),
        (FeatureColumn("n"), ["1", None, "2"], ["'n'", "row 1"]),
        (FeatureColumn("c", "categorical", ("a",)), ["a", "b"], ["'c'", "row 1", "'b'"]),
        (FeatureColumn("c", "categorical", ("a",)), ["a", None], ["'c'", "row 1"]),
        (FeatureColumn("b", "boolean"), [0, 2], ["'b'", "row 1"]),
        (FeatureColumn("b", "boolean"), ["maybe"], ["'b'", "row 0"]),
    ],
)
def test_a_bad_value_is_refused_with_column_and_row(column, values, named):
    with pytest.raises(EncodingError) as error:
        Encoder((column,)).encode({column.name: values})
    assert all(word in str(error.value) for word in named)


@pytest.mark.parametrize(
    ("column", "values", "expected"),
    [
        (FeatureColumn("n", fill=7.0), [1.0, None], [[1.0], [7.0]]),
        (FeatureColumn("n", fill=7.0), ["1", None], [[1.0], [7.0]]),
        (FeatureColumn("b", "boolean", fill=1.0), [False, None], [[0.0], [1.0]]),
        (FeatureColumn("c", "categorical", ("a", "b"), fill="b"), ["a", None], [[1, 0], [0, 1]]),
        (FeatureColumn("c", "categorical", ("a", "b"), fill="b"), ["a", pd.NA], [[1, 0], [0, 1]]),
    ],
)
def test_a_missing_value_is_filled_only_where_the_column_says_so(column, values, expected):
    assert Encoder((column,)).encode({column.name: values}).tolist() == expected


def test_a_missing_column_is_named():
    with pytest.raises(EncodingError, match="'service', 'host_login'"):
        MIXED.encode({"duration": [1.0], "encrypted": [1]})


def test_round_trip_through_json():
    import json

    again = Encoder.from_dict(json.loads(json.dumps(MIXED.to_dict())))
    assert again == MIXED
    assert again.columns[1].levels == ("http", "ftp", "dns")
