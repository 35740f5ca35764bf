"""What a shadow found, in an MLflow run of the experiment `shadows` with a page."""

import math

from mlflow.tracking import MlflowClient

from flows.common.settings import Settings
from flows.promotion.version import shadows
from flows.shadow.agreement import Agreement
from flows.shadow.version import Version
from flows.tracking import runs, tracking

PAGE, DOCUMENT = "shadow.html", "agreement.json"


def write_down(
    client: MlflowClient,
    settings: Settings,
    first: Version,
    candidate: Version,
    agreement: Agreement,
    where: str,
    run_id: str = "",
) -> str:
    """Write what was found so far; a run that there is already is brought up to date.

    `run_id` is that of an earlier call for the same two and the same sitting. The run is closed by
    each call: a server that is killed afterwards leaves none open.

    Returns:
        Id of the run.
    """
    from flows.shadow.page import render_shadow  # it draws: a server starts without that

    if not run_id:
        tags = {
            shadows.MODEL: candidate.name,
            shadows.FIRST: str(first.number),
            shadows.CANDIDATE: str(candidate.number),
            shadows.EVIDENCE: candidate.sealed,
        }
        if agreement.content is not None:
            tags[shadows.CONTENT] = f"{agreement.content:016x}"
        experiment = tracking.experiment_id(client, settings, shadows.SHADOWS)
        title = f"{candidate.name} v{candidate.number} beside v{first.number}"
        run_id = runs.begin(client, experiment, title, where, tags)
    figures = {
        shadows.ROWS: agreement.rows,
        shadows.DISAGREEMENTS: agreement.only_first + agreement.only_second,
        shadows.BEGAN: agreement.began,
        shadows.ENDED: agreement.ended,
        "disagreement": agreement.disagreement,
        "rank_correlation": agreement.rank_correlation,
        "alerts/both": agreement.both,
        "alerts/first_only": agreement.only_first,
        "alerts/candidate_only": agreement.only_second,
        "refused_by_candidate": agreement.refused,
    }
    finite = {name: value for name, value in figures.items() if math.isfinite(value)}
    # One batch: who adds the runs up finds all of these figures, or those of before.
    tracking.log_metrics(client, run_id, finite)
    client.log_dict(run_id, agreement.document(), DOCUMENT)
    client.log_text(run_id, render_shadow(first, candidate, agreement), PAGE)
    client.set_terminated(run_id)
    return run_id
