"""Two versions on the same rows: which ranks better, and where they disagree most, with reasons."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from mlflow.entities.model_registry import ModelVersion
from mlflow.tracking import MlflowClient

from dagmm_model.detectors.bundle import ScoringBundle
from dagmm_model.evaluation.comparison import Difference, paired_difference
from dagmm_model.evaluation.threshold import p_values
from data_checks.contract.model import ROW_ID, Contract
from data_checks.rows.rows import check_rows
from flows.common.errors import UsageError
from flows.common.features import as_columns, labels_of
from flows.common.settings import Settings
from flows.promotion.gates.score_drift import ScoreDrift, compare_scores
from flows.promotion.version import evidence as bound
from flows.promotion.version.stored_version import sealed_file
from flows.review.labelled import LabelledBatch, RowCounts, read_labelled
from flows.review.measured import Measured, measure_threshold
from flows.scoring.rows import reasons_text
from flows.scoring.version import read_version
from flows.tracking import registry, seal

SHOWN = 10
REASONS = 3


@dataclass(frozen=True)
class Disagreement:
    """A row that two versions see differently.

    Attributes:
        row: 0-based row of the source, or its id among the kept test rows.
        label: 1 for an anomaly, 0 for normal, -1 where nobody knows.
        p_values: By the first and by the second version.
        flagged: Whether each calls it an anomaly.
        reasons: Columns that each would name.
    """

    row: int
    label: int
    p_values: tuple[float, float]
    flagged: tuple[bool, bool]
    reasons: tuple[str, str]


@dataclass(frozen=True)
class Comparison:
    """Two versions on the same rows.

    Attributes:
        models: Resolved, first and second.
        source: Where the rows came from.
        rows: Rows that both could score.
        left_out: Rows that one of them could not.
        measured: Figures of each at its own threshold.
        difference: Of average precision, first minus second, paired; None without both classes.
        drift: How differently they see the rows.
        only: Rows that only the first, and only the second, calls anomalies.
        disagreements: Where they disagree most.
        note: What a reader should know.
    """

    models: tuple[str, str]
    source: str
    rows: int
    left_out: int
    measured: tuple[Measured, Measured]
    difference: Difference | None
    drift: ScoreDrift
    only: tuple[int, int]
    disagreements: tuple[Disagreement, ...]
    note: str


def compare(
    client: MlflowClient, settings: Settings, first: str, second: str, data: str | None = None
) -> Comparison:
    """Score the same rows with two versions and compare.

    Args:
        client: Registry.
        settings: Data folder.
        first: `NAME`, `NAME@alias` or `NAME/VERSION`.
        second: The other one, perhaps of another model with the same columns.
        data: Labelled or unlabelled rows; the test rows kept with the first version unless given.

    Raises:
        UsageError: There is no such version, they take different columns, or no row is left.
        SealBroken: A version's files are not those that were registered.
        SourceError: The rows cannot be read.
    """
    versions = [registry.find_model(client, reference) for reference in (first, second)]
    (one, contract), (other, their_contract) = (read_version(client, each) for each in versions)
    check_columns((first, second), contract, their_contract)
    counts = RowCounts()
    if data is None:
        rows, source = _kept(client, versions[0], contract), f"kept test rows of {first}"
    else:
        rows, source = _read(contract, data, settings.data_dir, counts), data
    rows, refused = _scorable(rows, their_contract, source)
    if not len(rows.ids):
        why = "; ".join(counts.sentences()) or f"{second} refuses all of them"
        raise UsageError(f"{source}: no row can be scored by both versions: {why}")
    return _compared(
        tuple(f"models:/{version.name}/{version.version}" for version in versions),
        source,
        (one, other),
        rows,
        counts.rejected + refused,
        _note(client, versions) if data is None else "",
    )


def check_columns(references: tuple[str, str], first: Contract, second: Contract) -> None:
    """Refuse two versions of which the second cannot score the rows of the first.

    Raises:
        UsageError: The second takes a column that the first does not.
    """
    there, wanted = ({column.name for column in each.feature_columns} for each in (first, second))
    if absent := sorted(wanted - there):
        remedy = "name it first, or " if there < wanted else ""
        raise UsageError(
            f"{references[1]} takes columns that {references[0]} does not, e.g. {absent[0]!r}: "
            f"{remedy}compare versions of one table"
        )


def _read(contract: Contract, data: str, data_dir: Path, counts: RowCounts) -> LabelledBatch:
    batches = list(read_labelled(contract, data, data_dir, counts))
    if not batches:
        raise UsageError(f"{data}: there are no rows")
    return LabelledBatch(
        np.concatenate([batch.ids for batch in batches]),
        pa.concat_tables([batch.features for batch in batches]),
        np.concatenate([batch.labels for batch in batches]),
    )


def _kept(client: MlflowClient, version: ModelVersion, contract: Contract) -> LabelledBatch:
    """The test rows of a version, as its evidence seals them."""
    changed = (
        f"models:/{version.name}/{version.version}: its test rows ({bound.ROWS}) were changed "
        "after the registration; restore them from a backup, or give --data"
    )
    with sealed_file(client, version, bound.ROWS, changed) as file:
        table = pq.read_table(file)
    labels = labels_of(table)
    known = np.full(len(table), -1) if labels is None else labels.astype(np.int8)
    features = table.select([column.name for column in contract.feature_columns])
    return LabelledBatch(table.column(ROW_ID).to_numpy(), features, known)


def _scorable(rows: LabelledBatch, contract: Contract, source: str) -> tuple[LabelledBatch, int]:
    """The rows that the second version can score as well, and how many it cannot."""
    good = check_rows(rows.features, contract, where=source).scorable
    kept = LabelledBatch(rows.ids[good], rows.features.filter(pa.array(good)), rows.labels[good])
    return kept, int((~good).sum())


def _compared(
    models: tuple[str, ...],
    source: str,
    bundles: tuple[ScoringBundle, ScoringBundle],
    rows: LabelledBatch,
    left_out: int,
    note: str,
) -> Comparison:
    columns = as_columns(rows.features)
    scores = [bundle.score(columns) for bundle in bundles]
    energies = [score.energy for score in scores]
    known = rows.labels >= 0
    labels = rows.labels[known] == 1 if known.any() else None
    chosen = known if labels is not None else np.ones(len(known), dtype=bool)
    difference = None
    if labels is not None and 0 < labels.sum() < len(labels):
        difference = paired_difference(labels, *(energy[known] for energy in energies), level=0.95)
    flags = [score.is_anomaly for score in scores]
    measured = tuple(
        measure_threshold(energy[chosen], labels, None, bundle.threshold.value)
        for energy, bundle in zip(energies, bundles, strict=True)
    )
    return Comparison(
        models=(models[0], models[1]),
        source=source,
        rows=len(rows.ids),
        left_out=left_out,
        measured=(measured[0], measured[1]),
        difference=difference,
        drift=compare_scores(energies[0], energies[1]),
        only=(int((flags[0] & ~flags[1]).sum()), int((flags[1] & ~flags[0]).sum())),
        disagreements=tuple(_disagreements(bundles, rows, energies, flags)),
        note=note,
    )


def _disagreements(
    bundles: tuple[ScoringBundle, ScoringBundle],
    rows: LabelledBatch,
    energies: list[np.ndarray],
    flags: list[np.ndarray],
) -> Iterator[Disagreement]:
    """Rows with the largest ratio of p-values, which unlike energies are on one scale.

    Rows that only one of them flags come first.
    """
    values = [
        p_values(energy, bundle.calibration)
        for energy, bundle in zip(energies, bundles, strict=True)
    ]
    ratio = np.abs(np.log(values[0]) - np.log(values[1]))
    worst = np.lexsort((-ratio, flags[0] == flags[1]))[:SHOWN]
    worst = worst[(ratio[worst] > 0) | (flags[0][worst] != flags[1][worst])]
    texts = [_reasons(bundle, rows.features.take(pa.array(worst))) for bundle in bundles]
    for place, row in enumerate(worst.tolist()):
        yield Disagreement(
            row=int(rows.ids[row]),
            label=int(rows.labels[row]),
            p_values=(float(values[0][row]), float(values[1][row])),
            flagged=(bool(flags[0][row]), bool(flags[1][row])),
            reasons=(texts[0][place], texts[1][place]),
        )


def _reasons(bundle: ScoringBundle, features: pa.Table) -> list[str]:
    if not len(features):
        return []
    scores = bundle.score(as_columns(features), "all")
    texts, _ = reasons_text(scores.reasons, REASONS, len(features))
    return [text or "" for text in texts.to_pylist()]


def _note(client: MlflowClient, versions: list[ModelVersion]) -> str:
    """Whether the second version may have been trained on the first one's test rows."""
    tests = [seal.sealed_evidence(client, version).get("test_sha256") for version in versions]
    if tests[0] is not None and tests[0] == tests[1]:
        return ""
    name = f"{versions[1].name} version {versions[1].version}"
    return (
        f"{name} was split otherwise and may have seen these rows in its training: "
        "rows that neither has seen (--data) are the fairer test"
    )
