"""What people are told of a scoring that is no success."""

from pathlib import Path

import pytest

from flows.scoring.report import ScoreReport, event_of


def report(output: str, rejects: str | None) -> ScoreReport:
    return ScoreReport(
        model="models:/dagmm-pumps/3", rows=100, scored=90, rejected=10, anomalies=2, remarked=0,
        unseen={}, output=output, rejects=rejects, resumed_rows=0, seconds=1.0,
        processor_seconds=1.0, causes={"flow: not a number": 10}, tolerance=0.01,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("output", "rejects", "link"),
    [
        ("scored.csv", "scored.rejected.parquet", Path("scored.rejected.parquet").resolve()),
        ("scored.csv", None, Path("scored.csv").resolve()),
        ("sqlite:///db, table scored", None, "sqlite:///db, table scored"),
    ],
)
def test_what_is_told_says_where_to_look_to_who_is_elsewhere(output, rejects, link):
    event = event_of(report(output, rejects), "pumps.csv")
    assert event.link == str(link)
    assert event.figure == "10.0% of 100 rows"
    assert "10 rows: flow: not a number" in event.reason
