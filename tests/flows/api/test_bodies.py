"""Every form of a request holds the same rows; what is none of them is one sentence."""

import json

import pyarrow as pa
import pytest

from flows.api.bodies import request_columns
from flows.api.refusals import Refused

NAMES = ("a", "b")
ROWS = [{"a": 1, "b": "x"}, {"a": None, "b": "007"}, {"a": 2.5, "b": "y, z"}]
BY_COLUMN = {"a": [1, None, 2.5], "b": ["x", "007", "y, z"]}
FORMS = {
    "a list": ROWS,
    "rows": {"rows": ROWS},
    "records": {"dataframe_records": ROWS},
    "instances": {"instances": ROWS},
    "inputs": {"inputs": BY_COLUMN},
    "inputs as records": {"inputs": ROWS},
    "split": {
        "dataframe_split": {
            "columns": ["b", "more", "a"],
            "data": [[row["b"], 0, row["a"]] for row in ROWS],
            "index": [5, 6, 7],
        }
    },
    "with params": {"dataframe_records": ROWS, "params": {}},
}


def read(document, content_type="application/json", max_rows=10):
    body = document if isinstance(document, bytes) else json.dumps(document).encode()
    return request_columns(body, content_type, NAMES, max_rows)


@pytest.mark.parametrize("form", FORMS)
def test_every_form_holds_the_same_rows(form):
    columns, rows = read(FORMS[form])
    assert rows == 3
    assert {name: list(values) for name, values in columns.items()} == BY_COLUMN


def test_csv_is_text_until_the_contract_reads_it():
    table, rows = read(
        b'\xef\xbb\xbfb,a,c\nx,1,0\n007,,0\n"y, z",2.5,0\n', "text/csv; charset=utf-8"
    )
    assert rows == 3
    assert isinstance(table, pa.Table)
    assert table.column("b").to_pylist() == ["x", "007", "y, z"]
    assert table.column("a").to_pylist() == ["1", "", "2.5"]


def test_a_byte_order_mark_is_no_part_of_the_body():
    body = json.dumps(ROWS).encode()
    assert read(b"\xef\xbb\xbf" + body) == read(body)


def test_one_row_in_columns():
    assert read({"inputs": {"a": 1, "b": "x"}}) == ({"a": [1], "b": ["x"]}, 1)


def test_a_column_that_no_row_has_stays_absent():
    assert set(read({"rows": [{"b": "x"}]})[0]) == {"b"}
    assert set(read({"inputs": {"b": ["x"], "c": [1]}})[0]) == {"b"}


BAD = [
    (b"", 400, "the body is empty"),
    (b"  \n", 400, "the body is empty"),
    (b"{", 400, "no JSON: EOF while parsing"),
    (b"\xff\xfe", 400, "no JSON"),
    (b'["\\ud800"]', 400, "no JSON"),
    (b"[" * 100_000, 400, "no JSON: recursion limit exceeded"),
    (b'{"rows": [{"a": ' + b"9" * 5000 + b"}]}", 400, "no JSON: number out of range"),
    (b"{}", 400, "the body needs one of rows, dataframe_split"),
    (b"3", 400, "the body needs one of rows"),
    (b"null", 400, "the body needs one of rows"),
    ({"rows": ROWS, "inputs": ROWS}, 400, "it has rows, inputs"),
    ([], 400, "the request holds no rows"),
    ({"rows": {"a": 1}}, 400, "rows is an object of 1: make it a list of rows"),
    ({"rows": "x"}, 400, "rows is a text"),
    ({"instances": [[1, 2]]}, 400, "instances: row 0 is a list of 2, not a row with column names"),
    ({"rows": [{"a": 1}, 4]}, 400, "rows: row 1 is a number"),
    ({"dataframe_split": [1]}, 400, "dataframe_split needs two lists"),
    ({"dataframe_split": {"columns": ["a"], "data": [[1], [1, 2]]}}, 400, "row 1 is a list of 2"),
    ({"dataframe_split": {"columns": [["a"]], "data": [[1]]}}, 400, "among its columns is no name"),
    ({"dataframe_split": {"columns": [0], "data": [[1]]}}, 400, "'0' among its columns is no name"),
    ({"dataframe_split": {"columns": ["a", "a"], "data": [[1, 2]]}}, 400, "column named twice: a"),
    ({"inputs": {"a": [1, 2], "b": ["x"]}}, 400, "column 'b' has not as many values as others (2)"),
    ({"inputs": {"a": [1, 2], "b": "x"}}, 400, "column 'b' has not as many values"),
    ({"rows": [{"a": 1}] * 11}, 413, "the request holds 11 rows, and 10 are taken"),
    ({"inputs": {"a": [1] * 11, "b": ["x"] * 11}}, 413, "the request holds 11 rows"),
]


