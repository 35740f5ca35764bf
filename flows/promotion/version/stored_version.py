"""Everything kept of a version, fetched from the stores: evidence, evaluation files, model."""

import json
import math
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from mlflow.entities.model_registry import ModelVersion
from mlflow.tracking import MlflowClient

from data_checks.base.scratch import scratch_folder
from data_checks.contract.model import Contract, load_contract
from flows.common.errors import EXIT_UNREACHABLE, UsageError, exit_code
from flows.common.features import labels_of
from flows.common.policy import PromotionPolicy
from flows.common.value_types import json_sha256
from flows.promotion.version import evidence as bound
from flows.services import helper
from flows.tracking import seal, signing

CANARY_PATH = f"{bound.EVALUATION}/{bound.CANARY}"


@dataclass(frozen=True)
class StoredVersion:
    """A version as it lies in the stores now.

    Attributes:
        text: ``evidence.json``.
        files: Folder of the evaluation files.
        signed: Signature of the evidence, where one is asked for and there.
    """

    version: ModelVersion
    text: str
    files: Path
    model: Path
    signed: bytes | None = None

    @cached_property
    def evidence(self) -> dict[str, Any]:
        """The evidence; empty where it is not as sealed, so that nothing is believed of it."""
        evidence: dict[str, Any] = {}
        if bound.sha256_of_text(self.text) == self.sha256:
            evidence = json.loads(self.text)
        return evidence

    @property
    def sha256(self) -> str:
        """Digest of the evidence, as sealed at registration."""
        return self.version.tags.get(seal.EVIDENCE_TAG, "")

    @property
    def policy(self) -> PromotionPolicy:
        """Policy that the version was trained under; the usual one where nobody can tell."""
        if not self.evidence:
            return PromotionPolicy()  # the gate `evidence` will say so
        return PromotionPolicy.model_validate(self.evidence["config"]["promotion"])

    @property
    def rows_per_day(self) -> int | None:
        """Rows that come in a day, where whoever trained it said so."""
        calibration: dict[str, Any] = self.evidence.get("config", {}).get("calibration", {})
        return calibration.get("rows_per_day")

    @property
    def requested_by(self) -> str:
        """Who trained the version."""
        return str(self.evidence.get("requested_by", ""))

    @property
    def canary(self) -> dict[str, Any]:
        """The canary batch: columns, data and recorded energies."""
        return json.loads((self.files / bound.CANARY).read_text(encoding="utf-8"))

    @cached_property
    def contract(self) -> Contract:
        """The contract of its rows."""
        return load_contract(self.files / bound.CONTRACT)

    @cached_property
    def rows(self) -> pa.Table:
        """The kept evaluation rows."""
        return pq.read_table(self.files / bound.ROWS)

    def recorded(self) -> tuple[np.ndarray, np.ndarray | None, np.ndarray | None]:
        """Energies, labels and slices of the kept evaluation rows."""
        energies = pq.read_table(self.files / bound.ENERGIES, columns=["energy"])
        slices = None
        if (column := self.contract.slice_column) in self.rows.column_names:
            slices = np.array(self.rows.column(column).to_pylist(), dtype=object)
        return energies.column("energy").to_numpy(), labels_of(self.rows), slices

    def problems(
        self, max_days: float = math.inf, names: Iterable[str] = tuple(bound.FILES)
    ) -> tuple[str, ...]:
        """Every way in which the bytes differ from what the evidence was made on.

        Args:
            max_days: Oldest evidence accepted.
            names: Evaluation files to look at.

        Returns:
            One sentence for each difference; none when everything holds.
        """
        if not self.sha256:
            return ("the version carries no sealed evidence; train it again",)
        try:
            problems = list(self._differences(json.loads(self.text), max_days, names))
        except (ValueError, LookupError, TypeError, AttributeError):  # it is no evidence any more
            problems = []
        # Said only where nothing better can be said: a changed part changes the whole as well.
        if not problems and bound.sha256_of_text(self.text) != self.sha256:
            problems.append("evidence.json was changed after the registration")
        if not problems and (
            unsigned := signing.problem(self.version, self.text.encode(), self.signed)
        ):
            problems.append(unsigned)
        return tuple(problems)

    def _differences(
        self, evidence: dict[str, Any], max_days: float, names: Iterable[str]
    ) -> Iterator[str]:
        if evidence["format"] != seal.FORMAT:
            yield f"the evidence has format {evidence['format']}, not {seal.FORMAT}; train it again"
            return
        if evidence["run_id"] != self.version.run_id:
            yield (
                "the evidence is of an older evaluation: "
                f"of run {evidence['run_id']}, not {self.version.run_id}"
            )
        if (time.time() - evidence["created"]) / 86_400 > max_days:
            yield (
                f"the evaluation is older than {max_days:g} days: evaluate again by training again"
            )
        sealed = self.version.tags.get("dagmm.config_sha256", evidence.get("config_sha256"))
        if json_sha256(evidence["config"]) != sealed:
            yield "the configuration was changed after the training"
        for name in names:
            what, recorded = bound.FILES[name], evidence["files"].get(name)
            there = (self.files / name).exists()
            if recorded is None and there:
                yield f"{what} ({name}): added after the evaluation"
            elif recorded is not None and not there:
                yield f"{what} ({name}): gone"
            elif there and not seal.is_recorded(self.files / name, str(recorded)):
                yield f"{what} ({name}): changed after the evaluation"
        if seal.model_sha256(self.model) != evidence["model_sha256"]:
            yield "the model's files are not those that were evaluated"


