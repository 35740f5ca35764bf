"""Which valid rows train, validate and test."""

import hashlib

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from dagmm_model.tables.protocols import (
    Fractions,
    RowSplit,
    deployment_split,
    duplicate_groups,
    paper_split,
)
from dagmm_model.tables.timed import joined_groups, time_split
from data_checks.contract.model import ANOMALY_COLUMN, ROW_ID, Contract
from flows.common.config import TrainConfig, keeps_duplicates_together
from flows.common.errors import UsageError
from flows.common.features import as_frame, encoder_for, labels_of, read_rows, row_hashes
from flows.pipeline.known_labels import VERDICT_COLUMN, shares
from flows.stages.records import JudgedRecord, SplitRecord
from flows.stages.run import TrainRun

HELD_OUT_ROWS = 100_000
"""Most validation and most test rows of a streamed training."""

BATCH_ROWS = 65_536

PARTS = ("train", "validation", "test", "set_aside")


def split(run: TrainRun, rows: JudgedRecord) -> SplitRecord:
    """Divide the valid rows; only the positions of the rows are written, never copies."""
    contract, config = run.contract, run.config
    derived = (ANOMALY_COLUMN, VERDICT_COLUMN, ROW_ID)
    names = [name for name in pq.read_schema(rows.path).names if name in derived]
    table = pq.read_table(rows.path, columns=names)
    labels, verdicts = labels_of(table), _verdicts(table)
    anomalous = verdicts == 1 if labels is None else labels
    # Judged rows that the table does not have stand behind its own, and are divided by themselves.
    own = int((table.column(ROW_ID).to_numpy() >= 0).sum())
    groups = _groups(contract, config, rows)
    anomalous, groups = anomalous[:own], None if groups is None else groups[:own]
    begins: tuple[str, str] | None = None
    if config.split.protocol == "paper":
        fractions: Fractions = (0.5, 0.0, 0.5)
        parts = paper_split(anomalous, config.seed, groups=groups)
    else:
        fractions = config.split.fractions or (
            contract.split.train,
            contract.split.validation,
            contract.split.test,
        )
        if config.fit.streaming:
            fractions = held_out(fractions, own)
        if contract.split.time_column is None:
            parts = deployment_split(anomalous, config.seed, groups=groups, fractions=fractions)
        else:
            moments = _moments(contract.split.time_column, rows)
            parts, first = time_split(
                anomalous, moments.to_numpy(), groups=groups, fractions=fractions
            )
            begins = (str(moments[first[0]]), str(moments[first[1]]))
    if (verdicts >= 0).any():
        behind = read_rows(rows.path, contract, np.arange(own, len(verdicts)))
        drawn = np.fromiter(shares(behind, contract), float, len(behind))
        parts = _with_judged(parts, verdicts, own, drawn, fractions)
    path = run.path / "parts.parquet"
    pq.write_table(_as_table(parts), path)

    def digest(name: str) -> str:
        # The rows of a file whose digest is known are pinned by their positions.
        positions = getattr(parts, name).tobytes()
        return hashlib.sha256(rows.sha256.encode() + positions).hexdigest()

    return SplitRecord(
        protocol=config.split.protocol,
        seed=config.seed,
        parts=str(path),
        train_rows=len(parts.train),
        validation_rows=len(parts.validation),
        test_rows=len(parts.test),
        test_anomalies=None if labels is None else int(labels[parts.test].sum()),
        set_aside_rows=len(parts.set_aside),
        train_sha256=digest("train"),
        validation_sha256=digest("validation"),
        test_sha256=digest("test"),
        begins=begins,
    )


def _verdicts(table: pa.Table) -> np.ndarray:
    """What people have said of each row: 1 an anomaly, 0 normal, -1 nothing."""
    if VERDICT_COLUMN not in table.column_names:
        return np.full(len(table), -1, np.int8)
    return table.column(VERDICT_COLUMN).fill_null(-1).to_numpy()


