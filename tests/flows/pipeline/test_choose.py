"""`--detector auto`: the choice, what it may look at, and where it is told."""

from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from dagmm_model.detectors.catalogue import FAST
from data_checks.contract.model import ANOMALY_COLUMN, ROW_ID, load_contract
from flows.common.config import build_config
from flows.common.errors import UsageError
from flows.common.settings import Settings
from flows.pipeline.choose import choose_detector
from flows.pipeline.ranking import LEAST_ANOMALIES
from flows.pipeline.split import positions, split
from flows.stages.records import JudgedRecord
from flows.stages.run import TrainRun

QUICK = ("--set", "promotion.serving_check=false")
CONTRACT = """
name: made
source: {kind: csv, file: made.csv}
columns:
  - {name: a, type: numeric}
  - {name: b, type: numeric}
  - {name: c, type: numeric}
label: {column: state, normal: [good], anomalous: [bad]}
"""


def _rows(normals: int, anomalies: int) -> tuple[np.ndarray, np.ndarray]:
    """Normal rows on a circle, which a distance to the mean does not know; anomalies inside it."""
    rng = np.random.default_rng(0)
    angle = rng.uniform(0, 2 * np.pi, normals)
    circle = np.stack([np.cos(angle), np.sin(angle), rng.normal(size=normals)], axis=1)
    inside = rng.normal(size=(anomalies, 3)) * (0.2, 0.2, 1.0)
    rows = np.concatenate([circle + 0.05 * rng.normal(size=circle.shape), inside])
    return rows, np.arange(len(rows)) >= normals


class Table:
    """A validated table in a folder, with its split."""

    def __init__(self, folder: Path, rows: np.ndarray, labels: np.ndarray | None) -> None:
        folder.mkdir(exist_ok=True)
        (folder / "made.yaml").write_text(CONTRACT)
        self.contract = load_contract(str(folder / "made.yaml"))
        self.config = build_config(str(folder / "made.yaml"), None, None, [], "auto")
        columns = dict(zip("abc", rows.T, strict=True)) | {ROW_ID: np.arange(len(rows))}
        if labels is not None:
            columns[ANOMALY_COLUMN] = labels
        pq.write_table(pa.table(columns), folder / "valid.parquet")
        n = len(rows)
        self.valid = JudgedRecord(path=str(folder / "valid.parquet"), rows=n, sha256="0" * 64)
        self.run = TrainRun(folder, self.contract, self.config, Settings())
        self.parts = split(self.run, self.valid)

    def choice(self):
        return choose_detector(self.run, self.valid, self.parts)


def test_what_sees_the_anomalies_is_chosen_and_the_figures_say_so(tmp_path):
    choice = Table(tmp_path, *_rows(600, 60)).choice()
    figures = {c.name: c.average_precision for c in choice.candidates}
    assert set(figures) == set(FAST)
    assert choice.detector == max(figures, key=figures.get)
    assert choice.detector in ("knn", "lof", "dagmm")
    assert figures[choice.detector] > figures["mahalanobis"] + 0.3
    assert choice.measured
    assert (choice.fitted_rows, choice.normals) == (288, 72)  # of 360 training rows
    assert choice.anomalies == 48
    assert f"{figures[choice.detector]:.4f}" in choice.reason


def test_neither_test_nor_validation_rows_take_part(tmp_path):
    rows, labels = _rows(300, 40)
    first = Table(tmp_path / "one", rows, labels)
    spoilt = rows.copy()
    for part in ("test", "validation"):
        spoilt[positions(first.parts, part)] = 1e6
    other = Table(tmp_path / "other", spoilt, labels)
    figures = [
        [(c.name, c.average_precision, c.roc_auc) for c in table.choice().candidates]
        for table in (first, other)
    ]
    assert figures[0] == figures[1]


@pytest.mark.parametrize("anomalies", [None, 0, LEAST_ANOMALIES])
def test_without_labelled_anomalies_the_recommended_settings_are_taken_and_it_says_so(
    tmp_path, anomalies
):
    rows, labels = _rows(100, anomalies or 0)
    choice = Table(tmp_path, rows, None if anomalies is None else labels).choice()
    # Of the few there are, the test part has its share.
    assert (choice.detector, choice.measured, choice.candidates) == ("dagmm", False, ())
    assert "needed to choose by: the recommended settings" in choice.reason


def test_a_candidate_that_fails_is_told_and_left_out(tmp_path):
    choice = Table(tmp_path, *_rows(34, 30)).choice()  # 16 rows: too few neighbours for lof
    failed = {c.name: c.failed for c in choice.candidates if c.failed}
    assert "NotEnoughRowsError" in failed["lof"]
    assert choice.measured
    assert choice.detector not in failed


@pytest.mark.parametrize("more", ["detector.preset=paper", "detector.settings.epochs=3"])
def test_what_auto_cannot_take_is_refused(more):
    with pytest.raises(UsageError, match="auto chooses among recommended"):
        build_config("wdbc", None, None, [more], "auto")
    with pytest.raises(UsageError, match=r"fit\.streaming"):
        build_config("wdbc", None, None, ["fit.streaming=true"], "auto")


def test_the_choice_stands_in_run_version_and_evidence(dagmm, registry, tmp_path):
    rows, bad = _rows(120, 30)
    frame = pd.DataFrame(rows, columns=list("abc"))
    frame.assign(state=np.where(bad, "bad", "good")).to_csv(tmp_path / "made.csv", index=False)
    (tmp_path / "made.yaml").write_text(CONTRACT)
    table = (tmp_path / "made.yaml", "--data", tmp_path / "made.csv")
    outcome = dagmm("train", *table, "--detector", "auto", *QUICK, "--json")
    assert outcome.code in (0, 1), outcome.err
    choice = outcome.json["evidence"]["choice"]
    assert choice["detector"] == "knn"  # without epochs or a mixture, and it says so
    assert outcome.json["evidence"]["fit"]["epochs"] == 0
    assert outcome.json["evidence"]["fit"]["health"] == {}
    assert outcome.json["evidence"]["evaluate"]["sanity"] == []
    reasons = "\n".join(outcome.json["promotion"]["reasons"])
    assert "mixture health: not measured – not applicable: knn has no mixture" in reasons
    run = registry.get_run(outcome.json["registration"]["run_id"])
    assert run.data.params["detector.name"] == "auto"
    assert run.data.tags["dagmm.detector"] == choice["detector"]
    assert choice["reason"] in run.data.tags["dagmm.choice"]
    for candidate in choice["candidates"]:
        logged = run.data.metrics[f"choice/{candidate['name']}/average_precision"]
        assert logged == pytest.approx(candidate["average_precision"])
    version = registry.get_model_version("dagmm-made", "1")
    assert version.tags["dagmm.detector"] == choice["detector"]
    assert choice["reason"] in version.description
    evidence = registry.download_artifacts(run.info.run_id, "evidence.json")
    assert choice["reason"] in Path(evidence).read_text()
