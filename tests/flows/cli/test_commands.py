"""score, check, promote, rollback, history and ui through the public command."""

import base64
import json
import os
import signal
import socket
import subprocess
import time
import urllib.request
from itertools import islice
from pathlib import Path
from urllib.parse import unquote

import numpy as np
import pandas as pd
import pytest
from sklearn.datasets import load_breast_cancer

from flows.services.servers import free_port
from tests.flows import promotion_store as made
from tests.flows.conftest import BIN, FAST, production


@pytest.fixture
def rows() -> pd.DataFrame:
    return load_breast_cancer(as_frame=True).data


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_score_gives_every_row_a_verdict_and_names_the_version(
    dagmm, two_versions, rows, tmp_path, suffix
):
    source, output = tmp_path / f"rows{suffix}", tmp_path / f"out{suffix}"
    rows.to_csv(source, index=False) if suffix == ".csv" else rows.to_parquet(source)
    report = dagmm("score", source, output, "--json").json
    assert (report["rows"], report["scored"], report["rejected"]) == (569, 569, 0)
    assert report["model"] == "models:/dagmm-wdbc/2"
    actual = pd.read_csv(output) if suffix == ".csv" else pd.read_parquet(output)
    assert actual["row_id"].tolist() == list(range(569))
    assert (actual["is_anomaly"] == (actual["energy"] > actual["threshold"])).all()
    assert actual["p_value"].between(0, 1, inclusive="right").all()
    assert set(actual["model"]) == {"models:/dagmm-wdbc/2"}
    assert report["anomalies"] == actual["is_anomaly"].sum()


def test_rows_that_cannot_be_scored_are_set_aside_with_reasons(dagmm, two_versions, rows, tmp_path):
    bad = rows.astype(object)
    bad.iloc[3, 2], bad.iloc[5, 0] = "oops", None
    bad.to_csv(tmp_path / "bad.csv", index=False)
    report = dagmm("score", tmp_path / "bad.csv", tmp_path / "out.parquet", "--json").json
    assert (report["scored"], report["rejected"]) == (567, 2)
    rejects = pd.read_parquet(report["rejects"]).set_index("row_id")["reasons"]
    assert "oops" in rejects[3]
    assert "mean radius" in rejects[5]
    scored = pd.read_parquet(tmp_path / "out.parquet")
    assert not {3, 5} & set(scored["row_id"])


def test_a_missing_column_is_refused_and_leaves_no_output(dagmm, two_versions, rows, tmp_path):
    rows.drop(columns="mean area").to_csv(tmp_path / "rows.csv", index=False)
    outcome = dagmm("score", tmp_path / "rows.csv", tmp_path / "out.csv")
    assert outcome.code == 2
    assert "mean area" in outcome.err
    assert sorted(p.name for p in tmp_path.glob("*out*")) == []


def test_check_passes_a_good_table_and_fails_a_bad_one(dagmm, rows, tmp_path):
    good = dagmm("check", "wdbc", "--json")
    assert good.code == 0, good.err
    assert Path(good.json["data_docs"]).exists()
    table = rows.assign(diagnosis="benign").astype({"mean area": object})
    table.loc[:300, "mean area"] = "large"
    table.to_csv(tmp_path / "rows.csv", index=False)
    bad = dagmm("check", "wdbc", "--data", tmp_path / "rows.csv")
    assert bad.code in {1, 2}
    assert "mean area" in bad.err + bad.out


def test_rollback_returns_to_the_version_before_and_is_recorded(dagmm, two_versions, registry):
    assert production(registry) == 2
    outcome = dagmm("rollback", "dagmm-wdbc", "--reason", "too many alerts")
    assert outcome.code == 0, outcome.err
    assert production(registry) == 1
    history = dagmm("history", "dagmm-wdbc", "--json").json
    last = history["decisions"][-1]
    assert (last["decision"], last["version"], last["previous"]) == ("rolled back", 1, 2)
    assert last["reasons"] == "too many alerts"
    assert history["moved_outside"] == ""


