"""Scoring on Spark: the local engine's result, whatever happens to tasks and executors."""

import json
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from sklearn.datasets import load_breast_cancer

from data_checks.base.errors import EngineError, SourceError
from data_checks.spark import plan as planning
from data_checks.spark import session
from flows.common.settings import Settings
from flows.intake.import_file import give_verdicts
from flows.scoring import run as scoring
from flows.scoring.filling import spark as spark_scoring
from flows.scoring.filling.parts import Parts, write_part
from flows.scoring.judged_part import Counts
from flows.scoring.output.files import FileOutput
from flows.scoring.rows import REJECTED, SCORED, JudgedPart
from flows.tracking import tracking

MODEL = "models:/dagmm-wdbc@production"
ROWS = 3 * 569


@pytest.fixture
def settings(two_versions, monkeypatch) -> Settings:
    monkeypatch.setenv("DAGMM_PROGRESS", "off")
    monkeypatch.setattr(planning, "SMALLEST_TASK_ROWS", 200)
    return Settings()


def raw_rows() -> pd.DataFrame:
    """Every kind of row: normal, anomalous, remarked, and not to be scored for two reasons."""
    rows = pd.concat([load_breast_cancer(as_frame=True).data] * 3, ignore_index=True)
    rows["mean area"] += np.arange(len(rows)) * 1e-3
    rows.loc[[5, 700], "mean texture"] = np.nan
    rows.loc[[5, 900], "mean radius"] = np.inf
    rows.loc[[11, 1700], "mean area"] = -5.0
    return rows


@pytest.fixture
def table(tmp_path) -> Path:
    folder = tmp_path / "rows"
    folder.mkdir()
    for number, start in enumerate(range(0, ROWS, 600)):
        part = raw_rows().iloc[start : start + 600]
        part.to_parquet(folder / f"{number}.parquet", row_group_size=250, index=False)
    return folder


def score(source, out, settings, **options):
    return scoring.score(str(source), str(out), MODEL, settings, **options)


def same(one: Path, other: Path) -> None:
    """Equal tables, energies to 1e-6 and everything else exactly."""
    a, b = pq.read_table(one), pq.read_table(other)
    assert a.schema.equals(b.schema)
    for name in a.column_names:
        if name in ("energy", "p_value"):
            np.testing.assert_allclose(a[name].to_numpy(), b[name].to_numpy(), rtol=0, atol=1e-6)
        else:
            assert a[name].to_pylist() == b[name].to_pylist(), name


def test_pandas_arrow_and_spark_give_one_result(spark, settings, table, tmp_path):
    import mlflow

    local = score(table, tmp_path / "local.parquet", settings)
    on_spark = score(table, tmp_path / "spark.parquet", settings, engine="spark")
    same(tmp_path / "local.parquet", tmp_path / "spark.parquet")
    same(Path(local.rejects), Path(on_spark.rejects))
    for name in ("model", "rows", "scored", "rejected", "anomalies", "remarked", "unseen"):
        assert getattr(local, name) == getattr(on_spark, name), name
    assert (on_spark.rows, on_spark.rejected) == (ROWS, 3)
    assert pd.read_parquet(on_spark.rejects)["row_id"].tolist() == [5, 700, 900]
    rows = raw_rows()
    good = np.setdiff1d(np.arange(ROWS), [5, 700, 900])
    predicted = mlflow.pyfunc.load_model(MODEL).predict(rows.iloc[good])
    actual = pd.read_parquet(tmp_path / "spark.parquet")
    assert actual["row_id"].tolist() == good.tolist()
    np.testing.assert_allclose(actual["energy"], predicted["energy"], rtol=0, atol=1e-6)
    assert (actual["is_anomaly"].to_numpy() == predicted["is_anomaly"].to_numpy()).all()


def test_known_rows_and_the_review_are_the_same(spark, settings, table, tmp_path):
    first = score(table, tmp_path / "first.csv", settings, review_rows=4)
    judged = pd.read_csv(first.review).assign(verdict="", who="ann")
    judged.loc[judged.index[judged["is_anomaly"]][:9], "verdict"] = "normal"
    judged.to_csv(tmp_path / "judged.csv", index=False)
    give_verdicts(tracking.connect(settings), settings, "dagmm-wdbc", str(tmp_path / "judged.csv"))
    local = score(table, tmp_path / "local.csv", settings, review_rows=5)
    on_spark = score(table, tmp_path / "spark.csv", settings, review_rows=5, engine="spark")
    assert local.known == on_spark.known >= 9
    for one, other in ((local.output, on_spark.output), (local.review, on_spark.review)):
        pd.testing.assert_frame_equal(pd.read_csv(one), pd.read_csv(other), rtol=1e-12)


