"""Verdicts of a whole batch: every format, killed in the middle, too few calibration rows."""

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from scipy.stats import false_discovery_control
from sklearn.datasets import load_breast_cancer

from dagmm_model.evaluation.threshold import p_values
from flows.scoring import false_discoveries
from flows.scoring.filling.parts import Parts
from flows.scoring.judged_part import Counts
from flows.scoring.rows import REJECTED, SCORED, JudgedPart

CALIBRATION = np.arange(99.0)


def part(energies) -> JudgedPart:
    rows = len(energies)
    columns = {
        "row_id": np.arange(rows),
        "energy": energies,
        "p_value": p_values(energies, CALIBRATION),
        "is_anomaly": np.ones(rows, bool),
        "threshold": np.zeros(rows),
        "reasons": ["a 60%"] * rows,
        "component": np.zeros(rows, np.int32),
        "remarks": pa.nulls(rows, pa.string()),
        "model": pa.array(["models:/m/1"] * rows)
        .dictionary_encode()
        .cast(SCORED.field("model").type),
    }
    table = pa.table(columns, schema=SCORED)
    return JudgedPart(table, REJECTED.empty_table(), Counts(rows=rows, scored=rows, anomalies=rows))


@pytest.fixture
def parts(tmp_path) -> Parts:
    actual = Parts(tmp_path, {}, ".parquet")
    rng = np.random.default_rng(0)
    for _ in range(3):
        actual.add([part(np.concatenate([rng.uniform(0, 99, 40), rng.uniform(200, 300, 8)]))])
    return actual


def read(parts: Parts) -> pa.Table:
    return pa.concat_tables([pq.read_table(file) for file in parts.files("scored")])


def test_the_verdicts_are_those_of_all_parts_together(parts):
    threshold = false_discoveries.decide(parts, CALIBRATION, 0.1, keep_reasons=False)
    table = read(parts)
    adjusted = false_discovery_control(table.column("p_value").to_numpy(), method="bh")
    flags = table.column("is_anomaly").to_numpy()
    assert (flags == (adjusted <= 0.1)).all()
    assert flags.sum() >= 24
    assert set(table.column("threshold").to_pylist()) == {threshold}
    assert [text is not None for text in table.column("reasons").to_pylist()] == list(flags)
    assert parts.total.anomalies == flags.sum()
    assert table.schema.equals(SCORED)


def test_repeating_it_after_a_kill_gives_the_same(parts, monkeypatch):
    from flows.scoring.filling import parts as module

    written = []
    write = module.write_file

    def dying(table, path):
        if written:
            raise KeyboardInterrupt
        written.append(path)
        write(table, path)

    with monkeypatch.context() as patch:
        patch.setattr(module, "write_file", dying)
        with pytest.raises(KeyboardInterrupt):
            false_discoveries.decide(parts, CALIBRATION, 0.1, keep_reasons=False)
    false_discoveries.decide(parts, CALIBRATION, 0.1, keep_reasons=False)
    once = read(parts)
    false_discoveries.decide(parts, CALIBRATION, 0.1, keep_reasons=False)
    assert read(parts).equals(once)


def test_a_batch_without_discoveries(parts):
    assert false_discoveries.decide(parts, CALIBRATION, 0.011, keep_reasons=True) == np.inf
    table = read(parts)
    assert not table.column("is_anomaly").to_numpy().any()
    assert table.column("reasons").null_count == 0


@pytest.mark.usefixtures("two_versions")
def test_the_command_in_csv_and_parquet(dagmm, tmp_path):
    actual = load_breast_cancer(as_frame=True)
    actual.data.to_csv(tmp_path / "rows.csv", index=False)
    results = []
    for name in ("scored.csv", "scored.parquet"):
        run = dagmm("score", tmp_path / "rows.csv", tmp_path / name, "--fdr", 0.2, "--json")
        assert run.code == 0, run.err
        assert run.json["fdr"] == 0.2
        read_as = pd.read_csv if name.endswith("csv") else pd.read_parquet
        results.append(read_as(tmp_path / name))
        flagged = results[-1]["is_anomaly"]
        assert run.json["anomalies"] == flagged.sum() > 50
        adjusted = false_discovery_control(results[-1]["p_value"], method="bh")
        assert (flagged == (adjusted <= 0.2 + 1e-12)).all()
        assert results[-1]["reasons"].notna().sum() == flagged.sum()
    assert (results[0]["energy"] == results[1]["energy"]).all()
    for level, words in (("0.001", "999 rows would do"), ("2", "a share between 0 and 1")):
        wrong = dagmm("score", tmp_path / "rows.csv", tmp_path / "x.csv", "--fdr", level)
        assert wrong.code == 2
        assert words in wrong.err
