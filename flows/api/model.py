"""A version as it is served: in memory, compared with its seal, seen to answer as recorded."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from dagmm_model.detectors.bundle import Explained, Scores, ScoringBundle
from data_checks.base.errors import SourceError
from data_checks.contract.model import Contract
from data_checks.rows.rows import RowCheck, RowChecker
from flows.api.bodies import Columns
from flows.api.refusals import INVALID, Refused
from flows.common.features import as_columns
from flows.promotion.version.canary import SAME_ENERGY, largest_difference

if TYPE_CHECKING:
    from flows.shadow.version import Version

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
        canary: Columns of a few raw rows that were kept with the version, the strangest last.
        recorded: Their energies at training.
    """

    name: str
    version: int
    created: float
    detector: str
    sealed: str
    bundle: ScoringBundle
    contract: Contract
    canary: dict[str, list[Any]]
    recorded: np.ndarray

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

    @property
    def example(self) -> dict[str, Any]:
        """A raw row."""
        return {name: values[-1] for name, values in self.canary.items()}

    @cached_property
    def in_shadow(self) -> Version:
        """The same, as a shadow compares it."""
        from flows.shadow.version import Version  # and MLflow, which a process that scores lacks

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

    def replay(self) -> None:
        """Score the canary rows, by the way that rows of a request go.

        Raises:
            NotAsRecorded: They get other energies than at training.
        """
        try:
            worst = largest_difference(self.judge(self.canary, "none")[1].energy, self.recorded)
        except Refused as refused:
            raise NotAsRecorded(f"{self.uri}: its canary rows are refused: {refused}") from None
        if not worst <= SAME_ENERGY:
            raise NotAsRecorded(
                f"{self.uri}: its canary rows differ by {worst:.1e} from the recorded energies"
            )