@pytest.mark.slow
def test_mlflow_s_own_udf_agrees(spark, settings, table, tmp_path):
    import mlflow
    from pyspark.sql.functions import struct

    score(table, tmp_path / "spark.parquet", settings, engine="spark")
    actual = pd.read_parquet(tmp_path / "spark.parquet").set_index("row_id")
    udf = mlflow.pyfunc.spark_udf(spark, MODEL, env_manager="local")
    # A row that cannot be scored would end the whole job: the UDF knows no quarantine.
    rows = spark.read.parquet(str(table)).dropna().where("`mean radius` < 1e9")
    columns = struct(*(f"`{name}`" for name in load_breast_cancer().feature_names))
    answered = rows.select("`mean area`", udf(columns).alias("out")).select("mean area", "out.*")
    by_area = answered.toPandas().set_index("mean area")
    raw = raw_rows()
    for row in actual.index[::97]:
        assert by_area.loc[raw.loc[row, "mean area"], "energy"] == pytest.approx(
            actual.loc[row, "energy"], abs=1e-6
        )
    assert len(by_area) == len(actual)
    assert by_area["is_anomaly"].sum() == actual["is_anomaly"].sum()


@pytest.mark.parametrize("reasons", ["all", pytest.param("none", marks=pytest.mark.slow)])
def test_outputs_of_every_kind(spark, settings, table, tmp_path, reasons):
    url = f"sqlite:///{tmp_path / 'result.db'}"
    score(table, tmp_path / "a.csv", settings, reasons=reasons)
    score(table, tmp_path / "b.csv", settings, reasons=reasons, engine="spark")
    a, b = (pd.read_csv(tmp_path / name) for name in ("a.csv", "b.csv"))
    pd.testing.assert_frame_equal(a, b, rtol=1e-12)
    report = score(table, url, settings, table="scored", reasons=reasons, engine="spark")
    assert report.rejects.endswith("scored_rejected")
    for _ in range(2):
        score(table, f"{tmp_path / 'c'}/", settings, reasons=reasons, engine="spark")
    assert len(list((tmp_path / "c").iterdir())) > 3
    actual = pq.read_table(tmp_path / "c").to_pandas().astype({"model": str})
    pd.testing.assert_frame_equal(actual, a.astype(actual.dtypes), rtol=1e-12)
    assert pd.read_parquet(tmp_path / "c.rejected.parquet")["row_id"].tolist() == [5, 700, 900]


