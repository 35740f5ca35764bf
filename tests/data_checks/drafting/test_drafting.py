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
from data_checks.drafting.label_lines import separation
from data_checks.rows.rows import check_rows
from data_checks.sources.sources import ingest
from data_checks.validation.validation import validate

MINUS = "\u2212"


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


def test_text_of_which_every_value_is_another_separates_nothing(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    times = pd.date_range("2026-01-01", periods=100, freq="7h")
    bad = np.arange(200) % 20 == 0
    frame = pd.DataFrame(
        {
            "us": np.repeat(times.strftime("%m/%d/%Y %I:%M %p"), 2),
            "load": [f"{value:.2f} %" for value in rng.random(200)],
            "cause": np.where(bad, [f"broken part {i}" for i in range(200)], None),
            "code": np.where(bad, "E", "A"),
            "x": rng.normal(size=200),
            "label": np.where(bad, "bad", "good"),
        }
    )
    frame.to_csv(tmp_path / "t.csv", index=False)
    told = draft_contract(tmp_path / "t.csv", label="label").remarks
    leaks = [remark.split()[0] for remark in told if "alone separates" in remark]
    assert leaks == ['"cause"', '"code"']


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


def test_no_contract_is_drafted_that_is_too_large_to_be_read(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    names = [f"{'gene ' * 1500}{i}" for i in range(300)]
    path.write_text("\n".join(",".join(row) for row in (names, ["1"] * 300, ["2.5"] * 300)))
    with pytest.raises(SourceError, match=r"300 columns.*2,000,000.*About (\d+)") as raised:
        draft_contract(path)
    room = int(str(raised.value).rpartition("About ")[2].split()[0])
    path.write_text("\n".join(",".join(row[:room]) for row in (names, ["1"] * 300, ["2.5"] * 300)))
    (tmp_path / "t.yaml").write_text(draft_contract(path).text)
    assert len(load_contract(tmp_path / "t.yaml").columns) == room


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


def draft_of(folder: Path, text: str, encoding: str = "utf-8", label: str | None = None) -> Draft:
    path = folder / "t.csv"
    path.write_bytes(text.encode(encoding))
    return draft_contract(path, label=label)


@pytest.mark.parametrize("level", ["\x81", "\x85", "\u2028", "\x1b[31m", "\u202e", "\x7f"])
def test_no_character_of_a_level_is_lost_or_shown_raw(tmp_path, level):
    rows = "".join(f"{i / 3:.2f},{('a' + level + 'a', 'b')[i % 2]},o{level}k\n" for i in range(40))
    drafted = draft_of(tmp_path, f"x,c,state\n{rows}", label="state")
    passes(drafted, tmp_path / "t.csv", tmp_path)
    assert set(drafted.contract.columns[1].vocabulary) == {f"a{level}a", "b"}
    assert drafted.contract.label.normal == (f"o{level}k",)
    shown = drafted.text + "".join(drafted.remarks)
    assert all(character.isprintable() or character == "\n" for character in shown)


def test_old_bytes_of_another_encoding_are_asked_about(tmp_path):
    rows = "".join(f"{i / 3:.2f},{('grün', 'rot')[i % 2]}\n" for i in range(40))
    drafted = draft_of(tmp_path, f"x,c\n{rows}", encoding="cp437")
    assert any("perhaps another encoding" in remark for remark in drafted.remarks)
    with pytest.raises(SourceError, match="save it as UTF-8"):
        draft_of(tmp_path, f"値,色\n{rows.replace('grün', '赤')}", encoding="shift-jis")


@pytest.mark.parametrize("above", ["# exported by X\n# today\n", "Report\n", "Report,2026\n"])
def test_lines_above_a_header_are_told(tmp_path, above):
    rows = "".join(f"{i},{i / 2},{i / 3:.2f}\n" for i in range(40))
    with pytest.raises(SourceError, match="remove lines above the header"):
        draft_of(tmp_path, f"{above}a,b,c\n{rows}")


@pytest.mark.parametrize("mark", [" ", ":", "~", "\x1f"])
def test_a_line_that_splits_nowhere_is_shown(tmp_path, mark):
    rows = "".join(mark.join((f"{i}", f"{i / 2}", f"c{i}")) + "\n" for i in range(40))
    with pytest.raises(SourceError, match="Every line is one field"):
        draft_of(tmp_path, f"a{mark}b{mark}c\n{rows}")


def test_a_minus_of_typographers_is_a_minus(tmp_path):
    rows = "".join(f"{('', MINUS)[i % 2]}{i / 3:.2f},{i * i}\n" for i in range(40))
    drafted = draft_of(tmp_path, f"a,b\n{rows}")
    passes(drafted, tmp_path / "t.csv", tmp_path)
    assert drafted.contract.columns[0].type == "numeric"
    assert drafted.contract.columns[0].minimum < -12


@pytest.mark.parametrize(
    ("sentinel", "told"), [(-999, True), (9999, True), (-9, False), (60, False)]
)
def test_a_number_that_may_mean_nothing_is_asked_about(tmp_path, sentinel, told):
    rows = "".join(f"{sentinel if i % 9 == 0 else 10 + i % 40},{i * i}\n" for i in range(90))
    drafted = draft_of(tmp_path, f"a,b\n{rows}")
    asked = [remark for remark in drafted.remarks if f"'{sentinel}' lies far" in remark]
    assert bool(asked) == told


def test_a_label_that_is_none_is_asked_about(tmp_path):
    rows = "".join(f"{i / 3:.2f},{i}\n" for i in range(40))
    drafted = draft_of(tmp_path, f"a,state\n{rows}", label="state")
    assert any("is it the label" in remark for remark in drafted.remarks)


def test_what_of_parquet_is_left_out_is_told(tmp_path):
    path = tmp_path / "t.parquet"
    frame = pd.DataFrame(
        {
            "x": np.arange(40) / 3,
            "took": pd.to_timedelta(np.arange(40) ** 2, unit="s"),
            "span": pd.interval_range(0, 40),
            "tags": [["a"]] * 40,
        },
        index=[f"r{i}" for i in range(40)],
    )
    frame.to_parquet(path)
    drafted = draft_contract(path)
    passes(drafted, path, tmp_path)
    told = " ".join(drafted.remarks)
    for name, why in (
        ("took", "a duration"),
        ("span", "lists or structures"),
        ("tags", "lists or structures"),
        ("__index_level_0__", "reserved"),
    ):
        assert name in told
        assert why in told
