"""What is written to an MLflow run, and what is said when it cannot be."""

import pytest

from flows.tracking import tracking


def test_a_password_in_the_address_is_never_shown(home, monkeypatch):
    from flows.common.errors import ServiceUnreachable
    from flows.common.settings import Settings

    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://user:secret@127.0.0.1:9")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    with pytest.raises(ServiceUnreachable) as error:
        tracking.connect(Settings())
    assert "secret" not in str(error.value)
    assert "127.0.0.1:9" in str(error.value)


@pytest.mark.slow
def test_a_prefect_server_that_is_away_is_no_defect(dagmm_process):
    process = dagmm_process("train", "wdbc", "--quiet", PREFECT_API_URL="http://127.0.0.1:9/api")
    _, message = process.communicate(timeout=600)
    assert process.returncode == 3, message
    assert "127.0.0.1:9" in message
    assert "PREFECT_API_URL" in message
    assert "Traceback" not in message
