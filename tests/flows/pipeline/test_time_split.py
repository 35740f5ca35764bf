"""Contracts that split by time and keep groups together."""

import numpy as np
import pandas as pd
import pytest
import yaml

from data_checks.base.errors import ContractError
from data_checks.contract.model import load_contract
from flows.common.config import TrainConfig
from flows.common.errors import UsageError
from flows.common.settings import Settings
from flows.pipeline.ingest import read_source
from flows.pipeline.known_labels import unjudged
from flows.pipeline.split import positions, split
from flows.pipeline.validate import check_table
from flows.stages.run import TrainRun

CONTRACT = {
    "name": "pumps",
    "source": {"kind": "csv", "file": "pumps.csv", "header": True},
    "columns": [
        {"name": "pump", "type": "identifier"},
        {"name": "at", "type": "timestamp", "nullable": True},
        {"name": "pressure", "type": "numeric"},
    ],
    "label": {"column": "state", "normal": ["ok"], "anomalous": ["leak"]},
    "max_quarantine_share": 0.5,
}


def table(rows: int = 200) -> pd.DataFrame:
    rng = np.random.default_rng(0)
    moments = pd.Timestamp("2024-01-01") + pd.to_timedelta(rng.permutation(rows), "h")
    return pd.DataFrame(
        {
            "pump": [f"p{number % 40}" for number in range(rows)],
            "at": moments.strftime("%Y-%m-%dT%H:%M:%SZ"),
            "pressure": rng.normal(size=rows),
            "state": np.where(rng.random(rows) < 0.1, "leak", "ok"),
        }
    )


def divided(tmp_path, frame, **keys):
    """The split of a table under a contract with these `split` keys."""
    frame.to_csv(tmp_path / "pumps.csv", index=False)
    file = tmp_path / "pumps.yaml"
    kind = "identifier" if "group_column" in keys else "ignored"  # else one of a single row
    columns = [{"name": "pump", "type": kind}, *CONTRACT["columns"][1:]]
    file.write_text(yaml.safe_dump(CONTRACT | {"columns": columns, "split": keys}))
    contract = load_contract(file)
    run = tmp_path / "run"
    run.mkdir()
    read = read_source(run, contract, None, tmp_path)
    checked = check_table(run, contract, read)
    assert checked.passed, checked.message
    config = TrainConfig(dataset=str(file))
    record = split(TrainRun(run, contract, config, Settings()), unjudged(checked))
    return record, pd.read_parquet(checked.path)


def test_the_past_trains_and_the_future_judges(tmp_path):
    record, rows = divided(tmp_path, table(), time_column="at")
    at = {
        part: rows["at"].iloc[positions(record, part)] for part in ("train", "validation", "test")
    }
    assert at["train"].max() < at["validation"].min()
    assert at["validation"].max() < at["test"].min()
    assert record.test_rows == 40
    assert record.begins is not None
    assert record.begins[1][:10] in record.summary()


def test_a_group_stays_on_one_side(tmp_path):
    record, rows = divided(tmp_path, table(), group_column="pump")
    sides = [set(rows["pump"].iloc[positions(record, p)]) for p in ("train", "validation", "test")]
    assert not sides[0] & sides[1]
    assert not sides[0] & sides[2]
    assert not sides[1] & sides[2]


def test_a_row_without_a_time_is_named(tmp_path):
    frame = table()
    frame.loc[5, "at"] = None
    with pytest.raises(UsageError, match="empty in 1 of 200 valid rows, first in valid row 5"):
        divided(tmp_path, frame, time_column="at")


@pytest.mark.parametrize(
    ("keys", "words"),
    [
        ({"time_column": "when"}, "split.time_column 'when' is not a column"),
        (
            {"time_column": "pump"},
            "'pump' is of type identifier; it needs to be a timestamp",
        ),
        ({"group_column": "plant"}, "split.group_column 'plant' is not a column"),
    ],
)
def test_columns_that_cannot_do_it_are_refused(tmp_path, keys, words):
    file = tmp_path / "pumps.yaml"
    file.write_text(yaml.safe_dump(CONTRACT | {"split": keys}))
    with pytest.raises(ContractError, match=words):
        load_contract(file)
