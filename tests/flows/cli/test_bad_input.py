"""Bad input through the command: right exit code, one message, registry and aliases untouched."""

import os
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tests.flows.conftest import FAST

CONTRACT = """\
name: pumps
source: {{kind: csv, file: pumps.csv, confined: false}}
columns:
{columns}
label: {{column: state, normal: [ok], anomalous: [broken]}}
rows: {{minimum: 1}}
ratio_tolerance: 1.0
max_quarantine_share: {quarantine}
"""


def _rows(n: int = 120, width: int = 3, anomalies: int = 20) -> pd.DataFrame:
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(rng.normal(size=(n, width)), columns=[f"s{i}" for i in range(width)])
    frame["state"] = "ok"
    frame.loc[n - anomalies :, "state"] = "broken"
    frame.loc[n - anomalies :, "s0"] += 6.0
    return frame


class Pumps:
    """A table and its contract in a folder, and the command that trains on them."""

    def __init__(self, folder: Path, dagmm, width: int = 3, quarantine: float = 0.01) -> None:
        self.table, self.contract = folder / "pumps.csv", folder / "pumps.yaml"
        columns = "\n".join(f"  - {{name: s{i}, type: numeric}}" for i in range(width))
        self.contract.write_text(CONTRACT.format(columns=columns, quarantine=quarantine))
        self._dagmm = dagmm

    def train(self, frame: pd.DataFrame | None = None, *arguments: str):
        if frame is not None:
            frame.to_csv(self.table, index=False)
        return self._dagmm("train", self.contract, "--data", self.table, *FAST, *arguments)


@pytest.fixture
def pumps(tmp_path, dagmm):
    return Pumps(tmp_path, dagmm)


def _refused(outcome, registry, code: int, *words: str) -> None:
    assert outcome.code == code, outcome.err
    message = outcome.err.strip().splitlines()[-1]
    assert message.startswith(("Error: ", "No: "))
    for word in words:
        assert word in message, message
    assert "Traceback" not in outcome.err
    assert registry.search_registered_models() == []


def test_missing_file(pumps, registry):
    _refused(pumps.train(), registry, 2, "pumps.csv", "no such file")


def test_unreadable_file(pumps, registry):
    pumps.table.write_bytes(os.urandom(500))
    _refused(pumps.train(), registry, 2, "pumps.csv")


def test_empty_table(pumps, registry):
    _refused(pumps.train(_rows().head(0)), registry, 2, "no rows")


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (lambda f: f.drop(columns="s1"), "s1"),
        (lambda f: f.assign(extra=1), "extra"),
        (lambda f: f.drop(columns="state"), "state"),
    ],
    ids=["missing", "extra", "no label"],
)
def test_wrong_columns(pumps, registry, change, named):
    _refused(pumps.train(change(_rows())), registry, 2, named)


def test_duplicate_column(pumps, registry):
    _rows().to_csv(pumps.table, index=False)
    text = pumps.table.read_text().replace("s0,s1,s2", "s0,s1,s1", 1)
    pumps.table.write_text(text)
    _refused(pumps.train(), registry, 2, "s1")


def test_values_that_are_no_numbers_stop_the_run_when_there_are_too_many(pumps, registry):
    frame = _rows().astype({"s1": object})
    frame.loc[3:8, "s1"] = ["oops", np.nan, np.inf] * 2
    _refused(pumps.train(frame), registry, 1, "s1")


def test_bad_rows_constant_columns_and_no_anomalies_train_and_it_says_what_it_cannot_report(
    tmp_path, dagmm, home
):
    frame = _rows(anomalies=0).assign(s1=4.0, s2=0.0).astype({"s1": object})
    frame.loc[3, "s1"] = "oops"
    outcome = Pumps(tmp_path, dagmm, quarantine=0.05).train(frame)
    assert outcome.code == 0, outcome.err
    assert "120 rows in, 119 valid, 1 quarantined" in outcome.out
    (quarantine,) = home.glob("workspace/runs/*/**/quarantine.parquet")
    assert "oops" in str(pd.read_parquet(quarantine).iloc[0].to_dict())
    assert "no labelled anomalies" in outcome.out
    assert re.search("not measured: .*ROC AUC floor", outcome.out)
    assert "false alarm rate" in outcome.out


def test_unknown_label(pumps, registry):
    frame = _rows()
    frame.loc[5:9, "state"] = "dunno"
    _refused(pumps.train(frame), registry, 1, "state")


def test_no_normal_rows(pumps, registry):
    _refused(pumps.train(_rows().assign(state="broken")), registry, 1, "state", "normal")


def test_one_feature_without_labels_trains_and_says_what_it_cannot_report(tmp_path, dagmm):
    pumps = Pumps(tmp_path, dagmm, width=1)
    text = pumps.contract.read_text().splitlines(keepends=True)
    kept = [line for line in text if not line.startswith(("label", "ratio"))]
    pumps.contract.write_text("".join(kept))
    outcome = pumps.train(_rows(width=1).drop(columns="state"))
    assert outcome.code == 0, outcome.err
    assert "no labels" in outcome.out


def test_fewer_rows_than_components(pumps, registry):
    outcome = pumps.train(_rows(n=6, anomalies=1), "--set", "detector.settings.n_components=8")
    _refused(outcome, registry, 2, "n_components")


def test_a_loss_that_is_not_finite_names_epoch_term_and_remedy(pumps, registry):
    outcome = pumps.train(
        _rows(),
        *("--set", "detector.settings.learning_rate=1e30"),
        *("--set", "detector.settings.epochs=50"),
    )
    _refused(outcome, registry, 2, "epoch", "not finite", "learning_rate")


def test_broken_contract_names_file_and_line(pumps, registry):
    pumps.contract.write_text(pumps.contract.read_text().replace("numeric", "numerical", 1))
    _refused(pumps.train(_rows()), registry, 2, "pumps.yaml", "line")


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (("train", "nosuch"), "nosuch"),
        (("train", "wdbc", "--set", "seed=-1"), "seed"),
        (("train", "wdbc", "--set", "nokey=1"), "nokey"),
        (("train", "wdbc", "--set", "detector.settings.epochz=1"), "epochz"),
        (("train", "wdbc", "--set", "detector.settings.learning_rate=fast"), "learning_rate"),
        (("train", "wdbc", "--config", "nofile.yaml"), "nofile.yaml"),
        (("score", "rows.csv", "out.xlsx"), "out.xlsx"),
        (("score", "rows.csv", "out.csv", "--model", "dagmm"), "no registered model 'dagmm'"),
        (("score", "rows.csv", "out.csv"), "dagmm-wdbc"),
        (("history", "nosuch"), "nosuch"),
        (("promote", "nosuch", "1"), "nosuch"),
        (("rollback", "nosuch"), "nosuch"),
    ],
)
def test_wrong_usage(dagmm, registry, arguments, named):
    _refused(dagmm(*arguments), registry, 2, named)


def test_a_tracking_server_that_is_away_is_named(dagmm, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    outcome = dagmm("history", "dagmm-wdbc")
    assert outcome.code == 3
    assert "127.0.0.1:9" in outcome.err
