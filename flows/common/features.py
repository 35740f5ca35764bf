"""From a contract and a validated table to what the detector takes."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from dagmm_model.tables.preprocessing import Encoder, FeatureColumn, Levels
from data_checks.contract.model import ANOMALY_COLUMN, ROW_ID, Contract

if TYPE_CHECKING:
    import pandas as pd


def encoder_for(contract: Contract, train: pa.Table) -> Encoder:
    """The contract's encoder; only imputed medians are learned, from the training rows."""
    return Encoder(tuple(_column(column, train) for column in contract.feature_columns))


def _column(column: Any, train: pa.Table) -> FeatureColumn:
    fill = column.impute_value if column.impute == "constant" else None
    if column.impute == "median":
        fill = float(pc.quantile(train.column(column.name), q=0.5)[0].as_py())
    if column.type == "categorical":
        return FeatureColumn(
            column.name,
            "categorical",
            tuple(column.vocabulary),
            tuple(column.drop_levels),
            column.unseen,
            None if fill is None else str(fill),
        )
    return FeatureColumn(
        column.name,
        "boolean" if column.type == "boolean" else "numeric",
        fill=None if fill is None else float(fill),
    )


def read_rows(path: str | Path, contract: Contract, rows: np.ndarray | None = None) -> pa.Table:
    """Feature columns of a validated table, its row ids and, where known, labels and slices.

    `rows` are the positions to keep, ascending; all rows when None.
    """
    wanted = [column.name for column in contract.feature_columns]
    text = [c.name for c in contract.feature_columns if c.type == "categorical"]
    extra = [ROW_ID, ANOMALY_COLUMN, contract.slice_column]
    present = pq.read_schema(path).names
    names = [*wanted, *(name for name in extra if name in present and name not in wanted)]
    table = pq.read_table(path, columns=names, read_dictionary=text)
    return table if rows is None else table.take(pa.array(rows))


def as_frame(table: pa.Table) -> pd.DataFrame:
    """A data frame whose text columns are dictionary-encoded: a level is then looked up once."""
    for place, kind in enumerate(table.schema.types):
        if pa.types.is_string(kind):
            texts = table.column(place).dictionary_encode()
            table = table.set_column(place, table.column_names[place], texts)
    return table.to_pandas()


def as_columns(table: pa.Table) -> dict[str, Any]:
    """The columns as the encoder reads them fastest, without pandas."""
    return {name: _values(table.column(name)) for name in table.column_names}


def _values(column: pa.ChunkedArray) -> Any:
    if not (pa.types.is_string(column.type) or pa.types.is_dictionary(column.type)):
        return column.to_numpy()  # of a dictionary it would give gaps the last of its levels
    texts = column.combine_chunks().dictionary_encode()
    if isinstance(texts, pa.ChunkedArray):
        texts = texts.unify_dictionaries().combine_chunks()
    return Levels(texts.dictionary.to_pylist(), texts.indices.fill_null(-1).to_numpy())


def row_hashes(rows: pa.Table | pa.RecordBatch) -> np.ndarray:
    """A number for each row, uint64: the same for equal rows; quick, not certain the other way."""
    from pandas.util import hash_pandas_object

    return hash_pandas_object(rows.to_pandas(), index=False).to_numpy()


def model_input(table: pa.Table, contract: Contract) -> pd.DataFrame:
    """Raw feature columns with the types of the model's signature.

    Gaps stay: NaN among numbers and texts, None among truth values, which are then objects. MLflow
    takes neither categories nor pandas' own nullable types.
    """
    types = {"numeric": "float64", "categorical": "str", "boolean": "bool"}
    frame = as_frame(table.select([column.name for column in contract.feature_columns]))
    gaps = {c.name for c in contract.feature_columns if c.nullable and c.type == "boolean"}
    return frame.astype(
        {c.name: "object" if c.name in gaps else types[c.type] for c in contract.feature_columns}
    )


def labels_of(table: pa.Table) -> np.ndarray | None:
    """True where a row is an anomaly; None when the table carries no labels."""
    if ANOMALY_COLUMN not in table.column_names:
        return None
    values = table.column(ANOMALY_COLUMN)
    return None if values.null_count else values.to_numpy() == 1
