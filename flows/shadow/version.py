"""A version that scores raw rows, as the shadow and the one that it is beside do."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Self

import pyarrow as pa
from mlflow.entities.model_registry import ModelVersion
from mlflow.tracking import MlflowClient

from dagmm_model.detectors.bundle import Explained, Scores, ScoringBundle
from data_checks.contract.columns import Outside
from data_checks.contract.model import Contract
from data_checks.rows.rows import RowCheck, RowChecker
from flows.common.features import as_columns
from flows.scoring.version import read_version
from flows.tracking import seal

Rows = Mapping[str, Sequence[Any]] | pa.Table | pa.RecordBatch


@dataclass(frozen=True)
class Version:
    """A version that scores raw rows.

    Attributes:
        name: Registered model.
        number: Of the version.
        sealed: Digest of its evidence.
        outside: As `dagmm score --outside`; as the contract has it when None.
    """

    name: str
    number: int
    sealed: str
    bundle: ScoringBundle
    contract: Contract
    outside: Outside | None = None

    @property
    def uri(self) -> str:
        """`models:/NAME/VERSION`."""
        return f"models:/{self.name}/{self.number}"

    def same_as(self, other: Self) -> bool:
        """By the seal as well: numbers begin anew when a registered model was deleted."""
        return (self.uri, self.sealed) == (other.uri, other.sealed)

    @cached_property
    def _check(self) -> RowChecker:
        return RowChecker(self.contract)

    def score(self, rows: Rows, explain: Explained = "none") -> tuple[RowCheck, Scores | None]:
        """Verdicts on the rows that can be scored; None where there is none.

        Raises:
            SourceError: A column is missing.
        """
        checked = self._check(rows, where="shadow", outside=self.outside)
        features = checked.features
        if not checked.scorable.all():
            features = features.filter(pa.array(checked.scorable))
        if not features.num_rows:
            return checked, None
        return checked, self.bundle.score(as_columns(features), explain)


def fetch_sealed(
    client: MlflowClient, version: ModelVersion, outside: Outside | None = None
) -> Version:
    """Fetch a version and compare it with its seal.

    Raises:
        SealBroken: Its files are not those that were registered.
        BundleError, ContractError: They are, and cannot be read by this program.
    """
    bundle, contract = read_version(client, version)
    sealed = version.tags.get(seal.EVIDENCE_TAG, "")
    return Version(version.name, int(version.version), sealed, bundle, contract, outside)
