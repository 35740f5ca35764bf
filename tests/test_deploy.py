"""`deploy/compose.yaml` exposes nothing by default and starts with no secret left out."""

import json
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from flows.api.follower import Followed
from flows.api.guard import TOKEN
from flows.services.team.settings import DATABASES, SECRETS

DEPLOY = Path(__file__).parent.parent / "deploy"
COMPOSE = DEPLOY / "compose.yaml"
EVERY_SECRET = (*SECRETS, TOKEN)
SERVICES = yaml.safe_load(COMPOSE.read_text())["services"]


def test_every_port_is_on_loopback():
    ports = [port for service in SERVICES.values() for port in service.get("ports", [])]
    assert ports
    assert all(port.startswith("127.0.0.1:") for port in ports)


def test_no_secret_has_a_default_and_the_example_names_all_of_them():
    example = (DEPLOY / ".env.example").read_text()
    for name in EVERY_SECRET:
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

    assert config(**dict.fromkeys(EVERY_SECRET, "chosen")).returncode == 0
    refused = config(**dict.fromkeys(EVERY_SECRET[1:], "chosen"))
    assert refused.returncode != 0
    assert "choose one" in refused.stderr


def test_the_dashboard_and_the_alerts_ask_for_metrics_that_there_are():
    from flows.api.telemetry.histograms import Rows
    from flows.api.telemetry.metrics import Metrics

    class Nothing:  # a follower, workers and a shadow that have not begun
        current, standing, sitting, dropped, failures = None, Followed(), None, 0, 0
        running, lost = 0, 0

    there = {family.name for family in Metrics(Nothing(), Nothing(), Nothing()).registry.collect()}
    there |= {family.name for family in Rows().collect()}
    dashboard = json.loads((DEPLOY / "grafana-dashboard.json").read_text())
    rules = yaml.safe_load((DEPLOY / "prometheus-alerts.yml").read_text())
    asked = [t["expr"] for panel in dashboard["panels"] for t in panel["targets"]]
    asked += [rule["expr"] for group in rules["groups"] for rule in group["rules"]]
    named = {name for text in asked for name in re.findall(r"\b(?:dagmm|process)_\w+", text)}
    plain = {re.sub(r"_(total|count|sum|bucket)$", "", name) for name in named}
    assert len(plain) > 10
    assert plain <= there


@pytest.mark.skipif(shutil.which("promtool") is None, reason="prometheus is not installed")
def test_prometheus_takes_its_configuration_and_raises_what_it_should(tmp_path):
    for name in ("prometheus.yml", "prometheus-alerts.yml"):
        shutil.copy(DEPLOY / name, tmp_path)
    (tmp_path / "cases.yml").write_text(CASES)
    for command in (("check", "config", "prometheus.yml"), ("test", "rules", "cases.yml")):
        actual = subprocess.run(
            ["promtool", *command], cwd=tmp_path, capture_output=True, text=True
        )
        assert actual.returncode == 0, actual.stdout + actual.stderr


CASES = """
rule_files: [prometheus-alerts.yml]
evaluation_interval: 1m
tests:
  - interval: 1m
    input_series:
      - {series: 'dagmm_wanted_version{job="dagmm-api", instance="a"}', values: '2 3x9'}
      - {series: 'dagmm_model_version{job="dagmm-api", instance="a"}', values: '2x10'}
      - {series: 'dagmm_version_refused{job="dagmm-api", instance="a"}', values: '0 1x9'}
      - {series: 'dagmm_registry_up{job="dagmm-api", instance="a"}', values: '1x10'}
    alert_rule_test:
      - {eval_time: 0m, alertname: DagmmVersionRefused}
      - eval_time: 1m
        alertname: DagmmVersionRefused
        exp_alerts: [{exp_labels: {job: dagmm-api, instance: a}, exp_annotations: {summary:
          "a refused the version behind its alias; `dagmm history` says why"}}]
      - {eval_time: 1m, alertname: DagmmVersionBehind}
      - eval_time: 5m
        alertname: DagmmVersionBehind
        exp_alerts: [{exp_labels: {job: dagmm-api, instance: a}, exp_annotations: {summary:
          "a answers by another version than the alias names"}}]
      - {eval_time: 9m, alertname: DagmmRegistryAway}
      - {eval_time: 9m, alertname: DagmmNoVersion}
  - interval: 1m
    input_series:
      - {series: 'dagmm_wanted_version{job="dagmm-api", instance="a"}', values: '2 0x9'}
      - {series: 'dagmm_model_version{job="dagmm-api", instance="a"}', values: '2x10'}
    alert_rule_test:
      - {eval_time: 9m, alertname: DagmmVersionBehind}
      - eval_time: 9m
        alertname: DagmmNoVersion
        exp_alerts: [{exp_labels: {job: dagmm-api, instance: a}, exp_annotations: {summary:
          "a finds no version behind its alias; one that was loaded goes on answering"}}]
  - interval: 10m
    input_series:
      - {series: 'dagmm_energy_count{job="dagmm-api", instance="a", verdict="alert"}',
         values: '0+10x144 1540+100x40'}
      - {series: 'dagmm_energy_count{job="dagmm-api", instance="a", verdict="normal"}',
         values: '0+990x184'}
    alert_rule_test:
      - {eval_time: 20h, alertname: DagmmManyAlerts}
      - eval_time: 29h
        alertname: DagmmManyAlerts
        exp_alerts: [{exp_labels: {job: dagmm-api, instance: a}, exp_annotations: {summary:
          "a raises more than three times as many alerts as a day ago"}}]
"""


def test_what_the_image_copies_is_sent_to_its_builder_and_the_secrets_are_not():
    copied = re.findall(r"^COPY (.+) \S+$", (DEPLOY / "Dockerfile").read_text(), re.MULTILINE)
    needed = {source for sources in copied for source in sources.split()}
    ignored = (DEPLOY.parent / ".dockerignore").read_text().splitlines()
    assert needed == {line.removeprefix("!") for line in ignored if line.startswith("!")}
    assert ignored.index("deploy/.env") > ignored.index("!deploy")