def test_rolling_back_to_a_version_that_never_served_is_refused(
    dagmm, two_versions, registry, parts, tmp_path
):
    assert made.register(registry, parts, tmp_path / "third") == 3
    outcome = dagmm("rollback", "dagmm-wdbc", "--to", "3")
    assert outcome.code == 2
    assert "never in production" in outcome.err
    assert production(registry) == 2


def test_promoting_what_is_in_production_changes_nothing(dagmm, two_versions, registry):
    outcome = dagmm("promote", "dagmm-wdbc", "2", "--json")
    assert outcome.code == 0
    assert outcome.json["decision"] == "unchanged"
    assert production(registry) == 2


def test_an_alias_moved_by_hand_is_noticed(dagmm, two_versions, registry):
    registry.set_registered_model_alias("dagmm-wdbc", "production", "1")
    assert "moved outside" in dagmm("history", "dagmm-wdbc").out


@pytest.mark.parametrize(
    "stopped_by", [signal.SIGINT, pytest.param(signal.SIGTERM, marks=pytest.mark.slow)]
)
def test_ui_serves_both_pages_on_loopback_until_stopped(quick_prefect, dagmm_process, stopped_by):
    mlflow_port, prefect_port = free_port(), free_port()
    process = dagmm_process(
        "ui",
        DAGMM_MLFLOW_PORT=str(mlflow_port),
        DAGMM_PREFECT_PORT=str(prefect_port),
        PREFECT_API_URL="",
    )
    try:
        message = dict(line.split(maxsplit=1) for line in islice(process.stdout, 2))
        assert set(message) == {"MLflow", "Prefect"}, process.communicate()
        for name, port in (("MLflow", mlflow_port), ("Prefect", prefect_port)):
            address, _, login = message[name].strip().partition("#")
            assert address.startswith(f"http://127.0.0.1:{port}/")
            login = base64.b64encode(unquote(login).encode()).decode()
            page = urllib.request.Request(
                f"http://127.0.0.1:{port}/", headers={"Authorization": f"Basic {login}"}
            )
            with urllib.request.urlopen(page, timeout=300) as answer:
                assert answer.status == 200
        with urllib.request.urlopen(f"http://127.0.0.1:{prefect_port}/ui-settings") as page:
            assert json.load(page)["api_url"] == f"http://127.0.0.1:{prefect_port}/api"
    finally:
        process.send_signal(stopped_by)
        rest, _ = process.communicate(timeout=600)
    assert "stopped" in rest
    assert not _listening(mlflow_port)
    assert not _listening(prefect_port)


def _listening(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


@pytest.mark.slow
def test_one_command_needs_no_server_at_all(dagmm_process):
    process = dagmm_process("train", "wdbc", *FAST, "--json", PREFECT_API_URL="")
    out, err = process.communicate(timeout=600)
    assert process.returncode == 0, err
    assert '"decision": "promoted"' in out


@pytest.mark.slow  # tests/flows/promotion/gates/test_serving_check.py starts what it would start
def test_the_served_model_answers_a_real_http_request(two_versions, rows, home, tmp_path):
    port = free_port()
    log = (tmp_path / "serve.log").open("wb")
    server = subprocess.Popen(
        [BIN / "mlflow", "models", "serve", "-m", "models:/dagmm-wdbc@production"]
        + ["--env-manager", "local", "-p", str(port)],
        env={
            **os.environ,
            "MLFLOW_TRACKING_URI": f"sqlite:///{home / 'mlflow.db'}",
            "PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}",
        },
        stdout=log,
        stderr=log,
    )
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}/invocations",
        data=json.dumps({"dataframe_split": rows.head(3).to_dict("split")}).encode(),
        headers={"Content-Type": "application/json"},
    )
    try:
        deadline = time.monotonic() + 600
        while True:
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{port}/ping", timeout=300)
                break
            except OSError:
                assert server.poll() is None, (tmp_path / "serve.log").read_text()
                assert time.monotonic() < deadline
                time.sleep(0.5)
        answer = json.load(urllib.request.urlopen(request, timeout=300))["predictions"]
    finally:
        server.terminate()
        server.wait(300)
    assert np.isfinite([row["energy"] for row in answer]).all()
    assert [row["is_anomaly"] for row in answer] == [
        row["energy"] > row["threshold"] for row in answer
    ]
