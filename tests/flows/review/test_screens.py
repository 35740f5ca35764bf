"""Tables of the terminal: at 80 columns whole, in less room folded, never cut."""

from io import StringIO

import numpy as np
import pytest
from rich.console import Console

from dagmm_model.evaluation.metrics import deployment_metrics
from dagmm_model.evaluation.threshold import calibrate
from dagmm_model.evaluation.what_if import what_if
from flows.promotion.gates.score_drift import compare_scores
from flows.reporting.terminal import sheet
from flows.review import screens
from flows.review.comparison import Comparison, Disagreement
from flows.review.listing import ListedVersion
from flows.review.measured import Measured

CHANCE = np.random.default_rng(0)
CALIBRATION, ENERGIES = CHANCE.normal(size=500), CHANCE.normal(size=200)
LABELS = ENERGIES > 1.0
VERSIONS = [
    ListedVersion(
        name="dagmm-t",
        version=number,
        aliases=("production",) if number == 2 else (),
        detector="isolation-forest",
        threshold_of=1 if number == 2 else None,
        figures={"roc_auc": 0.98765, "average_precision": 0.9, "recall": 0.5},
        threshold=1.0,
        created=0.0,
    )
    for number in (2, 1)
]


def drawn(page, width):
    console = Console(width=width, file=StringIO())
    with console.capture() as text:
        console.print(page, crop=False)  # as `show` does
    return text.get()


def budgets(rows=100_000):
    lines = what_if(CALIBRATION, ENERGIES, LABELS, rows=rows, also=[0.05])
    return screens.budgets_screen("dagmm-t/1", calibrate(CALIBRATION, 0.05), lines, "1d")


def compared():
    measured = Measured(deployment_metrics(LABELS, ENERGIES, 0.9), ())
    return screens.comparison(
        Comparison(
            models=("models:/dagmm-t/1", "models:/dagmm-t/2"),
            source="rows.csv",
            rows=200,
            left_out=0,
            measured=(measured, measured),
            difference=None,
            drift=compare_scores(ENERGIES, ENERGIES),
            only=(0, 0),
            disagreements=(
                Disagreement(7, 1, (0.01, 0.2), (True, False), ("worst area 12%", "texture 9%")),
            ),
            note="",
        )
    )


def before_and_now():
    measured = deployment_metrics(LABELS, ENERGIES, 0.9)
    return sheet([("Test rows", screens._before_and_now(measured, measured))])


PAGES = [budgets, lambda: screens.models(VERSIONS), compared, before_and_now]


@pytest.mark.parametrize("page", PAGES)
@pytest.mark.parametrize("width", [60, 80, 140])
def test_no_cell_is_cut(page, width):
    text = drawn(page(), width)
    assert "…" not in text
    assert max(map(len, text.splitlines())) <= width


@pytest.mark.parametrize("page", PAGES)
def test_no_word_and_no_number_is_broken_at_60_columns(page):
    words = {part for word in drawn(page(), 140).split() for part in word.split("-")}
    assert {part for word in drawn(page(), 60).split() for part in word.split("-")} <= words


def test_an_interval_stands_beside_its_value_at_80_columns():
    (line,) = (
        each for each in drawn(budgets(rows=1000), 80).splitlines() if each.startswith("* 0.05")
    )
    assert line.count("[") == line.count("]") == 3