@pytest.mark.parametrize(
    ("document", "status", "message"), BAD, ids=[message for _, _, message in BAD]
)
def test_what_is_no_request_is_one_sentence(document, status, message):
    with pytest.raises(Refused) as refused:
        read(document)
    assert refused.value.status == status
    assert message in refused.value.sentence
    assert len(refused.value.sentence) < 300


@pytest.mark.parametrize(
    "body",
    [
        b'{"rows": [{"a": 1, "b": "x", "a": 2}]}',
        b'[{"b": "x"}, {"a": 1, "a": 1}]',
        b'{"rows": [{"a": 1}], "rows": [{"a": 2}]}',
        b'{"dataframe_split": {"columns": ["a"], "data": [[1]], "data": [[2]]}}',
        b'{"inputs": {"a": [1], "a" : [2]}}',
        b'{"rows": [{"b": "12:30", "a": 1, "a": 2}]}',
        rb'{"rows": [{"b": "\":", "a": 1, "\u0061": 2}]}',
        b'{"rows": [{"b": {"c": 1, "c": 2}}]}',
        b'\xef\xbb\xbf[{"a": 1, "a": 2}]',
    ],
)
def test_a_name_that_stands_twice_is_refused_and_no_value_lost(body):
    with pytest.raises(Refused, match="stands twice in one object") as refused:
        read(body)
    assert refused.value.status == 400


@pytest.mark.parametrize("text", ["12:30", '":', "a: b, a: b", "\n:", "\\"])
def test_colons_in_texts_are_no_names(text):
    row = {"a": 1, "b": text}
    assert read([row, row])[0] == {"a": [1, 1], "b": [text, text]}
    assert read({"rows": [row], "params": {"why": {"a": text}}})[0]["b"] == [text]


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"a,b\n1\n", "no CSV with a header and commas"),
        (b"a,b\n\xff,x\n", "no CSV with a header and commas"),
        (b"a,b\n", "the request holds no rows"),
        (b"a;b\n1;x\n", "';' stands between its columns"),
        (b"a\tb\n1\tx\n", "'\\t' stands between its columns"),
        (b"a,b\n" + b"1,x\n" * 11, "the request holds 11 rows"),
    ],
)
def test_bad_csv_is_one_sentence(body, message):
    with pytest.raises(Refused) as refused:
        read(body, "text/csv")
    assert message in refused.value.sentence


def test_a_csv_may_have_lines_of_any_length():
    """Arrow reads a block at a time, and refuses a header or a row that is longer than one."""
    header = ",".join(["a", "b", *(f"column {i}" for i in range(100_000))])
    columns, rows = read(f"{header}\n{',1' * 100_001}\n".encode(), "text/csv")
    assert (rows, columns["b"].to_pylist()) == (1, ["1"])


@pytest.mark.parametrize("kind", ["", "application/xml", "text/csv; charset=latin-1", "a/b/c;;"])
def test_other_content_types_are_refused_before_they_are_read(kind):
    with pytest.raises(Refused) as refused:
        read(b"\xff", kind)
    assert refused.value.status == 415
