"""What the environment says, as commands and flows read it."""

import pytest

from flows.common.errors import UsageError
from flows.common.settings import Settings


def test_links_lead_where_the_browser_finds_mlflow(monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://mlflow:5000/")
    assert Settings().mlflow_url == "http://mlflow:5000"
    monkeypatch.setenv("DAGMM_MLFLOW_UI_URL", "https://models.example.org/mlflow/")
    assert Settings().mlflow_url == "https://models.example.org/mlflow"


def test_an_address_that_no_browser_opens_is_refused(monkeypatch):
    monkeypatch.setenv("DAGMM_MLFLOW_UI_URL", "models.example.org")
    with pytest.raises(UsageError, match="DAGMM_MLFLOW_UI_URL"):
        Settings()
