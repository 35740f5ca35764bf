"""A version as it is served: in memory, compared with its seal, seen to answer as recorded."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from mlflow.entities.model_registry import ModelVersion
from mlflow.tracking import MlflowClient

from dagmm_model.detectors.bundle import Explained, Scores, ScoringBundle
from data_checks.base.errors import SourceError
from data_checks.contract.model import Contract
from data_checks.rows.rows import RowCheck, RowChecker
from flows.api.bodies import Columns
from flows.api.refusals import INVALID, Refused
from flows.common.features import as_columns
from flows.promotion.gates.case import SAME_ENERGY, largest_difference
from flows.promotion.version.stored_version import canary_columns, sealed_canary
from flows.scoring.version import read_bundle
from flows.shadow.version import Version
from flows.tracking import seal

WHERE = "the request"
REJECTED_SHOWN = 1000
"""Most rows that a refusal lists with their reasons."""


class NotAsRecorded(ValueError):
    """A version gives other energies than were recorded when it was trained."""


@dataclass(frozen=True)
class ServedModel:
    """A version that answers; safe to use from several threads, never changed.

    Attributes:
        name: Registered model.
        version: Number.
        created: When it was registered, seconds since 1970, UTC.
        detector: Name in the catalogue.
        sealed: Digest of its evidence.
        bundle: Scores.
        contract: Says what rows are.
        example: Raw row that was kept with the version, the strangest of a few.
    """

    name: str
    version: int
    created: float
    detector: str
    sealed: str
    bundle: ScoringBundle
    contract: Contract
    example: dict[str, Any]

    @property
    def uri(self) -> str:
        """`models:/NAME/VERSION`."""
        return f"models:/{self.name}/{self.version}"

    @property
    def threshold(self) -> float:
        """Energy above which a row is an anomaly."""
        return float(self.bundle.threshold.value)

    @cached_property
    def names(self) -> tuple[str, ...]:
        """Columns that a row needs."""
        return tuple(column.name for column in self.contract.feature_columns)

    @cached_property
    def _check(self) -> RowChecker:
        return RowChecker(self.contract)

    @cached_property
    def in_shadow(self) -> Version:
        """The same, as a shadow compares it."""
        return Version(self.name, self.version, self.sealed, self.bundle, self.contract)

    def judge(self, columns: Columns, explain: Explained) -> tuple[RowCheck, Scores]:
        """Check and score rows, as `dagmm score` does and with its code.

        Raises:
            Refused: A row cannot be scored, or a column is missing.
        """
        try:
            checked = self._check(columns, where=WHERE)
        except SourceError as error:
            raise Refused(400, INVALID, str(error), "column") from None
        if checked.refusal:
            bad = np.flatnonzero(~checked.scorable)[:REJECTED_SHOWN]
            reasons = {int(row): str(checked.reasons[row]) for row in bad}
            raise Refused(400, INVALID, checked.refusal, "rows", reasons, checked.causes)
        return checked, self.bundle.score(as_columns(checked.features), explain)


def load(client: MlflowClient, version: ModelVersion) -> ServedModel:
    """Fetch a version, compare it with its seal, load it and replay its canary rows.

    The rows go the way that rows of a request go.

    Raises:
        SealBroken: Its files are not those that were registered.
        BundleError, ContractError: They are, and cannot be read by this program.
        NotAsRecorded: The canary rows get other energies than at training.
    """
    canary = sealed_canary(client, version)
    columns, recorded = canary_columns(canary), np.array(canary["energy"], dtype=np.float64)
    with seal.sealed_bundle(client, version) as folder:
        bundle, contract = read_bundle(folder)
    bundle.warm_up()
    served = ServedModel(
        name=version.name,
        version=int(version.version),
        created=version.creation_timestamp / 1000,
        detector=version.tags.get("dagmm.detector", ""),
        sealed=version.tags.get(seal.EVIDENCE_TAG, ""),
        bundle=bundle,
        contract=contract,
        example={name: values[-1] for name, values in columns.items()},
    )
    try:
        worst = largest_difference(served.judge(columns, "none")[1].energy, recorded)
    except Refused as refused:
        raise NotAsRecorded(f"{served.uri}: its canary rows are refused: {refused}") from None
    if not worst <= SAME_ENERGY:
        raise NotAsRecorded(
            f"{served.uri}: its canary rows differ by {worst:.1e} from the recorded energies"
        )
    return served
