"""Batch scoring: raw rows of any source to energies and verdicts, in bounded memory.

Neither Prefect nor Great Expectations is imported: their start-up would cost more than the work.
"""

from __future__ import annotations

import dataclasses
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv as pacsv
import pyarrow.parquet as pq

from dagmm_model.bundle import ScoringBundle, load_bundle
from data_checks.contract import ROW_ID, Contract, load_contract
from flows import progress
from flows.errors import UsageError
from flows.features import as_frame
from flows.settings import Settings

FORMATS = (".parquet", ".csv")
REMARKS = "remarks"


@dataclasses.dataclass(frozen=True)
class ScoreReport:
    """What a scoring run did.

    Attributes:
        model: Resolved model, `models:/NAME/VERSION`.
        rows: Rows read.
        scored: Rows that got an energy.
        rejected: Rows that could not be scored; they are in `rejects`, with reasons.
        anomalies: Rows above the threshold.
        remarked: Rows that were scored although a value lies outside its declared range or rule.
        unseen: For each categorical column, scored rows whose level training never declared.
        output: Result file.
        rejects: Parquet of the rejected rows, or None.
        seconds: Wall time after start-up.
    """

    model: str
    rows: int
    scored: int
    rejected: int
    anomalies: int
    remarked: int
    unseen: dict[str, int]
    output: str
    rejects: str | None
    seconds: float

    def text(self) -> str:
        """The lines that end `dagmm score`."""
        lines = [
            f"Model      {self.model}",
            f"Rows       {self.rows:,} in, {self.scored:,} scored, {self.rejected:,} rejected",
            f"Anomalies  {self.anomalies:,}",
            *(
                [f"Remarks    {self.remarked:,} rows break a rule (column `remarks`)"]
                * (self.remarked > 0)
            ),
            *(
                f"Unseen     {rows:,} rows with a new level of {name!r}"
                for name, rows in self.unseen.items()
            ),
            f"Result     {self.output}",
        ]
        if self.rejects:
            lines.append(f"Rejects    {self.rejects}")
        rate = self.rows / max(self.seconds, 1e-9)
        return "\n".join([*lines, f"Speed      {rate:,.0f} rows/s ({self.seconds:.1f} s)"])


def score(source: str, output: Path, model: str, settings: Settings) -> ScoreReport:
    """Score a table.

    Args:
        source: File, folder, glob or URL with raw rows.
        output: Result, `.parquet` or `.csv`; it appears whole or not at all.
        model: `models:/NAME@ALIAS` or `models:/NAME/VERSION`, resolved once at the start.
        settings: Registry and data folder.

    Raises:
        UsageError: The output format is unknown, or there is no such model.
    """
    if output.suffix not in FORMATS:
        raise UsageError(f"output {output}: the name must end in {' or '.join(FORMATS)}")
    bundle, contract, resolved = load_model(model, settings)
    started = time.perf_counter()
    rows = scored = anomalies = remarked = 0
    unseen: Counter[str] = Counter()
    rejects = output.with_name(f"{output.stem}.rejected.parquet")
    with _whole(output) as partial, _whole(rejects) as partial_rejects:
        writer, rejected = _Writer(partial, output.suffix), _Writer(partial_rejects, ".parquet")
        for table, bad, new_levels in _batches(source, contract, settings):
            rows += table.num_rows + bad.num_rows
            remarked += table.num_rows - table.column(REMARKS).null_count
            unseen.update(new_levels)
            if bad.num_rows:
                rejected.write(bad)
            result = _result(bundle, table, resolved)
            writer.write(result)
            scored += result.num_rows
            anomalies += int(np.count_nonzero(result.column("is_anomaly")))
            progress.note(f"{rows:,} rows, {rows / (time.perf_counter() - started):,.0f} rows/s")
        writer.close()
        rejected.close()
    return ScoreReport(
        model=resolved,
        rows=rows,
        scored=scored,
        rejected=rows - scored,
        anomalies=anomalies,
        remarked=remarked,
        unseen=dict(unseen),
        output=str(output),
        rejects=str(rejects) if rows > scored else None,
        seconds=time.perf_counter() - started,
    )


