"""Registers the bundle as a version of the model registry, with its evidence."""

import shutil
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from dagmm_model.detectors.catalogue import entry
from data_checks.drift import drift_reference
from flows.common.features import as_frame, labels_of, model_input, read_rows
from flows.pipeline.fitting import training_rows
from flows.pipeline.fitting.fit import load_encoder
from flows.pipeline.report import reported_training
from flows.pipeline.split import positions
from flows.promotion.version import evidence as bound
from flows.promotion.version.canary import write_canary
from flows.reporting.summary import metric_values, model_card
from flows.stages.decision import Evidence, RegisterRecord
from flows.stages.run import TrainRun
from flows.tracking import packaging, registry, runs, seal, tracking

EXAMPLE_ROWS = 5


def register(run: TrainRun, evidence: Evidence) -> RegisterRecord:
    """Log the model, bind the evidence to it, and register it; repeating it adds nothing."""
    client, run_id, name = tracking.connect(run.settings), run.run_id, run.model_name
    contract, config = run.contract, run.config
    with reported_training(run, evidence):
        model_id, sha256 = _log_model(run, evidence)
    version = registry.register_version(
        client,
        name,
        f"models:/{model_id}",
        model_id,
        run_id,
        tags={"dagmm.detector": config.detector.name},
    )
    # Last, and again after a crash: only what is complete carries the seal.
    client.set_model_version_tag(name, str(version), seal.EVIDENCE_TAG, sha256)
    client.update_model_version(name, str(version), model_card(contract, config, evidence))
    client.set_registered_model_alias(name, registry.CHALLENGER, str(version))
    return RegisterRecord(
        run_id=run_id,
        experiment_id=client.get_run(run_id).info.experiment_id,
        model_id=model_id,
        name=name,
        version=version,
        model_uri=f"models:/{name}/{version}",
    )


def _log_model(run: TrainRun, evidence: Evidence) -> tuple[str, str]:
    """The id of the logged model, and the digest of the evidence that is bound to it."""
    client, run_id, name = tracking.connect(run.settings), run.run_id, run.model_name
    contract, config = run.contract, run.config
    parts, bundle = evidence.split, Path(evidence.calibrate.bundle)
    test = read_rows(evidence.validation.path, contract, positions(parts, "test"))
    needs = entry(config.detector.name).needs
    example = model_input(test.slice(0, EXAMPLE_ROWS), contract)
    model_id = (
        packaging.logged_model(client, run_id)
        or packaging.log_model(bundle, contract, example, run_id, needs).model_id
    )
    files = _evaluation_files(run, evidence, test)
    client.log_artifacts(run_id, str(files), bound.EVALUATION)
    commit, dirty = runs.git_state()
    document = {
        "config_sha256": config.digest,
        "contract_sha256": contract.digest,
        "lock_sha256": runs.lock_digest(),
        "bundle_sha256": evidence.calibrate.sha256,
        "train_sha256": parts.train_sha256,
        "validation_sha256": parts.validation_sha256,
        "test_sha256": parts.test_sha256,
        "git_commit": commit,
        "git_dirty": dirty,
        "requested_by": client.get_run(run_id).data.tags.get("mlflow.user", ""),
        "environment": bound.environment(evidence.fit.device),
        "config": config.model_dump(mode="json"),
        **evidence.model_dump(mode="json"),
    }
    sha256 = bound.write_evidence(client, name, run_id, model_id, document, files)
    rows, figures = parts.test_sha256, metric_values(evidence.evaluate)
    tracking.log_evaluation(client, run_id, model_id, contract, test, rows, figures)
    return model_id, sha256


def _evaluation_files(run: TrainRun, evidence: Evidence, test: pa.Table) -> Path:
    """Everything that promotion needs to judge the version again, in one folder."""
    contract = run.contract
    folder = run.path / bound.EVALUATION
    folder.mkdir(exist_ok=True)
    pq.write_table(test, folder / bound.ROWS, compression="zstd")
    shutil.copy(evidence.evaluate.energies, folder / bound.ENERGIES)
    shutil.copy(Path(evidence.calibrate.bundle) / "contract.json", folder / bound.CONTRACT)
    recorded = pq.read_table(folder / bound.ENERGIES).column("energy").to_numpy()
    frame = model_input(test, contract)
    write_canary(frame, recorded, folder / bound.CANARY)
    train = training_rows.rows_to_measure(run.path, evidence.verdicts, contract, evidence.split)
    profile = drift_reference(train, contract).model_dump_json()
    (folder / bound.REFERENCE).write_text(profile, encoding="utf-8")
    labels = labels_of(test)
    if labels is not None and 0 < labels.sum() < len(labels):
        bound.write_baselines(
            load_encoder(run.path),
            as_frame(train),
            as_frame(test),
            labels,
            run.config.seed,
            folder / bound.BASELINES,
            _untrained(evidence.evaluate.untrained),
        )
    return folder


def _untrained(path: str | None) -> dict[str, np.ndarray]:
    """Energies of the evaluation rows before training; none of a detector without epochs."""
    if path is None:
        return {}
    table = pq.read_table(path)
    return {name: table.column(name).to_numpy() for name in table.column_names}
