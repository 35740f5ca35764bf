"""Rows of Python values in which nothing is amiss, as nearly all that come over a network.

A value that has its column's type already, and is where the contract wants it, is taken as it
stands. So the columns need not be read, typed and judged one by one, which for a single row takes
longer than to score it. Wherever there is any doubt, the rows go the long way, which decides.
"""

import struct
from collections.abc import Mapping, Sequence
from itertools import chain
from typing import Any

import numpy as np
import pyarrow as pa

from data_checks.contract.columns import FLOAT32_MAX, Column
from data_checks.contract.model import Contract
from data_checks.contract.notation import Notation, notation_of
from data_checks.rows.values import STORED

EXACT_INTEGERS = 2.0**53
"""Up to which whole numbers are floats without a loss."""


class SoundRows:
    """Types rows of one contract at once, provided that there is nothing to say of any of them.

    Args:
        contract: of feature columns only.
    """

    def __init__(self, contract: Contract) -> None:
        columns = contract.stored_columns
        notation = notation_of(contract.source)
        self._schema = pa.schema([pa.field(c.name, STORED[c.type]) for c in columns])
        numeric = [column for column in columns if column.type == "numeric"]
        self._numeric = [column.name for column in numeric]
        limits = [_limits(column) for column in numeric]
        self._low, self._high = np.array(limits, dtype=np.float64).reshape(-1, 2, 1).swapaxes(0, 1)
        self._missing = notation.missing_numbers.to_numpy()
        self._levels = {c.name: _levels(c, notation) for c in columns if c.type == "categorical"}
        self._booleans = [column.name for column in columns if column.type == "boolean"]
        known = len(numeric) + len(self._levels) + len(self._booleans)
        self._able = 0 < len(columns) == known

    def __call__(self, rows: Mapping[str, Sequence[Any]]) -> pa.Table | None:
        """The rows, typed as `casting.cast_batch` types them; None for the long way.

        Args:
            rows: (n rows) lists of Python values by name.
        """
        if not self._able:
            return None
        for name, levels in self._levels.items():
            if not levels.issuperset(_hashable(rows[name])):
                return None
        for name in self._booleans:
            if set(map(type, rows[name])) != {bool}:
                return None
        numbers = self._numbers([rows[name] for name in self._numeric])
        if numbers is None:
            return None
        by_name = dict(zip(self._numeric, numbers, strict=True))
        arrays = [
            pa.array(by_name[field.name] if field.name in by_name else rows[field.name], field.type)
            for field in self._schema
        ]
        if len({len(array) for array in arrays}) != 1:
            return None
        return pa.Table.from_arrays(arrays, schema=self._schema)

    def _numbers(self, values: list[Sequence[Any]]) -> Any:
        """``(columns, n)``, or None where a value is not a number or wrongly missing."""
        kinds = list(map(type, chain.from_iterable(values)))
        floats, length = kinds.count(float), len(values[0]) if values else 0
        if floats < len(kinds) and floats + kinds.count(int) < len(kinds):
            return None
        pack = struct.Struct(f"{length}d").pack  # in half the time of NumPy's
        try:
            packed = b"".join([pack(*column) for column in values])
        except struct.error:  # of several lengths; a number beyond floats
            return None
        numbers = np.frombuffer(packed).reshape(len(values), length)
        # A NaN is at no place at all.
        if not ((self._low <= numbers) & (numbers <= self._high)).all():
            return None
        if floats < len(kinds) and (np.abs(numbers) > EXACT_INTEGERS).any():
            return None
        if len(self._missing) and np.isin(numbers, self._missing).any():
            return None
        return numbers


def _hashable(values: Sequence[Any]) -> set[Any]:
    """The different values; a value that is not text stands for all where some cannot be hashed."""
    return set(values) if set(map(type, values)) == {str} else {None}


def _limits(column: Column) -> tuple[float, float]:
    low = -FLOAT32_MAX if column.minimum is None else max(column.minimum, -FLOAT32_MAX)
    high = FLOAT32_MAX if column.maximum is None else min(column.maximum, FLOAT32_MAX)
    return low, high


def _levels(column: Column, notation: Notation) -> frozenset[str]:
    """Levels that are read as they stand."""
    trimmed = pa.array([level.strip() for level in column.vocabulary], pa.string())
    gaps = notation.gaps(trimmed).to_pylist()
    return frozenset(level for level, gap in zip(column.vocabulary, gaps, strict=True) if not gap)
