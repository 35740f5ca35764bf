"""Decimal marks, thousands and times of other countries, found and said in the draft."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from data_checks.contract.columns import Column
from data_checks.drafting.drafting import Draft, draft_contract
from data_checks.rows.values import cast_column
from data_checks.sources.sources import ingest

ROWS = 60
RNG = np.random.default_rng(0)
VALUES = RNG.normal(5000, 2500, ROWS).round(2)


def marks(value: float, decimal: str, thousands: str) -> str:
    return f"{value:,.2f}".replace(",", "T").replace(".", decimal).replace("T", thousands)


def drafted(path: Path, **columns: Any) -> tuple[Draft, pd.DataFrame]:
    """The draft of a table, and the rows that it reads."""
    delimiter = columns.pop("delimiter", ",")
    pd.DataFrame(columns).to_csv(path, index=False, sep=delimiter)
    draft = draft_contract(path)
    record = ingest(draft.contract, path.with_suffix(".parquet"), data_dir=path.parent)
    return draft, pq.read_table(record.path).to_pandas()


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
@pytest.mark.parametrize(
    ("decimal", "thousands"),
    [
        (",", ""),
        (",", "."),
        (".", ","),
        (",", " "),
        (",", "\u00a0"),
        (".", "'"),
        (".", "_"),
        (".", ""),
    ],
)
def test_numbers_with_other_marks(
    tmp_path: Path, delimiter: str, decimal: str, thousands: str
) -> None:
    texts = [marks(value, decimal, thousands) for value in VALUES]
    draft, rows = drafted(tmp_path / "t.csv", delimiter=delimiter, x=texts, n=range(ROWS))
    assert draft.contract.columns[0].type == "numeric"
    assert rows["x"].tolist() == VALUES.tolist()
    message = [remark for remark in draft.remarks if "numbers are read with" in remark]
    assert bool(message) is ((decimal, thousands) != (".", ""))


@pytest.mark.parametrize("delimiter", [",", ";"])
def test_what_may_be_read_in_two_ways_is_a_remark(tmp_path: Path, delimiter: str) -> None:
    texts = [f"{value},{value}" for value in RNG.integers(100, 999, ROWS)]
    draft, rows = drafted(tmp_path / "t.csv", delimiter=delimiter, x=texts, y=VALUES.astype(int))
    assert any("would fit as well" in remark for remark in draft.remarks)
    assert bool(rows["x"].max() > 1000) is (delimiter == ",")
    texts = [text.replace(",", ".") for text in texts]
    draft, _ = drafted(tmp_path / "t.csv", delimiter=";", x=texts, y=VALUES.astype(int))
    assert any("with a decimal point" in remark for remark in draft.remarks)


@pytest.mark.parametrize(
    "write",
    [
        lambda value: f"({value:.2f})" if value % 2 < 1 else f"{value:.2f}",
        lambda value: f"{value:.2f}-" if value % 2 < 1 else f"{value:.2f}",
        lambda value: f"12,{30 + int(value) % 60},{int(value) % 900 + 100}",
    ],
    ids=["parentheses", "minus behind", "lakh"],
)
def test_a_number_that_no_notation_reads_is_left_out_with_the_remedy(
    tmp_path: Path, write: Callable[[float], str]
) -> None:
    texts = [write(value) for value in RNG.uniform(0, 9999, ROWS).tolist()]
    draft, _ = drafted(tmp_path / "t.csv", x=texts, y=VALUES.astype(int))
    assert draft.contract.columns[0].type == "ignored"
    (message,) = [remark for remark in draft.remarks if '"x" is left out' in remark]
    assert "is a number" in message
    assert "store" in message
    assert next(text for text in texts if {"(", "-", ","} & set(text)) in message


def test_other_text_that_is_left_out_is_said_with_the_remedy(tmp_path: Path) -> None:
    texts = [f"pump {value % 110} of 7" for value in range(2 * ROWS)]
    draft, _ = drafted(tmp_path / "t.csv", x=texts, y=[*VALUES.astype(int)] * 2)
    (message,) = [remark for remark in draft.remarks if '"x" is left out' in remark]
    assert "for example 'pump" in message
    assert message.endswith("as numbers, or in fewer levels")


@pytest.mark.parametrize(("delimiter", "decimal"), [(";", ","), ("\t", "."), ("|", ".")])
def test_semicolons_speak_for_a_decimal_comma(tmp_path: Path, delimiter: str, decimal: str) -> None:
    whole = RNG.integers(100, 999, (2, ROWS))
    x, y = [f"4.{value}" for value in whole[0]], [f"4,{value}" for value in whole[1]]
    draft, rows = drafted(tmp_path / "t.csv", delimiter=delimiter, x=x, y=y)
    assert draft.contract.source.decimal == decimal
    factor = {",": (1.0, 0.001), ".": (0.001, 1.0)}[decimal]
    assert rows["x"].tolist() == pytest.approx((4000 + whole[0]) * factor[0])
    assert rows["y"].tolist() == pytest.approx((4000 + whole[1]) * factor[1])
    assert any("would fit as well" in remark for remark in draft.remarks)


@pytest.mark.parametrize(
    "texts",
    [
        [f"${value:,.2f}" for value in VALUES],
        [f"-€{abs(value):.0f}" for value in VALUES],
        [f"{value:.1f}%" for value in VALUES],
        [f"{value:.1f} kg" for value in VALUES],
        [f"EUR {value:.2f}" for value in VALUES],
    ],
    ids=lambda texts: texts[0],
)
def test_numbers_with_something_around_them_do_not_leave_silently(
    tmp_path: Path, texts: list[str]
) -> None:
    draft, _ = drafted(tmp_path / "t.csv", amount=texts, y=VALUES)
    assert any('"amount" is left out' in remark for remark in draft.remarks)
    assert "# LOOK" in draft.text


FIRST = pd.Timestamp("2026-01-01").value // 10**9
SECONDS = FIRST + np.cumsum(RNG.integers(1, 90, ROWS))


@pytest.mark.parametrize(
    ("numbers", "said"),
    [
        (SECONDS, "seconds since 1970 (2026-01-01 to 2026-01-01)"),
        (SECONDS + 0.25, "seconds since 1970"),
        (SECONDS * 1_000, "milliseconds since 1970"),
        (SECONDS * 10**6, "microseconds since 1970"),
        (SECONDS * 10**9, "nanoseconds since 1970"),
        (pd.date_range("2025-11-20", periods=ROWS).strftime("%Y%m%d").astype(int), "days such as"),
        (SECONDS // 10, ""),
        (SECONDS - FIRST, ""),
        (20_260_101 + 97 * np.arange(ROWS), ""),
        (np.full(ROWS, 20_260_101), ""),
    ],
)
def test_times_that_are_written_as_numbers_are_asked_about(
    tmp_path: Path, numbers: Any, said: str
) -> None:
    draft, _ = drafted(tmp_path / "t.csv", sent=numbers, y=VALUES)
    told = [remark for remark in draft.remarks if "every later row" in remark]
    assert len(told) == bool(said)
    assert all(said in remark and "`type: timestamp`" in remark for remark in told)


@pytest.mark.parametrize("kind", [str, int, float])
def test_days_are_declared_as_the_remark_says(kind: type) -> None:
    column = Column(name="x", type="timestamp", timestamp_format="%Y%m%d")
    days = cast_column(pa.array([kind(20_260_131), None]), column)
    assert days.to_pylist() == [pd.Timestamp("2026-01-31", tz="UTC"), None]


@pytest.mark.parametrize("levels", [20, 5000])
def test_codes_with_zeros_in_front(tmp_path: Path, levels: int) -> None:
    codes = [f"{value:05d}" for value in RNG.integers(0, levels, ROWS)]
    draft, rows = drafted(tmp_path / "t.csv", zip=codes, y=VALUES)
    assert any('"zip" is' in remark and "zeros" in remark for remark in draft.remarks)
    if levels == 20:
        assert rows["zip"].tolist() == codes


def test_zero_and_one_are_asked_about(tmp_path: Path) -> None:
    flags = RNG.integers(0, 2, ROWS)
    draft, _ = drafted(tmp_path / "t.csv", on=flags, off=1 - flags, y=VALUES)
    [message] = [remark for remark in draft.remarks if "0 and 1 only" in remark]
    assert "'on', 'off'" in message


@pytest.mark.parametrize(
    ("pattern", "doubtful"),
    [
        ("%d.%m.%Y %H:%M", False),
        ("%d.%m.%Y", False),
        ("%d.%m.%y %H:%M:%S", False),
        ("%m/%d/%Y %I:%M %p", False),
        ("%d/%m/%Y %H:%M:%S", False),
        ("%d-%b-%Y", False),
        ("%Y-%m-%d %H:%M", False),
        ("%Y/%m/%d", False),
        ("%m/01/%Y", True),
    ],
)
def test_times_are_found_and_written_down(tmp_path: Path, pattern: str, doubtful: bool) -> None:
    days = pd.date_range("2026-01-05", periods=ROWS, freq="31h")
    days = (
        days if not doubtful else pd.to_datetime([f"2026-{1 + i % 12:02d}-01" for i in range(ROWS)])
    )
    texts = days.strftime(pattern)
    draft, rows = drafted(tmp_path / "t.csv", when=texts, y=VALUES)
    column = draft.contract.columns[0]
    assert column.type == "timestamp"
    assert (column.timestamp_format is None) is pattern.startswith("%Y")
    expected = pd.to_datetime(texts, format=pattern)
    if doubtful:
        assert any("the times read as" in remark for remark in draft.remarks)
    else:
        assert rows["when"].dt.tz_localize(None).tolist() == expected.tolist()
        assert not any("the times read as" in remark for remark in draft.remarks)
    assert any("'when'" in remark and "does not see" in remark for remark in draft.remarks)


def test_a_bad_time_does_not_make_the_others_text(tmp_path: Path) -> None:
    texts = [f"{1 + i % 28:02d}.03.2026 00:00" for i in range(ROWS)]
    texts[7] = "unknown"
    draft, rows = drafted(tmp_path / "t.csv", when=texts, y=VALUES)
    assert draft.contract.columns[0].timestamp_format == "%d.%m.%Y %H:%M"
    assert any("'unknown'" in remark for remark in draft.remarks)
    assert rows["when"].isna().sum() == 1


def test_bad_numbers_and_words_for_nothing_are_shown(tmp_path: Path) -> None:
    numbers = [str(value) for value in VALUES]
    numbers[3] = "?"
    kinds = ["red" if value > 5000 else "-" for value in VALUES]
    draft, _ = drafted(tmp_path / "t.csv", x=numbers, kind=kinds)
    assert any("('?')" in remark and "source.missing" in remark for remark in draft.remarks)
    assert any("'-' may mean" in remark for remark in draft.remarks)


def test_every_column_that_the_model_does_not_see_is_told(tmp_path: Path) -> None:
    draft, _ = drafted(
        tmp_path / "t.csv",
        id=[f"r{i}" for i in range(ROWS)],
        step=range(ROWS),
        when=pd.date_range("2026-01-01", periods=ROWS, freq="h"),
        note=[f"text {i % 40} of its own" for i in range(ROWS)],
        empty=[None] * ROWS,
        y=VALUES,
    )
    told = " ".join(draft.remarks)
    for column in draft.contract.columns:
        assert column.is_feature or column.name in told


def test_bytes_in_parquet_are_left_out_and_told(tmp_path: Path) -> None:
    rows = pa.table({"raw": [b"a", b"\xe4", b"a"] * 20, "y": VALUES})
    pq.write_table(rows, tmp_path / "t.parquet")
    draft = draft_contract(tmp_path / "t.parquet")
    assert [c.type for c in draft.contract.columns] == ["ignored", "numeric"]
    assert any("bytes" in remark for remark in draft.remarks)


def test_numbers_of_another_notation_do_not_leave_as_identifiers(tmp_path):
    """One column has decimal commas, the other points: only one notation can be read."""
    lines = [f"{number}.5;{number},25" for number in range(100)]
    (tmp_path / "t.csv").write_text("a;b\n" + "\n".join(lines) + "\n")
    drafted = draft_contract(tmp_path / "t.csv")
    remaining = next(c for c in drafted.contract.columns if c.type != "numeric")
    assert remaining.type == "ignored"
    assert any("not in the notation" in remark for remark in drafted.remarks)


@pytest.mark.parametrize("first", ["0.5,1.5,2.5,3.5", "7,8,9,10"])
def test_a_table_without_names_is_asked_about(tmp_path, first):
    """Whoever measures at wavelengths has numbers for names."""
    lines = [f"{number},{number / 7:.3f},{number % 5}.25,{number}.125" for number in range(100)]
    (tmp_path / "t.csv").write_text("\n".join([first, *lines]) + "\n")
    drafted = draft_contract(tmp_path / "t.csv")
    message = " ".join(drafted.remarks)
    assert ("is taken as values; `header: true` if" in message) or ("is taken as names" in message)
