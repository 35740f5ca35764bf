"""Values that occur more than once in a column too long for memory."""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq


def repeated_values(table: Path, column: str) -> pa.Array:
    """The values, without null, that occur more than once in a text column of a Parquet file.

    Only 64-bit hashes of the column are held; the few values whose hash repeats are then counted
    exactly, so that a collision of hashes accuses nobody.
    """
    import pandas as pd

    def batches() -> Any:
        with pq.ParquetFile(table) as file:
            for batch in file.iter_batches(columns=[column]):
                values = batch.column(0).drop_null()
                hashes = pd.util.hash_array(values.to_numpy(zero_copy_only=False), categorize=False)
                yield values, hashes

    parts = [hashes for _, hashes in batches()]
    if not parts:
        return pa.array([], pa.string())
    hashes = np.sort(np.concatenate(parts))
    suspects = np.unique(hashes[1:][hashes[1:] == hashes[:-1]])
    if not len(suspects):
        return pa.array([], pa.string())
    candidates = [values.filter(pa.array(np.isin(h, suspects))) for values, h in batches()]
    counts = pc.value_counts(pa.concat_arrays(candidates))
    repeated = pc.greater(counts.field("counts"), 1)
    return pc.cast(counts.field("values").filter(repeated), pa.string())
