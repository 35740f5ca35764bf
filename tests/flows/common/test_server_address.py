"""A server's address is found while its process lives, and not a moment longer."""

import subprocess
import sys

from flows.common.server_address import announced, announced_address
from flows.common.settings import Settings

CHILD = """
import sys, time
from pathlib import Path
from flows.common.server_address import announced
with announced(Path(sys.argv[1]), "http://127.0.0.1:1"):
    print("there", flush=True)
    time.sleep(600)
"""


def test_an_address_counts_for_the_block(tmp_path):
    file = tmp_path / "logs" / "address"
    assert announced_address(file) is None
    with announced(file, "http://127.0.0.1:5001"):
        assert announced_address(file) == "http://127.0.0.1:5001"
        with announced(file, "http://127.0.0.1:5002"):
            assert announced_address(file) == "http://127.0.0.1:5001"
        assert announced_address(file) == "http://127.0.0.1:5001"
    assert announced_address(file) is None


def test_a_killed_process_serves_nothing(tmp_path):
    file = tmp_path / "address"
    with subprocess.Popen(
        [sys.executable, "-c", CHILD, str(file)], stdout=subprocess.PIPE, text=True
    ) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == "there\n"
        assert announced_address(file) == "http://127.0.0.1:1"
        child.kill()
        child.wait()
        assert announced_address(file) is None


def test_links_lead_to_the_port_that_is_served(tmp_path, monkeypatch):
    monkeypatch.setenv("DAGMM_HOME", str(tmp_path))
    monkeypatch.setenv("DAGMM_MLFLOW_PORT", "5999")
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    settings = Settings()
    assert settings.mlflow_url == "http://127.0.0.1:5999"
    with announced(settings.mlflow_served, "http://127.0.0.1:6001"):
        assert settings.mlflow_url == "http://127.0.0.1:6001"
