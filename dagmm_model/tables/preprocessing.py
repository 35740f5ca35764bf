"""Mixed-type rows to a numeric matrix, with a vocabulary that is fixed before any row is seen.

The vocabulary comes from the data contract, not from the training rows: a level that happens to be
absent from the training rows still owns its column, so the width never changes (KDDCUP's four
rare `service` levels occur among `normal.` connections only).
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal, Self

import numpy as np
from numpy.typing import NDArray

from dagmm_model.base.arrays import Float
from dagmm_model.base.settings import from_json
from dagmm_model.tables.encoded import Encoded, Layout

Kind = Literal["numeric", "categorical", "boolean"]
UnseenPolicy = Literal["reject", "other"]

_LARGEST = float(np.finfo(np.float32).max)
"""The network computes in float32: a value beyond its range is as unusable as infinity."""

TRUE_WORDS = frozenset({"true", "1", "t", "yes", "y"})
FALSE_WORDS = frozenset({"false", "0", "f", "no", "n"})


class EncodingError(ValueError):
    """A value cannot be encoded; the message names the column, the row and the remedy."""


@dataclass(frozen=True)
class FeatureColumn:
    """One feature column.

    Attributes:
        name: Column name in the table.
        kind: `numeric` (one float), `boolean` (one 0/1 float) or `categorical` (one 0/1 float for
            each kept level).
        levels: Vocabulary of a categorical column, in output order.
        drop: Levels that are valid but get no column of their own (a constant indicator).
        unseen: What a level outside the vocabulary means: `reject` raises, `other` gives an
            all-zero block.
        fill: What a missing value is replaced by; None refuses missing values.
    """

    name: str
    kind: Kind = "numeric"
    levels: tuple[str, ...] = ()
    drop: tuple[str, ...] = ()
    unseen: UnseenPolicy = "reject"
    fill: float | str | None = None

    @property
    def feature_names(self) -> tuple[str, ...]:
        """Names of the columns that this one becomes."""
        if self.kind != "categorical":
            return (self.name,)
        return tuple(f"{self.name}={level}" for level in self.levels if level not in self.drop)


@dataclass(frozen=True)
class Levels:
    """A column of text whose few levels are listed once; n values.

    Attributes:
        levels: Each of the levels.
        codes: ``(n,)`` which level each value is; -1 where there is none.
    """

    levels: Sequence[str]
    codes: NDArray[np.integer]

    def __len__(self) -> int:
        """Number of values."""
        return len(self.codes)

    def __iter__(self) -> Iterator[str | None]:
        """Every value."""
        return (None if code < 0 else self.levels[code] for code in self.codes.tolist())


@dataclass(frozen=True)
class Encoder:
    """Encodes a table of named columns into a matrix of shape ``(rows, features)``.

    Args:
        columns: Feature columns, in output order.

    Example:
        >>> sex = FeatureColumn("sex", "categorical", ("f", "m"))
        >>> encoder = Encoder((FeatureColumn("age"), sex))
        >>> encoder.encode({"age": [30, 41], "sex": ["m", "f"]}).tolist()
        [[30.0, 0.0, 1.0], [41.0, 1.0, 0.0]]
    """

    columns: tuple[FeatureColumn, ...]

    @property
    def feature_names(self) -> tuple[str, ...]:
        """Output column names, ``column`` or ``column=level``."""
        return tuple(name for column in self.columns for name in column.feature_names)

    @property
    def layout(self) -> Layout:
        """Of the matrix: which columns are numbers, which belong to which categorical column."""
        return tuple(
            len(column.feature_names) if column.kind == "categorical" else None
            for column in self.columns
        )

    def encode(self, table: Mapping[str, Any], order: Literal["C", "F"] = "C") -> Float:
        """Encode a mapping of columns, or a data frame: float64 ``(rows, features)``.

        In double precision, because a large offset with a small spread (a timestamp) loses its
        spread in float32 before it can be scaled. Columns are written one after the other, so the
        order "F" in memory is several times as fast for a large table.

        Raises:
            EncodingError: A column is absent, a value is missing, infinite, not a number, or
                outside the vocabulary of a column whose `unseen` is `reject`.
        """
        return self.codes(table).matrix(order)

    def codes(self, table: Mapping[str, Any]) -> Encoded:
        """The same rows before the matrix is written out; see `encode`."""
        missing = [column.name for column in self.columns if column.name not in table]
        if missing:
            raise EncodingError(
                f"missing column {', '.join(map(repr, missing))}: "
                "the table must have every feature column of the model"
            )
        if not self.columns:
            raise EncodingError("no feature column: the contract must name at least one")
        rows, layout = len(table[self.columns[0].name]), self.layout
        numbers = np.empty((layout.count(None), rows))
        codes = np.empty((len(layout) - len(numbers), rows), dtype=np.int64)
        next_number, next_code = iter(numbers), iter(codes)
        for column in self.columns:
            values = table[column.name]
            if column.kind == "categorical":
                next(next_code)[:] = _codes(column, values)
            elif column.kind == "boolean":
                next(next_number)[:] = _booleans(column, values)
            else:
                next(next_number)[:] = _unjudged(column, values)
        # All columns at once, which for few rows takes a fraction; one by one only to say which.
        if not (np.abs(numbers) <= _LARGEST).all():
            for column in self.columns:
                if column.kind == "numeric":
                    _numbers(column, table[column.name])
        return Encoded(layout, numbers, codes)

    def to_dict(self) -> dict[str, Any]:
        """JSON-able form; `from_dict` gives the same encoder back."""
        return asdict(self)

    @classmethod
    def from_dict(cls, state: Mapping[str, Any]) -> Self:
        """Rebuild from `to_dict`."""
        return cls(tuple(from_json(FeatureColumn, column) for column in state["columns"]))


def _unjudged(column: FeatureColumn, values: Any) -> Float:
    """Numbers, without a look at whether they can be scored where they are numbers already."""
    if column.fill is None and isinstance(values, np.ndarray) and values.dtype == np.float64:
        return values
    return _numbers(column, values)


def _numbers(column: FeatureColumn, values: Any) -> Float:
    try:
        numbers = np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError):
        if column.fill is not None:
            values = [column.fill if is_missing(value) else value for value in values]
            return _numbers(replace(column, fill=None), values)
        row = next(i for i, value in enumerate(values) if not _is_number(value))
        why = "is not a number; correct the value or declare the column categorical in the contract"
        raise _refused(column, values, row, why) from None
    if column.fill is not None:
        numbers = np.where(np.isnan(numbers), float(column.fill), numbers)
    bad = ~(np.abs(numbers) <= _LARGEST)
    if bad.any():
        row, why = (
            int(bad.argmax()),
            "cannot be scored; remove the row or let the contract impute it",
        )
        raise _refused(column, numbers.tolist(), row, why)
    return numbers


def _refused(column: FeatureColumn, values: Any, row: int, why: str) -> EncodingError:
    return EncodingError(f"column {column.name!r}, row {row}: {list(values)[row]!r} {why}")


def _is_number(value: object) -> bool:
    try:
        float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        return False
    return True


def is_missing(value: object) -> bool:
    """Whether a cell is empty: None, or a value that is not equal to itself (NaN, NaT, NA)."""
    if value is None:
        return True
    try:
        return not bool(value == value)
    except TypeError:  # pandas.NA has no truth value
        return True


def _booleans(column: FeatureColumn, values: Any) -> Float:
    array = np.asarray(values)
    if column.fill is not None and array.dtype.kind not in "biu":
        array = np.array([column.fill if is_missing(v) else v for v in array.tolist()], object)
        values = array
    if array.dtype.kind in "biuf":
        ok = (array == 0) | (array == 1)
        numbers = array.astype(np.float64)
    else:
        words = [level_name(value).lower() for value in values]
        ok = np.array([word in TRUE_WORDS or word in FALSE_WORDS for word in words], dtype=bool)
        numbers = np.array([word in TRUE_WORDS for word in words], dtype=np.float64)
    if not ok.all():
        row, why = int((~ok).argmax()), "is not a boolean; use true/false or 0/1"
        raise _refused(column, values, row, why)
    return numbers


def level_name(value: object) -> str:
    """The vocabulary's spelling of a value: whole numbers without a decimal point."""
    if isinstance(value, bool | np.bool_):
        return "1" if value else "0"
    if isinstance(value, float | np.floating) and float(value).is_integer():
        return str(int(value))
    return str(value)


