"""The next training: verdicts are labels, and no row judged an anomaly is trained on."""

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
import yaml

from data_checks.contract.model import ANOMALY_COLUMN, ROW_ID, load_contract
from data_checks.rows.rows import check_rows
from flows.common.config import TrainConfig
from flows.common.errors import UsageError
from flows.common.settings import Settings
from flows.pipeline import known_labels as room
from flows.pipeline.ingest import read_source
from flows.pipeline.known_labels import with_verdicts
from flows.pipeline.split import positions, split
from flows.pipeline.validate import check_table
from flows.stages.run import TrainRun
from flows.verdicts.rows import row_key, row_texts
from flows.verdicts.standing import RowVerdict, standing
from tests.flows.pipeline.test_time_split import CONTRACT, table

PARTS = ("train", "validation", "test", "set_aside")


class Made:
    """A validated table, and what becomes of it."""

    def __init__(self, folder, frame, **keys):
        frame.to_csv(folder / "pumps.csv", index=False)
        file = folder / "pumps.yaml"
        columns = [{"name": "pump", "type": "ignored"}, *CONTRACT["columns"][1:]]
        file.write_text(yaml.safe_dump(CONTRACT | {"columns": columns} | keys))
        self.contract = load_contract(file)
        self.run = folder / "run"
        self.run.mkdir()
        actual = read_source(self.run, self.contract, None, folder)
        self.checked = check_table(self.run, self.contract, actual)

    def verdicts_on(self, pressures, words):
        rows = check_rows(pd.DataFrame({"pressure": pressures}), self.contract).features
        texts = row_texts(rows)
        return [
            RowVerdict(row_key(text), text, word, "ann", 1.0, "", 1, 9.0, True, id=number)
            for number, (text, word) in enumerate(zip(texts, words, strict=True))
        ]

    def with_verdicts(self, holds):
        return with_verdicts(self.run, self.contract, self.checked, holds)

    def divided(self, pressures, words, **config):
        holds = standing(self.verdicts_on(pressures, words))
        record = self.with_verdicts(holds)
        config = TrainConfig(dataset="pumps", **config)
        parts = split(TrainRun(self.run, self.contract, config, Settings()), record)
        rows = pq.read_table(record.path).to_pandas()
        return record, rows, {name: positions(parts, name) for name in PARTS}


@pytest.fixture
def frame():
    return table()


def test_without_verdicts_the_table_is_the_same_file(tmp_path, frame):
    made = Made(tmp_path, frame)
    record, _, _ = made.divided([], [])
    assert (record.path, record.sha256) == (made.checked.path, made.checked.sha256)
    assert record.verdicts_sha256 == ""


@pytest.mark.parametrize("labelled", [True, False])
@pytest.mark.parametrize(
    "config", [{}, {"split": {"protocol": "paper"}}, {"fit": {"streaming": True}}]
)
def test_no_row_judged_an_anomaly_trains_or_calibrates(tmp_path, frame, labelled, config):
    keys = {} if labelled else {"label": None, "extra_columns": "ignore"}
    made = Made(tmp_path, frame, **keys)
    there = frame["pressure"].to_numpy()[:40]
    pressures = [*there, *np.linspace(20, 30, 20)]
    for seed in range(4):
        record, rows, parts = made.divided(pressures, ["anomaly"] * 60, seed=seed, **config)
        bad = np.flatnonzero(rows["pressure"].isin(pressures).to_numpy())
        assert len(bad) == 60 == record.anomalies
        assert record.appended == 20
        assert not set(bad) & {*parts["train"], *parts["validation"]}
        assert set(bad) <= set(parts["test"])
        every = np.sort(np.concatenate(list(parts.values())))
        assert (every == np.arange(len(rows))).all()


def test_verdicts_win_over_labels_and_equal_rows_get_them_all(tmp_path, frame):
    frame.loc[:2, ["pressure", "state"]] = [7.25, "leak"]
    frame.loc[3, ["pressure", "state"]] = [8.5, "ok"]
    made = Made(tmp_path, frame)
    record, rows, parts = made.divided([7.25, 8.5], ["normal", "anomaly"])
    assert (record.relabelled, record.appended) == (4, 0)
    assert rows.loc[:3, ANOMALY_COLUMN].tolist() == [0, 0, 0, 1]
    assert len(rows) == len(frame)
    assert 3 in parts["test"]


def test_normal_rows_that_the_table_does_not_have_go_to_every_part_in_its_share(tmp_path, frame):
    made = Made(tmp_path, frame)
    new = np.linspace(50, 60, 500)
    record, rows, parts = made.divided(new, ["normal"] * 500)
    behind = np.flatnonzero(rows[ROW_ID].to_numpy() < 0)
    assert len(behind) == 500 == record.appended
    shares = [np.isin(behind, parts[name]).mean() for name in PARTS]
    assert shares == pytest.approx([0.6, 0.2, 0.2, 0.0], abs=0.08)
    again = made.divided(new, ["normal"] * 500, seed=5)[2]
    assert (np.isin(behind, again["test"]) == np.isin(behind, parts["test"])).all()


def test_a_split_by_time_keeps_to_the_rows_that_have_one(tmp_path, frame):
    made = Made(tmp_path, frame, split={"time_column": "at"})
    words = ["normal"] * 50 + ["anomaly"] * 50
    _, rows, parts = made.divided(np.linspace(50, 60, 100), words)
    own = {name: part[part < len(frame)] for name, part in parts.items()}
    assert rows["at"][own["train"]].max() < rows["at"][own["test"]].min()
    assert len(np.concatenate(list(parts.values()))) == len(frame) + 100


def test_the_split_of_the_tables_own_rows_stays(tmp_path, frame):
    made = Made(tmp_path, frame)
    alone = made.divided([], [])[2]
    extra = made.divided(np.linspace(50, 60, 100), ["normal"] * 100)[2]
    for name in PARTS:
        assert (extra[name][extra[name] < len(frame)] == alone[name]).all()


def test_judged_rows_that_the_contract_would_quarantine_are_left_out(tmp_path, frame):
    made = Made(tmp_path, frame)
    holds = standing(made.verdicts_on([50.0, 51.0], ["normal", "normal"]))
    key = next(iter(holds))
    odd = RowVerdict("f" * 64, '{"other":1.0}', "normal", "ann", 1.0, "", 1, 9.0, True)
    record = made.with_verdicts(holds | standing([odd]))
    assert (record.left_out, record.normals) == (1, 2)
    only = made.with_verdicts(standing([odd]))
    assert (only.left_out, only.path) == (1, made.checked.path)
    assert key in holds


def test_verdicts_that_cannot_be_reached_are_not_ignored(store_client):
    client, settings = store_client
    assert room.judged_rows(client, settings, "m") == {}
    client.set_registered_model_tag("m", "dagmm.verdicts", "3 on 3 rows")
    with pytest.raises(UsageError, match=r"3 on 3 rows.*DAGMM_VERDICTS_URI"):
        room.judged_rows(client, settings, "m")


@pytest.fixture
def store_client(registry):
    registry.create_registered_model("m")
    return registry, Settings().model_copy(update={"mlflow_tracking_uri": "http://127.0.0.1:1"})
