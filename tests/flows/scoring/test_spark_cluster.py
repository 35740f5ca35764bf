"""Scoring on Spark when executors, tasks or the driver die: the result is whole, each row once."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import psutil
import pyarrow.parquet as pq
import pytest
from sklearn.datasets import load_breast_cancer

from flows.common.settings import Settings
from flows.scoring import run as scoring
from tests.flows.scoring import cluster
from tests.waiting import until

pytestmark = pytest.mark.slow
MODEL = "models:/dagmm-wdbc@production"
ROWS = 569 * 600
PROJECT = Path(__file__).parents[3]


@pytest.fixture(scope="module")
def large(tmp_path_factory) -> Path:
    """Rows that each are another, in three files; every 1000th cannot be scored."""
    folder = tmp_path_factory.mktemp("large") / "rows"
    folder.mkdir()
    frame = pd.concat([load_breast_cancer(as_frame=True).data] * 600, ignore_index=True)
    frame["mean area"] += np.arange(len(frame)) * 1e-6
    frame.loc[::1000, "mean radius"] = np.nan
    for number, part in enumerate(np.array_split(np.arange(ROWS), 3)):
        frame.iloc[part].to_parquet(folder / f"{number}.parquet", row_group_size=30_000)
    return folder


@pytest.fixture
def expected(two_versions, large, tmp_path, monkeypatch) -> Path:
    """What the local engine makes of them."""
    monkeypatch.setenv("DAGMM_PROGRESS", "off")
    monkeypatch.setenv("PYSPARK_PYTHON", sys.executable)
    scoring.score(str(large), str(tmp_path / "expected.parquet"), MODEL, Settings())
    return tmp_path / "expected.parquet"


def assert_same(actual: Path, expected: Path) -> None:
    for name in (actual, expected):
        assert pq.read_metadata(name).num_rows == ROWS - len(range(0, ROWS, 1000))
    a, b = pq.read_table(actual).to_pandas(), pq.read_table(expected).to_pandas()
    pd.testing.assert_frame_equal(a, b, rtol=0, atol=1e-6)
    rejects = [scoring.output_for(str(p), None, Settings()).path for p in (actual, expected)]
    bad = [pq.read_table(p.with_name(f"{p.stem}.rejected.parquet")) for p in rejects]
    assert bad[0].equals(bad[1])
    assert bad[0]["row_id"].to_pylist() == list(range(0, ROWS, 1000))


def records(folder: Path) -> int:
    return len(list(folder.glob(".out.parquet.parts/part-*.json")))


def finished(process) -> dict:
    out, err = process.communicate(timeout=600)
    assert process.returncode == 0, err
    return json.loads(out)


def kill_one(process: psutil.Process, sign: str) -> None:
    """Kill -9 the lowest of the processes below another that have a word in their command line."""
    below = [p for p in process.children(recursive=True) if p.status() != psutil.STATUS_ZOMBIE]
    actual = [child for child in below if any(sign in word for word in child.cmdline())]
    assert actual, f"there is no {sign}"
    os.kill(actual[-1].pid, signal.SIGKILL)


def on_spark(*settings: str) -> list[str]:
    return ["--engine", "spark", *(word for each in settings for word in ("--spark", each))]


def test_a_lost_executor_costs_its_tasks_a_second_attempt(
    spark_cluster, dagmm_process, large, expected, tmp_path
):
    out = tmp_path / "out.parquet"
    process = dagmm_process("score", large, out, *on_spark(*spark_cluster), "--json")
    until(lambda: records(tmp_path) >= 1, process)
    kill_one(psutil.Process(), "CoarseGrainedExecutorBackend")
    report = finished(process)
    assert (report["rows"], report["resumed_rows"]) == (ROWS, 0)
    assert_same(out, expected)


def test_a_lost_python_worker_costs_its_task_a_second_attempt(
    needs_spark, dagmm_process, large, expected, tmp_path
):
    out = tmp_path / "out.parquet"
    process = dagmm_process("score", large, out, *on_spark("spark.master=local[2]"), "--json")
    until(lambda: records(tmp_path) >= 1, process)
    kill_one(psutil.Process(process.pid), "pyspark.daemon")
    report = finished(process)
    assert (report["rows"], report["resumed_rows"]) == (ROWS, 0)
    assert_same(out, expected)


def test_a_straggler_and_its_second_attempt_write_their_rows_once(
    spark_cluster, large, expected, tmp_path
):
    out, began = tmp_path / "out.parquet", time.monotonic()
    speculation = [
        "spark.speculation=true",
        "spark.speculation.quantile=0.3",
        "spark.speculation.multiplier=1.1",
    ]
    process = subprocess.Popen(
        [sys.executable, cluster.__file__, large, out, MODEL, *spark_cluster, *speculation],
        env={**os.environ, "PYTHONPATH": str(PROJECT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    report = finished(process)
    assert time.monotonic() - began < cluster.HANGS_SECONDS
    attempts = {path.name for path in (tmp_path / cluster.ATTEMPTS).iterdir()}
    assert {"0-0", "0-1"} <= attempts, "both wrote the part"
    assert report["rows"] == ROWS
    assert_same(out, expected)


def test_a_killed_driver_goes_on_where_it_was(
    needs_spark, dagmm_process, large, expected, tmp_path, registry
):
    out = tmp_path / "out.parquet"
    options = ("score", large, out, *on_spark("spark.master=local[2]"))
    process = dagmm_process(*options, "--json")
    until(lambda: records(tmp_path) >= 2, process)
    java = [p for p in psutil.Process(process.pid).children() if "java" in p.name()]
    process.kill()
    process.communicate()
    assert not out.exists()
    _, alive = psutil.wait_procs(java, timeout=300)
    assert not alive, "the Java process ends with its driver"
    registry.set_registered_model_alias("dagmm-wdbc", "production", "1")
    report = finished(dagmm_process(*options, "--json"))
    assert report["resumed_rows"] > 0
    assert report["model"] == "models:/dagmm-wdbc/2"
    assert_same(out, expected)
    assert not list(tmp_path.glob(".out*"))


def test_a_master_that_is_away_is_an_unreachable_service(
    needs_spark, dagmm_process, large, two_versions, tmp_path
):
    master = "spark.master=spark://127.0.0.1:9"
    process = dagmm_process("score", large, tmp_path / "out.parquet", *on_spark(master))
    _, err = process.communicate(timeout=600)
    assert process.returncode == 3, err
    assert "Spark master spark://127.0.0.1:9 cannot be used" in err
    assert "Traceback" not in err
