"""Batch scoring: every row once, whatever happens; outputs whole or not at all."""

import json
import os
import shutil
import signal
import sqlite3
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.datasets import load_breast_cancer

from dagmm_model.detectors.bundle import Reasons
from data_checks.base.errors import SourceError
from flows.common.errors import UsageError
from flows.common.settings import Settings
from flows.scoring import run as scoring
from flows.scoring.filling import local
from flows.scoring.judged_part import Counts
from flows.scoring.output import choice, files
from flows.scoring.rows import reasons_text
from tests.postgres import PASSWORD
from tests.waiting import until

MODEL = "models:/dagmm-wdbc@production"


@pytest.fixture
def settings(two_versions, monkeypatch) -> Settings:
    monkeypatch.setenv("DAGMM_CHECKPOINT_SECONDS", "0")
    monkeypatch.setenv("DAGMM_PROGRESS", "off")
    return Settings()


@pytest.fixture
def rows() -> pd.DataFrame:
    return load_breast_cancer(as_frame=True).data


def test_anomalies_have_reasons_and_others_have_none(settings, rows, tmp_path):
    rows.to_parquet(tmp_path / "rows.parquet")
    scoring.score(str(tmp_path / "rows.parquet"), str(tmp_path / "out.parquet"), MODEL, settings)
    actual = pd.read_parquet(tmp_path / "out.parquet")
    assert (actual["reasons"].notna() == actual["is_anomaly"]).all()
    assert (actual["component"].notna() == actual["is_anomaly"]).all()
    first = actual.loc[actual["is_anomaly"], "reasons"].iloc[0].split("; ")
    assert 1 <= len(first) <= 3
    assert all(word.rpartition(" ")[0] in rows.columns for word in first)
    for option, named in (("all", 569), ("none", 0)):
        out = tmp_path / f"{option}.csv"
        scoring.score(str(tmp_path / "rows.parquet"), str(out), MODEL, settings, reasons=option)
        assert pd.read_csv(out)["reasons"].notna().sum() == named


@pytest.mark.parametrize("output", ["out.parquet", "out.csv", "out/"])
def test_more_rejected_rows_than_the_contract_tolerates_are_exit_code_1(
    two_versions, dagmm, rows, tmp_path, output
):
    rows["mean area"] = rows["mean area"].astype(object)
    rows.loc[:3, "mean area"] = "large"
    rows.loc[4, "mean radius"] = np.nan
    rows.to_csv(tmp_path / "rows.csv", index=False)
    five = dagmm("score", tmp_path / "rows.csv", output)
    assert five.code == 0, five.err
    assert "4 rows: mean area: not a number" in five.out
    assert "1 row: mean radius: missing value" in five.out
    rows.loc[:39, "mean area"] = "large"
    rows.to_csv(tmp_path / "rows.csv", index=False)
    forty = dagmm("score", tmp_path / "rows.csv", output, "--json")
    assert forty.code == 1
    assert "40 of 569 rows (7.0%) could not be scored; the contract tolerates 5.0%" in forty.err
    assert (forty.json["passed"], forty.json["scored"]) == (False, 529)
    assert forty.json["causes"] == {"mean area: not a number": 40, "mean radius: missing value": 1}
    rows["mean area"] = "large"
    rows.to_csv(tmp_path / "rows.csv", index=False)
    none = dagmm("score", tmp_path / "rows.csv", output)
    assert none.code == 1
    assert "none of the 569 rows could be scored" in none.err
    assert "569 rows: mean area: not a number" in none.out


def test_one_column_off_is_the_reason(settings, rows, tmp_path):
    calm = rows.iloc[[60]].copy()
    calm["mean smoothness"] += 0.5
    calm.to_csv(tmp_path / "rows.csv", index=False)
    scoring.score(
        str(tmp_path / "rows.csv"), str(tmp_path / "out.csv"), MODEL, settings, reasons="1"
    )
    reason = pd.read_csv(tmp_path / "out.csv")["reasons"][0]
    assert reason.startswith("mean smoothness ")


