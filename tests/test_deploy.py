"""`deploy/compose.yaml` exposes nothing by default and starts with no secret left out."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from flows.services.team import DATABASES, SECRETS

DEPLOY = Path(__file__).parent.parent / "deploy"
COMPOSE = DEPLOY / "compose.yaml"
SERVICES = yaml.safe_load(COMPOSE.read_text())["services"]


def test_every_port_is_on_loopback():
    ports = [port for service in SERVICES.values() for port in service.get("ports", [])]
    assert ports
    assert all(port.startswith("127.0.0.1:") for port in ports)


def test_no_secret_has_a_default_and_the_example_names_all_of_them():
    example = (DEPLOY / ".env.example").read_text()
    for name in SECRETS:
        used = [
            value
            for service in SERVICES.values()
            for value in service.get("environment", {}).values()
            if f"${{{name}" in value
        ]
        assert used
        assert all(value.startswith(f"${{{name}:?") for value in used)
        assert f"\n{name}=\n" in f"{example}\n"


def test_all_have_a_health_check_or_wait_for_those_that_do():
    for name, service in SERVICES.items():
        assert "healthcheck" in service or service["depends_on"], name
    made = (DEPLOY / "databases.sql").read_text()
    assert all(f"CREATE DATABASE {name};" in made for name in DATABASES)


@pytest.mark.skipif(
    shutil.which("docker-compose") is None, reason="docker-compose is not installed"
)
def test_compose_accepts_it_and_refuses_an_absent_secret():
    def config(**secrets: str) -> subprocess.CompletedProcess:
        return subprocess.run(
            ["docker-compose", "-f", COMPOSE, "config"],
            env={"PATH": os.environ["PATH"], **secrets},
            capture_output=True,
            text=True,
        )

    assert config(**dict.fromkeys(SECRETS, "chosen")).returncode == 0
    refused = config(**dict.fromkeys(list(SECRETS)[1:], "chosen"))
    assert refused.returncode != 0
    assert "choose one" in refused.stderr
