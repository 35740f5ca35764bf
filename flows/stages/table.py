"""The stages of a training: what each reads, what it leaves, and where its work is done."""

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from typing import Any

from flows.stages import records
from flows.stages.decision import PromoteRecord, RegisterRecord
from flows.stages.records import StageRecord
from flows.stages.run import EVIDENCE, TrainRun
from flows.stages.workspace import run_stage


@dataclass(frozen=True)
class Stage:
    """A step that is done once in a training, however often that is interrupted.

    Attributes:
        name: In progress, on Prefect's pages, and of the record's file.
        about: One line for those pages.
        home: `module:function` in `flows`; called with the training and with what it reads.
        reads: Stages whose records it is given, in this order.
        leaves: Kind of its record.
    """

    name: str
    about: str
    home: str
    reads: tuple[str, ...]
    leaves: type[StageRecord]

    def work(self) -> Callable[..., Any]:
        """The function, imported when the stage begins: libraries load while others work."""
        module, _, function = self.home.partition(":")
        return getattr(import_module(f"flows.{module}"), function)  # type: ignore[no-any-return]


STAGES = {
    stage.name: stage
    for stage in (
        Stage(
            "ingest", "Read the table.", "pipeline.ingest:ingest_rows", (), records.IngestedTable
        ),
        Stage(
            "validate",
            "Check the rows against the contract; a critical failure ends the flow.",
            "pipeline.validate:validate_rows",
            ("ingest",),
            records.ValidateRecord,
        ),
        Stage(
            "verdicts",
            "Take what people have said about rows of the model.",
            "pipeline.known_labels:rows_with_verdicts",
            ("validate",),
            records.JudgedRecord,
        ),
        Stage(
            "split",
            "Choose training, validation and test rows.",
            "pipeline.split:split",
            ("verdicts",),
            records.SplitRecord,
        ),
        Stage(
            "choose",
            "Choose the detector on rows that do not judge it.",
            "pipeline.choose:choose_detector",
            ("verdicts", "split"),
            records.ChoiceRecord,
        ),
        Stage(
            "fit",
            "Train the detector on normal rows.",
            "pipeline.fitting.tracked:fit",
            ("verdicts", "split"),
            records.FitRecord,
        ),
        Stage(
            "calibrate",
            "Set the threshold.",
            "pipeline.calibrate:calibrate_threshold",
            ("verdicts", "split", "fit"),
            records.CalibrateRecord,
        ),
        Stage(
            "evaluate",
            "Measure on the test rows.",
            "pipeline.evaluate:evaluate_detector",
            ("verdicts", "split", "calibrate"),
            records.EvaluateRecord,
        ),
        Stage(
            "register",
            "Log figures and model with the evidence, and register them as a version.",
            "pipeline.register:register",
            (EVIDENCE,),
            RegisterRecord,
        ),
        Stage(
            "promote",
            "Judge the version and, if it passes, put it in production.",
            "promotion.promote:promote_trained",
            ("register",),
            PromoteRecord,
        ),
    )
}
"""By name, in their order; `choose` only where the detector is left to the data."""


def perform(stage: Stage, run: TrainRun) -> TrainRun:
    """Do a stage, unless its record says that it is done; the training with its record."""
    names = list(STAGES)
    record = run_stage(
        run.path,
        stage.name,
        stage.leaves,
        lambda: stage.work()(run, *(run.record(name) for name in stage.reads)),
        later=names[names.index(stage.name) + 1 :],
    )
    return run.having(stage.name, record)
