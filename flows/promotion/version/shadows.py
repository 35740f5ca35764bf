"""What was found out about a candidate in the shadow of production: where it lies, and its sum.

Whoever shadows (`dagmm score --shadow`, `dagmm api --shadow`) keeps one run for each pair of
versions and sitting; the gate adds up those of the pair that it judges.
"""

from dataclasses import dataclass

from mlflow.entities.model_registry import ModelVersion
from mlflow.tracking import MlflowClient

from flows.tracking.queries import equals, pages
from flows.tracking.seal import EVIDENCE_TAG

SHADOWS = "shadows"
"""The experiment."""
MODEL, FIRST, CANDIDATE, EVIDENCE = (
    *("dagmm.model", "dagmm.answers", "dagmm.candidate"),
    EVIDENCE_TAG,
)
"""Tags of a run: registered model, version that answered, candidate, and the candidate's seal."""
CONTENT = "dagmm.shadowed_rows"
"""Tag of a run of one table: the same of the same rows."""
ROWS, DISAGREEMENTS, BEGAN, ENDED = "rows", "disagreements", "began", "ended"
"""Metrics that are added up; times in seconds since 1970."""


@dataclass(frozen=True)
class Shadowed:
    """All that was seen of a candidate in the shadow of one version.

    Attributes:
        rows: Rows that both scored.
        disagreements: Of these, on how many only one of them raised an alert.
        hours: Between the first and the last of them.
    """

    rows: int
    disagreements: int
    hours: float

    @property
    def disagreement(self) -> float:
        """Share of the rows; 1 before the first."""
        return self.disagreements / self.rows if self.rows else 1.0


def shadowed(client: MlflowClient, candidate: ModelVersion, answers: int) -> Shadowed:
    """What was seen of a candidate, as it was sealed, in the shadow of a version.

    A table that was scored several times counts once, the first time.
    """
    experiment = client.get_experiment_by_name(SHADOWS)
    places = [] if experiment is None else [experiment.experiment_id]
    query = " and ".join(
        equals(f"tags.`{tag}`", value)
        for tag, value in (
            (MODEL, candidate.name),
            (FIRST, str(answers)),
            (CANDIDATE, str(candidate.version)),
            (EVIDENCE, candidate.tags.get(EVIDENCE_TAG, "")),
        )
    )
    runs = pages(client.search_runs, places, query) if places else []
    written = [run for run in runs if run.data.metrics.get(ROWS)]  # the newest first
    once = {run.data.tags.get(CONTENT, run.info.run_id): run.data.metrics for run in written}
    comparisons = list(once.values())
    began, ended = ([each[metric] for each in comparisons] or [0.0] for metric in (BEGAN, ENDED))
    return Shadowed(
        rows=sum(int(each[ROWS]) for each in comparisons),
        disagreements=sum(int(each[DISAGREEMENTS]) for each in comparisons),
        hours=(max(ended) - min(began)) / 3600,
    )
