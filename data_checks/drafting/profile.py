"""What is in a table: one pass over it, in blocks, with little memory.

The findings are the raw material of a drafted contract.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from data_checks.contract.columns import Column
from data_checks.contract.notation import PLAIN, Notation
from data_checks.rows.values import as_text, cast_column, plain_array

MAX_LEVELS = 200
"""A text column with more distinct values is not proposed as categorical."""
SAMPLE_ROWS = 100_000
_SAMPLE_PER_BATCH = 2_000
_TEXTS = 10_000
NUMBER = Column(name="n", type="numeric")
_BOOLEAN = Column(name="b", type="boolean")


@dataclass
class ColumnProfile:
    """What one pass has found out about a column.

    Attributes:
        rows: values seen, missing ones included.
        numbers: values that read as numbers.
        times: values that read as timestamps (counted while half of the values so far did).
        booleans: values that read as truth values.
        low: smallest finite number.
        high: largest finite number.
        infinite: numbers that float32 cannot hold.
        whole: whether all numbers are integers.
        increasing: whether the numbers grow by one from row to row.
        levels: distinct values with their counts; None once there are too many.
        unique: whether no value occurs twice.
        padded: whole numbers that are written with zeros in front.
        binary: whether there are bytes that are not text; nothing else is known then.
        duration: whether the values are durations.
        notation: how numbers are written.
        time_format: how times are written; None for ISO 8601.
    """

    name: str
    notation: Notation = PLAIN
    time_format: str | None = None
    rows: int = 0
    missing: int = 0
    numbers: int = 0
    times: int = 0
    booleans: int = 0
    low: float = np.inf
    high: float = -np.inf
    infinite: int = 0
    whole: bool = True
    increasing: bool = True
    levels: Counter[str] | None = field(default_factory=Counter)
    unique: bool = True
    padded: int = 0
    binary: bool = False
    duration: bool = False
    _hashes: list[Any] = field(default_factory=list)
    _last: float | None = None

    @property
    def present(self) -> int:
        """Values that are not missing."""
        return self.rows - self.missing

    @property
    def constant(self) -> bool:
        """Whether all present values are the same."""
        return self.levels is not None and len(self.levels) == 1

    def add(self, values: pa.Array) -> None:
        """Take in one block of raw values (n,)."""
        self.rows += len(values)
        self.duration = self.duration or pa.types.is_duration(values.type)
        if self.binary:
            return
        try:
            present = as_text(values, self.notation).drop_null()
        except pa.ArrowInvalid:
            self.binary, self.levels, self.unique = True, None, False
            return
        self.missing += len(values) - len(present)
        self._add_numbers(values)
        if pa.types.is_string(values.type):
            padded = pc.match_substring_regex(present, r"^0\d+$")
            self.padded += int(pc.sum(padded).as_py() or 0)
        self._add_kinds(values, present)
        self._add_levels(present)

    def finish(self) -> None:
        """Settle what only the whole column can tell."""
        if self.unique and self._hashes:
            hashes = np.sort(np.concatenate(self._hashes))
            self.unique = not bool((hashes[1:] == hashes[:-1]).any())
        self._hashes.clear()

    def _add_numbers(self, values: pa.Array) -> None:
        try:
            numbers = cast_column(values, NUMBER, self.notation)
        except (pa.ArrowTypeError, pa.ArrowNotImplementedError):
            self.whole = self.increasing = False
            return
        present_numbers = numbers.drop_null().to_numpy(zero_copy_only=False)
        self.numbers += len(present_numbers)
        finite = present_numbers[np.abs(present_numbers) <= np.finfo(np.float32).max]
        self.infinite += len(present_numbers) - len(finite)
        if not len(finite):
            return
        self.low, self.high = min(self.low, finite.min()), max(self.high, finite.max())
        if self.whole:
            self.whole = bool((finite == np.round(finite)).all())
        if self.increasing:
            start = [] if self._last is None else [self._last]
            steps = np.diff(np.concatenate([start, finite]))
            self.increasing = bool((steps == 1).all())
            self._last = float(finite[-1])

    def _add_kinds(self, values: pa.Array, present: pa.Array) -> None:
        before = self.rows - len(values)
        if self.booleans == before - (self.missing - (len(values) - len(present))):
            self.booleans += len(cast_column(present, _BOOLEAN).drop_null())
        earlier = self.present - len(present)
        if 2 * self.times >= earlier and 2 * self.numbers <= self.present:
            native = values if not pa.types.is_string(values.type) else present
            column = Column(name="t", type="timestamp", timestamp_format=self.time_format)
            try:
                self.times += len(cast_column(native, column).drop_null())
            except (pa.ArrowTypeError, pa.ArrowNotImplementedError, ValueError):
                return

    def _add_levels(self, present: pa.Array) -> None:
        if self.levels is not None:
            counted = pc.value_counts(present)
            for value, count in zip(
                counted.field("values").to_pylist()[: MAX_LEVELS + 1],
                counted.field("counts").to_pylist(),
                strict=False,
            ):
                self.levels[value] += count
            if len(self.levels) > MAX_LEVELS:
                self.levels = None
        if self.unique:
            import pandas as pd

            values = present.to_numpy(zero_copy_only=False)
            hashes = pd.util.hash_array(values, categorize=False)
            if len(np.unique(hashes)) < len(hashes):
                self.unique = False
                self._hashes.clear()
            else:
                self._hashes.append(hashes)


@dataclass(frozen=True)
class TableProfile:
    """What one pass has found out about a table.

    Attributes:
        duplicates: rows that repeat an earlier row.
        sample: some of the rows as text, for looking at columns side by side.
    """

    rows: int
    duplicates: int
    columns: tuple[ColumnProfile, ...]
    sample: pa.Table

    def texts(self, column: str) -> list[str]:
        """Some distinct values of a column."""
        values = self.sample.column(column).unique().drop_null()
        return [str(value) for value in values.slice(0, _TEXTS).to_pylist()]


def profile_batches(
    batches: Iterator[pa.RecordBatch],
    names: Sequence[str],
    notation: Notation = PLAIN,
    formats: Mapping[str, str] = MappingProxyType({}),
) -> TableProfile:
    """Profile a table.

    Args:
        batches: of raw columns.
        names: of the columns.
        notation: how numbers are written.
        formats: how times are written, by column, where that is not ISO 8601.
    """
    profiles = [ColumnProfile(name, notation, formats.get(name)) for name in names]
    row_hashes: list[Any] = []
    sample: list[pa.Table] = []
    sampled = 0
    rng = np.random.default_rng(0)
    for batch in batches:
        columns = [plain_array(batch.column(name)) for name in names]
        for profile, values in zip(profiles, columns, strict=True):
            profile.add(values)
        row_hashes.append(_row_hashes(columns))
        if sampled < SAMPLE_ROWS:
            size = min(_SAMPLE_PER_BATCH if sampled else 10_000, batch.num_rows)
            rows = pa.array(np.sort(rng.choice(batch.num_rows, size, replace=False)))
            texts = {
                profile.name: _sampled(profile, values.take(rows))
                for profile, values in zip(profiles, columns, strict=True)
            }
            sample.append(pa.table(texts))
            sampled += size
    for profile in profiles:
        profile.finish()
    hashes = np.concatenate(row_hashes) if row_hashes else np.array([], np.uint64)
    rows_seen = len(hashes)
    return TableProfile(
        rows=rows_seen,
        duplicates=rows_seen - len(np.unique(hashes)),
        columns=tuple(profiles),
        sample=pa.concat_tables(sample) if sample else pa.table({name: [] for name in names}),
    )


def _sampled(profile: ColumnProfile, values: pa.Array) -> pa.Array:
    if profile.binary:
        return pa.nulls(len(values), pa.string())
    return as_text(values, profile.notation)


def _row_hashes(columns: Sequence[pa.Array]) -> Any:
    import pandas as pd

    raw = Notation(missing=())
    texts = [v if pa.types.is_binary(v.type) else as_text(v, raw).cast("binary") for v in columns]
    # The separator is a character that no table holds between two values of its own.
    rows = pc.binary_join_element_wise(*texts, b"\x1f", null_handling="replace")
    return pd.util.hash_array(rows.to_numpy(zero_copy_only=False), categorize=False)
