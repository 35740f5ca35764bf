"""Has the world moved since training?

For every feature the population stability index (PSI) between the training rows and newer rows:
`sum_i (q_i - p_i) ln(q_i / p_i)` over bins i with reference shares p and current shares q. Two
samples of one population do not have PSI 0; it is then about `chi2(bins - 1) (1/n + 1/m)`. A
column counts as drifted only when its PSI exceeds the contract's tolerance and that noise.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt
import pyarrow.compute as pc
import pyarrow.parquet as pq

from data_checks.columns import Column, Frozen
from data_checks.contract import Contract
from data_checks.errors import SourceError

BINS = 10
NOISE_LEVEL = 0.999
"""Chance that a column without drift stays below its noise limit."""
MISSING = "(missing)"
OTHER = "(other)"
Verdict = Literal["stable", "warning", "critical"]


class ColumnReference(Frozen):
    """How one column was distributed: counts per bin.

    Numeric bins are `(-inf, e1], (e1, e2], ..., (ek, inf)` with the inner edges `edges`; others
    are the levels. The last two counts are those of other levels and of missing values.
    """

    name: str
    edges: tuple[float, ...] = ()
    levels: tuple[str, ...] = ()
    counts: tuple[int, ...]


class DriftReference(Frozen):
    """The distributions that later rows are compared with; small, and JSON-able."""

    contract: str
    contract_digest: str
    rows: int
    columns: tuple[ColumnReference, ...]


class ColumnDrift(Frozen):
    """How far one column has moved."""

    column: str
    psi: float
    noise: float
    unseen_share: float
    missing_share: float
    verdict: Verdict
    message: str


class DriftReport(Frozen):
    """All columns, the furthest moved first."""

    rows: int
    reference_rows: int
    verdict: Verdict
    columns: tuple[ColumnDrift, ...]

    @property
    def message(self) -> str:
        """One line for people."""
        moved = [column for column in self.columns if column.verdict != "stable"]
        if not moved:
            return f"no column has drifted over {self.rows:,} rows"
        names = ", ".join(f"'{c.column}' (PSI {c.psi:.3f}, {c.verdict})" for c in moved[:3])
        return f"{len(moved)} of {len(self.columns)} columns have drifted: {names}"


def drift_reference(table: Path, contract: Contract) -> DriftReference:
    """Record how the features of a table are distributed, usually the training rows.

    Args:
        table: Parquet with the contract's feature columns.
        contract: names the columns.

    Raises:
        SourceError: the table has no rows or lacks a column.
    """
    rows = _rows(table, contract)
    columns = []
    for column in contract.feature_columns:
        values = pq.read_table(table, columns=[column.name]).column(0)
        if column.type == "numeric":
            numbers = values.drop_null().to_numpy()
            shares = np.linspace(0, 1, BINS + 1)[1:-1]
            edges = (
                tuple(float(e) for e in np.unique(np.quantile(numbers, shares)))
                if len(numbers)
                else ()
            )
            blank = ColumnReference(name=column.name, edges=edges, counts=())
        else:
            levels = column.vocabulary or ("false", "true")
            blank = ColumnReference(name=column.name, levels=levels, counts=())
        counts = tuple(int(count) for count in _count(table, blank))
        columns.append(blank.model_copy(update={"counts": counts}))
    return DriftReference(
        contract=contract.name,
        contract_digest=contract.digest,
        rows=rows,
        columns=tuple(columns),
    )


def drift(reference: DriftReference, table: Path, contract: Contract) -> DriftReport:
    """Compare newer rows with a reference.

    Args:
        reference: from `drift_reference`.
        table: Parquet with the same feature columns, typed by the same contract.
        contract: its `drift` tolerances decide.

    Raises:
        SourceError: the table has no rows or lacks a column.
    """
    rows = _rows(table, contract)
    by_name = {column.name: column for column in contract.feature_columns}
    found = [
        _compare(by_name[column.name], column, _count(table, column), contract)
        for column in reference.columns
        if column.name in by_name
    ]
    order: Sequence[Verdict] = ("critical", "warning", "stable")
    found.sort(key=lambda item: (order.index(item.verdict), -item.psi))
    verdict: Verdict = found[0].verdict if found else "stable"
    return DriftReport(
        rows=rows, reference_rows=reference.rows, verdict=verdict, columns=tuple(found)
    )


def population_stability(
    reference: npt.ArrayLike, current: npt.ArrayLike, *, level: float = NOISE_LEVEL
) -> tuple[float, float]:
    """PSI between two rows of counts, and what it stays below without drift.

    Args:
        reference: counts per bin (k,).
        current: counts per bin (k,).
        level: chance to stay below the noise limit when nothing has moved.

    Returns:
        The index, and the noise limit `chi2_level(k' - 1) (1/n + 1/m)` with the k' bins that hold
        anything.
    """
    from scipy.special import chdtri

    p, q = np.asarray(reference, float), np.asarray(current, float)
    used = (p + q) > 0
    p, q = p[used], q[used]
    n, m = p.sum(), q.sum()
    if not n or not m or len(p) < 2:
        return 0.0, 0.0
    noise = float(chdtri(len(p) - 1, 1 - level)) * (1 / n + 1 / m)
    # Half a count in an empty bin keeps the logarithm finite (Jeffreys' prior).
    p, q = (p + 0.5) / (n + 0.5 * len(p)), (q + 0.5) / (m + 0.5 * len(q))
    return float(((q - p) * np.log(q / p)).sum()), noise


def _compare(
    column: Column, reference: ColumnReference, counts: npt.NDArray[np.int64], contract: Contract
) -> ColumnDrift:
    psi, noise = population_stability(reference.counts, counts)
    total = int(counts.sum())
    unseen, missing = counts[-2] / total, counts[-1] / total
    limits = contract.drift
    verdict: Verdict = "stable"
    if psi > noise and psi > limits.warning:
        verdict = "critical" if psi > limits.critical else "warning"
    text = f"PSI {psi:.3f} (tolerated {limits.warning:g}, noise {noise:.3f})"
    if column.type == "categorical" and unseen > limits.unseen_share:
        verdict = "warning" if verdict == "stable" else verdict
        text += f"; {unseen:.1%} of the rows hold levels outside the vocabulary"
    return ColumnDrift(
        column=column.name,
        psi=psi,
        noise=noise,
        unseen_share=float(unseen),
        missing_share=float(missing),
        verdict=verdict,
        message=f"'{column.name}': {text}",
    )


def _count(table: Path, column: ColumnReference) -> npt.NDArray[np.int64]:
    """Counts per bin, then of other levels, then of missing values, in bounded memory."""
    bins = len(column.levels) if column.levels else len(column.edges) + 1
    counts = np.zeros(bins + 2, dtype=np.int64)
    edges = np.array(column.edges)
    place = {level: i for i, level in enumerate(column.levels)}
    with pq.ParquetFile(table) as file:
        for batch in file.iter_batches(columns=[column.name]):
            values = batch.column(0)
            counts[-1] += values.null_count
            present = values.drop_null()
            if column.levels:
                if not len(present):
                    continue
                texts = pc.value_counts(pc.cast(present, "string"))
                for text, count in zip(*(texts.field(i).to_pylist() for i in (0, 1)), strict=True):
                    counts[place.get(text, bins)] += count
            else:
                numbers = present.to_numpy(zero_copy_only=False)
                where = np.searchsorted(edges, numbers, side="left")
                counts[:bins] += np.bincount(where, minlength=bins)
    return counts


def _rows(table: Path, contract: Contract) -> int:
    metadata = pq.read_metadata(table)
    names = set(metadata.schema.to_arrow_schema().names)
    if absent := [c.name for c in contract.feature_columns if c.name not in names]:
        raise SourceError(f"{table}: missing column '{absent[0]}'.")
    if metadata.num_rows == 0:
        raise SourceError(f"{table}: no rows to compare.")
    return int(metadata.num_rows)