def _level_codes(values: Any, index: Mapping[str, int]) -> NDArray[np.int64]:
    """Position of each value in the vocabulary, -1 when it is not there; shape ``(rows,)``."""
    if not isinstance(values, Levels) and hasattr(values, "cat"):  # a pandas categorical
        values = Levels(values.cat.categories, np.asarray(values.cat.codes))
    if isinstance(values, Levels):  # map its few levels only
        lookup = [index.get(level_name(level), -1) for level in values.levels]
        codes: NDArray[np.int64] = np.array([*lookup, -1])[values.codes]
        return codes
    array = np.asarray(values)
    if array.dtype.kind in "biuf":
        levels, inverse = np.unique(array, return_inverse=True)
        lookup = [index.get(level_name(level), -1) for level in levels.tolist()]
        return np.array(lookup, dtype=np.int64)[inverse]
    get = index.get
    return np.fromiter(
        (get(v, -1) if type(v) is str else get(level_name(v), -1) for v in array.tolist()),
        dtype=np.int64,
        count=len(array),
    )


def _codes(column: FeatureColumn, values: Any) -> NDArray[np.int64]:
    """Which column of the block is 1 for each value; the block's width where none is."""
    index = {level: i for i, level in enumerate(column.levels)}
    codes = _level_codes(values, index)
    if column.fill is not None and (codes < 0).any():
        empty = np.array([is_missing(value) for value in values], dtype=bool)
        codes[empty] = index[str(column.fill)]
    if column.unseen == "reject" and (codes < 0).any():
        row, count = int((codes < 0).argmax()), len(column.levels)
        shown = ", ".join([*column.levels[:5], *[f"… {count} levels"] * (count > 5)])
        why = f"is not in the vocabulary ({shown}); add it to the contract or set `unseen: other`"
        raise _refused(column, values, row, why)
    kept = [level not in column.drop for level in column.levels]
    position = np.full(len(column.levels) + 1, sum(kept), dtype=np.int64)  # last entry: unseen
    position[:-1][kept] = np.arange(sum(kept))
    return position[codes]
