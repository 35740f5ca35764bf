"""Two engines, one verdict: the same failures, examples, valid rows and quarantine."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

from data_checks.base.errors import EngineError, SourceError
from data_checks.rows.row_rules import row_rules
from data_checks.sources.sources import ingest
from data_checks.spark import plan as planning
from data_checks.spark.validation import validate_on_spark
from data_checks.validation.report import BrokenRows, Tally
from data_checks.validation.validation import validate
from tests.data_checks.conftest import COLUMNS, small_contract, small_frame


def faulty(rows: int = 90) -> pd.DataFrame:
    """A row for every rule, some rows for several, in more than one task."""
    frame = small_frame(rows).astype({"amount": object, "fee": object})
    frame.loc[3, "amount"] = "much"
    frame.loc[[4, 5, 40, 41], "amount"] = "-1"
    frame.loc[[6, 80], "kind"] = "pink"
    frame.loc[[7, 70], "id"] = "twice"
    frame.loc[70, "kind"] = None
    frame.loc[[8, 9], "when"] = "nonsense"
    frame.loc[50, "ok"] = "perhaps"
    frame.loc[60, "fee"] = "1e39"
    frame.loc[[61, 62], "label"] = ["huh", None]
    return frame.astype({"amount": str, "fee": str})


def write(folder: Path, frame: pd.DataFrame) -> Path:
    folder.mkdir()
    for number, start in enumerate(range(0, len(frame), 40)):
        part = frame.iloc[start : start + 40]
        part.to_parquet(folder / f"{number}.parquet", row_group_size=15, index=False)
    return folder


def both(spark, contract, frame, tmp_path, monkeypatch):
    """The reports of both engines, and where each wrote."""
    monkeypatch.setattr(planning, "SMALLEST_TASK_ROWS", 20)
    folder = write(tmp_path / "table", frame)
    ingested = ingest(contract, tmp_path / "t.parquet", data=folder, data_dir=tmp_path)
    local = validate(Path(ingested.path), contract, tmp_path / "local")
    other = validate_on_spark(
        spark, contract, str(folder), tmp_path / "spark", tell=lambda *_: None
    )
    return local, other


def assert_same(local, other) -> None:
    paths = {"valid_path", "valid_sha256", "quarantine_path", "data_docs", "result_json"}
    assert local.model_dump(exclude=paths) == other.model_dump(exclude=paths)
    assert pq.read_table(local.valid_path).equals(pq.read_table(other.valid_path))
    assert (local.quarantine_path is None) == (other.quarantine_path is None)
    if local.quarantine_path:
        assert pq.read_table(local.quarantine_path).equals(pq.read_table(other.quarantine_path))


@pytest.mark.slow
def test_every_rule_is_judged_alike(spark, tmp_path, monkeypatch):
    contract = small_contract(max_quarantine_share=0.5)
    local, other = both(spark, contract, faulty(), tmp_path, monkeypatch)
    assert_same(local, other)
    kinds = {rule.kind for rule in row_rules(contract)}
    assert {failure.rule.partition(":")[0] for failure in other.failures} == kinds
    assert other.passed
    assert other.rows_quarantined == 15
    assert len(list((tmp_path / "spark" / "valid").iterdir())) > 3
    theirs, ours = (
        json.loads(Path(report.result_json).read_text())["great_expectations"]["results"]
        for report in (local, other)
    )
    for one, two in zip(theirs, ours, strict=True):
        assert one["success"] == two["success"]
        assert one["expectation_config"]["type"] == two["expectation_config"]["type"]
        for name in ("element_count", "unexpected_count", "observed_value"):
            assert one["result"].get(name) == two["result"].get(name)
    page = Path(other.data_docs).read_text()
    assert "rule 'fee is part of the amount'" in page or "fee is part" in page
    assert not list(tmp_path.glob("spark/.*"))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("changes", "change"),
    [
        ({}, lambda f: f),
        ({}, lambda f: f.assign(label="bad")),
        ({"max_quarantine_share": 0.0}, lambda f: f.assign(amount=f.amount.where(f.index != 7))),
        ({"rows": {"minimum": 1000}}, lambda f: f),
        ({"anomaly_ratio": 0.9, "ratio_severity": "critical"}, lambda f: f),
        ({"label": None, "columns": COLUMNS, "extra_columns": "ignore"}, lambda f: f),
        ({}, lambda f: f.assign(amount=-1.0)),
        (
            {
                "columns": [
                    *COLUMNS[:-1],
                    {"name": "fee", "type": "numeric", "minimum": 0, "nullable": True,
                     "impute": "median", "max_null_share": 0.1},
                ]
            },
            lambda f: f.assign(fee=f.fee.where(f.index % 3 > 0)),
        ),
        (
            {"columns": [*COLUMNS[:-1], {"name": "Fee", "type": "numeric"}],
             "rules": [{"name": "a. `b`", "check": "Fee <= amount", "severity": "warning"}]},
            lambda f: f.rename(columns={"fee": "Fee"}).assign(Fee=2000.0),
        ),
    ],
    ids=["good", "no normal", "limit", "rows", "ratio", "no label", "all bad", "nulls", "names"],
)  # fmt: skip
def test_table_rules_and_verdicts_are_judged_alike(spark, tmp_path, monkeypatch, changes, change):
    local, other = both(
        spark, small_contract(**changes), change(small_frame(60)), tmp_path, monkeypatch
    )
    assert_same(local, other)


@pytest.mark.parametrize(
    ("changes", "rename", "message"),
    [
        ({"sample": {"of": "anomalous", "rows": 2}}, {}, "engine local"),
        ({"columns": [*COLUMNS[:-1], {"name": "fe.e", "type": "numeric"}], "rules": []},
         {"fee": "fe.e"}, "column 'fe.e'"),
    ],
)  # fmt: skip
def test_what_spark_cannot_is_refused_by_name(spark, tmp_path, changes, rename, message):
    folder = write(tmp_path / "table", small_frame().rename(columns=rename))
    with pytest.raises(EngineError, match=message):
        validate_on_spark(
            spark, small_contract(**changes), str(folder), tmp_path / "o", tell=lambda *_: None
        )


def test_no_rows_are_an_error(spark, tmp_path):
    folder = tmp_path / "table"
    folder.mkdir()
    small_frame().iloc[:0].to_parquet(folder / "0.parquet", index=False)
    with pytest.raises(SourceError, match="no rows"):
        validate_on_spark(
            spark, small_contract(), str(folder), tmp_path / "o", tell=lambda *_: None
        )


def test_tallies_of_any_cut_add_up_to_the_whole():
    rng = np.random.default_rng(0)
    tallies = [
        Tally(
            rows=10,
            quarantined=int(rng.integers(5)),
            broken={"a": 1, f"b{i % 2}": 2},
            told={
                "a": BrokenRows(1, [f"row {i}"]),
                f"b{i % 2}": BrokenRows(2, [f"row {i}", f"row {i}+"]),
            },
            unparsed={"c": BrokenRows(1, [f"{i}"])} if i == 3 else {},
        )
        for i in range(6)
    ]
    for cut in range(7):
        remaining, right, whole = Tally(), Tally(), Tally()
        for number, tally in enumerate(tallies):
            whole.add(tally)
            (remaining if number < cut else right).add(tally)
        remaining.add(right)
        assert remaining == whole
    assert whole.told["a"].examples == ["row 0", "row 1", "row 2"]
