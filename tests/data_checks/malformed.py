"""Generator of malformed inputs: each writes a contract and a table into a folder."""

from __future__ import annotations

import gzip
import sqlite3
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
import pyarrow as pa
import yaml
from scipy.io import savemat

from tests.data_checks.conftest import small_contract, small_frame

Outcome = Literal["error", "failed", "quarantined", "passed"]
"""error: refused with a message, exit code 2; failed: the data's verdict is no, exit code 1;
quarantined, passed: exit code 0, with and without rows set aside."""


@dataclass(frozen=True)
class Case:
    """One malformed input.

    Attributes:
        name: of the case.
        build: writes the table into a folder, and may return changes to the contract.
        outcome: what must come of it.
        words: what the message (or the reasons of the quarantined rows) must contain.
        rows: the rows that must be quarantined.
    """

    name: str
    build: Callable[[Path], Mapping[str, Any] | str | None]
    outcome: Outcome
    words: tuple[str, ...]
    rows: tuple[int, ...] = ()

    def write(self, folder: Path) -> Path:
        """Write table and contract; returns the contract's path."""
        changes = self.build(folder)
        path = folder / "contract.yaml"
        if isinstance(changes, str):
            path.write_text(changes, encoding="utf-8")
        else:
            data = small_contract().model_dump(mode="json", exclude_defaults=True)
            path.write_text(yaml.safe_dump({**data, **(changes or {})}), encoding="utf-8")
        return path


def csv_bytes(**options: Any) -> bytes:
    return bytes(small_frame().to_csv(index=False, **options).encode())


def raw(
    content: bytes, name: str = "small.csv", **source: Any
) -> Callable[[Path], Mapping[str, Any]]:
    def build(folder: Path) -> Mapping[str, Any]:
        (folder / name).write_bytes(content)
        return {"source": {"kind": "csv", "file": name, **source}}

    return build


def lines(change: Callable[[list[str]], list[str]]) -> Callable[[Path], Mapping[str, Any]]:
    return raw("\n".join(change(csv_bytes().decode().splitlines())).encode() + b"\n")


def cells(changes: Mapping[tuple[int, str], object]) -> Callable[[Path], None]:
    def build(folder: Path) -> None:
        frame = small_frame().astype(object)
        for (row, column), value in changes.items():
            frame.loc[row, column] = value
        frame.to_csv(folder / "small.csv", index=False)

    return build


def whole(column: str, value: object) -> Callable[[Path], None]:
    return cells({(row, column): value for row in range(30)})


def parquet_parts(second: pd.DataFrame) -> Callable[[Path], Mapping[str, Any]]:
    def build(folder: Path) -> Mapping[str, Any]:
        (folder / "parts").mkdir()
        small_frame().to_parquet(folder / "parts" / "a.parquet", index=False)
        second.to_parquet(folder / "parts" / "b.parquet", index=False)
        return {"source": {"kind": "parquet", "file": "parts"}}

    return build


def parquet_bytes(content: bytes) -> Callable[[Path], Mapping[str, Any]]:
    def build(folder: Path) -> Mapping[str, Any]:
        (folder / "t.parquet").write_bytes(content)
        return {"source": {"kind": "parquet", "file": "t.parquet"}}

    return build


def truncated_parquet(folder: Path) -> Mapping[str, Any]:
    small_frame().to_parquet(folder / "t.parquet")
    return parquet_bytes((folder / "t.parquet").read_bytes()[:-20])(folder)


