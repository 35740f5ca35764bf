"""Rows of a scored batch for people to judge: its alerts, and a few rows drawn from below.

What is only looked at above the threshold tells the precision. The recall needs rows that nobody
would look at: some are drawn at random from the rows below, and how many there were is kept beside
the registry, so that the verdicts on the drawn ones speak for all.
"""

import hashlib
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from data_checks.base.atomic import explaining_write_errors, replacing
from data_checks.rows.rows import check_rows
from data_checks.sources.integrity import changed, shown
from data_checks.sources.reading import locate, picked_rows
from flows.common.errors import UsageError
from flows.common.features import as_columns
from flows.common.settings import Settings
from flows.scoring.filling.parts import Parts
from flows.scoring.filling.plain import without_dictionaries, write_rows_csv
from flows.scoring.rows import SCORED, Judge
from flows.verdicts.file import COLUMNS, column_in_file
from flows.verdicts.rows import row_key, row_texts
from flows.verdicts.store import Review, ReviewRow, add_review

MOST_ALERTS = 500
"""Alerts of a batch that are listed; of more, as many are drawn at random."""
SAME = 1e-6


def check_rows_asked(rows: int, settings: Settings) -> None:
    """Refuse what cannot be drawn, before anything is scored.

    Raises:
        UsageError: The number is not positive, or there is no database to keep the review in.
    """
    if rows < 1:
        raise UsageError(f"--review {rows}: a number of rows to draw below the threshold, e.g. 20")
    database_of(settings)


def database_of(settings: Settings) -> str:
    """Database of the verdicts.

    Raises:
        UsageError: Only a server knows it.
    """
    if settings.verdicts_database is None:
        raise UsageError(
            "MLFLOW_TRACKING_URI is a server's address, and verdicts are kept in its database: "
            "set DAGMM_VERDICTS_URI to that, e.g. postgresql+psycopg://mlflow@host/mlflow"
        )
    return settings.verdicts_database


def draw_review(
    parts: Parts,
    judge: Judge,
    source: str,
    output: str,
    threshold: float,
    rows: int,
    settings: Settings,
) -> str:
    """Draw rows of the finished parts, keep which, and write them for people; says where.

    Args:
        parts: All parts of the batch, in Parquet.
        judge: That scored them.
        source: Raw rows of the batch.
        output: Result, beside which the file is written.
        threshold: Energy above which the rows of this batch are anomalies.
        rows: To draw from those below it.
        settings: Data folder and database.

    Raises:
        SourceError: The source is not what it was when it was scored.
    """
    energy, flagged = _column(parts, "energy"), _column(parts, "is_anomaly")
    identity = hashlib.sha256(f"{judge.model}\n{judge.where}\n{threshold!r}\n{rows}\n".encode())
    # Rounded: who scores it, and in which pieces, changes the last bits, and not the batch.
    identity.update((np.round(energy, 3) + 0.0).tobytes())
    name = f"r{identity.hexdigest()[:15]}"  # a spreadsheet takes no such word for a number
    generator = np.random.default_rng(int(name[1:], 16))
    alerts, below = np.flatnonzero(flagged), np.flatnonzero(~flagged)
    drawn = [
        generator.choice(some, min(most, len(some)), replace=False)
        for some, most in ((alerts, MOST_ALERTS), (below, rows))
    ]
    kept = _rows(parts, np.sort(np.concatenate(drawn)))
    features = _features(judge, source, kept, settings)
    texts = row_texts(features)
    model, _, version = judge.model.removeprefix("models:/").rpartition("/")
    review = Review(
        id=name,
        model=model,
        version=int(version),
        source=shown(judge.where),
        time=time.time(),
        threshold=threshold,
        alerts=len(alerts),
        below=len(below),
    )
    add_review(
        database_of(settings),
        review,
        [
            ReviewRow(name, row_id, row_key(text), text, row_energy, is_anomaly, reasons or "")
            for row_id, text, row_energy, is_anomaly, reasons in zip(
                kept.column("row_id").to_pylist(),
                texts,
                kept.column("energy").to_pylist(),
                kept.column("is_anomaly").to_pylist(),
                kept.column("reasons").to_pylist(),
                strict=True,
            )
        ],
    )
    path = _review_path(output, name)
    if not path.exists():  # else of the same batch: somebody may be filling it in
        _write(path, kept, features, name)
    return str(path)


def _column(parts: Parts, name: str) -> np.ndarray:
    pieces = [pq.read_table(file, columns=[name]).column(0) for file in parts.files("scored")]
    columns = [values.to_numpy() for values in pieces]
    return np.concatenate([np.empty(0, bool if name == "is_anomaly" else float), *columns])


def _rows(parts: Parts, places: np.ndarray) -> pa.Table:
    """Rows of the result by their places, ascending."""
    first, tables = 0, [SCORED.empty_table()]
    for file in parts.files("scored"):
        table = pq.read_table(file, schema=SCORED)
        inside = slice(*np.searchsorted(places, [first, first + len(table)]))
        tables.append(table.take(pa.array(places[inside] - first)))
        first += len(table)
    return pa.concat_tables(without_dictionaries(table) for table in tables)


def _features(judge: Judge, source: str, kept: pa.Table, settings: Settings) -> pa.Table:
    """The rows' values, read again, and compared with what was scored."""
    wanted = kept.column("row_id").to_numpy()
    location = locate(judge.contract, source, settings.data_dir)
    columns = [
        check_rows(batch, judge.contract, where=judge.where, outside=judge.outside).features
        for _, batch in picked_rows(judge.contract, location, wanted)
    ]
    features = pa.concat_tables(columns) if columns else kept[:0]
    if len(features) != len(wanted):
        raise changed(judge.where)
    energy = judge.bundle.score(as_columns(features)).energy
    if not np.allclose(energy, kept.column("energy").to_numpy(), rtol=SAME, atol=SAME):
        raise changed(judge.where)
    return features


def _review_path(output: str, review: str) -> Path:
    """`scored.review-1a2b3c4d.csv`; in the current folder where the result is not a file."""
    name = f"review-{review[:8]}.csv"
    if "://" in output:
        return Path(name)
    path = Path(output.rstrip("/"))
    return path.with_name(f"{path.stem}.{name}")


def _write(path: Path, kept: pa.Table, features: pa.Table, review: str) -> None:
    """Columns to fill in, what the model said, then the row's own values."""
    rows = len(kept)
    nothing = pa.array([""] * rows)
    columns = {
        **dict.fromkeys(("verdict", "who", "when", "note"), nothing),
        "review": pa.array([review] * rows),
        **{
            name: kept.column(name)
            for name in ("row_id", "energy", "p_value", "is_anomaly", "reasons", "model")
        },
    }
    assert set(columns) <= set(COLUMNS)
    columns |= {column_in_file(name): features.column(name) for name in features.column_names}
    with explaining_write_errors(path), replacing(path) as whole, whole.open("wb") as target:
        table = pa.table(columns)
        names = {f"{place}": [name] for place, name in enumerate(table.column_names)}
        write_rows_csv(pa.table(names), target)
        write_rows_csv(table, target)
