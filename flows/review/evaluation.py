"""A version on labelled rows that it has not seen: figures as deployed, and a run tied to it."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from mlflow.entities.model_registry import ModelVersion
from mlflow.tracking import MlflowClient

from dagmm_model.detectors.bundle import ScoringBundle
from dagmm_model.evaluation.metrics import LABEL_FIGURES
from dagmm_model.evaluation.threshold import alarms_expected
from data_checks.contract.model import Contract
from flows.common.errors import UsageError
from flows.common.features import as_columns
from flows.common.markdown import inert
from flows.common.settings import Settings
from flows.common.value_types import plain
from flows.reporting import plots
from flows.reporting.budget import log_figures
from flows.review.labelled import RowCounts, read_labelled
from flows.review.measured import Measured, measure_threshold
from flows.scoring.version import read_version
from flows.tracking import registry, runs, seal, tracking
from flows.tracking.ending import opened

EXPERIMENT = "evaluations"
BOUNDED = (*LABEL_FIGURES, "alert_rate")
"""Figures that a floor or a ceiling may be set for."""


@dataclass(frozen=True)
class Bound:
    """A figure that has to be reached, or not to be exceeded."""

    name: str
    limit: float
    is_floor: bool

    def sentence(self, value: float | None) -> str:
        """The verdict in one line."""
        word = "floor" if self.is_floor else "ceiling"
        if value is None:
            return f"{self.name} not measured, {word} {self.limit:g}"
        return f"{self.name} {value:.4f}, {word} {self.limit:g}"

    def holds(self, value: float | None) -> bool:
        """Whether a figure keeps to it; one that was not measured does not."""
        if value is None or math.isnan(value):
            return False
        return value >= self.limit if self.is_floor else value <= self.limit


def bounds(floors: list[str], ceilings: list[str]) -> tuple[Bound, ...]:
    """Bounds of `roc_auc=.9`.

    Raises:
        UsageError: There is no such figure, or the limit is not a number between 0 and 1.
    """
    return tuple(
        [_bound(text, is_floor=True) for text in floors]
        + [_bound(text, is_floor=False) for text in ceilings]
    )


def _bound(text: str, *, is_floor: bool) -> Bound:
    option = "--floor" if is_floor else "--ceiling"
    name, equals, number = text.partition("=")
    name = name.strip().replace("-", "_")
    if name not in BOUNDED:
        raise UsageError(f"{option} {text}: no figure {name!r}; figures: {', '.join(BOUNDED)}")
    try:
        limit = float(number)
    except ValueError:
        limit = math.nan
    if not equals or not 0 <= limit <= 1:
        raise UsageError(f"{option} {text}: write {name}=NUMBER, between 0 and 1")
    return Bound(name, limit, is_floor)


@dataclass(frozen=True)
class Evaluation:
    """What was found out about a version on some rows.

    Attributes:
        model: Resolved, `models:/NAME/VERSION`.
        source: Where the rows came from.
        threshold: As deployed.
        measured: Figures of the labelled rows; of all scored rows where none is labelled.
        alarms: False alarms, and the least and most that the calibration lets expect; None without
            labelled normal rows.
        failed: Floors and ceilings that were not kept to, one sentence each.
    """

    model: str
    source: str
    counts: RowCounts
    threshold: float
    measured: Measured
    alarms: tuple[int, int, int] | None
    failed: tuple[str, ...]
    run_id: str
    run_url: str


def evaluate(
    client: MlflowClient,
    settings: Settings,
    reference: str,
    source: str,
    limits: tuple[Bound, ...] = (),
) -> Evaluation:
    """Score labelled rows with a version as it is deployed, measure, and log a run.

    Args:
        client: Registry.
        settings: Data folder, and where the embedded store keeps artifacts.
        reference: `NAME`, `NAME@alias` or `NAME/VERSION`.
        source: File, folder, glob or URL with raw rows and labels.
        limits: Floors and ceilings to hold the figures against.

    Raises:
        UsageError: There is no such version, or no row can be scored.
        SourceError: The source cannot be read.
    """
    version = registry.find_model(client, reference)
    bundle, contract = read_version(client, version)
    counts = RowCounts()
    energies, flags, slices = _scored(bundle, contract, source, settings.data_dir, counts)
    if not len(energies):
        why = "; ".join(counts.sentences()) or "the source has no rows"
        raise UsageError(f"{source}: no row can be scored: {why}")
    threshold = bundle.threshold.value
    known = flags >= 0
    labels = flags[known] == 1 if known.any() else None
    if labels is not None:
        energies, slices = energies[known], None if slices is None else slices[known]
    measured = measure_threshold(energies, labels, slices, threshold)
    values = floor_figures(measured)
    with opened(client, lambda: _open_run(client, settings, version)) as run_id:
        tracking.log_params(client, run_id, {"source": source})
        result = Evaluation(
            model=f"models:/{version.name}/{version.version}",
            source=source,
            counts=counts,
            threshold=threshold,
            measured=measured,
            alarms=_alarms(measured, bundle),
            failed=tuple(
                limit.sentence(values.get(limit.name))
                for limit in limits
                if not limit.holds(values.get(limit.name))
            ),
            run_id=run_id,
            run_url=tracking.run_url(settings, client.get_run(run_id).info.experiment_id, run_id),
        )
        _log(client, version, result, energies, labels)
    return result


def _scored(
    bundle: ScoringBundle, contract: Contract, source: str, data_dir: Path, counts: RowCounts
) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
    """Energies, labels (1, 0, -1) and slices of the rows that can be scored."""
    energies, flags, slices = [np.empty(0)], [np.empty(0, np.int8)], []
    for batch in read_labelled(contract, source, data_dir, counts):
        if len(batch.ids):
            energies.append(bundle.score(as_columns(batch.features)).energy)
            flags.append(batch.labels)
            slices += batch.slices or []
    values = np.array(slices, dtype=object) if contract.slice_column else None
    return np.concatenate(energies), np.concatenate(flags), values


def floor_figures(measured: Measured) -> dict[str, float]:
    """Values by the names that floors have; what was not measured is left out."""
    deployed = measured.deployment
    values = {name: interval.value for name, interval in deployed.figures().items()}
    return values | {"alert_rate": deployed.alert_rate}


def _alarms(measured: Measured, bundle: ScoringBundle) -> tuple[int, int, int] | None:
    deployed = measured.deployment
    if not deployed.normals or deployed.false_alarm_rate is None:
        return None
    expected = alarms_expected(deployed.normals, bundle.calibration, bundle.threshold.value)
    came = round(deployed.false_alarm_rate.value * deployed.normals)
    return came, int(expected.ppf(0.025)), int(expected.isf(0.025))


def _open_run(client: MlflowClient, settings: Settings, version: ModelVersion) -> str:
    experiment = tracking.experiment_id(client, settings, EXPERIMENT)
    tags = {
        "dagmm.evaluated": f"{version.name}/{version.version}",
        "dagmm.evidence_sha256": version.tags.get(seal.EVIDENCE_TAG, ""),
    }
    title = f"{version.name}-v{version.version}"
    run_id = runs.begin(client, experiment, title, "dagmm evaluate", tags)
    # Of one that is killed outright nobody could say so later: no command goes on with it.
    client.set_terminated(run_id, "KILLED")
    return run_id


def _log(
    client: MlflowClient,
    version: ModelVersion,
    result: Evaluation,
    energies: np.ndarray,
    labels: np.ndarray | None,
) -> None:
    tracking.log_metrics(client, result.run_id, _metrics(result))
    client.log_dict(result.run_id, plain(result), "evaluation.json")
    figures = plots.at_threshold(energies, labels, result.threshold)
    log_figures(client, result.run_id, figures)
    note = (
        f"{result.measured.deployment.rows:,} rows of {inert(result.source)}, measured on "
        f"{result.model}"
    )
    tracking.set_tags(client, result.run_id, {"mlflow.note.content": note})
    number = str(version.version)
    client.set_model_version_tag(version.name, number, "dagmm.last_evaluation", result.run_id)


def _metrics(result: Evaluation) -> Mapping[str, float]:
    counts = result.counts
    values = {f"deployed/{name}": value for name, value in floor_figures(result.measured).items()}
    for name, interval in result.measured.deployment.figures().items():
        values[f"test_interval/{name}_low"] = interval.low
        values[f"test_interval/{name}_high"] = interval.high
    return values | {
        "rows": float(counts.rows),
        "rows/rejected": float(counts.rejected),
        "rows/unlabelled": float(counts.unlabelled),
        "threshold": result.threshold,
    }
