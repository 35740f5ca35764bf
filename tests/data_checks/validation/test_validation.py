from __future__ import annotations

import json
import re
import resource
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from data_checks.base.errors import ContractError, SourceError, ValidationDisagreementError
from data_checks.contract.model import Contract, load_contract
from data_checks.sources.integrity import file_sha256
from data_checks.sources.sources import ingest
from data_checks.validation.quarantine import repeated_values
from data_checks.validation.report import ValidationReport
from data_checks.validation.validation import validate
from tests.data_checks.conftest import small_contract, small_frame


def check(
    frame: pd.DataFrame, folder: Path, contract: Contract, **options: Any
) -> ValidationReport:
    frame.to_csv(folder / "small.csv", index=False)
    record = ingest(contract, folder / "t.parquet", data_dir=folder)
    return validate(Path(record.path), contract, folder / "out", **{"data_docs": False, **options})


def spoil(frame: pd.DataFrame, changes: dict[tuple[int, str], object]) -> pd.DataFrame:
    frame = frame.astype(object)
    for (row, column), value in changes.items():
        frame.loc[row, column] = value
    return frame


def reasons(report: ValidationReport) -> dict[int, list[str]]:
    assert report.quarantine_path is not None
    table = pq.read_table(report.quarantine_path).to_pandas()
    return {
        int(row): list(actual)
        for row, actual in zip(table["row_id"], table["reasons"], strict=True)
    }


def test_a_clean_table_passes_whole(tmp_path: Path) -> None:
    report = check(small_frame(), tmp_path, small_contract())
    assert report.passed
    assert (report.rows_in, report.rows_valid, report.rows_quarantined) == (30, 30, 0)
    assert report.failures == ()
    assert report.quarantine_path is None
    assert report.valid_sha256 == file_sha256(Path(report.valid_path))
    valid = pq.read_table(report.valid_path)
    assert valid.column_names == [*small_frame().columns, "__anomaly__", "row_id"]
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == ["result.json", "valid.parquet"]


def test_each_bad_row_is_quarantined_with_all_its_reasons(tmp_path: Path) -> None:
    frame = spoil(
        small_frame(40),
        {
            (1, "amount"): "-5", (1, "kind"): "pink", (2, "fee"): "n.a.", (3, "when"): "soon",
            (4, "ok"): None, (5, "label"): "ugly", (6, "id"): "r7", (8, "fee"): "999.5",
            (9, "amount"): "1e39", (9, "fee"): "0",
        },
    )  # fmt: skip
    report = check(frame, tmp_path, small_contract(max_quarantine_share=0.5))
    actual = reasons(report)
    assert set(actual) == {1, 2, 3, 4, 5, 6, 7, 8, 9}
    assert actual[1] == [
        "amount: outside [0, 1000]",
        "kind: level not in the vocabulary",
        "fee is part of the amount: breaks the rule fee <= amount",
    ]
    assert actual[2] == ["fee: 'n.a.' is not readable as declared"]
    assert actual[4] == ["ok: missing value"]
    assert actual[5] == ["label: label not known to the contract"]
    assert actual[6] == actual[7] == ["id: value occurs more than once"]
    assert report.passed
    assert report.rows_valid + report.rows_quarantined == report.rows_in == 40


def test_too_many_bad_rows_fail_and_the_message_says_why(tmp_path: Path) -> None:
    frame = spoil(small_frame(), {(row, "amount"): "2000" for row in range(8)})
    report = check(frame, tmp_path, small_contract())
    assert not report.passed
    for word in (
        "8 of 30 rows (26.67%)",
        "20.00%",
        "'amount'",
        "expect_column_values_to_be_between",
        "row 0",
    ):
        assert word in report.message
    assert report.quarantine_path is not None


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        (
            {"rows": {"minimum": 31}},
            ["expect_table_row_count_to_be_between", "30 rows", "31 to any"],
        ),
        (
            {"anomaly_ratio": 0.5, "ratio_severity": "critical"},
            ["'label'", "share of anomalies is 0.1333", "[0.4500, 0.5500]"],
        ),
        (
            {"label": {"column": "label", "normal": ["fine"], "anomalous": ["bad", "good"]}},
            ["normal label"],
        ),
    ],
)
def test_a_critical_rule_about_the_table_fails_it(
    tmp_path: Path, changes: dict, words: list[str]
) -> None:
    report = check(small_frame(), tmp_path, small_contract(**changes))
    assert not report.passed
    for word in words:
        assert word in report.message
    assert any(failure.table_level for failure in report.failures)


