"""What was found out about a version, bound to the bytes it was found out on.

`evidence.json` carries the digest of the model's files and of every evaluation file; its own
digest is a tag of the version. So whoever changes one byte of any of them is found out, unless
they also hold the right to write tags in the registry.
"""

import hashlib
import json
import platform
import time
from collections.abc import Mapping
from importlib.metadata import version as installed
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from mlflow.tracking import MlflowClient

from dagmm_model.base.integrity import sha256_of
from dagmm_model.tables.preprocessing import Encoder
from data_checks.base.scratch import scratch_folder
from flows.tracking import signing
from flows.tracking.seal import EVIDENCE, FORMAT, model_sha256, stored

EVALUATION = "evaluation"
ROWS, ENERGIES, BASELINES, CONTRACT, CANARY, REFERENCE = (
    "test_rows.parquet",
    "test_energies.parquet",
    "rival_energies.parquet",
    "contract.json",
    "canary.json",
    "reference.json",
)
FILES = {
    ROWS: "the evaluation rows",
    ENERGIES: "the recorded energies",
    BASELINES: "the energies of the simple detectors",
    CONTRACT: "the contract",
    CANARY: "the canary batch",
    REFERENCE: "the training profile",
}
BASELINE_ROWS = 20_000
PACKAGES = ("mlflow", "numpy", "pandas", "prefect", "scikit-learn", "torch")


def environment(device: str) -> dict[str, str]:
    """Where and with what the version was made."""
    return {
        "python": platform.python_version(),
        "machine": f"{platform.system()} {platform.machine()}",
        "device": device,
        **{name: installed(name) for name in PACKAGES},
    }


def write_baselines(
    encoder: Encoder,
    train: Any,
    test: Any,
    labels: np.ndarray,
    seed: int,
    path: Path,
    untrained: Mapping[str, np.ndarray],
) -> None:
    """Fit the simple detectors on the training rows and keep their energies of evaluation rows.

    Of more than `BASELINE_ROWS` evaluation rows a sample is scored, the share of anomalies kept.

    Args:
        encoder: The version's own encoder.
        train: Raw training rows, normal only.
        test: Raw evaluation rows.
        labels: True for anomalous evaluation rows, shape ``(rows,)``.
        seed: Of the detectors that draw.
        path: Parquet to write: position among the evaluation rows, and a column a detector.
        untrained: Energies of all evaluation rows by the version's own network before training.
    """
    from dagmm_model.detectors.baselines.simple import SIMPLE
    from dagmm_model.detectors.catalogue import make_detector
    from dagmm_model.detectors.interface import NotEnoughRowsError

    positions = _sample(labels, seed)
    matrix = encoder.encode(train)
    rows = encoder.encode(test.iloc[positions])
    columns: dict[str, np.ndarray] = {"position": positions}
    for name in SIMPLE:
        try:
            columns[name] = make_detector(name, seed=seed).fit(matrix).energy(rows)
        except NotEnoughRowsError:
            continue  # so few rows that the detector does not exist: there is nothing to beat
    columns |= {name: energies[positions] for name, energies in untrained.items()}
    pq.write_table(pa.table(columns), path)


def _sample(labels: np.ndarray, seed: int) -> np.ndarray:
    if len(labels) <= BASELINE_ROWS:
        return np.arange(len(labels))
    rng = np.random.default_rng(seed)
    kept = [
        rng.choice(rows, max(1, round(len(rows) * BASELINE_ROWS / len(labels))), replace=False)
        for rows in (np.flatnonzero(labels), np.flatnonzero(~labels))
        if len(rows)
    ]
    return np.sort(np.concatenate(kept))


def seal(
    document: Mapping[str, Any], model: Path, files: Path, run_id: str, model_id: str
) -> tuple[str, str]:
    """Text of `evidence.json` and its sha256."""
    sealed = {
        "format": FORMAT,
        "created": time.time(),
        "run_id": run_id,
        "model_id": model_id,
        "model_sha256": model_sha256(model),
        "files": {name: sha256_of(files / name) for name in FILES if (files / name).exists()},
        **document,
    }
    text = json.dumps(sealed, indent=2)
    return text, sha256_of_text(text)


def write_evidence(
    client: MlflowClient,
    name: str,
    run_id: str,
    model_id: str,
    document: Mapping[str, Any],
    files: Path,
) -> str:
    """Write `evidence.json` of a run, signed where there is a key for it; gives its sha256."""
    with scratch_folder() as scratch:
        # The model as promotion will see it: as the store has it.
        model = stored(client, f"models:/{model_id}", scratch / "model")
        text, sha256 = seal(document, model, files, run_id, model_id)
    client.log_text(run_id, text, EVIDENCE)
    signing.sign(client, name, run_id, text)
    return sha256


def sha256_of_text(text: str) -> str:
    """sha256 of a text as UTF-8."""
    return hashlib.sha256(text.encode()).hexdigest()
