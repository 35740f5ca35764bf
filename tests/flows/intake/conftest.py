"""A version in production, a scored batch of its table, and verdicts on it."""

import json
import shutil
from dataclasses import asdict
from pathlib import Path

import pandas as pd
import pytest
from sklearn.datasets import load_breast_cancer

from flows.intake.import_file import give_verdicts
from flows.scoring.report import ScoreReport
from flows.scoring.run import score
from tests.flows import promotion_store as made
from tests.flows.conftest import moved_into
from tests.flows.review.conftest import new, served, served_home  # noqa: F401


@pytest.fixture(scope="session")
def scored_home(served_home, home_of) -> Path:  # noqa: F811
    """A home in which a batch was scored, and beside it the batch, the result and the report."""

    def fill(client, settings) -> None:
        moved_into(settings, served_home)
        load_breast_cancer(as_frame=True).data.to_csv(settings.home / "rows.csv", index=False)
        rows, out = (str(settings.home / name) for name in ("rows.csv", "scored.csv"))
        report = score(rows, out, made.NAME, settings, review_rows=20)
        (settings.home / "report.json").write_text(json.dumps(asdict(report)))

    return home_of("scored", fill)


@pytest.fixture
def batch(store, scored_home, tmp_path, monkeypatch) -> ScoreReport:
    """Report of a scored batch of which 20 rows below the threshold are to be judged."""
    monkeypatch.setenv("DAGMM_PROGRESS", "off")
    moved_into(store[0], scored_home)
    report = json.loads((scored_home / "report.json").read_text())
    for file in (scored_home / "rows.csv", Path(report["output"]), Path(report["review"])):
        shutil.copy(file, tmp_path)
    places = {name: str(tmp_path / Path(report[name]).name) for name in ("output", "review")}
    return ScoreReport(**report | places)


@pytest.fixture
def asked(batch) -> pd.DataFrame:
    """The file to fill in, filled in by somebody who knows."""
    truth = load_breast_cancer().target
    actual = pd.read_csv(batch.review)
    words = ["normal" if truth[row] else "anomaly" for row in actual["row_id"]]
    return actual.assign(verdict=words, who="ann", when="2026-11-01T08:00")


@pytest.fixture
def give(store, tmp_path):
    """Sends verdicts in."""

    def run(frame: pd.DataFrame, **options):
        frame.to_csv(tmp_path / "verdicts.csv", index=False)
        file = str(tmp_path / "verdicts.csv")
        return give_verdicts(store[1], store[0], made.NAME, file, **options)

    return run
