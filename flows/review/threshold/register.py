"""A version with another threshold: its run, its evidence, its figures; begun again, it goes on."""

import hashlib
import json
from dataclasses import asdict, dataclass
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from mlflow.tracking import MlflowClient

from dagmm_model.detectors.file_format import exchange_threshold, load_bundle
from dagmm_model.evaluation.threshold import CONFORMAL, Threshold, exceeds
from flows.common.config import TrainConfig
from flows.common.settings import Settings
from flows.common.signals import reached
from flows.common.value_types import json_sha256
from flows.promotion.version import evidence as bound
from flows.promotion.version.stored_version import StoredVersion
from flows.reporting import plots
from flows.reporting.budget import log_figures, log_what_if
from flows.reporting.summary import metric_values, model_card
from flows.review.measured import Measured
from flows.stages.decision import Evidence, PromoteRecord
from flows.stages.workspace import sha256_of
from flows.tracking import packaging, registry, runs, seal, tracking
from flows.tracking.ending import opened

STEPS = ("run opened", "model logged", "files logged", "version registered", "version sealed")


@dataclass(frozen=True)
class ThresholdChange:
    """A new threshold, and what became of it.

    Attributes:
        source: Version whose detector it is.
        before: Threshold of that version.
        threshold: The new one.
        then: Figures of the kept evaluation rows at the old threshold.
        now: The same at the new one.
        version: Version that has the new threshold, `source` itself when it had it before; None
            when it was only rehearsed.
        promotion: The decision on it; None when there was none to take.
    """

    name: str
    source: int
    before: Threshold
    threshold: Threshold
    then: Measured
    now: Measured
    version: int | None
    promotion: PromoteRecord | None


def register_change(
    client: MlflowClient,
    settings: Settings,
    stored: StoredVersion,
    change: ThresholdChange,
    by: str,
) -> int:
    """The sealed version; the caller holds a lease on the model."""
    contract = stored.contract
    with opened(client, lambda: _run(client, settings, stored, change)) as run_id:
        reached("run opened")
        made = registry.version_of_run(client, change.name, run_id)
        if made is not None and seal.EVIDENCE_TAG in made.tags:
            return int(made.version)  # of a process that was killed at the end
        exchange_threshold(stored.model / seal.BUNDLE, change.threshold)
        document = _document(stored, change, by)
        evidence = Evidence.model_validate(document)
        config = TrainConfig.model_validate(document["config"])
        model_id = packaging.logged_model(client, run_id) or packaging.log_copy(
            client, stored.model, run_id
        )
        reached("model logged")
        files = stored.files
        client.log_artifacts(run_id, str(files), bound.EVALUATION)
        _report(client, run_id, stored, change)
        sha256 = bound.write_evidence(client, change.name, run_id, model_id, document, files)
        reached("files logged")
        card = model_card(contract, config, evidence)
        tracking.set_tags(client, run_id, {"mlflow.note.content": card})
        rows, figures = document["test_sha256"], metric_values(evidence.evaluate)
        tracking.log_evaluation(client, run_id, model_id, contract, stored.rows, rows, figures)
        version = registry.register_version(
            client,
            change.name,
            f"models:/{model_id}",
            model_id,
            run_id,
            tags={"dagmm.detector": stored.version.tags.get("dagmm.detector", "")},
        )
        reached("version registered")
        client.update_model_version(change.name, str(version), card)
        client.set_registered_model_alias(change.name, registry.CHALLENGER, str(version))
        # Last, and again after a crash: only what is complete carries the seal.
        client.set_model_version_tag(change.name, str(version), seal.EVIDENCE_TAG, sha256)
        reached("version sealed")
    return version


def _run(
    client: MlflowClient, settings: Settings, stored: StoredVersion, change: ThresholdChange
) -> str:
    """The run of this request: found again after a crash, otherwise created."""
    dataset = stored.contract.name
    experiment = tracking.experiment_id(client, settings, f"dagmm-{dataset}")
    wanted = [stored.sha256, change.name, change.source, change.threshold.target_rate]
    if change.threshold.method != CONFORMAL:  # of confirmed rows, which may be others tomorrow
        wanted += [change.threshold.method, change.threshold.value]
    token = "threshold-" + hashlib.sha256(json.dumps(wanted).encode()).hexdigest()[:16]
    tags = {
        "dagmm.detector": stored.version.tags.get("dagmm.detector", ""),
        "dagmm.run": token,
        "dagmm.dataset": dataset,
        "dagmm.threshold_of": f"{change.name}/{change.source}",
    }
    title = f"{change.name}-v{change.source}-rate{change.threshold.target_rate:.4g}"
    return runs.begin(client, experiment, title, "dagmm threshold", tags, "dagmm.run")


def _document(stored: StoredVersion, change: ThresholdChange, by: str) -> dict[str, Any]:
    """The evidence with what a threshold changes; the verdicts in the files follow it.

    The time of the evaluation stays: no row was looked at again, so it ages on.
    """
    energies = stored.files / bound.ENERGIES
    table = pq.read_table(energies)
    flags = pa.array(exceeds(table.column("energy").to_numpy(), change.threshold.value))
    at = table.schema.get_field_index("is_anomaly")
    pq.write_table(table.set_column(at, "is_anomaly", flags), energies)
    bundle_sha256 = sha256_of(stored.model / seal.BUNDLE)
    evidence = stored.evidence
    config = json.loads(json.dumps(evidence["config"]))
    config["calibration"]["target_rate"] = change.threshold.target_rate
    sealed_anew = ("run_id", "model_id", "model_sha256", "files", "format")
    measured = json.loads(json.dumps(asdict(change.now)))
    return {
        **{key: value for key, value in evidence.items() if key not in sealed_anew},
        "config": config,
        "config_sha256": json_sha256(config),
        "bundle_sha256": bundle_sha256,
        "requested_by": by,
        "calibrate": {
            **evidence["calibrate"],
            "threshold": asdict(change.threshold),
            "sha256": bundle_sha256,
        },
        "evaluate": {
            **evidence["evaluate"],
            **measured,
            "sha256": sha256_of(energies),
        },
        "threshold_of": {"version": change.source, "evidence_sha256": stored.sha256},
    }


def _report(
    client: MlflowClient,
    run_id: str,
    stored: StoredVersion,
    change: ThresholdChange,
) -> None:
    """Figures and metrics as a training logs them, as far as a threshold changes them."""
    energies, labels, _ = stored.recorded()
    figures = plots.at_threshold(energies, labels, change.threshold.value)
    calibration = load_bundle(stored.model / seal.BUNDLE).calibration
    daily = stored.rows_per_day
    lines = log_what_if(client, run_id, change.threshold, calibration, energies, labels, daily)
    figures["what_if"] = plots.what_if_curves(lines, change.threshold.guaranteed_rate)
    log_figures(client, run_id, figures)
    tracking.log_metrics(client, run_id, {"threshold": change.threshold.value})
    tracking.log_params(client, run_id, {"calibration": asdict(change.threshold)})
