"""The body of a request to columns: MLflow's forms, a list of rows, CSV. No value is changed.

What the values mean is the contract's affair and is decided where `dagmm score` decides it.
"""

import json
from codecs import BOM_UTF8
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.csv
from pydantic_core import from_json

from flows.api.refusals import BAD_REQUEST, Refused, malformed, too_large

JSON, CSV = "application/json", "text/csv"
SPLIT, RECORDS, INSTANCES, INPUTS, ROWS = (
    *("dataframe_split", "dataframe_records", "instances", "inputs"),
    "rows",
)
FORMS = (ROWS, SPLIT, RECORDS, INSTANCES, INPUTS)
Columns = Mapping[str, Sequence[Any]] | pa.Table


def request_columns(
    body: bytes, content_type: str, names: Sequence[str], max_rows: int
) -> tuple[Columns, int]:
    """Columns of a request, and how many rows it has.

    Args:
        body: As it came.
        content_type: Of the request.
        names: Columns that are wanted; others are left out, absent ones stay absent.
        max_rows: Most rows that are taken.

    Raises:
        Refused: It has none of these forms, or too many rows.
    """
    mime, _, parameters = content_type.lower().partition(";")
    charset = parameters.partition("charset=")[2].strip(' ";') or "utf-8"
    if mime.strip() not in (JSON, CSV) or charset not in ("utf-8", "utf8", "us-ascii"):
        sentence = f"content type {content_type!r}: send {JSON} or {CSV}, in UTF-8"
        raise Refused(415, BAD_REQUEST, sentence, "content type")
    if not body.strip():
        raise malformed(f"the body is empty: send rows, e.g. {{'{ROWS}': [{{...}}]}}")
    if mime.strip() == CSV:
        table = _csv(body, names)
        _separated(table.column_names, names)
        _count(table.num_rows, max_rows)
        return table, table.num_rows
    return _json(body, names, max_rows)


def _csv(body: bytes, names: Sequence[str]) -> pa.Table:
    try:
        return pyarrow.csv.read_csv(
            pa.BufferReader(body),
            # In one block: Arrow refuses a line that is longer than one, a header of many columns.
            read_options=pyarrow.csv.ReadOptions(use_threads=False, block_size=len(body)),
            parse_options=pyarrow.csv.ParseOptions(newlines_in_values=True),
            convert_options=pyarrow.csv.ConvertOptions(
                column_types=dict.fromkeys(names, pa.string()), strings_can_be_null=False
            ),
        )
    except (pa.ArrowInvalid, UnicodeDecodeError) as error:
        message = str(error).partition("\n")[0][:300]
        raise malformed(f"no CSV with a header and commas: {message}") from None


def _separated(header: Sequence[str], names: Sequence[str]) -> None:
    """Say so where another sign stands between the columns: a spreadsheet may write it."""
    alone = header[0] if len(header) == 1 and header[0] not in names else ""
    if sign := next((sign for sign in ";\t|" if sign in alone), None):
        raise malformed(f"no CSV with a header and commas: {sign!r} stands between its columns")


def _json(body: bytes, names: Sequence[str], max_rows: int) -> tuple[Columns, int]:
    try:
        # A few texts, the names, stand in every row; values are as many as there are.
        document = from_json(body.removeprefix(BOM_UTF8), cache_strings="keys")
    except ValueError as error:
        raise malformed(f"no JSON: {error}") from None
    _each_name_once(body, document)
    if isinstance(document, list):
        document = {ROWS: document}
    present = [form for form in FORMS if isinstance(document, dict) and form in document]
    if len(present) != 1:
        has = f"; it has {', '.join(present)}" if present else ""
        raise malformed(f"the body needs one of {', '.join(FORMS)}, or to be a list of rows{has}")
    form, rows = present[0], document[present[0]]
    if form == SPLIT:
        return _split(rows, names, max_rows)
    if isinstance(rows, list):
        _count(len(rows), max_rows)
        return _records(rows, names, form), len(rows)
    if form in (INPUTS, INSTANCES) and isinstance(rows, dict):
        return _by_column(rows, names, form, max_rows)
    raise malformed(f"{form} is {_kind(rows)}: make it a list of rows, each with column names")


