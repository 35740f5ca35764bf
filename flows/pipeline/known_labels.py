"""The valid rows with what people have said about them: labels, and judged rows that are not there.

A verdict is about a row's values, so every equal row of the table gets it. Whoever labelled the
table may have said otherwise; the verdict is the newer knowledge, and wins.
"""

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import compress
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from mlflow.tracking import MlflowClient

from data_checks.contract.model import ANOMALY_COLUMN, ROW_ID, Contract
from flows.common.errors import UsageError
from flows.common.features import row_hashes
from flows.common.settings import Settings
from flows.stages.records import JudgedRecord, ValidateRecord
from flows.stages.run import TrainRun
from flows.stages.workspace import sha256_of
from flows.tracking import registry, tracking
from flows.verdicts import store
from flows.verdicts.rows import row_key, row_texts, taken_rows
from flows.verdicts.standing import Standing, standing

VERDICT_COLUMN = "__verdict__"
"""Derived int8 column: 1 judged an anomaly, 0 judged normal, null where nobody has judged."""
BATCH_ROWS = 65_536


def judged_rows(client: MlflowClient, settings: Settings, name: str) -> dict[str, Standing]:
    """What holds of the rows of a model, as far as somebody is sure.

    Raises:
        UsageError: There are verdicts, and nobody has said where.
    """
    if settings.verdicts_database is None:
        tags = (
            client.get_registered_model(name).tags if registry.is_registered(client, name) else {}
        )
        if store.TAG in tags:
            raise UsageError(
                f"there are verdicts on rows of {name!r} ({tags[store.TAG]}), which its training "
                "has to see: set DAGMM_VERDICTS_URI to the database that they are in"
            )
        return {}
    verdicts = standing(store.read_verdicts(settings.verdicts_database, name))
    return {key: each for key, each in verdicts.items() if each.label is not None}


def rows_with_verdicts(run: TrainRun, validated: ValidateRecord) -> JudgedRecord:
    """The valid rows of a training, with the verdicts on rows of its model."""
    client = tracking.connect(run.settings)
    holds = judged_rows(client, run.settings, run.model_name)
    return with_verdicts(run.path, run.contract, validated, holds)


def unjudged(validated: ValidateRecord) -> JudgedRecord:
    """The valid rows as they are."""
    return JudgedRecord(path=validated.path, sha256=validated.sha256, rows=validated.rows_valid)


def with_verdicts(
    folder: Path, contract: Contract, validated: ValidateRecord, holds: Mapping[str, Standing]
) -> JudgedRecord:
    """Write the valid rows with their verdicts; without any the table stays what it is.

    Judged rows that the contract would quarantine, or that lack a column of it, are left out.
    """
    usable = _usable(holds, contract)
    if not usable.keys:
        return unjudged(validated).model_copy(update={"left_out": len(holds)})
    path = folder / "judged.parquet"
    met: set[str] = set()
    relabelled = rows = 0
    with pq.ParquetFile(validated.path) as file:
        schema = file.schema_arrow.append(pa.field(VERDICT_COLUMN, pa.int8()))
        with pq.ParquetWriter(path, schema) as writer:
            for batch in file.iter_batches(BATCH_ROWS):
                table = pa.Table.from_batches([batch])
                verdicts = usable.verdicts(table, met)
                table, changed = _labelled(table, verdicts)
                relabelled += changed
                rows += len(table)
                writer.write_table(table.append_column(schema.field(VERDICT_COLUMN), verdicts))
            new = [place for place, key in enumerate(usable.keys) if key not in met]
            writer.write_table(_appended(usable, new, schema))
    labels = usable.labels
    return JudgedRecord(
        path=str(path),
        sha256=sha256_of(path),
        rows=rows + len(new),
        anomalies=int(labels.sum()),
        normals=int((labels == 0).sum()),
        appended=len(new),
        relabelled=relabelled,
        left_out=len(holds) - len(usable.keys),
        verdicts_sha256=usable.digest,
    )


@dataclass(frozen=True)
class _Usable:
    """Judged rows that the contract takes: keys, labels, typed features, quick hashes."""

    keys: Sequence[str]
    labels: np.ndarray
    features: pa.Table
    hashes: np.ndarray

    @property
    def digest(self) -> str:
        pairs = sorted(zip(self.keys, self.labels.tolist(), strict=True))
        return hashlib.sha256(json.dumps(pairs).encode()).hexdigest()

    def verdicts(self, table: pa.Table, met: set[str]) -> pa.Array:
        """Verdict on each row of a table; the keys that are there are added to `met`."""
        features = table.select(self.features.column_names)
        maybe = np.flatnonzero(np.isin(row_hashes(features), self.hashes))
        place = {key: at for at, key in enumerate(self.keys)}
        values = np.full(len(table), -1, np.int8)
        for row, text in zip(
            maybe.tolist(), row_texts(features.take(pa.array(maybe))), strict=True
        ):
            if (key := row_key(text)) in place:
                values[row] = self.labels[place[key]]
                met.add(key)
        return pa.array(values, mask=values < 0)


def _usable(holds: Mapping[str, Standing], contract: Contract) -> _Usable:
    taken, features = taken_rows((each.row for each in holds.values()), contract, "reject")
    labels = [each.label for each in compress(holds.values(), taken)]
    keys = [row_key(text) for text in row_texts(features)]
    return _Usable(keys, np.array(labels, dtype=np.int8), features, row_hashes(features))


def _labelled(table: pa.Table, verdicts: pa.Array) -> tuple[pa.Table, int]:
    """The table with the verdicts in the place of its labels, and how many labels that changes."""
    if ANOMALY_COLUMN not in table.column_names:
        return table, 0
    place = table.schema.get_field_index(ANOMALY_COLUMN)
    before = table.column(place).combine_chunks()
    after = pc.coalesce(verdicts, before)
    changed = int((after.fill_null(-1).to_numpy() != before.fill_null(-1).to_numpy()).sum())
    return table.set_column(place, table.schema.field(place), after), changed


def _appended(usable: _Usable, places: Sequence[int], schema: pa.Schema) -> pa.Table:
    """Judged rows that the table does not have, with row ids below 0; the rest of them is empty."""
    rows = usable.features.take(pa.array(places, pa.int64()))
    labels = pa.array(usable.labels[places], pa.int8())
    own = {
        **{name: rows.column(name) for name in rows.column_names},
        ROW_ID: pa.array(-1 - np.arange(len(places), dtype=np.int64)),
        ANOMALY_COLUMN: labels,
        VERDICT_COLUMN: labels,
    }
    return pa.table(
        [own.get(field.name, pa.nulls(len(places), field.type)) for field in schema], schema=schema
    )


def shares(table: pa.Table, contract: Contract) -> Iterator[float]:
    """A number between 0 and 1 for each row, which follows from its values alone."""
    names = [column.name for column in contract.feature_columns]
    for text in row_texts(table.select(names)):
        yield int(row_key(text)[:8], 16) / 2**32
