"""Everything kept of a version, fetched from the stores: evidence, evaluation files, model."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Iterator
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
from flows.common.errors import UsageError
from flows.common.features import labels_of, model_input
from flows.common.policy import PromotionPolicy
from flows.promotion.gates.case import SAME_ENERGY, Case, MixtureState, largest_difference
from flows.promotion.version import evidence as bound
from flows.services import helper
from flows.tracking import registry, seal

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
        """Every way in which the bytes differ from the evidence, or it is older than that."""
        return bound.altered(self, max_days, names)


def fetch_version(client: MlflowClient, version: ModelVersion, folder: Path) -> StoredVersion:
    """Copy everything kept of a version into a folder.

    Raises:
        UsageError: The version carries no evidence.
    """
    try:
        stored = _fetched(client, version, folder, bound.EVALUATION)
    except (OSError, mlflow.MlflowException) as error:
        raise UsageError(
            f"version {version.version} of {version.name!r} carries no evidence ({error}); "
            "register it through `dagmm train`"
        ) from None
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
    evidence = text.read_text(
        encoding="utf-8", errors="replace"
    )  # what is replaced breaks the seal
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


def read_case(stored: StoredVersion, policy: PromotionPolicy) -> Case:
    """Score the candidate on its evaluation rows and gather what the gates judge."""
    from dagmm_model.detectors.file_format import load_bundle

    frame = model_input(stored.rows, stored.contract)
    recorded, labels, slices = stored.recorded()
    bundle = load_bundle(stored.model / seal.BUNDLE)
    baselines, positions = _baselines(stored.files / bound.BASELINES)
    return Case(
        policy=policy,
        evidence=stored.evidence,
        frame=frame,
        labels=labels,
        slices=slices,
        recorded=recorded,
        candidate=bundle.score(frame).energy,
        production=None,
        production_error="",
        baselines=baselines,
        baseline_rows=positions,
        threshold=bundle.threshold.value,
        calibration=bundle.calibration,
        health=_health(bundle.detector),
    )


def _health(detector: Any) -> MixtureState | None:
    """The worst of the mixtures; None where the detector says that it has none."""
    if detector.health_ is None:
        return None
    every = [mixture.health() for mixture in detector.mixtures_]
    return MixtureState(
        min(health.min_phi for health in every),
        max(health.max_condition for health in every),
        min(health.effective_components for health in every),
    )


def _baselines(path: Path) -> tuple[dict[str, np.ndarray], np.ndarray]:
    if not path.exists():
        return {}, np.array([], dtype=np.int64)
    table = pq.read_table(path)
    columns = {name: table.column(name).to_numpy() for name in table.column_names}
    return columns, columns.pop("position")


def score_rows(client: MlflowClient, version: ModelVersion, frame: Any) -> np.ndarray:
    """Energies of raw rows by a version, from its bundle: none of the code in its model is run.

    Raises:
        SealBroken: Its files are not those that were registered.
        EncodingError: The rows are not what it takes.
    """
    from dagmm_model.detectors.file_format import energies

    with seal.sealed_bundle(client, version) as folder:
        return helper.run_in_helper(energies, folder, frame)


def answer_probe(client: MlflowClient, name: str) -> Callable[[int], str]:
    """A probe of ``models:/NAME@production``: what is wrong with its answers, or nothing."""

    def probe(version: int) -> str:
        try:
            serving = client.get_model_version_by_alias(name, registry.PRODUCTION)
            canary = sealed_canary(client, registry.find_version(client, name, version))
            energies = score_rows(client, serving, canary_columns(canary))
        except Exception as error:  # whatever it is, production cannot answer
            return f"{type(error).__name__}: {error}"
        worst = largest_difference(energies, np.array(canary["energy"]))
        if worst <= SAME_ENERGY:
            return ""
        return f"the canary batch differs by {worst:.1e} from the recorded energies"

    return probe


def sealed_canary(client: MlflowClient, version: ModelVersion) -> dict[str, Any]:
    """The canary batch of a version: columns, data and recorded energies.

    Raises:
        SealBroken: It is not the one that the evidence was sealed with.
    """
    changed = f"{bound.CANARY} was changed after the registration"
    with sealed_file(client, version, bound.CANARY, changed) as path:
        if path is None:
            raise seal.SealBroken("its evidence names no canary rows")
        canary: dict[str, Any] = json.loads(path.read_bytes())
    return canary


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


def canary_columns(canary: dict[str, Any]) -> dict[str, list[Any]]:
    """Raw values of a canary batch by column."""
    return dict(zip(canary["columns"], map(list, zip(*canary["data"], strict=True)), strict=True))
