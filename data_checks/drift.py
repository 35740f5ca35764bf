"""Has the world moved since training?

Every feature of a window of newer rows is compared with the training rows, bin by bin. Two things
must come together before a column counts as drifted. The difference is *real*: Pearson's
chi-squared test of homogeneity, with the level divided among all comparisons by Holm's method, so
that a window without drift raises an alarm no more often than the level, however many columns
there are. And it *matters*: the population stability index
`PSI = sum_i (q_i - p_i) ln(q_i / p_i)`, over bins with reference shares p and current shares q,
exceeds the contract's tolerance.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from data_checks.base.errors import SourceError
from data_checks.contract.columns import Column, ContractPart
from data_checks.contract.model import Contract
from data_checks.contract.sections import Drift

BINS = 10
LEVEL = 0.01
"""Chance of an alarm in a window without drift."""
EXPECTED = 5.0
"""Fewest expected rows of a bin in the test; smaller ones are pooled."""
Verdict = Literal["stable", "warning", "critical"]
Counts = npt.NDArray[np.int64]


class ColumnReference(ContractPart):
    """How one column was distributed: rows per bin.

    Numeric bins are `(-inf, e1], (e1, e2], ..., (ek, inf)` with the inner edges `edges`: the
    deciles, and the ends of the range seen. Other columns have a bin for each of their `levels`.
    The last two counts are those of other levels and of missing values.
    """

    name: str
    edges: tuple[float, ...] = ()
    levels: tuple[str, ...] = ()
    counts: tuple[int, ...]


class DriftReference(ContractPart):
    """The distributions that later rows are compared with: counts only, small, and JSON-able."""

    contract: str
    contract_digest: str
    rows: int
    columns: tuple[ColumnReference, ...]


class ColumnDrift(ContractPart):
    """How far one column has moved.

    `distance` is the Kolmogorov-Smirnov distance at the bins' edges, for numeric columns.
    """

    column: str
    psi: float
    p_value: float
    distance: float | None
    unseen_share: float
    missing_share: float
    reference_missing_share: float
    verdict: Verdict
    message: str


def drift_reference(rows: pa.Table, contract: Contract) -> DriftReference:
    """Record how the features of a table are distributed, usually the training rows.

    Args:
        rows: (n rows) with the contract's feature columns, typed by it.
        contract: names the columns.

    Raises:
        SourceError: the table has no rows or lacks a column.
    """
    if not rows.num_rows:
        raise SourceError("no rows to take a reference from.")
    return DriftReference(
        contract=contract.name,
        contract_digest=contract.digest,
        rows=rows.num_rows,
        columns=tuple(_reference(column, rows) for column in contract.feature_columns),
    )


def _reference(column: Column, rows: pa.Table) -> ColumnReference:
    if column.name not in rows.column_names:
        raise SourceError(f"missing column '{column.name}'.")
    values = rows.column(column.name)
    edges: tuple[float, ...] = ()
    levels: tuple[str, ...] = ()
    if column.type != "numeric":
        levels = column.vocabulary or ("false", "true")
    elif len(numbers := values.drop_null().to_numpy()):
        inner = np.quantile(numbers, np.linspace(0, 1, BINS + 1)[1:-1])
        ends = (np.nextafter(numbers.min(), -np.inf), numbers.max())
        edges = tuple(np.unique(np.concatenate([inner, ends])).tolist())
    blank = ColumnReference(name=column.name, edges=edges, levels=levels, counts=())
    return blank.model_copy(update={"counts": tuple(_count(blank, values).tolist())})


def bin_counts(reference: DriftReference, tables: Iterable[pa.Table]) -> dict[str, Counts]:
    """Rows per bin of each column, of tables with the reference's columns, one after the other.

    Raises:
        SourceError: a column is missing.
    """
    counts = {column.name: np.zeros(_bins(column) + 2, dtype=np.int64)
              for column in reference.columns}  # fmt: skip
    for table in tables:
        present = set(table.column_names)
        for column in reference.columns:
            if column.name not in present:
                raise SourceError(f"missing column '{column.name}'.")
            counts[column.name] += _count(column, table.column(column.name))
    return counts


def _bins(column: ColumnReference) -> int:
    return len(column.levels) if column.levels else len(column.edges) + 1


def _count(column: ColumnReference, values: pa.ChunkedArray) -> Counts:
    bins = _bins(column)
    counts = np.zeros(bins + 2, dtype=np.int64)
    counts[-1] = values.null_count
    present = values.drop_null()
    if not len(present):
        return counts
    if column.levels:
        place = {level: i for i, level in enumerate(column.levels)}
        counted = pc.value_counts(pc.cast(present, "string"))
        for text, count in zip(*(counted.field(i).to_pylist() for i in (0, 1)), strict=True):
            counts[place.get(text, bins)] += count
        return counts
    where = np.searchsorted(np.array(column.edges), present.to_numpy(), side="left")
    counts[:bins] += np.bincount(where, minlength=bins)
    return counts


def compare_columns(
    reference: DriftReference,
    counts: Mapping[str, Counts],
    contract: Contract,
    *,
    level: float = LEVEL,
    others: Sequence[float] = (),
) -> tuple[ColumnDrift, ...]:
    """Judge every column, the furthest moved first.

    Args:
        reference: from `drift_reference`.
        counts: of the newer rows, from `bin_counts`.
        contract: its `drift` tolerances decide what matters.
        level: chance of any alarm where nothing has moved.
        others: p-values of other comparisons of the same window, which share the level.
    """
    kinds = {column.name: column.type for column in contract.feature_columns}
    columns = [column for column in reference.columns if column.name in kinds]
    p_values = [homogeneity(column.counts, counts[column.name]) for column in columns]
    real = holm_rejects([*p_values, *others], level)
    drifts = [
        _judge(column, counts[column.name], p, bool(is_real), kinds[column.name], contract.drift)
        for column, p, is_real in zip(columns, p_values, real, strict=False)
    ]
    order: Sequence[Verdict] = ("critical", "warning", "stable")
    return tuple(sorted(drifts, key=lambda item: (order.index(item.verdict), -item.psi)))


def _judge(
    column: ColumnReference, counts: Counts, p_value: float, real: bool, kind: str, limits: Drift
) -> ColumnDrift:
    psi = population_stability(column.counts, counts)
    total, before = max(int(counts.sum()), 1), max(sum(column.counts), 1)
    unseen = float(counts[-2] / total)
    verdict: Verdict = severity(psi, limits) if real else "stable"
    text = f"PSI {psi:.3f} (tolerated {limits.warning:g}), p = {p_value:.2g}"
    if kind == "categorical" and unseen > limits.unseen_share:
        verdict = "warning" if verdict == "stable" else verdict
        text += f"; {unseen:.1%} of the rows hold levels outside the vocabulary"
    return ColumnDrift(
        column=column.name,
        psi=psi,
        p_value=p_value,
        distance=None if column.levels else _distance(column.counts, counts),
        unseen_share=unseen,
        missing_share=float(counts[-1] / total),
        reference_missing_share=column.counts[-1] / before,
        verdict=verdict,
        message=f"'{column.name}': {text}",
    )


def severity(psi: float, limits: Drift) -> Verdict:
    """What a population stability index means under a contract's tolerances."""
    if psi <= limits.warning:
        return "stable"
    return "critical" if psi > limits.critical else "warning"


