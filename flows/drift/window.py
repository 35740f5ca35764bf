"""What was seen of a window of rows: raw rows, scored and counted now, or a result of scoring."""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from pyarrow import csv

from dagmm_model.detectors.bundle import ScoringBundle
from data_checks.contract.model import Contract
from data_checks.contract.notation import notation_of
from data_checks.drift import DriftReference, bin_counts
from data_checks.rows.rows import check_rows
from data_checks.rows.values import cast_column, plain_array
from data_checks.sources.integrity import shown
from data_checks.sources.reading import locate, read_batches
from flows.common.errors import UsageError
from flows.common.features import as_frame
from flows.scoring.output.files import rejects_of


@dataclass(frozen=True)
class Window:
    """What was seen of a window, in bounded memory.

    Attributes:
        counts: Rows per bin of each column; None where only scores are known.
        energies: ``(rows,)`` of the rows that could be scored.
        rejected: Rows that could not be scored.
        unseen: Rows with a new level, by column.
        newest: Seconds since 1970 of the newest row; None without a timestamp column.
        source: Where the rows came from.
    """

    counts: Mapping[str, np.ndarray] | None
    energies: np.ndarray
    rejected: int
    unseen: Mapping[str, int]
    newest: float | None
    source: str


def read_window(
    bundle: ScoringBundle,
    contract: Contract,
    reference: DriftReference,
    source: str,
    data_dir: Path,
) -> Window:
    """Score raw rows of any source of the contract, and count their features.

    Raises:
        SourceError: The rows cannot be read.
    """
    times = [column.name for column in contract.columns if column.type == "timestamp"]
    location = locate(contract, source, data_dir)
    energies: list[np.ndarray] = []
    unseen: Counter[str] = Counter()
    newest: list[float] = []
    rejected = [0]

    def scored() -> Iterator[pa.Table]:
        for batch in read_batches(contract, location, with_label=False, also=times):
            checked = check_rows(batch, contract, where=shown(location))
            rejected[0] += checked.rejected
            unseen.update(checked.unseen)
            newest.extend(_newest(batch, contract, times))
            rows = checked.features.filter(pa.array(checked.scorable))
            if rows.num_rows:
                energies.append(bundle.score(as_frame(rows)).energy)
                yield rows

    counts = bin_counts(reference, scored())
    return Window(
        counts,
        np.concatenate(energies) if energies else np.empty(0),
        rejected[0],
        dict(unseen),
        max(newest, default=None),
        shown(location),
    )


def _newest(batch: pa.RecordBatch, contract: Contract, names: list[str]) -> Iterator[float]:
    for column in contract.columns:
        if column.name in names:
            raw = plain_array(batch.column(column.name))
            values = cast_column(raw, column, notation_of(contract.source))
            latest = pc.max(values).as_py()
            if latest is not None:
                yield latest.timestamp()


def read_scored(file: Path, model: str) -> Window:
    """A result of `dagmm score`: energies only, since it holds no features.

    Raises:
        UsageError: It is not such a file, or was scored by another version than `model`.
    """
    if not file.exists():
        raise UsageError(f"{file}: no such file")
    try:
        table = csv.read_csv(file) if file.suffix == ".csv" else pq.read_table(file)
        energies = table.column("energy").to_numpy()
        models = {str(value) for value in table.column("model").unique().to_pylist()}
    except (pa.ArrowInvalid, KeyError) as error:
        raise UsageError(f"{file} is not a result of `dagmm score` ({error})") from None
    if other := sorted(models - {model}):
        raise UsageError(
            f"{file} was scored by {', '.join(other)}, the production model is {model}: energies "
            "of two versions cannot be compared; score the rows again, or give them with --data"
        )
    rejects = rejects_of(file)
    rejected = pq.read_metadata(rejects).num_rows if rejects.exists() else 0
    return Window(None, energies, rejected, {}, None, str(file))