def truncated_zst(folder: Path) -> Mapping[str, Any]:
    rng = np.random.default_rng(0)
    content = b"".join(b"%d\n" % value for value in rng.integers(0, 10**9, 50_000))
    packed = pa.compress(csv_bytes() + content, codec="zstd", asbytes=True)
    return raw(packed[: len(packed) // 2], "s.csv.zst")(folder)


def matlab(**variables: Any) -> Callable[[Path], Mapping[str, Any]]:
    def build(folder: Path) -> Mapping[str, Any]:
        savemat(folder / "m.mat", variables)
        return {
            "source": {"kind": "mat", "file": "m.mat"},
            "columns": [{"name": "a", "type": "numeric"}, {"name": "b", "type": "numeric"}],
            "label": {"column": "l", "normal": ["0"], "anomalous": ["1"]},
            "rules": [],
        }

    return build


def no_matlab(folder: Path) -> Mapping[str, Any]:
    changes = matlab(X=np.zeros((2, 2)))(folder)
    (folder / "m.mat").write_bytes(b"this is not a MATLAB file" * 20)
    return changes


def sql(query: str) -> Callable[[Path], Mapping[str, Any]]:
    def build(folder: Path) -> Mapping[str, Any]:
        sqlite3.connect(folder / "d.db").close()
        return {"source": {"kind": "sql", "query": query, "url": f"sqlite:///{folder}/d.db"}}

    return build


def elsewhere(file: Callable[[Path], str]) -> Callable[[Path], Mapping[str, Any]]:
    def build(folder: Path) -> Mapping[str, Any]:
        outside = folder.parent / "outside.csv"
        outside.write_bytes(csv_bytes())
        (folder / "link.csv").symlink_to(outside)
        return {"source": {"kind": "csv", "file": file(folder)}}

    return build


def text(contract: str) -> Callable[[Path], str]:
    return lambda folder: contract


HEADER = csv_bytes().decode().splitlines()[0]
ROW = csv_bytes().decode().splitlines()[5]
BOMB = "a: &a [x, x]\nb: &b [*a, *a]\nc: &c [*b, *b]\nname: *c\n"
DAMAGED = bytearray(gzip.compress(csv_bytes() * 50))
DAMAGED[len(DAMAGED) // 2] ^= 0xFF

CASES = (
    Case(
        "truncated gzip",
        raw(gzip.compress(csv_bytes())[:-200], "s.csv.gz"),
        "error",
        ("s.csv.gz", "cut short"),
    ),
    Case("damaged gzip", raw(bytes(DAMAGED), "s.csv.gz"), "error", ("s.csv.gz", "damaged")),
    Case("no gzip at all", raw(csv_bytes(), "s.csv.gz"), "error", ("s.csv.gz", "damaged")),
    Case("truncated zst", truncated_zst, "error", ("s.csv.zst",)),
    Case(
        "another delimiter", raw(csv_bytes(sep=";")), "error", ("line 1", "';'", "source.delimiter")
    ),
    Case("byte order mark", raw(b"\xef\xbb\xbf" + csv_bytes()), "passed", ()),
    Case(
        "latin-1",
        raw(csv_bytes().replace(b"r7", b"r\xfc")),
        "error",
        ("line 9", "0xfc", "source.encoding"),
    ),
    Case(
        "latin-1 far down",
        raw(csv_bytes() + (ROW + "\n").encode() * 40_000 + b"r\xfc" + ROW.encode() + b"\n"),
        "error",
        ("column 'id'", "not UTF-8"),
    ),
    Case(
        "utf-16", raw(csv_bytes().decode().encode("utf-16")), "error", ("line 1", "source.encoding")
    ),
    Case(
        "unknown encoding",
        raw(csv_bytes(), encoding="klingon"),
        "error",
        ("source.encoding", "klingon"),
    ),
    Case(
        "short row",
        lines(lambda x: [*x[:5], "r4,1,red", *x[6:]]),
        "error",
        ("row 6", "3 fields instead of 7"),
    ),
    Case(
        "long row",
        lines(lambda x: [*x[:5], x[5] + ",more", *x[6:]]),
        "error",
        ("row 6", "8 fields instead of 7"),
    ),
    Case(
        "no header", lines(lambda x: x[1:]), "error", ("line 1", "missing column", "header: false")
    ),
    Case("unexpected header", raw(csv_bytes(), header=False), "error", ("line 1", "header: false")),
    Case("header twice", lines(lambda x: [x[0], *x]), "error", ("line 2", "header appears twice")),
    Case(
        "header again further down",
        lines(lambda x: [*x[:5], x[0], *x[5:]]),
        "quarantined",
        ("amount: 'amount' is not readable", "label"),
        (4,),
    ),
    Case(
        "column twice",
        lines(lambda x: [x[0].replace("fee", "amount"), *x[1:]]),
        "error",
        ("line 1", "'amount'", "twice"),
    ),
    Case(
        "extra column",
        raw(small_frame().assign(more=1).to_csv(index=False).encode()),
        "error",
        ("'more'", "ignored"),
    ),
    Case(
        "missing column",
        raw(small_frame().drop(columns="fee").to_csv(index=False).encode()),
        "error",
        ("missing column 'fee'",),
    ),
    Case(
        "missing label",
        raw(small_frame().drop(columns="label").to_csv(index=False).encode()),
        "error",
        ("missing column 'label'",),
    ),
    Case(
        "text for a number",
        cells({(4, "amount"): "many"}),
        "quarantined",
        ("amount", "'many'"),
        (4,),
    ),
    Case(
        "thousands separator",
        cells({(4, "amount"): "1,234.50"}),
        "quarantined",
        ("amount", "'1,234.50'"),
        (4,),
    ),
    Case(
        "decimal comma", cells({(4, "amount"): "12,5"}), "quarantined", ("amount", "'12,5'"), (4,)
    ),
    Case("infinite", cells({(2, "fee"): "inf"}), "quarantined", ("fee", "outside"), (2,)),
    Case("not a number", cells({(2, "fee"): "NaN"}), "quarantined", ("fee", "missing"), (2,)),
    Case(
        "too large for float32",
        cells({(2, "fee"): "1e308"}),
        "quarantined",
        ("fee", "outside"),
        (2,),
    ),
    Case(
        "too large for float64",
        cells({(2, "fee"): "1e999"}),
        "quarantined",
        ("fee", "outside"),
        (2,),
    ),
    Case(
        "empty text",
        cells({(2, "kind"): "", (3, "amount"): ""}),
        "quarantined",
        ("kind: missing", "amount: missing"),
        (2, 3),
    ),
    Case("blank", cells({(3, "amount"): "   "}), "quarantined", ("amount: missing",), (3,)),
    Case(
        "unknown label", cells({(3, "label"): "unsure"}), "quarantined", ("label not known",), (3,)
    ),
    Case("unknown level", cells({(3, "kind"): "Red"}), "quarantined", ("kind", "vocabulary"), (3,)),
    Case(
        "empty column", whole("amount", None), "failed", ("'amount'", "missing value in 30 of 30")
    ),
    *(
        Case(
            f"empty column {name}",
            whole(name, None),
            "failed",
            (f"'{name}'",),
        )
        for name in ("id", "kind", "when", "ok", "label")
    ),
    Case(
        "half words",
        cells({(row, "amount"): "x" for row in range(15)}),
        "failed",
        ("15 of 30", "'amount'", "'x' in row 0"),
    ),
    Case("no rows", raw((HEADER + "\n").encode()), "error", ("no rows",)),
    Case("no bytes", raw(b""), "error", ("empty",)),
    Case("only line ends", raw(b"\n\n\n"), "error", ("empty",)),
    Case("one row", lines(lambda x: x[:2]), "passed", ()),
    Case(
        "no normal row",
        whole("label", "bad"),
        "failed",
        ("normal label", "expect_column_min_to_be_between"),
    ),
    Case(
        "no time", cells({(3, "when"): "yesterday"}), "quarantined", ("when", "'yesterday'"), (3,)
    ),
    Case(
        "no such day",
        cells({(3, "when"): "2026-02-30 10:00"}),
        "quarantined",
        ("when", "2026-02-30"),
        (3,),
    ),
    Case("no truth value", cells({(3, "ok"): "perhaps"}), "quarantined", ("ok", "'perhaps'"), (3,)),
    Case(
        "NUL in a number",
        raw(csv_bytes().replace(b"r3,", b"r3,\x00", 1)),
        "quarantined",
        ("amount",),
        (3,),
    ),
    Case(
        "identifier twice",
        cells({(3, "id"): "r9"}),
        "quarantined",
        ("id", "more than once"),
        (3, 9),
    ),
    Case("rule broken", cells({(3, "fee"): "998.99"}), "quarantined", ("fee <= amount",), (3,)),
    Case("open quote", lines(lambda x: [*x[:5], 'r4,"12', *x[6:]]), "error", ("small.csv",)),
    Case(
        "open quote in the last column",
        lines(lambda x: [*x[:20], x[20].rsplit(",", 1)[0] + ',"good', *x[21:]]),
        "error",
        ("row 19", "'label'", "quote"),
    ),
    Case(
        "open quote, long",
        lines(lambda x: [*x[:5], ROW.rsplit(",", 1)[0] + ',"good', *([ROW] * 300_000)]),
        "error",
        ("quote", "never closed"),
    ),
    Case(
        "files with other columns",
        parquet_parts(small_frame().drop(columns="fee")),
        "error",
        ("b.parquet", "'fee'"),
    ),
    Case(
        "files with other types",
        parquet_parts(small_frame().assign(fee="1")),
        "error",
        ("b.parquet", "'fee'", "string"),
    ),
    Case("truncated Parquet", truncated_parquet, "error", ("t.parquet", "not a readable Parquet")),
    Case(
        "text called Parquet",
        parquet_bytes(csv_bytes()),
        "error",
        ("t.parquet", "not a readable Parquet"),
    ),
    Case("MATLAB without labels", matlab(X=np.zeros((3, 2))), "error", ("m.mat", "'y'")),
    Case(
        "MATLAB of another shape",
        matlab(X=np.zeros((3, 5)), y=np.zeros(3)),
        "error",
        ("(3, 5)", "2 columns"),
    ),
    Case(
        "MATLAB with fewer labels",
        matlab(X=np.zeros((3, 2)), y=np.zeros(2)),
        "error",
        ("2 labels", "3 rows"),
    ),
    Case(
        "MATLAB with text",
        matlab(X=np.array([["a", "b"]]), y=np.zeros(1)),
        "error",
        ("'X'", "numbers"),
    ),
    Case("no MATLAB file", no_matlab, "error", ("m.mat", "not a readable MATLAB")),
    Case("SQL error", sql("SELECT * FROM nowhere"), "error", ("sqlite://", "nowhere")),
    Case(
        "path upwards",
        elsewhere(lambda folder: "../outside.csv"),
        "error",
        ("leaves the data folder",),
    ),
    Case(
        "absolute path",
        elsewhere(lambda folder: str(folder.parent / "outside.csv")),
        "error",
        ("leaves the data folder",),
    ),
    Case(
        "link out of the folder",
        elsewhere(lambda folder: "link.csv"),
        "error",
        ("leaves the data folder",),
    ),
    Case(
        "missing file",
        lambda folder: {"source": {"kind": "csv", "file": "none.csv"}},
        "error",
        ("none.csv", "--data"),
    ),
    Case(
        "folder for a file",
        lambda folder: (folder / "small.csv").mkdir(),
        "error",
        ("small.csv", "folder"),
    ),
    Case("other checksum", raw(csv_bytes(), sha256="0" * 64), "error", ("sha256", "small.csv")),
    Case("YAML bomb", text(BOMB), "error", ("line 2", "alias")),
    Case("YAML key twice", text("name: a\nname: b\n"), "error", ("line 2", "'name'", "twice")),
    Case("YAML with a tag", text("name: !!python/name:os.system\n"), "error", ("line 1", "tag")),
    Case("YAML list", text("- a\n"), "error", ("mapping",)),
    Case(
        "unknown key",
        lambda folder: {"colour": "red"},
        "error",
        ("'colour'", "unknown key", "line"),
    ),
    Case(
        "unknown type",
        lambda folder: {"columns": [{"name": "a", "type": "float"}]},
        "error",
        ("columns[0].type", "line"),
    ),
)
