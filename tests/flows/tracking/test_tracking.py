"""What is written to an MLflow run, and what is said when it cannot be."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pyarrow as pa
import pytest

from flows.common.settings import Settings
from flows.tracking import tracking
from tests.data_checks.conftest import small_contract


def test_a_password_in_the_address_is_never_shown(home, monkeypatch):
    from flows.common.errors import ServiceUnreachable

    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://user:secret@127.0.0.1:9")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    with pytest.raises(ServiceUnreachable) as error:
        tracking.connect(Settings())
    assert "secret" not in str(error.value)
    assert "127.0.0.1:9" in str(error.value)


def test_many_runs_may_write_down_the_same_rows_at_once(home):
    """MLflow looks whether it knows a data set, and inserts it then."""
    client = tracking.connect(Settings())
    experiment = client.create_experiment("crowd")
    runs = [client.create_run(experiment).info.run_id for _ in range(8)]
    rows, begin = pa.table({"amount": [1.0, 2.0]}), threading.Barrier(8)

    def write(run_id: str, sha256: str) -> None:
        begin.wait(timeout=30)
        tracking.log_dataset(client, run_id, small_contract(), rows, sha256, "all", "training")

    with ThreadPoolExecutor(8) as pool:
        for attempt in range(6):
            list(pool.map(write, runs, 8 * [64 * str(attempt)]))
    for run_id in runs:
        assert len(client.get_run(run_id).inputs.dataset_inputs) == 6


@pytest.mark.slow
def test_a_prefect_server_that_is_away_is_no_defect(dagmm_process):
    process = dagmm_process("train", "wdbc", "--quiet", PREFECT_API_URL="http://127.0.0.1:9/api")
    _, message = process.communicate(timeout=600)
    assert process.returncode == 3, message
    assert "127.0.0.1:9" in message
    assert "PREFECT_API_URL" in message
    assert "Traceback" not in message
