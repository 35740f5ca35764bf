"""Training rows that are not to be in memory: a file of small shuffled row groups, and a sample.

A detector that reads its rows group by group wants each group to be a fair mixture. Rows are
shuffled within the row groups of the validated table before they are written in smaller ones; the
training then shuffles groups from all over the file together, differently in every epoch.
"""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq

from dagmm_model.tables.preprocessing import Encoder
from dagmm_model.training.streaming import RowGroups
from data_checks.contract.model import Contract
from flows.common.features import as_frame, encoder_for, read_rows
from flows.pipeline.split import positions
from flows.stages.records import JudgedRecord, SplitRecord

TRAIN, SAMPLE = "train.parquet", "train_sample.parquet"

GROUP_ROWS = 8_192
"""Rows of a group: read in one go by one rank."""

SAMPLE_ROWS = 100_000
"""Random training rows that are kept side by side; a quartile of them is off by 0.14 % of the rows
(one deviation)."""


def write_training_rows(
    folder: Path, rows: JudgedRecord, contract: Contract, parts: SplitRecord
) -> None:
    """Write the training rows and their sample in one pass; what is there already stays."""
    if (folder / TRAIN).exists():
        return
    train_rows = positions(parts, "train")
    rng = np.random.default_rng(parts.seed)
    sampled = np.zeros(len(train_rows), dtype=bool)
    sampled[rng.choice(len(sampled), min(SAMPLE_ROWS, len(sampled)), replace=False)] = True
    names = [column.name for column in contract.feature_columns]
    schema = pa.schema([pq.read_schema(rows.path).field(name) for name in names])
    parts_of = [folder / f".{name}.part" for name in (TRAIN, SAMPLE)]
    first = 0
    with (
        pq.ParquetWriter(parts_of[0], schema) as train,
        pq.ParquetWriter(parts_of[1], schema) as sample,
    ):
        for fragment in _row_groups(rows.path):
            table = fragment.to_table(columns=names)
            inside = slice(*np.searchsorted(train_rows, [first, first + table.num_rows]))
            mine, drawn = train_rows[inside] - first, sampled[inside]
            first += table.num_rows
            train.write_table(table.take(rng.permutation(mine)), row_group_size=GROUP_ROWS)
            sample.write_table(table.take(mine[drawn]))
    parts_of[1].replace(folder / SAMPLE)
    parts_of[0].replace(folder / TRAIN)  # last: it says that both are there


def read(folder: Path, contract: Contract) -> tuple[Encoder, RowGroups]:
    """The encoder, whose medians are the sample's, and the encoded training rows."""
    sample = read_rows(folder / SAMPLE, contract)
    encoder = encoder_for(contract, sample)
    fragments = _row_groups(folder / TRAIN)
    return encoder, RowGroups(
        tuple(fragment.row_groups[0].num_rows for fragment in fragments),
        lambda number: encoder.encode(as_frame(fragments[number].to_table())),
        encoder.encode(as_frame(sample)),
    )


def rows_to_measure(
    folder: Path, rows: JudgedRecord, contract: Contract, parts: SplitRecord
) -> pa.Table:
    """Training rows for what is measured beside the detector: all, or the sample of a stream."""
    if (folder / SAMPLE).exists():
        return read_rows(folder / SAMPLE, contract)
    return read_rows(rows.path, contract, positions(parts, "train"))


def _row_groups(path: str | Path) -> list[ds.ParquetFileFragment]:
    return [
        group
        for fragment in ds.dataset(path, format="parquet").get_fragments()
        for group in fragment.split_by_row_group()
        if group.row_groups[0].num_rows
    ]