def test_a_run_that_died_goes_on_with_its_version(
    spark, settings, table, tmp_path, monkeypatch, registry
):
    out = tmp_path / "out.parquet"
    with monkeypatch.context() as patched:
        patched.setattr(FileOutput, "publish", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            score(table, out, settings, engine="spark")
    assert not out.exists()
    records = sorted(tmp_path.glob(".out.parquet.parts/part-*.json"))
    assert len(records) > 3
    lost = sum(json.loads(path.read_text())["rows"] for path in records[1:3])
    for path in records[1:3]:
        path.unlink()
    registry.set_registered_model_alias("dagmm-wdbc", "production", "1")
    report = score(table, out, settings, engine="spark")
    assert (report.resumed_rows, report.model) == (ROWS - lost, "models:/dagmm-wdbc/2")
    scoring.score(str(table), str(tmp_path / "whole.parquet"), "models:/dagmm-wdbc/2", settings)
    same(out, tmp_path / "whole.parquet")
    assert not list(tmp_path.glob(".out*"))


@pytest.mark.parametrize(
    "when", [pytest.param("between two runs", marks=pytest.mark.slow), "during a run"]
)  # without Spark: test_scoring.py
def test_another_source_is_never_mixed_in(spark, settings, table, tmp_path, monkeypatch, when):
    out = tmp_path / "out.parquet"
    changed = raw_rows().iloc[::-1]

    def change(*_):
        changed.iloc[:600].to_parquet(table / "0.parquet", row_group_size=250, index=False)
        return 1 / 0 if when == "between two runs" else real(*_)

    if when == "between two runs":
        monkeypatch.setattr(FileOutput, "publish", change)
        with pytest.raises(ZeroDivisionError):
            score(table, out, settings, engine="spark")
        monkeypatch.undo()
        monkeypatch.setenv("DAGMM_HOME", str(settings.home))
    else:
        real = spark_scoring.run_tasks
        monkeypatch.setattr(spark_scoring, "run_tasks", change)
        with pytest.raises(SourceError, match=r"0\.parquet: the file changed"):
            score(table, out, settings, engine="spark")
        monkeypatch.setattr(spark_scoring, "run_tasks", real)
    report = score(table, out, settings, engine="spark")
    assert report.resumed_rows == 0
    score(table, tmp_path / "fresh.parquet", settings)
    same(out, tmp_path / "fresh.parquet")


def test_no_rows_give_an_empty_result(spark, settings, tmp_path):
    raw_rows().iloc[:0].to_parquet(tmp_path / "rows.parquet", index=False)
    score(tmp_path / "rows.parquet", tmp_path / "out.parquet", settings, engine="spark")
    actual = pq.read_table(tmp_path / "out.parquet")
    assert (actual.num_rows, actual.schema.names) == (0, SCORED.names)


def test_a_part_that_two_attempts_write_is_there_once(tmp_path):
    scored = pa.table(
        [pa.nulls(100, field.type) if field.name != "row_id" else pa.array(range(100))
         for field in SCORED], schema=SCORED,
    )  # fmt: skip
    rejected = pa.table([pa.array([100, 101]), pa.array(["a", "b"])], schema=REJECTED)
    judged = JudgedPart(scored, rejected, Counts(rows=102, scored=100))
    barrier = threading.Barrier(4)

    def attempt() -> None:
        barrier.wait(300)
        for _ in range(20):
            write_part(tmp_path, 3, ".parquet", [judged])

    with ThreadPoolExecutor(4) as pool:
        for attempted in [pool.submit(attempt) for _ in range(4)]:
            attempted.result()
    parts = Parts(tmp_path, {}, ".parquet")
    assert (parts.total.rows, parts.total.scored) == (102, 100)
    [file], [bad] = parts.files("scored"), parts.files("rejected")
    assert pq.read_table(file)["row_id"].to_pylist() == list(range(100))
    assert pq.read_table(bad).num_rows == 2
    assert len(list(tmp_path.iterdir())) == 3


def test_a_task_that_outlives_its_run_writes_nothing(spark, settings, table, tmp_path, monkeypatch):
    tasks = []

    def note(spark_, waiting, work, tell):
        tasks.extend((work, each) for each in waiting)
        return real(spark_, waiting, work, tell)

    real = spark_scoring.run_tasks
    monkeypatch.setattr(spark_scoring, "run_tasks", note)
    score(table, tmp_path / "out.parquet", settings, engine="spark")
    work, task = tasks[0]
    with pytest.raises(SourceError, match="not the folder that the run began with"):
        work(task)
    assert not list(tmp_path.glob(".out*"))


def test_the_command_refuses_what_cannot_be(dagmm, two_versions, table, tmp_path, monkeypatch):
    refused = [
        (("--engine", "flink"), "choose local or spark"),
        (("--spark", "spark.master=local"), "--spark goes with --engine spark"),
        (("--engine", "spark", "--spark", "master=local"), "write spark.NAME=VALUE"),
    ]
    for options, message in refused:
        outcome = dagmm("score", table, tmp_path / "out.parquet", *options)
        assert (outcome.code, message in outcome.err) == (2, True), outcome.err


def test_what_is_missing_is_named(monkeypatch, tmp_path):
    java = tmp_path / "bin" / "java"
    monkeypatch.setenv("JAVA_HOME", str(tmp_path))
    with pytest.raises(EngineError, match="install Java 17 or newer"):
        session.require_spark()
    java.parent.mkdir()
    java.write_text("#!/bin/sh\necho 'openjdk version \"11.0.2\"' >&2\n")
    java.chmod(0o755)
    with pytest.raises(EngineError, match=r"another Java than .*11"):
        session.require_spark()
    monkeypatch.setattr(session.importlib.util, "find_spec", lambda _: None)
    with pytest.raises(EngineError, match=r"pip install 'dagmm-pipeline\[spark\]'"):
        session.require_spark()
