"""Which valid rows train, validate and test."""

from __future__ import annotations

import hashlib

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from dagmm_model.protocols import Split, deployment_split, duplicate_groups, paper_split
from data_checks.contract import Contract
from flows.config import TrainConfig
from flows.features import as_frame, encoder_for, labels_of, read_rows
from flows.records import SplitRecord, ValidateRecord
from flows.workspace import RunFolder

PARTS = ("train", "validation", "test", "set_aside")


def split(
    run: RunFolder, contract: Contract, config: TrainConfig, validated: ValidateRecord
) -> SplitRecord:
    """Divide the valid rows; only the positions of the rows are written, never copies."""
    table = read_rows(validated.path, contract)
    labels = labels_of(table)
    anomalous = np.zeros(table.num_rows, dtype=bool) if labels is None else labels
    groups = _groups(contract, config, table)
    if config.split.protocol == "paper":
        parts = paper_split(anomalous, config.seed, groups=groups)
    else:
        fractions = config.split.fractions or (
            contract.split.train,
            contract.split.validation,
            contract.split.test,
        )
        parts = deployment_split(anomalous, config.seed, groups=groups, fractions=fractions)
    path = run.path / "parts.parquet"
    pq.write_table(_as_table(parts), path)

    def digest(name: str) -> str:
        # The rows of a file whose digest is known are pinned by their positions.
        positions = getattr(parts, name).tobytes()
        return hashlib.sha256(validated.sha256.encode() + positions).hexdigest()

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
    )


def _groups(contract: Contract, config: TrainConfig, table: pa.Table) -> np.ndarray | None:
    chosen = config.split.group_duplicates
    if contract.split.group_duplicates if chosen is None else chosen:
        return duplicate_groups(encoder_for(contract, table).encode(as_frame(table)))
    return None


def _as_table(parts: Split) -> pa.Table:
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
