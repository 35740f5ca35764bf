"""Some rows of a source, by their numbers."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from data_checks.contract.model import Contract
from data_checks.sources.reading import read_batches


def picked_rows(
    contract: Contract, location: str, rows: npt.NDArray[np.int64]
) -> Iterator[tuple[npt.NDArray[np.int64], pa.RecordBatch]]:
    """The feature columns of some rows, in the order of the source.

    Args:
        contract: the contract.
        location: from `locate`.
        rows: 0-based, ascending, int64 of shape ``(n,)``; those behind the last row are left out.

    Yields:
        Numbers of rows, and the rows as their reader found them.

    Raises:
        SourceError: the source cannot be read.
    """
    first = 0
    for batch in read_batches(contract, location, with_label=False):
        inside = slice(*np.searchsorted(rows, [first, first + batch.num_rows]))
        if mine := rows[inside].tolist():
            numbers = np.array(mine, dtype=np.int64)
            yield numbers, batch.take(pa.array(numbers - first))
        first += batch.num_rows
        if inside.stop == len(rows):
            return