def test_warnings_are_reported_and_the_rows_kept(tmp_path: Path) -> None:
    columns = [c.model_dump() for c in small_contract().columns]
    columns[1]["severity"] = "warning"
    columns[2]["unseen"] = "other"
    frame = spoil(small_frame(), {(0, "amount"): "5000", (1, "kind"): "pink", (2, "amount"): "inf"})
    report = check(frame, tmp_path, small_contract(columns=columns, anomaly_ratio=0.9))
    assert report.passed
    assert set(reasons(report)) == {2}
    actual = {(failure.column, failure.severity, failure.unexpected) for failure in report.failures}
    assert {("amount", "warning", 2), ("kind", "warning", 1), ("amount", "critical", 1)} <= actual
    assert ("__anomaly__", "warning", 1) in actual


def test_missing_values_up_to_the_allowed_share(tmp_path: Path) -> None:
    columns = [c.model_dump() for c in small_contract().columns]
    columns[1] |= {"nullable": True, "impute": "median", "max_null_share": 0.3}
    for gaps, passed in ((8, True), (10, False)):
        frame = spoil(small_frame(), {(row, "amount"): None for row in range(gaps)})
        report = check(frame, tmp_path, small_contract(columns=columns))
        assert report.passed is passed
        if not passed:
            assert "'amount': 33.3% of the values are missing, allowed 30.0%" in report.message
        assert report.rows_quarantined == 0
        stored = pq.read_table(report.valid_path).column("amount")
        assert stored.null_count == gaps, (
            "a gap must stay a gap: filling it is the model's business"
        )


def test_no_valid_row_left_fails_whatever_the_limit(tmp_path: Path) -> None:
    frame = small_frame().assign(amount="x")
    report = check(frame, tmp_path, small_contract(max_quarantine_share=1.0))
    assert not report.passed
    assert "none of the 30 rows is valid" in report.message


cell = st.sampled_from(["-1", "5", "1e40", "", "abc", "inf"])
spoiled_cells = st.lists(
    st.tuples(
        st.integers(0, 29),
        st.sampled_from(["amount", "fee", "kind", "id", "label", "ok", "when"]),
        cell,
    ),
    max_size=25,
)