def fetch_version(client: MlflowClient, version: ModelVersion, folder: Path) -> StoredVersion:
    """Copy everything kept of a version into a folder.

    Raises:
        UsageError: The version carries no evidence, or what it had is gone.
    """
    try:
        stored = _fetched(client, version, folder, bound.EVALUATION)
    except (OSError, mlflow.MlflowException) as error:
        if exit_code(error) == EXIT_UNREACHABLE:  # it says nothing of the version
            raise
        why = f"carries no evidence ({error}); register it through `dagmm train`"
        if version.run_id and seal.EVIDENCE_TAG in version.tags:
            why = f"is not complete any more ({error}); restore its files from a backup"
        raise UsageError(f"version {version.version} of {version.name!r} {why}") from None
    return replace(stored, signed=seal.read_signature(client, version.run_id))


def _fetched(
    client: MlflowClient, version: ModelVersion, folder: Path, artifact: str
) -> StoredVersion:
    """Evidence, model, and the evaluation files or one of them, without the signature."""
    if not version.run_id:
        raise OSError("it belongs to no run")
    text = Path(client.download_artifacts(version.run_id, seal.EVIDENCE, str(folder)))
    there = Path(client.download_artifacts(version.run_id, artifact, str(folder)))
    model = seal.fetch(client, version.source, folder / "model")
    evidence = text.read_text(encoding="utf-8", errors="replace")  # which breaks the seal
    return StoredVersion(version, evidence, there if there.is_dir() else there.parent, model)


def check_light(client: MlflowClient, version: ModelVersion) -> tuple[str, ...]:
    """As `StoredVersion.problems`, without the evaluation rows: quick however large they are."""
    with scratch_folder() as folder:
        try:
            stored = _fetched(client, version, folder, CANARY_PATH)
        except (OSError, mlflow.MlflowException) as error:
            return (f"it cannot be fetched: {error}",)
        signed = seal.read_signature(client, version.run_id)
        return replace(stored, signed=signed).problems(names=(bound.CANARY,))


def score_rows(client: MlflowClient, version: ModelVersion, frame: Any) -> np.ndarray:
    """Energies of raw rows by a version, from its bundle: none of the code in its model is run.

    Raises:
        SealBroken: Its files are not those that were registered.
        EncodingError: The rows are not what it takes.
    """
    from dagmm_model.detectors.file_format import energies

    with seal.sealed_bundle(client, version) as folder:
        return helper.run_in_helper(energies, folder, frame)


@contextmanager
def sealed_file(
    client: MlflowClient, version: ModelVersion, name: str, changed: str
) -> Iterator[Path | None]:
    """A private copy of an evaluation file of a version; None where its evidence names none.

    Raises:
        SealBroken: It is not the one that the evidence was sealed with; `changed` is what is said.
    """
    recorded = seal.sealed_evidence(client, version)["files"].get(name)
    if recorded is None:
        yield None
        return
    with scratch_folder() as scratch:
        artifact = f"{bound.EVALUATION}/{name}"
        path = Path(client.download_artifacts(version.run_id, artifact, str(scratch)))
        if not seal.is_recorded(path, recorded):
            raise seal.SealBroken(changed)
        yield path