def population_stability(reference: npt.ArrayLike, current: npt.ArrayLike) -> float:
    """PSI between two rows of counts per bin (k,); half a row in every bin keeps it finite."""
    p, q = np.asarray(reference, float), np.asarray(current, float)
    used = (p + q) > 0
    p, q = p[used], q[used]
    if not p.sum() or not q.sum():
        return 0.0
    p, q = (p + 0.5) / (p + 0.5).sum(), (q + 0.5) / (q + 0.5).sum()
    return float(((q - p) * np.log(q / p)).sum())


def homogeneity(reference: npt.ArrayLike, current: npt.ArrayLike) -> float:
    """p-value of Pearson's test that two rows of counts (k,) come from one distribution.

    Bins in which the smaller sample has fewer than `EXPECTED` rows to expect are pooled first.
    """
    from scipy.special import chdtrc

    both = np.array([reference, current], dtype=float)
    totals = both.sum(axis=1, keepdims=True)
    if not totals.all():
        return 1.0
    both = both[:, np.argsort(both.sum(axis=0), kind="stable")]
    expected = both.sum(axis=0) * totals.min() / totals.sum()
    groups = np.zeros(both.shape[1], dtype=np.int64)
    held = 0.0
    for place in range(1, both.shape[1]):
        held += expected[place - 1]
        groups[place] = groups[place - 1] + (held >= EXPECTED)
        held *= held < EXPECTED
    if held + expected[-1] < EXPECTED:
        groups[groups == groups[-1]] = max(groups[-1] - 1, 0)
    pooled = np.array([np.bincount(groups, row) for row in both])
    if pooled.shape[1] < 2:
        return 1.0
    ideal = totals * pooled.sum(axis=0) / totals.sum()
    statistic = float(((pooled - ideal) ** 2 / ideal).sum())
    return float(chdtrc(pooled.shape[1] - 1, statistic))


def holm_rejects(p_values: Sequence[float], level: float) -> npt.NDArray[np.bool_]:
    """Which hypotheses fall, with at most `level` chance of a single false one (Holm, 1979)."""
    values = np.asarray(p_values, dtype=float)
    order = np.argsort(values, kind="stable")
    passed = values[order] <= level / np.arange(len(values), 0, -1)
    fallen = np.zeros(len(values), dtype=bool)
    fallen[order] = np.logical_and.accumulate(passed)
    return fallen


def _distance(reference: Sequence[int], current: Counts) -> float:
    """Largest difference of the distribution functions at the edges, missing values aside."""
    p, q = np.array(reference[:-2], float), np.asarray(current[:-2], float)
    if not p.sum() or not q.sum():
        return 0.0
    return float(np.abs(np.cumsum(p) / p.sum() - np.cumsum(q) / q.sum()).max())
