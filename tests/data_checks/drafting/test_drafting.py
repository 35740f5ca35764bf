from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scipy.io import savemat
from sklearn.datasets import load_iris, load_wine

from data_checks.base.errors import SourceError
from data_checks.contract.model import load_contract
from data_checks.drafting.drafting import Draft, draft_contract
from data_checks.drafting.profile import separation
from data_checks.rows.rows import check_rows
from data_checks.sources.sources import ingest
from data_checks.validation.validation import validate


def everyday(rows: int = 400) -> pd.DataFrame:
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(
        {
            "id": range(rows),
            "when": pd.date_range("2026-01-01", periods=rows, freq="h").astype(str),
            "city": rng.choice(["Köln", "Rom, Nord", 'New "York"'], rows),
            "ok": rng.choice(["yes", "no"], rows),
            "x": rng.normal(size=rows).astype(object),
            "count": rng.integers(0, 9, rows),
            "constant": 1,
            "empty": None,
            "note": [f"free text {i % 250}" for i in range(rows)],
            "huge": rng.normal(size=rows) * 1e30,
            "label": np.where(rng.random(rows) < 0.1, "bad", "good"),
        }
    )
    frame["leak"] = (frame["label"] == "bad") * 5.0 + rng.random(rows)
    frame.loc[3, "x"] = "n/a?"
    frame.loc[5, "x"] = None
    frame.loc[7, "city"] = None
    frame.loc[9, "ok"] = None
    return frame


def passes(draft: Draft, data: Path, folder: Path) -> Any:
    path = folder / "drafted.yaml"
    path.write_text(draft.text, encoding="utf-8")
    contract = load_contract(path)
    assert contract == draft.contract
    record = ingest(contract, folder / "t.parquet", data_dir=folder / "nowhere")
    report = validate(Path(record.path), contract, folder / "out", data_docs=False)
    assert report.passed, report.message
    return report


@pytest.mark.parametrize("kind", ["csv", "semicolon", "gz", "headerless", "latin", "parquet"])
def test_the_draft_holds_for_the_table_it_was_drawn_from(tmp_path: Path, kind: str) -> None:
    frame, label = everyday(), "label"
    path = tmp_path / {"parquet": "t.parquet", "gz": "t.csv.gz"}.get(kind, "t.csv")
    match kind:
        case "parquet":
            frame.assign(x=frame["x"].astype(str)).to_parquet(path)
        case "semicolon":
            frame.to_csv(path, sep=";")
        case "headerless":
            frame.to_csv(path, index=False, header=False)
            label = "column_11"
        case "latin":
            frame.to_csv(path, index=False, encoding="latin-1")
        case _:
            frame.to_csv(path, index=False)
    report = passes(draft_contract(path, label=label), path, tmp_path)
    assert report.rows_quarantined <= 2


def test_types_and_remarks(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    everyday().to_csv(path, index=False)
    draft = draft_contract(path, label="label")
    types = {column.name: column.type for column in draft.contract.columns}
    assert types == {
        "id": "identifier", "when": "timestamp", "city": "categorical", "ok": "boolean",
        "x": "numeric", "count": "numeric", "constant": "numeric", "empty": "ignored",
        "note": "ignored", "huge": "numeric", "leak": "numeric",
    }  # fmt: skip
    assert draft.contract.label is not None
    assert draft.contract.label.normal == ("good",)
    told = " ".join(draft.remarks)
    for word in (
        '"constant" is constant',
        '"empty"',
        '"note"',
        '"leak" alone separates',
        '"x": 1 values',
    ):
        assert word in told
    assert '"count" alone' not in told


@pytest.mark.parametrize("load", [load_wine, load_iris])
def test_tables_nobody_here_has_seen(tmp_path: Path, load: Any) -> None:
    frame = load(as_frame=True).frame
    path = tmp_path / "t.csv"
    frame.to_csv(path, index=False)
    draft = draft_contract(path, label="target")
    assert passes(draft, path, tmp_path).rows_quarantined == 0
    assert len(draft.contract.feature_columns) == frame.shape[1] - 1
    assert check_rows(frame.drop(columns="target"), draft.contract).scorable.all()


def test_lists_in_parquet_are_left_out(tmp_path: Path) -> None:
    path = tmp_path / "t.parquet"
    pd.DataFrame({"a": [1.5, 2.5, 4.5], "l": [[1], [2], [3]]}).to_parquet(path)
    draft = draft_contract(path)
    assert [column.name for column in draft.contract.columns] == ["a"]
    passes(draft, path, tmp_path)


def test_matlab_files(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    path = tmp_path / "t.mat"
    savemat(path, {"A": rng.normal(size=(40, 3)), "state": np.arange(40)[:, None] % 5 == 0, "k": 7})
    draft = draft_contract(path, label="state")
    assert [column.name for column in draft.contract.columns] == ["x1", "x2", "x3"]
    assert draft.contract.label is not None
    assert draft.contract.label.normal == ("0",)
    assert passes(draft, path, tmp_path).rows_anomalous == 8
    passes(draft_contract(path), path, tmp_path)
    with pytest.raises(SourceError, match="no vector 'y'"):
        draft_contract(path, label="y")


odd = st.lists(
    st.sampled_from(["1", "2.5", "-3e9", "", "NA", "red", "true", "no", "2026-01-01", "#", "1e39"]),
    min_size=4, max_size=12,
)  # fmt: skip


@settings(max_examples=10, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(columns=st.lists(odd, min_size=1, max_size=4))
def test_whatever_the_table_its_draft_can_be_loaded_and_holds(
    tmp_path: Path, columns: list
) -> None:
    rows = min(len(column) for column in columns)
    data = {f"c{i}": column[:rows] for i, column in enumerate(columns)}
    path = tmp_path / "t.csv"
    pd.DataFrame({**data, "n": [float(i * i % 7) for i in range(rows)]}).to_csv(path, index=False)
    passes(draft_contract(path), path, tmp_path)


def test_errors(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text("a,b\n1,x\n2,y\n")
    with pytest.raises(SourceError, match="no column 'c'"):
        draft_contract(path, label="c")
    with pytest.raises(SourceError, match="no such file"):
        draft_contract(tmp_path / "none.csv")
    path.write_text("row_id,b\n1,2\n2,3\n")
    with pytest.raises(SourceError, match=r"'row_id'.*reserved.*rename"):
        draft_contract(path)
    path.write_text("a,b\n")
    with pytest.raises(SourceError, match="no rows"):
        draft_contract(path)


@given(shift=st.floats(0, 3), seed=st.integers(0, 50))
def test_separation_is_the_roc_auc(shift: float, seed: int) -> None:
    import pyarrow as pa
    from sklearn.metrics import roc_auc_score

    rng = np.random.default_rng(seed)
    anomalous = rng.random(60) < 0.3
    anomalous[:2] = [True, False]
    values = np.round(rng.normal(size=60) + shift * anomalous, 1)
    table = pa.table({"v": pa.array([repr(float(v)) for v in values])})
    expected = roc_auc_score(anomalous, values)
    assert np.isclose(separation(table, "v", anomalous), max(expected, 1 - expected))
