"""A run is closed with the status of what was done in it, whenever a signal comes."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from mlflow.exceptions import MlflowException
from mlflow.tracking import MlflowClient

from flows.common.settings import environment_kept
from flows.common.signals import held_back
from flows.tracking.home.transactions import whole_transactions
from flows.tracking.queries import equals

RETRIES = "MLFLOW_HTTP_REQUEST_MAX_RETRIES"
ERROR = "dagmm.error"
"""Tag of a run that ended with an error; removed when it is resumed."""


@contextmanager
def opened(client: MlflowClient, opens: Callable[[], str]) -> Iterator[str]:
    """A run for the block, and closed after it.

    `opens` creates or finds the run, and nothing else: a signal waits until that is done.

    Yields:
        Its id.
    """
    run_id = ""
    with ending(client, lambda: run_id):
        with held_back():
            run_id = opens()
        yield run_id


@contextmanager
def ending(client: MlflowClient, find: Callable[[], str | None]) -> Iterator[None]:
    """Close the run that the block may have opened.

    `find` gives its id when the block has ended, or None.
    """
    try:
        with whole_transactions(client.tracking_uri):
            yield
            if run_id := find():
                client.set_terminated(run_id)
    except BaseException as error:
        stopped = not isinstance(error, Exception)  # Ctrl-C, SIGTERM, a cancellation
        try:
            # Who presses Ctrl-C twice means the training, not its last words.
            with held_back(), briefly():
                if run_id := find():
                    client.set_tag(run_id, ERROR, f"{type(error).__name__}: {error}"[:5000])
                    client.set_terminated(run_id, "KILLED" if stopped else "FAILED")
        except (MlflowException, OSError) as away:
            # What ended the run matters more than that it could not be noted.
            error.add_note(f"MLflow could not be told of it: {away}")
        raise


@contextmanager
def briefly() -> Iterator[None]:
    """Have MLflow's client wait for a server that is away for seconds instead of minutes."""
    with environment_kept(RETRIES):
        os.environ.setdefault(RETRIES, "2")
        yield


def run_of(client: MlflowClient, experiment: str, token: str) -> str | None:
    """Id of the run in an experiment, by name, that a run folder's token marks."""
    if (found := client.get_experiment_by_name(experiment)) is None:
        return None
    mine = equals("tags.`dagmm.run`", token)
    runs = client.search_runs([found.experiment_id], mine, max_results=1)
    return runs[0].info.run_id if runs else None
