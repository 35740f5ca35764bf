"""`dagmm benchmark` through the command: MLflow's state, what is repeated, what is reported."""

import json
from collections import Counter
from pathlib import Path

import numpy as np
import psutil
import pytest
from matplotlib.figure import Figure

from flows.benchmarking.cells import read_cells
from flows.benchmarking.results.report import write_results
from tests.flows.conftest import Outcome
from tests.waiting import until

SMALL = ("benchmark", "--datasets", "wdbc", "--detectors", "dagmm", "pca")


def _runs(registry) -> tuple[object, list]:
    """The parent run and its children."""
    experiment = registry.get_experiment_by_name("dagmm-benchmark").experiment_id
    runs = registry.search_runs([experiment], max_results=1000)
    parents = [run for run in runs if "mlflow.parentRunId" not in run.data.tags]
    assert len(parents) == 1
    children = [run for run in runs if run is not parents[0]]
    assert {run.data.tags["mlflow.parentRunId"] for run in children} <= {parents[0].info.run_id}
    return parents[0], children


def _answer(outcome: Outcome):
    assert outcome.code == 0, outcome.err
    return outcome.json


def test_a_parent_run_with_a_child_for_each_cell(dagmm, ask, home, registry, tmp_path):
    first = _answer(dagmm(*SMALL, "--seeds", "1", "--json"))
    # Two detectors, the reference untrained, the best column.
    assert (first["planned"], first["measured"], first["missing"]) == (4, 4, 0)
    assert first["failed"] == {}
    folder = Path(first["output"])
    cells = read_cells(folder / "cells.jsonl")
    assert len(cells) == 5  # the reconstruction error comes with the reference

    parent, children = _runs(registry)
    assert parent.info.status == "FINISHED"
    assert {run.info.status for run in children} == {"FINISHED"}
    by_place = {
        (run.data.params["detector"], int(run.data.params["seed"])): run for run in children
    }
    assert len(by_place) == len(children) == len(cells)
    for cell in cells:
        logged = by_place[cell.detector, cell.seed].data.metrics
        assert logged["f1"] == cell.f1
        assert logged["roc_auc"] == cell.roc_auc
        assert logged["seconds"] == pytest.approx(cell.seconds)
    artifacts = {item.path for item in registry.list_artifacts(parent.info.run_id)}
    assert {"cells.jsonl", "table.md", "report.html", "plots", "runs.jsonl"} <= artifacts

    actual = ask("/artifacts/filter", {"artifacts": {}})
    assert {"benchmark", "benchmark-progress", "benchmark-run"} <= {item["key"] for item in actual}

    # The tables are of the cells alone: another folder with the same cells gives the same bytes.
    copy = tmp_path / "copy"
    copy.mkdir()
    for name in ("cells.jsonl", "runs.jsonl"):
        (copy / name).write_bytes((folder / name).read_bytes())
    shown = _answer(dagmm("benchmark", "--table-only", "--output", copy, "--json"))
    assert shown == first["results"]
    files = [
        p.relative_to(folder) for p in folder.rglob("*") if p.suffix in {".md", ".html", ".svg"}
    ]
    assert len(files) >= 5
    for file in files:
        assert (copy / file).read_bytes() == (folder / file).read_bytes(), file
    mean = np.mean([c.f1 for c in cells if c.detector == "pca"])
    (line,) = (x for x in shown if x["detector"] == "pca")
    assert line["figures"]["f1"]["mean"] == pytest.approx(mean)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--detectors", "pca", "dagm"), "unknown detector 'dagm'; did you mean 'dagmm'"),
        (("--protocols", "papre"), "--protocols"),
        (("--budget", "0"), "--budget"),
        (("--datasets", "wdbc", "nothing"), "no shipped contract is called 'nothing'"),
        (("--suite", "nowhere"), "--suite nowhere: neither"),
        (("--suite", "nowhere", "--group-duplicates"), "contract"),
        (("--table-only", "--output", "nowhere"), "run a benchmark first"),
    ],
)
def test_wrong_usage_is_said_before_anything_is_started(dagmm, registry, arguments, message):
    outcome = dagmm("benchmark", *arguments)
    assert outcome.code == 2
    assert message in outcome.err
    assert registry.get_experiment_by_name("dagmm-benchmark") is None


def _contract(folder: Path, normals: int, anomalies: int) -> Path:
    """A table of its own with a contract."""
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(normals + anomalies, 3))
    rows[normals:] += 4
    states = ["good"] * normals + ["bad"] * anomalies
    lines = [",".join([*(f"{v:.6f}" for v in r), s]) for r, s in zip(rows, states, strict=True)]
    (folder / "pumps.csv").write_text("\n".join(["a,b,c,state", *lines]) + "\n")
    columns = "".join(f"  - {{name: {name}, type: numeric}}\n" for name in "abc")
    contract = folder / "pumps.yaml"
    contract.write_text(
        f"name: pumps\nsource: {{kind: csv, file: pumps.csv}}\ncolumns:\n{columns}"
        "label: {column: state, normal: [good], anomalous: [bad]}\n"
    )
    return contract