def _with_judged(
    parts: RowSplit, verdicts: np.ndarray, own: int, drawn: np.ndarray, fractions: Fractions
) -> RowSplit:
    """The split with the judged rows.

    Every row that was judged an anomaly is a test row, also those that the split had set aside. A
    normal one that the table does not have goes where its values put it, in the same shares as any
    other row: so none of the parts has more than its share of the rows that once were false alarms.

    Args:
        parts: Of the table's own rows.
        verdicts: -1, 0 or 1 for every row, int8 ``(rows,)``.
        own: Number of the table's own rows, which come first.
        drawn: Between 0 and 1 for each row behind them.
        fractions: Shares of train, validation and test.
    """
    aside = parts.set_aside[verdicts[parts.set_aside] == 1]
    behind = np.arange(own, len(verdicts))
    part = np.searchsorted(np.cumsum(fractions)[:-1], drawn, side="right")
    part[verdicts[own:] == 1] = 2
    train, validation, test = (
        np.sort(np.concatenate([rows, behind[part == number]]))
        for number, rows in enumerate((parts.train, parts.validation, parts.test))
    )
    return RowSplit(
        train,
        validation,
        np.sort(np.concatenate([test, aside])),
        parts.set_aside[verdicts[parts.set_aside] != 1],
    )


def held_out(fractions: Fractions, rows: int) -> Fractions:
    """The same for few rows; of many, no more are held out than fit into memory and are needed."""
    _, validation, test = (min(share, HELD_OUT_ROWS / rows) for share in fractions)
    return 1.0 - validation - test, validation, test


def _moments(column: str, rows: JudgedRecord) -> pa.ChunkedArray:
    """When each row happened.

    Raises:
        UsageError: A row has no time, so that it belongs neither to the past nor to the future.
    """
    table = pq.read_table(rows.path, columns=[column, ROW_ID])
    moments = table.filter(pc.greater_equal(table.column(ROW_ID), 0)).column(0)
    if moments.null_count:
        row = pc.index(pc.is_null(moments), True).as_py()
        raise UsageError(
            f"split.time_column {column!r} is empty in {moments.null_count:,} of {len(moments):,} "
            f"valid rows, first in valid row {row}: set nullable: false for it in the contract, "
            "which quarantines such rows"
        )
    return moments


def _groups(contract: Contract, config: TrainConfig, rows: JudgedRecord) -> np.ndarray | None:
    """A number for each row, the same for rows that stay together; None where none need to."""
    groups = []
    if keeps_duplicates_together(config, contract):
        groups.append(_duplicates(contract, config, rows))
    if contract.split.group_column is not None:
        groups.append(_members(contract.split.group_column, rows))
    if len(groups) > 1:
        return joined_groups(*groups)
    return groups[0] if groups else None


def _members(column: str, rows: JudgedRecord) -> np.ndarray:
    """A number for each value of a column; rows without a value are on their own."""
    values = pq.read_table(rows.path, columns=[column]).column(0).combine_chunks()
    codes = values.dictionary_encode().indices.to_numpy(zero_copy_only=False).astype(np.float64)
    alone = np.isnan(codes)
    codes[alone] = -1.0 - np.arange(alone.sum())
    return codes.astype(np.int64)


def _duplicates(contract: Contract, config: TrainConfig, rows: JudgedRecord) -> np.ndarray:
    """A number for each row, the same for equal rows."""
    if not config.fit.streaming:
        table = read_rows(rows.path, contract)
        return duplicate_groups(encoder_for(contract, table).encode(as_frame(table)))
    names = [column.name for column in contract.feature_columns]
    with pq.ParquetFile(rows.path) as file:
        batches = file.iter_batches(BATCH_ROWS, columns=names)
        return np.concatenate([row_hashes(batch) for batch in batches])


def _as_table(parts: RowSplit) -> pa.Table:
    columns = [getattr(parts, name) for name in PARTS]
    names = np.repeat(np.arange(len(PARTS)), [len(rows) for rows in columns])
    return pa.table(
        {
            "position": np.concatenate(columns),
            "part": pa.DictionaryArray.from_arrays(pa.array(names, pa.int8()), list(PARTS)),
        }
    )


def positions(record: SplitRecord, part: str) -> np.ndarray:
    """Positions of the rows of a part in the validated table, int64, ascending."""
    table = pq.read_table(record.parts, filters=[("part", "=", part)])
    return table.column("position").to_numpy()