def load_model(model: str, settings: Settings) -> tuple[ScoringBundle, Contract, str]:
    """Bundle and contract of a registered model, and its resolved version.

    Args:
        model: `models:/NAME@ALIAS` or `models:/NAME/VERSION`.
        settings: Registry.

    Raises:
        UsageError: The address is malformed, or there is no such model, alias or version.
    """
    from mlflow.artifacts import download_artifacts

    from flows import registry, tracking

    client = tracking.connect(settings)
    name, alias, version = _parse(model)
    if alias:
        behind = registry.version_behind(client, name, alias)
        if behind is None:
            raise UsageError(
                f"{model}: no version of {name!r} has the alias {alias!r}; "
                f"promote one with `dagmm promote {name} VERSION`, or train one"
            )
        version = behind
    found = registry.find_version(client, name, version)
    bundle = Path(download_artifacts(found.source)) / "artifacts" / "bundle"
    contract = load_contract(bundle / "contract.json")
    return load_bundle(bundle), contract, f"models:/{name}/{version}"


def _parse(model: str) -> tuple[str, str, int]:
    address = model.removeprefix("models:/")
    name, at, alias = address.partition("@")
    if at and name and alias:
        return name, alias, 0
    name, slash, version = address.partition("/")
    if slash and name and version.isdigit():
        return name, "", int(version)
    raise UsageError(f"model {model!r}: write models:/NAME@production or models:/NAME/3")


def _batches(
    source: str, contract: Contract, settings: Settings
) -> Iterator[tuple[pa.Table, pa.Table, Mapping[str, int]]]:
    """Scorable rows, rejected rows, and counts of unseen levels, of each batch."""
    from data_checks.rows import check_rows
    from data_checks.sources import locate, read_batches

    location = locate(contract, source, settings.data_dir)
    first = 0
    for batch in read_batches(contract, location, with_label=False):
        checked = check_rows(batch, contract, where=source)
        ids = np.arange(first, first + batch.num_rows, dtype=np.int64)
        first += batch.num_rows
        good = checked.scorable
        rejected = pa.table({ROW_ID: ids[~good], "reasons": pa.array(checked.reasons[~good])})
        features = checked.features.append_column(ROW_ID, pa.array(ids))
        features = features.append_column(REMARKS, pa.array(checked.remarks, pa.string()))
        yield (
            features if good.all() else features.filter(pa.array(good)),
            rejected,
            checked.unseen,
        )


def _result(bundle: ScoringBundle, table: pa.Table, model: str) -> pa.Table:
    scores = bundle.score(as_frame(table))
    rows = table.num_rows
    return pa.table(
        {
            ROW_ID: table.column(ROW_ID),
            "energy": scores.energy,
            "p_value": scores.p_value,
            "is_anomaly": scores.is_anomaly,
            "threshold": np.full(rows, bundle.threshold.value),
            REMARKS: table.column(REMARKS),
            "model": pa.DictionaryArray.from_arrays(
                pa.nulls(rows, pa.int8()).fill_null(0), [model]
            ),
        }
    )


@contextmanager
def _whole(path: Path) -> Iterator[Path]:
    """A partial file that becomes `path` when the block ends well, and is removed otherwise."""
    partial = path.with_name(f".{path.name}.partial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield partial
        if partial.exists():
            partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


class _Writer:
    """Parquet or CSV writer that opens its file with the first table, which gives the schema."""

    def __init__(self, path: Path, suffix: str) -> None:
        self._path, self._suffix = path, suffix
        self._open: pq.ParquetWriter | pacsv.CSVWriter | None = None

    def write(self, table: pa.Table) -> None:
        if self._suffix == ".csv":
            last = table.num_columns - 1
            table = table.set_column(last, "model", table.column("model").cast(pa.string()))
        if self._open is None:
            kind = pq.ParquetWriter if self._suffix == ".parquet" else pacsv.CSVWriter
            self._open = kind(self._path, table.schema)
        self._open.write_table(table)

    def close(self) -> None:
        if self._open is not None:
            self._open.close()