def test_a_run_that_died_before_the_end_goes_on_with_its_own_version(
    settings, rows, tmp_path, monkeypatch, registry
):
    folder = tmp_path / "rows"
    folder.mkdir()
    for number in range(3):
        rows.assign(**{"mean area": rows["mean area"] + number}).to_parquet(
            folder / f"{number}.parquet"
        )
    reference, out = tmp_path / "reference.parquet", tmp_path / "out.parquet"
    scoring.score(str(folder), str(reference), MODEL, settings)

    def die(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(files.FileOutput, "publish", die)
        with pytest.raises(KeyboardInterrupt):
            scoring.score(str(folder), str(out), MODEL, settings)
    assert not out.exists()
    parts = sorted(tmp_path.glob(".out.parquet.parts/part-*.json"))
    parts[-1].unlink()  # as if it had died before the last record
    registry.set_registered_model_alias("dagmm-wdbc", "production", "1")
    report = scoring.score(str(folder), str(out), MODEL, settings)
    assert report.resumed_rows == 2 * 569
    assert report.model == "models:/dagmm-wdbc/2"
    pd.testing.assert_frame_equal(pd.read_parquet(out), pd.read_parquet(reference))
    assert not list(tmp_path.glob(".out*"))
    again = scoring.score(str(folder), str(out), MODEL, settings)
    assert (again.resumed_rows, again.model) == (0, "models:/dagmm-wdbc/1")


@pytest.mark.parametrize("kind", ["file", "folder"])
def test_another_source_starts_over(settings, rows, tmp_path, monkeypatch, kind):
    folder = tmp_path / "rows"
    folder.mkdir()
    rows.to_parquet(folder / "0.parquet")
    source = str(folder if kind == "folder" else folder / "0.parquet")
    out = tmp_path / "out.parquet"
    with monkeypatch.context() as patched:
        patched.setattr(files.FileOutput, "publish", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            scoring.score(source, str(out), MODEL, settings)
    changed = rows[::-1]
    changed.to_parquet(folder / "0.parquet")
    report = scoring.score(source, str(out), MODEL, settings)
    assert report.resumed_rows == 0
    scoring.score(source, str(tmp_path / "fresh.parquet"), MODEL, settings)
    pd.testing.assert_frame_equal(pd.read_parquet(out), pd.read_parquet(tmp_path / "fresh.parquet"))


def test_rejected_rows_of_an_earlier_run_do_not_stay(settings, rows, tmp_path):
    bad = rows.astype(object)
    bad.iloc[3, 2] = "oops"
    source, out = tmp_path / "rows.csv", tmp_path / "out.csv"
    bad.to_csv(source, index=False)
    first = scoring.score(str(source), str(out), MODEL, settings)
    assert first.rejected == 1
    assert Path(first.rejects).exists()
    rows.to_csv(source, index=False)
    second = scoring.score(str(source), str(out), MODEL, settings)
    assert second.rejects is None
    assert not Path(first.rejects).exists()


def test_no_rows_give_an_empty_result(settings, rows, tmp_path):
    rows.iloc[:0].to_parquet(tmp_path / "rows.parquet")
    scoring.score(str(tmp_path / "rows.parquet"), str(tmp_path / "out.parquet"), MODEL, settings)
    assert len(pd.read_parquet(tmp_path / "out.parquet")) == 0


def test_a_database_table_is_replaced_with_its_rejected_rows(settings, rows, tmp_path):
    bad = rows.astype(object)
    bad.iloc[3, 2] = "oops"
    bad.to_csv(tmp_path / "rows.csv", index=False)
    url = f"sqlite:///{tmp_path / 'result.db'}"
    for _ in range(2):
        report = scoring.score(str(tmp_path / "rows.csv"), url, MODEL, settings, table="scored")
    with sqlite3.connect(tmp_path / "result.db") as database:
        actual = pd.read_sql("select * from scored order by row_id", database)
        rejects = pd.read_sql("select * from scored_rejected", database)
    assert actual["row_id"].tolist() == [i for i in range(569) if i != 3]
    assert actual["is_anomaly"].sum() == report.anomalies
    assert rejects["row_id"].tolist() == [3]
    with sqlite3.connect(tmp_path / "result.db") as database:
        database.execute("create table mine (x)")
    with pytest.raises(UsageError, match="holds something else"):
        scoring.score(str(tmp_path / "rows.csv"), url, MODEL, settings, table="mine")


def test_a_folder_is_replaced_whole_and_only_where_it_is_a_result(settings, rows, tmp_path):
    for rows_in in (rows, rows.iloc[:0]):
        rows_in.to_parquet(tmp_path / "rows.parquet")
        source = str(tmp_path / "rows.parquet")
        report = scoring.score(source, f"{tmp_path}/out/", MODEL, settings)
        assert len(pd.read_parquet(tmp_path / "out")) == len(rows_in) == report.scored
    assert sorted(p.name for p in tmp_path.glob("*out*")) == ["out"]
    (tmp_path / "out" / "mine.txt").touch()
    with pytest.raises(UsageError, match=r"something other than a result \(mine\.txt\)"):
        scoring.score(source, f"{tmp_path}/out/", MODEL, settings)


@pytest.mark.parametrize("name", ["rows.csv", "rows.parquet", "link.csv", "odd.parquet"])
def test_a_file_that_is_no_result_is_not_written_over(settings, rows, tmp_path, name):
    """First of all the input."""
    rows.head(20).to_csv(tmp_path / "rows.csv", index=False)
    rows.head(20).to_parquet(tmp_path / "rows.parquet")
    (tmp_path / "link.csv").symlink_to("rows.csv")
    (tmp_path / "odd.parquet").write_text("kept")
    before = {file.name: file.read_bytes() for file in tmp_path.iterdir() if file.is_file()}
    with pytest.raises(UsageError, match=rf"{name} already exists and is not a result"):
        scoring.score(str(tmp_path / "rows.csv"), str(tmp_path / name), MODEL, settings)
    assert before == {f.name: f.read_bytes() for f in tmp_path.iterdir() if f.is_file()}


def test_a_folder_of_rows_is_not_written_over(settings, rows, tmp_path):
    (tmp_path / "rows").mkdir()
    rows.head(20).to_parquet(tmp_path / "rows" / "part-00000.parquet")
    with pytest.raises(UsageError, match=r"something other than a result \(part-00000"):
        scoring.score(str(tmp_path / "rows"), f"{tmp_path}/rows/", MODEL, settings)
    assert len(pd.read_parquet(tmp_path / "rows")) == 20


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_an_earlier_result_and_an_empty_file_are_written_over(settings, rows, tmp_path, suffix):
    rows.head(20).to_csv(tmp_path / "rows.csv", index=False)
    out = tmp_path / f"out{suffix}"
    out.touch()
    for _ in range(2):
        assert scoring.score(str(tmp_path / "rows.csv"), str(out), MODEL, settings).scored == 20


def test_two_processes_do_not_write_one_output(settings, rows, tmp_path, monkeypatch):
    rows.to_parquet(tmp_path / "rows.parquet")
    arguments = (str(tmp_path / "rows.parquet"), str(tmp_path / "out.parquet"), MODEL, settings)

    def second(*_):
        with pytest.raises(UsageError, match="another process"):
            scoring.score(*arguments)
        raise SystemExit

    monkeypatch.setattr(files.FileOutput, "publish", second)
    with pytest.raises(SystemExit):
        scoring.score(*arguments)


def test_a_file_that_changes_while_it_is_read_gives_no_result(
    settings, rows, tmp_path, monkeypatch
):
    source = tmp_path / "rows.parquet"
    rows.to_parquet(source)
    real = local.fill_locally

    def fill(*arguments):
        real(*arguments)
        os.utime(source, ns=(1, 1))

    monkeypatch.setattr(local, "fill_locally", fill)
    with pytest.raises(SourceError, match="changed while"):
        scoring.score(str(source), str(tmp_path / "out.parquet"), MODEL, settings)
    assert [p.name for p in tmp_path.glob("*out*")] == []


@pytest.mark.parametrize(
    ("output", "table", "message"),
    [
        ("out.xlsx", None, "must end in"),
        ("out.csv", "t", "--table goes with"),
        ("sqlite:///x.db", None, "name the table"),
        ("postgresql://me:secret@host/db", "t", "holds a password"),
    ],
)
def test_outputs_that_cannot_be_used(tmp_path, monkeypatch, output, table, message):
    monkeypatch.setenv("DAGMM_HOME", str(tmp_path))
    with pytest.raises(UsageError, match=message) as raised:
        choice.output_for(output, table, Settings())
    assert "secret" not in str(raised.value)


@pytest.mark.parametrize("text", ["0", "-1", "some", "1.5", ""])
def test_reasons_that_cannot_be_used(text):
    with pytest.raises(UsageError, match="none, or all"):
        scoring.parse_reasons(text)


@given(shares=st.lists(st.lists(st.floats(0, 1), min_size=4, max_size=4), max_size=5))
def test_reasons_name_the_largest_shares_in_order(shares):
    matrix = np.array(shares, dtype=float).reshape(-1, 4)
    at = np.arange(len(matrix)) * 2
    reasons = Reasons(at, ("a", "b", "c", "d"), matrix, np.arange(len(matrix)))
    texts, component = reasons_text(reasons, 2, 2 * len(matrix) + 1)
    for row, text in enumerate(texts.to_pylist()):
        if row % 2 or row // 2 >= len(matrix):
            assert text is None
            assert component[row].as_py() is None
            continue
        values = dict(zip("abcd", matrix[row // 2], strict=True))
        words = [] if text is None else [w.split(" ") for w in text.split("; ")]
        shown = [values[name] for name, _ in words]
        assert shown == sorted(shown, reverse=True)
        remaining = [v for n, v in values.items() if n not in {name for name, _ in words}]
        assert len(words) == 2 or all(round(100 * v) == 0 for v in remaining)
        assert not shown or not remaining or min(shown) >= max(remaining)


def test_counts_add_up_in_any_grouping():
    parts = [Counts(5, 4, 1, 0, {"a": 1}, 7), Counts(3, 3, 0, 1, {"b": 2}), Counts(2, 2, 2, 2)]
    total = Counts().plus(parts[0]).plus(parts[1]).plus(parts[2])
    other = Counts().plus(parts[0]).plus(parts[1].plus(parts[2]))
    for name in ("rows", "scored", "anomalies", "remarked", "unseen"):
        assert getattr(total, name) == getattr(other, name)
    assert (total.rows, total.unseen) == (10, {"a": 1, "b": 2})


REPEATS = 1500


@pytest.fixture(scope="module")
def large(tmp_path_factory) -> dict[str, Path]:
    """853,500 rows, each another, as Parquet and as CSV."""
    folder = tmp_path_factory.mktemp("large")
    data = load_breast_cancer(as_frame=True).data
    frame = pd.concat([data] * REPEATS, ignore_index=True)
    frame["mean area"] += np.arange(len(frame)) * 1e-6
    frame.to_parquet(folder / "rows.parquet")
    from pyarrow import csv

    csv.write_csv(pa.Table.from_pandas(frame), folder / "rows.csv")
    return {".parquet": folder / "rows.parquet", ".csv": folder / "rows.csv"}


def _killed_when(process, condition) -> None:
    until(condition, process, pause=0.002)
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    assert process.returncode == -signal.SIGKILL


@pytest.mark.slow
@pytest.mark.parametrize("kind", [".parquet", ".csv", "sqlite", "postgres"])
def test_kill_minus_nine_at_the_start_the_middle_and_the_end(
    dagmm_process, settings, large, tmp_path, kind, request, monkeypatch, registry
):
    source = large[".csv" if kind == ".csv" else ".parquet"]
    out, options, read = _output(kind, tmp_path, request, monkeypatch)
    folder = (
        tmp_path / f".out{kind}.parts" if kind.startswith(".") else settings.workspace / "scoring"
    )

    def records() -> int:
        return len(list(folder.rglob("part-*.json")))

    def start():
        return dagmm_process("score", source, out, *options, "--json")

    expected = 7 if kind != ".csv" else 20

    def ending() -> bool:
        if kind.startswith("."):
            return bool(list(tmp_path.glob(f".out{kind}.*.part")))
        if kind == "sqlite":
            return Path(f"{tmp_path / 'out.db'}-journal").exists()
        return records() == expected and time.sleep(1.5) is None

    for condition in (
        lambda: bool(list(folder.rglob("run.json"))),
        lambda: records() >= 3,
        ending,
    ):
        _killed_when(start(), condition)
        assert read() is None, "nothing is published before the end"
    registry.set_registered_model_alias("dagmm-wdbc", "production", "1")
    done = start()
    output, errors = done.communicate(timeout=600)
    assert done.returncode == 0, errors
    report = json.loads(output)
    assert report["resumed_rows"] == report["rows"] == 569 * REPEATS
    assert report["model"] == "models:/dagmm-wdbc/2"
    actual = read()
    assert actual["row_id"].tolist() == list(range(569 * REPEATS))
    assert set(actual["model"]) == {"models:/dagmm-wdbc/2"}
    reference = tmp_path / "reference.parquet"
    scoring.score(str(source), str(reference), "models:/dagmm-wdbc/2", settings)
    whole = pd.read_parquet(reference)
    np.testing.assert_allclose(actual["energy"], whole["energy"], rtol=1e-12)
    assert (actual["reasons"].fillna("") == whole["reasons"].fillna("")).all()
    assert not folder.exists() or not list(folder.iterdir())


def _output(kind, tmp_path, request, monkeypatch):
    """The output, the options that go with it, and how to read it; None where there is nothing."""
    if kind.startswith("."):
        path = tmp_path / f"out{kind}"
        read = pd.read_csv if kind == ".csv" else pd.read_parquet
        return path, (), lambda: read(path) if path.exists() else None
    import sqlalchemy as sa

    url = f"sqlite:///{tmp_path / 'out.db'}"
    if kind == "postgres":
        monkeypatch.setenv("PGPASSWORD", PASSWORD)
        url = request.getfixturevalue("postgres").replace(f":{PASSWORD}", "")

    def rows():
        engine = sa.create_engine(url)
        try:
            with engine.connect() as connection:
                if not sa.inspect(connection).has_table("scored"):
                    return None
                actual = pd.read_sql("select * from scored order by row_id", connection)
                return actual if len(actual) else None
        finally:
            engine.dispose()

    return url, ("--table", "scored"), rows


@pytest.mark.slow
def test_a_full_disk_keeps_what_is_finished(settings, rows, tmp_path):
    if os.geteuid() != 0 or shutil.which("mount") is None:
        pytest.skip("needs the right to mount a small file system")
    disk = tmp_path / "disk"
    disk.mkdir()
    if os.system(f"mount -t tmpfs -o size=1m tmpfs {disk}"):
        pytest.skip("mounting is not allowed here")
    try:
        frame = pd.concat([rows] * 400, ignore_index=True)
        frame["mean area"] += np.random.default_rng(0).normal(size=len(frame))
        frame.to_parquet(tmp_path / "rows.parquet")
        arguments = (str(tmp_path / "rows.parquet"), str(disk / "out.parquet"), MODEL, settings)
        with pytest.raises(SourceError, match="No space left"):
            scoring.score(*arguments)
        assert not (disk / "out.parquet").exists()
        os.system(f"mount -o remount,size=64m {disk}")
        assert scoring.score(*arguments).scored == 569 * 400
    finally:
        os.system(f"umount {disk}")


@pytest.mark.parametrize(
    ("rows", "resumed", "last"),
    [
        (150, 0, "Time       0.4 s"),
        (30_000, 0, "Speed      75,000 rows/s (0.4 s)"),
        (30_000, 29_990, "Time       0.4 s"),
    ],
)
def test_a_rate_is_said_of_rows_enough_to_measure_one(rows, resumed, last):
    report = scoring.ScoreReport(
        model="models:/m/1", rows=rows, scored=rows, rejected=0, anomalies=0, remarked=0, unseen={},
        output="o.csv", rejects=None, resumed_rows=resumed, seconds=0.4, processor_seconds=0.4,
        causes={}, tolerance=0.01,
    )  # fmt: skip
    assert report.text().splitlines()[-1] == last
