"""A training: what all of its stages know, and what those that are done have left."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Self

from data_checks.contract.model import Contract
from flows.common.config import TrainConfig
from flows.common.settings import Settings
from flows.stages.decision import Evidence
from flows.stages.records import StageRecord

EVIDENCE = "evidence"
"""In a table of stages: the records of all stages before, as one value."""
EVIDENCE_KEYS = {"validate": "validation", "choose": "choice"}
"""Stages that the evidence has under another name."""


@dataclass(frozen=True)
class TrainRun:
    """One training on its way through the stages.

    Attributes:
        path: Folder that receives what the stages write.
        settings: Where everything is kept.
        run_id: MLflow run; empty as long as there is none.
        records: What is done, by the name of its stage.
    """

    path: Path
    contract: Contract
    config: TrainConfig
    settings: Settings
    run_id: str = ""
    records: Mapping[str, StageRecord] = field(default_factory=dict)

    @property
    def model_name(self) -> str:
        """Name in the registry."""
        return self.config.model_name or f"dagmm-{self.contract.name}"

    def having(self, name: str, record: StageRecord) -> Self:
        """The training after a stage."""
        return replace(self, records={**self.records, name: record})

    def record(self, name: str) -> Any:
        """What a stage has left, or the evidence of all so far."""
        return self.evidence() if name == EVIDENCE else self.records[name]

    def evidence(self) -> Evidence:
        """Everything found out up to the evaluation; the valid rows are those with verdicts."""
        records = {EVIDENCE_KEYS.get(name, name): record for name, record in self.records.items()}
        rows = records["verdicts"]
        update = {"path": rows.path, "sha256": rows.sha256}
        records["validation"] = records["validation"].model_copy(update=update)
        return Evidence(**{name: records.get(name) for name in Evidence.model_fields})