def _each_name_once(body: bytes, document: Any) -> None:
    """Refuse a name that stands twice in an object: the parser keeps the last value, silently.

    Every name has its colon. Where those that are seen here are all, none was lost; else there may
    be colons in texts, or objects that nobody asked for, and a slower parser looks.
    """
    inner = list(document.values()) if isinstance(document, dict) else [document]
    rows = (row for part in inner if isinstance(part, list) for row in part)
    objects = [document, *inner, *rows]
    if body.count(b":") > sum(len(one) for one in objects if isinstance(one, dict)):
        try:
            json.loads(body.decode("utf-8-sig"), object_pairs_hook=_unique, strict=False)
        except ValueError as error:
            raise malformed(str(error)) from None


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    unique = dict(pairs)
    if len(unique) < len(pairs):
        times = Counter(name for name, _ in pairs)
        twice = next(name for name, count in times.items() if count > 1)
        raise ValueError(f"{twice[:100]!r} stands twice in one object: send each name once")
    return unique


def _split(split: Any, names: Sequence[str], max_rows: int) -> tuple[Columns, int]:
    columns, data = (split.get(k) if isinstance(split, dict) else None for k in ("columns", "data"))
    if not isinstance(columns, list) or not isinstance(data, list):
        raise malformed(f"{SPLIT} needs two lists, `columns` and `data`")
    if strange := [name for name in columns if not isinstance(name, str)]:
        raise malformed(f"{SPLIT}: {str(strange[0])[:100]!r} among its columns is no name")
    _count(len(data), max_rows)
    _each(data, list, f"list of {len(columns)} values", SPLIT, len(columns))
    times = Counter(columns)
    if twice := [name for name in names if times[name] > 1]:
        raise malformed(f"{SPLIT}: column named twice: {twice[0]}")
    values = dict(zip(columns, zip(*data, strict=True), strict=True))
    return {name: values[name] for name in names if name in values}, len(data)


def _records(rows: list[Any], names: Sequence[str], form: str) -> Columns:
    hint = "row with column names, {name: value}"
    _each(rows, dict, hint, form)
    there: Collection[str] = set().union(*rows)
    return {name: [row.get(name) for row in rows] for name in names if name in there}


def _by_column(
    columns: dict[str, Any], names: Sequence[str], form: str, max_rows: int
) -> tuple[Columns, int]:
    wanted = {name: columns[name] for name in names if name in columns}
    alone = not any(isinstance(values, list) for values in wanted.values())
    if alone:  # one row
        return {name: [value] for name, value in wanted.items()}, 1
    lengths = {n: len(v) if isinstance(v, list) else -1 for n, v in wanted.items()}
    length = max(lengths.values())
    if odd := next((name for name, count in lengths.items() if count != length), None):
        raise malformed(f"{form}: column {odd!r} has not as many values as others ({length})")
    _count(length, max_rows)
    return wanted, length


def _each(rows: list[Any], kind: type, should: str, form: str, length: int | None = None) -> None:
    if set(map(type, rows)) == {kind} and (length is None or set(map(len, rows)) == {length}):
        return
    for place, row in enumerate(rows):
        if not isinstance(row, kind) or (length is not None and len(row) != length):
            raise malformed(f"{form}: row {place} is {_kind(row)}, not a {should}")


def _count(rows: int, most: int) -> None:
    if not rows:
        raise malformed("the request holds no rows")
    if rows > most:
        raise too_large(f"the request holds {rows:,} rows", f"{most:,}", "--max-rows")


def _kind(value: Any) -> str:
    if isinstance(value, list | dict):
        return f"{'a list' if isinstance(value, list) else 'an object'} of {len(value)}"
    return {str: "a text", bool: "a truth value", type(None): "null"}.get(type(value), "a number")
