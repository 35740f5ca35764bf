"""A version as it is served: in memory, compared with its seal, seen to answer as recorded."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from dagmm_model.detectors.bundle import Explained, Scores
from data_checks.base.errors import SourceError
from data_checks.rows.rows import RowCheck
from flows.api.bodies import Columns
from flows.api.refusals import INVALID, Refused
from flows.common.features import as_columns
from flows.promotion.version.canary import SAME_ENERGY, largest_difference
from flows.shadow.version import Version

WHERE = "the request"
REJECTED_SHOWN = 1000
"""Most rows that a refusal lists with their reasons."""


class NotAsRecorded(ValueError):
    """A version gives other energies than were recorded when it was trained."""


@dataclass(frozen=True, kw_only=True)
class ServedModel(Version):
    """A version that answers; safe to use from several threads, never changed.

    Attributes:
        created: When it was registered, seconds since 1970, UTC.
        detector: Name in the catalogue.
        canary: Columns of a few raw rows that were kept with the version, the strangest last.
        recorded: Their energies at training.
    """

    created: float
    detector: str
    canary: dict[str, list[Any]]
    recorded: np.ndarray

    @property
    def threshold(self) -> float:
        """Energy above which a row is an anomaly."""
        return float(self.bundle.threshold.value)

    @cached_property
    def names(self) -> tuple[str, ...]:
        """Columns that a row needs."""
        return tuple(column.name for column in self.contract.feature_columns)

    @property
    def example(self) -> dict[str, Any]:
        """A raw row."""
        return {name: values[-1] for name, values in self.canary.items()}

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