@pytest.mark.slow
def test_a_cell_that_fails_is_reported_and_the_others_go_on(
    dagmm, home, registry, tmp_path, monkeypatch
):
    monkeypatch.setenv("DAGMM_DATA_DIR", str(tmp_path))
    contract = _contract(tmp_path, normals=6, anomalies=6)  # too few rows for five neighbours
    result = _answer(
        dagmm("benchmark", "--datasets", contract, "--detectors", "knn", "mahalanobis",
              "--seeds", "2", "--json")
    )  # fmt: skip
    assert result["missing"] == 0
    assert len(result["failed"]) == 2
    assert all("NotEnoughRowsError" in reason for reason in result["failed"].values())
    lines = {line["detector"]: line for line in result["results"]}
    assert lines["mahalanobis"]["splits"] == 2
    assert lines["knn"]["splits"] == 0
    parent, children = _runs(registry)
    assert parent.info.status == "FINISHED"
    failed = [run for run in children if run.info.status == "FAILED"]
    assert len(failed) == 2
    assert all("NotEnoughRowsError" in run.data.tags["dagmm.error"] for run in failed)
    page = Path(result["page"]).read_text()
    assert "NotEnoughRowsError" in page
    assert "failed (2)" in page


@pytest.mark.slow
def test_a_table_without_labels_is_refused(dagmm, tmp_path, monkeypatch):
    monkeypatch.setenv("DAGMM_DATA_DIR", str(tmp_path))
    contract = _contract(tmp_path, normals=30, anomalies=5)
    text = contract.read_text()
    contract.write_text(text[: text.index("label:")] + "  - {name: state, type: ignored}\n")
    outcome = dagmm("benchmark", "--datasets", contract, "--detectors", "pca")
    assert outcome.code == 2, outcome.err
    assert "pumps has no labels" in outcome.err


@pytest.mark.slow
def test_the_budget_ends_the_start_of_cells_and_the_next_call_goes_on(dagmm, home):
    everything = ("--seeds", "40", "--protocols", "paper", "deployment", "--json")
    first = _answer(dagmm(*SMALL, *everything, "--budget", "0.2"))
    assert 0 < first["measured"] < first["planned"]
    assert first["missing"] == first["planned"] - first["measured"]
    page = Path(first["page"]).read_text()
    assert "Not measured yet" in page
    cells = read_cells(Path(first["output"]) / "cells.jsonl")
    # Balanced: whatever was measured, no detector is more than a seed ahead of another.
    counts = Counter((c.protocol, c.detector) for c in cells)
    full = 5 + 4  # rows of the two protocols
    assert max(counts.values()) - (min(counts.values()) if len(counts) == full else 0) <= 1
    second = _answer(dagmm(*SMALL, *everything, "--budget", "0.1"))
    assert second["known_before"] == first["measured"]


@pytest.mark.slow
def test_killed_in_the_middle_only_the_missing_cells_are_measured(
    dagmm, dagmm_process, home, registry
):
    command = ("benchmark", "--datasets", "wdbc", "--detectors", "dagmm", "isolation-forest", "pca",
               "--seeds", "4", "--protocols", "paper", "deployment")  # fmt: skip
    path = home / "benchmark" / "cells.jsonl"
    process = dagmm_process(*command)
    until(lambda: len(read_cells(path)) >= 10, process)
    workers = psutil.Process(process.pid).children(recursive=True)
    process.kill()
    process.communicate()
    _, alive = psutil.wait_procs(workers, timeout=300)
    assert not [p for p in alive if "spawn_main" in " ".join(p.cmdline())], "a worker lives on"

    before = path.read_text()
    known = {cell.key for cell in read_cells(path)}
    result = _answer(dagmm(*command, "--json"))
    assert path.read_text().startswith(before)
    cells = read_cells(path)
    assert len(cells) == len({cell.key for cell in cells}), "a cell was measured twice"
    own = [c for c in cells if not c.detector.endswith("reconstruction error")]
    assert result["missing"] == 0
    assert result["known_before"] + result["measured"] == result["planned"] == len(own)
    assert result["known_before"] == len([cell for cell in own if cell.key in known])
    parent, children = _runs(registry)
    assert parent.info.status == "FINISHED"
    assert {run.info.status for run in children} == {"FINISHED"}
    assert len(children) == len(cells)


def test_the_committed_tables_are_those_of_the_committed_cells(tmp_path, monkeypatch):
    monkeypatch.setattr(Figure, "savefig", lambda *args, **kwargs: None)  # nobody looks at them
    docs = Path(__file__).parents[3] / "docs" / "results"
    for file in docs.glob("*.jsonl"):
        (tmp_path / file.name).write_bytes(file.read_bytes())
    write_results(tmp_path)
    assert (tmp_path / "table.md").read_text() == (docs / "table.md").read_text()
    assert json.loads((docs / "cells.jsonl").read_text().splitlines()[0])["dataset"]


def test_the_readme_shows_rows_of_the_committed_table():
    root = Path(__file__).parents[3]
    shown = (root / "README.md").read_text().split("<!-- table", 1)[1].split("<!-- end -->")[0]
    rows = [line for line in shown.splitlines() if line.startswith("|")]
    table = (root / "docs" / "results" / "table.md").read_text().splitlines()
    named = {row.split("|")[1].strip() for row in rows[2:]}
    assert named >= {"dagmm", "dagmm, untrained", "isolation-forest", "knn"}
    assert set(rows) <= set(table)
