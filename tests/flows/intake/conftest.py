"""A version in production, a scored batch of its table, and verdicts on it."""

import pandas as pd
import pytest
from sklearn.datasets import load_breast_cancer

from flows.intake.give import give_verdicts
from flows.scoring.run import score
from tests.flows import promotion_store as made
from tests.flows.review.conftest import new, served, served_home  # noqa: F401


@pytest.fixture
def batch(store, served, tmp_path, monkeypatch):  # noqa: F811
    """Report of a scored batch of which 20 rows below the threshold are to be judged."""
    monkeypatch.setenv("DAGMM_PROGRESS", "off")
    data = load_breast_cancer(as_frame=True)
    data.data.to_csv(tmp_path / "rows.csv", index=False)
    return score(
        str(tmp_path / "rows.csv"), str(tmp_path / "scored.csv"), made.NAME, store[0],
        review_rows=20,
    )  # fmt: skip


@pytest.fixture
def asked(batch) -> pd.DataFrame:
    """The file to fill in, filled in by somebody who knows."""
    truth = load_breast_cancer().target
    found = pd.read_csv(batch.review)
    words = ["normal" if truth[row] else "anomaly" for row in found["row_id"]]
    return found.assign(verdict=words, who="ann", when="2026-11-01T08:00")


@pytest.fixture
def give(store, tmp_path):
    """Sends verdicts in."""

    def run(frame: pd.DataFrame, **options):
        frame.to_csv(tmp_path / "verdicts.csv", index=False)
        file = str(tmp_path / "verdicts.csv")
        return give_verdicts(store[1], store[0], made.NAME, file, **options)

    return run
