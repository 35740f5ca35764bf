"""A scheduled run that failed or crashed is told, by a hook of Prefect's in every flow."""

from typing import Any

from flows.common.errors import EXIT_DEFECT, Verdict, exit_code, message_of
from flows.common.settings import Settings
from flows.notify.event import Event
from flows.notify.tell import tell


def run_failed(flow: Any, run: Any, state: Any) -> None:
    """Tell that a run of a deployment ended badly; whoever started one by hand sees it."""
    if run.deployment_id is None:
        return
    error = _error(state)
    if flow.name == "score" and isinstance(error, Verdict):
        return  # told as `scoring`, with its figure
    settings = Settings()
    defect = error is None or exit_code(error) == EXIT_DEFECT  # its class says more than its text
    why = state.message if defect else message_of(error)
    tell(
        settings,
        Event(
            kind="run-failed",
            subject=f"flow {flow.name}",  # of every run, so that each hour's failure is no news
            reason=f"run {run.name}: {state.name}: {why or 'no reason given'}",
            link=f"{settings.prefect_url}/runs/flow-run/{run.id}",
            same=str(run.deployment_id),
        ),
    )


def _error(state: Any) -> BaseException | None:
    data = getattr(state, "data", None)
    data = getattr(data, "result", data)  # as a hook gets it, in Prefect's record of the result
    return data if isinstance(data, BaseException) else None


TOLD: dict[str, Any] = {"on_failure": [run_failed], "on_crashed": [run_failed]}
"""Options of a flow whose failures are told."""
