"""Labelled rows of any source: what can be scored of them, and what each really is."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pyarrow as pa

from data_checks.contract.model import Contract
from data_checks.contract.notation import notation_of
from data_checks.rows.casting import anomaly_flags, label_texts
from data_checks.rows.rows import check_rows
from data_checks.rows.values import as_text, plain_array
from data_checks.sources.integrity import shown
from data_checks.sources.reading import locate, numbered_slices, read_batches

SLICE_ROWS = 65_536
REASONS = 5


@dataclass(frozen=True)
class LabelledBatch:
    """Some rows that can be scored.

    Attributes:
        ids: 0-based rows of the source, int64 of shape ``(n,)``.
        features: Feature columns with the contract's types.
        labels: 1 for an anomaly, 0 for a normal row, -1 where the label is missing or unknown; int8
            of shape ``(n,)``.
        slices: Slice value of each row; None where the contract names no slice column.
    """

    ids: np.ndarray
    features: pa.Table
    labels: np.ndarray
    slices: list[str | None] | None = None


@dataclass
class RowCounts:
    """What became of the rows of a source; filled while they are read.

    Attributes:
        rows: All of them.
        rejected: Those that cannot be scored.
        unlabelled: Those that can be scored and whose label is missing or not in the contract.
        reasons: Why rows were rejected, with how many.
        unknown: Labels that the contract does not know, with how many.
    """

    rows: int = 0
    rejected: int = 0
    unlabelled: int = 0
    reasons: Counter[str] = field(default_factory=Counter)
    unknown: Counter[str] = field(default_factory=Counter)

    def sentences(self) -> Iterator[str]:
        """What a reader should know of the rows that do not count."""
        for reason, rows in self.reasons.most_common(REASONS):
            yield f"{rows:,} rejected: {reason}"
        if len(self.reasons) > REASONS:
            yield f"and {len(self.reasons) - REASONS:,} other reasons"
        for label, rows in self.unknown.most_common(REASONS):
            yield f"{rows:,} with the unknown label {label!r}: list it in the contract"


def read_labelled(
    contract: Contract, source: str, data_dir: Path, counts: RowCounts
) -> Iterator[LabelledBatch]:
    """Read and check labelled rows, in bounded memory; `counts` are filled on the way.

    Raises:
        SourceError: The source cannot be read, or has no label column.
    """
    label = contract.label
    also = [name for name in (label.column if label else None, contract.slice_column) if name]
    location = locate(contract, source, data_dir)
    first = 0
    for whole in read_batches(contract, location, with_label=False, also=also):
        for start, batch in numbered_slices(whole, first, SLICE_ROWS):
            checked = check_rows(batch, contract, where=shown(location))
            good = checked.scorable
            counts.rows += batch.num_rows
            counts.rejected += checked.rejected
            counts.reasons.update(checked.reasons[~good])
            flags, texts = _labels(batch, contract)
            counts.unlabelled += int((flags[good] < 0).sum())
            if texts is not None:
                lost = pa.array(good & (flags < 0))
                counts.unknown.update(t for t in texts.filter(lost).to_pylist() if t is not None)
            kept = pa.array(good)
            yield LabelledBatch(
                np.arange(start, start + batch.num_rows, dtype=np.int64)[good],
                checked.features.filter(kept),
                flags[good],
                _slices(batch, contract, kept),
            )
        first += whole.num_rows


def _labels(batch: pa.RecordBatch, contract: Contract) -> tuple[np.ndarray, pa.Array | None]:
    label = contract.label
    if label is None:
        return np.full(batch.num_rows, -1, np.int8), None
    values = plain_array(batch.column(label.column))
    texts = label_texts(values, as_text(values, notation_of(contract.source)), label)
    return anomaly_flags(texts, label).fill_null(-1).to_numpy(zero_copy_only=False), texts


def _slices(batch: pa.RecordBatch, contract: Contract, kept: pa.Array) -> list[str | None] | None:
    if contract.slice_column is None:
        return None
    values = plain_array(batch.column(contract.slice_column)).filter(kept)
    return as_text(values, notation_of(contract.source)).to_pylist()
