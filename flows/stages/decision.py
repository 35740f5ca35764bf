"""What a training has come to: the evidence, the version of it, the decision on that."""

from typing import Literal

from flows.common.gate_results import SWITCHES, GateResult
from flows.common.value_types import Frozen
from flows.stages import records
from flows.stages.records import StageRecord


class Evidence(Frozen):
    """Everything that was found out about a candidate before it is registered."""

    ingest: records.IngestedTable
    validation: records.ValidateRecord
    verdicts: records.JudgedRecord | None = None
    split: records.SplitRecord
    choice: records.ChoiceRecord | None = None
    fit: records.FitRecord
    calibrate: records.CalibrateRecord
    evaluate: records.EvaluateRecord


class RegisterRecord(StageRecord):
    """The version in the registry."""

    run_id: str
    experiment_id: str
    model_id: str
    name: str
    version: int
    model_uri: str

    def summary(self) -> str:
        return f"{self.name} version {self.version}"


Decision = Literal[
    "promoted",
    "rejected",
    "pending approval",
    "pending shadow",
    "returned",
    "unchanged",
    "held",
    "registered only",
    "rolled back",
    "not served",
]
"""`returned`: the switch was made, the model did not answer as recorded, and it was undone.
`pending shadow`: it has to score more live rows beside production first.
`held`: nothing but a person's hold on the model keeps the version back. `not served`: a server
that follows the alias found the version unfit, and goes on with the one before."""


class PromoteRecord(StageRecord):
    """The decision on a version, with every gate that led to it.

    `reasons` are sentences for people, a line each; `remark` is what no gate says. `best_before` is
    the best earlier version that the candidate was compared with.
    """

    name: str
    version: int
    decision: Decision
    previous: int | None
    gates: tuple[GateResult, ...]
    reasons: tuple[str, ...]
    remark: str = ""
    hold: Literal["", "holds", "releases"] = ""
    best_before: int | None = None
    evidence_sha256: str = ""
    rehearsal: bool = False

    @property
    def replaced(self) -> bool:
        """Whether `previous` went out of production by this; else it is still there."""
        return self.decision in SWITCHES and not self.rehearsal

    @property
    def beside(self) -> str:
        """`in production before: version 3`, or now; empty where there was none."""
        if self.previous is None:
            return ""
        return f"in production {'before' if self.replaced else 'now'}: version {self.previous}"

    def summary(self) -> str:
        return f"would be {self.decision}" if self.rehearsal else self.decision


class TrainResult(Frozen):
    """Everything that a finished `train` flow can say."""

    dataset: str
    evidence: Evidence
    registration: RegisterRecord
    promotion: PromoteRecord
    run_url: str
    report: str = ""

    def stages(self) -> dict[str, StageRecord]:
        """The record of each stage, in the order of the flow."""
        records: dict[str, StageRecord] = {n: s for n, s in self.evidence if s is not None}
        return records | {"register": self.registration, "promote": self.promotion}
