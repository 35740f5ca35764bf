"""Anomalies like rows that were judged normal are marked, and only those."""

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from sklearn.datasets import load_breast_cancer

from data_checks.rows.rows import check_rows
from flows.common.settings import Settings
from flows.scoring import known_rows as room
from flows.scoring.judged_part import KNOWN
from flows.scoring.known_rows import known_rows
from flows.scoring.run import score
from flows.scoring.version import read_bundle, resolve_version, version_folder
from flows.verdicts import store
from flows.verdicts.rows import row_key, row_texts
from flows.verdicts.standing import RowVerdict, standing

NAME = "dagmm-wdbc"


@pytest.fixture
def settings(two_versions, monkeypatch) -> Settings:
    monkeypatch.setenv("DAGMM_PROGRESS", "off")
    return Settings()


@pytest.fixture
def model(settings):
    with version_folder(resolve_version(NAME, settings), settings) as folder:
        yield read_bundle(folder)


def verdicts_on(features, word="normal", who="ann"):
    texts = row_texts(features)
    return [
        RowVerdict(row_key(text), text, word, who, 1.7e9, "", 2, 9.0, True, id=number)
        for number, text in enumerate(texts)
    ]


@pytest.fixture
def alerts(model):
    """Rows that the version flags, typed."""
    bundle, contract = model
    rows = check_rows(load_breast_cancer(as_frame=True).data, contract).features
    flags = bundle.score(rows.to_pandas()).is_anomaly
    return rows.filter(pa.array(flags))


def nudged(features, by):
    frame = features.to_pandas() * (1 + by)
    return pa.Table.from_pandas(frame, preserve_index=False)


def marks(model, judged, features):
    known = known_rows(standing(judged).values(), *model)
    return np.array([bool(t) for t in known.remarks(model[0], features)]) if known else None


def test_equal_rows_and_close_ones_are_known_and_far_ones_are_not(model, alerts):
    one = alerts.slice(0, 1)
    judged = verdicts_on(one)
    assert marks(model, judged, one).all()
    assert marks(model, judged, nudged(one, 1e-4)).all()
    assert not marks(model, judged, nudged(one, 5.0)).any()
    assert marks(model, judged, alerts).sum() < len(alerts) / 2


def test_the_nearest_judged_row_decides(model, alerts):
    one, close = alerts.slice(0, 1), nudged(alerts.slice(0, 1), 1e-4)
    both = verdicts_on(one) + verdicts_on(close, "anomaly")
    assert marks(model, both, one).all()
    assert not marks(model, both, close).any()
    assert not marks(model, both, nudged(close, 1e-7)).any()


def test_without_a_normal_row_nothing_is_known(model, alerts):
    assert marks(model, [], alerts) is None
    assert marks(model, verdicts_on(alerts, "anomaly"), alerts) is None
    assert marks(model, verdicts_on(alerts, "unsure"), alerts) is None


def test_a_detector_without_a_mixture_knows_equal_rows_only(model, alerts, monkeypatch):
    bundle, contract = model
    one = alerts.slice(0, 1)
    monkeypatch.setattr(room, "Mixed", int)  # as if it were none
    known = known_rows(standing(verdicts_on(one)).values(), bundle, contract)
    assert len(known.places) == 0
    assert known.remarks(bundle, one) == ["like a row judged normal by ann on 2023-11-14"]
    assert known.remarks(bundle, nudged(one, 1e-4)) == [""]


@pytest.mark.parametrize("output", ["out.csv", "out.parquet"])
@pytest.mark.parametrize("options", [{}, {"fdr": 0.2}, {"reasons": "none"}])
def test_a_result_marks_known_rows_and_drops_none(
    settings, model, alerts, tmp_path, output, options
):
    frame = load_breast_cancer(as_frame=True).data
    frame.to_csv(tmp_path / "rows.csv", index=False)
    rows, out = str(tmp_path / "rows.csv"), str(tmp_path / output)
    read = pd.read_csv if output.endswith("csv") else pd.read_parquet
    before = score(rows, out, NAME, settings, **options)
    plain = read(out)
    submission = store.Submission(NAME, "v.csv", "0" * 64, "ann")
    store.add_verdicts(settings.verdicts_database, submission, verdicts_on(alerts.slice(0, 5)))
    after = score(rows, out, NAME, settings, **options)
    marked = read(out)
    assert (before.known, after.anomalies) == (0, before.anomalies)
    hits = marked["remarks"].str.contains(KNOWN, na=False)
    assert after.known == hits.sum() >= 1
    assert marked.loc[hits, "is_anomaly"].all()
    pd.testing.assert_frame_equal(
        plain.drop(columns="remarks"), marked.drop(columns="remarks"), check_dtype=False
    )