@settings(max_examples=6, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(cells=spoiled_cells, batch_rows=st.integers(4, 20))
def test_verdicts_of_batches_add_up_to_those_of_one_pass(
    tmp_path: Path, cells: list, batch_rows: int
) -> None:
    frame = spoil(small_frame(), {(row, column): value for row, column, value in cells})
    columns = [c.model_dump() for c in small_contract().columns]
    columns[5] |= {"nullable": True, "impute": "median", "max_null_share": 0.05}
    contract = small_contract(columns=columns, anomaly_ratio=0.1, ratio_tolerance=0.03)
    whole = check(frame, tmp_path, contract)
    rows = pq.read_table(whole.valid_path)
    bad = reasons(whole) if whole.quarantine_path else {}
    parts = validate(
        tmp_path / "t.parquet", contract, tmp_path / "out", batch_rows=batch_rows, data_docs=False
    )
    assert parts.passed == whole.passed
    assert parts.message == whole.message
    assert parts.failures == whole.failures
    assert (reasons(parts) if parts.quarantine_path else {}) == bad
    assert pq.read_table(parts.valid_path).equals(rows)


def test_both_judges_must_count_alike(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import data_checks.validation.validation as module

    honest = module.broken_rows
    monkeypatch.setattr(
        module, "broken_rows", lambda rule, *rest: honest(rule, *rest) & (rule.column != "amount")
    )
    frame = spoil(small_frame(), {(0, "amount"): "2000"})
    with pytest.raises(ValidationDisagreementError, match="range:amount"):
        check(frame, tmp_path, small_contract())
    assert not list((tmp_path / "out").glob("*.part"))
    assert not list((tmp_path / "out").glob(".*"))


def test_a_file_that_changed_since_it_was_ingested_is_refused(tmp_path: Path) -> None:
    small_frame().to_csv(tmp_path / "small.csv", index=False)
    record = ingest(small_contract(), tmp_path / "t.parquet", data_dir=tmp_path)
    with pytest.raises(SourceError, match="changed since"):
        validate(
            tmp_path / "t.parquet", small_contract(), tmp_path / "out", expected_sha256="0" * 64
        )
    with pytest.raises(SourceError, match="not ingested with the contract wdbc"):
        validate(Path(record.path), load_contract("wdbc"), tmp_path / "out")
    (tmp_path / "t.parquet").write_bytes(b"PAR1")
    with pytest.raises(SourceError, match="not a readable Parquet"):
        validate(tmp_path / "t.parquet", small_contract(), tmp_path / "out")


@pytest.mark.parametrize("condition", ["kind > 1", "when == 'x'", "ok + 1 > 2", "amount"])
def test_a_rule_that_does_not_fit_its_columns_is_the_contracts_fault(
    tmp_path: Path, condition: str
) -> None:
    contract = small_contract(rules=[{"name": "odd", "check": condition}])
    with pytest.raises(ContractError, match="rule 'odd'"):
        check(small_frame(), tmp_path, contract)
    assert not list((tmp_path / "out").glob(".*"))


@given(values=st.lists(st.sampled_from([*"abcdefgh", None]), max_size=12))
def test_repeated_values_are_those_that_occur_twice(
    tmp_path_factory: pytest.TempPathFactory, values: list
) -> None:
    path = tmp_path_factory.mktemp("u") / "t.parquet"
    pq.write_table(pa.table({"id": pa.array(values, pa.string())}), path, row_group_size=3)
    expected = {v for v in values if v is not None and values.count(v) > 1}
    assert set(repeated_values(path, "id").to_pylist()) == expected


def test_data_docs_stand_on_their_own(tmp_path: Path) -> None:
    frame = spoil(small_frame(), {(0, "kind"): "<script>alert(1)</script>", (1, "amount"): "x"})
    report = check(frame, tmp_path, small_contract(), data_docs=True)
    assert report.data_docs is not None
    index = Path(report.data_docs)
    pages = list(index.parent.rglob("*.html"))
    assert pages == [index]
    for page in pages:
        text = page.read_text(encoding="utf-8")
        assert "<script" not in text
        assert "http" not in text.replace("http-equiv", "")
    text = index.read_text(encoding="utf-8")
    assert "Data validation passed, with findings" in text
    assert "28" in text
    assert "&lt;script&gt;" in text
    links = set(re.findall(r'href="([^"]*)"', text))
    assert links
    for link in links:
        assert link.startswith("#"), link
        assert re.search(rf'id="?{re.escape(link[1:])}[" ]', text), link
    assert sum(f.stat().st_size for f in index.parent.rglob("*") if f.is_file()) < 500_000


def test_data_docs_that_cannot_be_written_are_no_success(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Great Expectations logs it with a traceback, and goes on without the page."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (30_000, limits[1]))
    try:
        with pytest.raises(SourceError, match="cannot be written: File too large"):
            check(small_frame(), tmp_path, small_contract(), data_docs=True)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert (tmp_path / "out" / "result.json").exists()
    assert not [record for record in caplog.records if record.levelname == "ERROR"]


def test_the_result_is_json_with_great_expectations_own_words(tmp_path: Path) -> None:
    report = check(spoil(small_frame(), {(0, "amount"): "2000"}), tmp_path, small_contract())
    result = json.loads(Path(report.result_json).read_text(encoding="utf-8"))
    assert ValidationReport.model_validate(result["report"]) == report
    theirs = result["great_expectations"]
    assert theirs["statistics"]["evaluated_expectations"] == report.expectations
    assert theirs["success"] is False
    failed = [item for item in theirs["results"] if not item["success"]]
    assert [item["expectation_config"]["kwargs"]["column"] for item in failed] == ["amount"]
    assert ValidationReport.model_validate_json(report.model_dump_json()) == report


def test_wdbc_passes_with_its_own_contract(tmp_path: Path) -> None:
    contract = load_contract("wdbc")
    record = ingest(contract, tmp_path / "t.parquet", data_dir=tmp_path)
    report = validate(Path(record.path), contract, tmp_path / "out", data_docs=False)
    assert report.passed
    assert (report.rows_valid, report.rows_anomalous) == (569, 212)


@pytest.mark.parametrize("name", ["thyroid", "kddcup_rev"])
def test_published_files_pass_their_contracts(tmp_path: Path, data_dir: Path, name: str) -> None:
    contract = load_contract(name)
    record = ingest(contract, tmp_path / "t.parquet", data_dir=data_dir)
    report = validate(Path(record.path), contract, tmp_path / "out", data_docs=False)
    assert report.passed
    assert report.failures == ()
    assert np.isclose(report.rows_anomalous / report.rows_valid, contract.anomaly_ratio, atol=0.001)
