"""What each stage leaves behind: small frozen records that name what was written."""

from typing import Any, Literal

from pydantic import Field

from dagmm_model.evaluation.metrics import DeploymentMetrics, PaperMetrics, SliceMetrics
from dagmm_model.evaluation.threshold import Threshold
from flows.common.value_types import Strict


class StageRecord(Strict):
    """Base of all records; `seconds` is the wall time of the stage."""

    seconds: float = 0.0

    def summary(self) -> str:
        """A few words for the progress line."""
        return ""


class IngestedTable(StageRecord):
    """The table as it was read."""

    path: str
    rows: int
    columns: int
    sha256: str
    source: str

    def summary(self) -> str:
        return f"{self.rows:,} rows, {self.columns} columns from {self.source}"


class RuleFailure(StageRecord):
    """One expectation that was not met."""

    expectation: str
    column: str | None
    severity: str
    unexpected: int
    message: str


class ValidateRecord(StageRecord):
    """Verdict of the data checks and the rows that passed."""

    passed: bool
    message: str
    rows_in: int
    rows_valid: int
    rows_quarantined: int
    failures: tuple[RuleFailure, ...]
    path: str
    sha256: str
    quarantine: str | None
    data_docs: str | None
    result: str

    def summary(self) -> str:
        return f"{self.rows_valid:,} valid, {self.rows_quarantined:,} quarantined"


class JudgedRecord(StageRecord):
    """The valid rows with what people have said about them.

    Attributes:
        path: Parquet of the rows; the valid rows themselves where nobody has said anything.
        sha256: Of it.
        rows: In it.
        anomalies: Rows judged anomalies, and `normals` normal, that the contract takes.
        appended: Those of them that the table does not have.
        relabelled: Rows of the table whose label said otherwise.
        left_out: Judged rows that the contract does not take.
        verdicts_sha256: Of the verdicts that were used; empty without any.
    """

    path: str
    sha256: str
    rows: int
    anomalies: int = 0
    normals: int = 0
    appended: int = 0
    relabelled: int = 0
    left_out: int = 0
    verdicts_sha256: str = ""

    def summary(self) -> str:
        if not self.verdicts_sha256:
            return "none" + (
                f" that the contract takes, of {self.left_out:,}" if self.left_out else ""
            )
        parts = [f"{self.anomalies:,} anomalies, {self.normals:,} normal rows"]
        parts += [f"{self.appended:,} of them new"] if self.appended else []
        parts += [f"{self.relabelled:,} relabelled"] if self.relabelled else []
        parts += [f"{self.left_out:,} left out"] if self.left_out else []
        return "; ".join(parts)


class SplitRecord(StageRecord):
    """Which rows train, validate and test; `parts` is a Parquet of row position and part."""

    protocol: Literal["deployment", "paper"]
    seed: int
    parts: str
    train_rows: int
    validation_rows: int
    test_rows: int
    test_anomalies: int | None
    set_aside_rows: int
    train_sha256: str
    validation_sha256: str
    test_sha256: str
    begins: tuple[str, str] | None = None
    """First moment of validation and test, where the rows were divided by time."""

    def summary(self) -> str:
        validation, test = ("", "") if self.begins is None else (f" from {b}" for b in self.begins)
        return (
            f"train {self.train_rows:,} normal, validation {self.validation_rows:,} normal"
            f"{validation}, test {self.test_rows:,}{test}"
        )


class CandidateRecord(StageRecord):
    """A detector that could be chosen; `failed` says why it has no figures."""

    name: str
    average_precision: float | None = None
    roc_auc: float | None = None
    failed: str = ""


class ChoiceRecord(StageRecord):
    """Which detector is trained where that was left to the data, and why."""

    detector: str
    measured: bool
    fitted_rows: int
    normals: int
    anomalies: int
    reason: str
    candidates: tuple[CandidateRecord, ...] = ()

    def summary(self) -> str:
        return f"{self.detector}: {self.reason}"


class FitRecord(StageRecord):
    """The fitted detector and how its training went."""

    detector: str
    sha256: str
    device: str
    epochs: int
    first_epoch: dict[str, float] = Field(default_factory=dict)
    last_epoch: dict[str, float]
    health: dict[str, float]
    settings: dict[str, Any]
    ranks: int = 1
    device_reason: str = ""

    @property
    def where(self) -> str:
        """The device, and how many ranks there were."""
        return self.device if self.ranks == 1 else f"{self.device} by {self.ranks} ranks"

    def change(self, term: str) -> str:
        """What training made of a term of the objective, from the first epoch to the last."""
        value = f"{self.last_epoch[term]:.4g}"
        return f"{self.first_epoch[term]:.4g} → {value}" if term in self.first_epoch else value

    def summary(self) -> str:
        if not self.last_epoch:
            return f"fitted on {self.where}"
        term = next(iter(self.last_epoch))
        return f"{self.epochs} epochs on {self.where}, {term} {self.change(term)}"


class CalibrateRecord(StageRecord):
    """The threshold; `bundle` is the complete scoring bundle."""

    threshold: Threshold
    bundle: str
    sha256: str
    deployable: bool

    def summary(self) -> str:
        return f"threshold {self.threshold.value:.4g} ({self.threshold.method})"


class SanityRow(StageRecord):
    """A plain detector on the same split, scored by the paper's threshold."""

    name: str
    f1: float
    roc_auc: float
    average_precision: float


class EvaluateRecord(StageRecord):
    """Evidence on the test rows; `energies` is a Parquet of row id, energy and label.

    `untrained` is a Parquet with a column of energies for each of `sanity`.
    """

    deployment: DeploymentMetrics
    known_ratio: PaperMetrics | None
    slices: tuple[SliceMetrics, ...]
    sanity: tuple[SanityRow, ...]
    energies: str
    sha256: str
    untrained: str | None = None

    def summary(self) -> str:
        auc = self.deployment.roc_auc
        return f"ROC AUC {auc.value:.3f}" if auc else self.deployment.not_reported
