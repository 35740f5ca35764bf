"""Figures of the tables against values worked out by hand or by another library."""

import numpy as np
import pytest
from scipy import stats

from dagmm_model.evaluation.published import published_figures
from flows.benchmarking.cells import Cell
from flows.benchmarking.results.details import details, failures, published_table
from flows.benchmarking.results.summary import blocks
from flows.benchmarking.results.tables import overview


def _cells(detector, values, dataset="thyroid", **more):
    common = {"dataset": dataset, "protocol": "paper", "grouped": False} | more
    return [
        Cell(seed=s, detector=detector, f1=v, roc_auc=v, ap=v, seconds=s + 1.0, **common)
        for s, v in enumerate(values)
    ]


@pytest.fixture(scope="module")
def figures():
    rng = np.random.default_rng(0)
    centres = {"dagmm": 0.75, "pca": 0.55, "knn": 0.74, "dagmm:paper": 0.5}
    return {name: rng.normal(centre, 0.03, 12).tolist() for name, centre in centres.items()}


@pytest.fixture(scope="module")
def block(figures):
    cells = [cell for name, values in figures.items() for cell in _cells(name, values)]
    return blocks([*cells, *_cells("dagmm, untrained", figures["dagmm"])])[0]


def test_spread_is_mean_and_sample_deviation(block, figures):
    spread = block.line("thyroid", "pca").spreads["f1"]
    assert spread.mean == pytest.approx(np.mean(figures["pca"]))
    assert spread.sd == pytest.approx(np.std(figures["pca"], ddof=1))
    assert str(blocks(_cells("pca", [0.5]))[0].line("thyroid", "pca").spreads["f1"]) == "0.500"


def test_times_are_medians(block):
    assert block.line("thyroid", "pca").seconds == 6.5


def test_p_values_are_paired_by_seed_and_corrected_for_the_detectors_only(block, figures):
    raw = {
        name: stats.wilcoxon(figures[name], figures["dagmm"]).pvalue
        for name in ("pca", "knn", "dagmm:paper")
    }
    for name, p in raw.items():
        assert block.line("thyroid", name).p == pytest.approx(p)
    # By hand: the two smallest are equal, three comparisons.
    assert block.line("thyroid", "pca").p_holm == pytest.approx(3 * raw["pca"])
    assert block.line("thyroid", "knn").p_holm == pytest.approx(raw["knn"])
    assert block.line("thyroid", "dagmm").p is None
    assert block.line("thyroid", "dagmm, untrained").p is None
    marks = {name: block.line("thyroid", name).mark for name in raw}
    assert marks == {"pca": "▼", "knn": "", "dagmm:paper": "▼"}


def test_pairs_are_the_seeds_that_both_have():
    cells = _cells("dagmm", [0.5] * 8) + _cells("pca", [0.9, 0.8, 0.7])
    line = blocks(cells)[0].line("thyroid", "pca")
    assert line.p == pytest.approx(2 / 2**3)
    assert line.mark == ""


def test_the_order_of_the_cells_changes_no_figure(figures):
    cells = [cell for name, values in figures.items() for cell in _cells(name, values)]
    shuffled = [cells[i] for i in np.random.default_rng(1).permutation(len(cells))]
    one, other = blocks(cells)[0], blocks(shuffled)[0]
    assert overview(one) == overview(other)
    assert list(details(one)) == list(details(other))


def test_a_single_table_is_ranked_over_its_splits_and_several_over_their_means(figures):
    cells = [cell for name, values in figures.items() for cell in _cells(name, values)]
    labels, matrix, what = blocks(cells)[0].ranked()
    assert matrix.shape == (12, 4)
    assert what == "12 splits of thyroid"
    assert matrix[:, labels.index("pca")].tolist() == figures["pca"]
    more = _cells("dagmm", [0.9], "wdbc") + _cells("pca", [0.8], "wdbc")
    labels, matrix, what = blocks([*cells, *more])[0].ranked()
    assert set(labels) == {"dagmm", "pca"}  # the others are not measured throughout
    assert what == "2 data sets"
    assert matrix[:, labels.index("pca")] == pytest.approx([np.mean(figures["pca"]), 0.8])
    # A data set without the reference would take it out of the comparison.
    without = _cells("pca", [0.7], "arrhythmia") + _cells("knn", [0.6], "arrhythmia")
    assert blocks([*cells, *more, *without])[0].ranked()[2] == "2 data sets"
    assert blocks(without)[0].ranked()[2] == "1 splits of arrhythmia"


def test_published_figures_stand_beside_all_presets_with_their_source(block):
    table = published_table(block)
    rows = {row[0]: row for row in table.rows}
    assert rows["dagmm"][3] == rows["dagmm:paper"][3] == "0.4782"
    mean = block.line("thyroid", "dagmm").spreads["f1"].mean
    assert rows["dagmm"][4] == f"{mean - 0.4782:+.3f}"
    assert "dagmm, untrained" not in rows
    # Measured by another protocol, they are beside our figures of that one only.
    assert not any("goad" in label for label in rows)
    other = {
        row[0]: row
        for row in published_table(blocks(_cells("dagmm", [0.8], protocol="goad"))[0]).rows
    }
    assert set(other) == {"dagmm against goad", "dagmm against neutral-ad"}
    assert other["dagmm against goad"][2:5] == ("0.800 (1)", "0.7450", "+0.055")
    assert "from memory" in other["dagmm against goad"][5]
    grouped = blocks(_cells("dagmm", [0.5], grouped=True))[0]
    assert published_table(grouped) is None


def test_every_published_figure_names_its_source_once():
    assert all(0 < figure.f1 <= 1 and figure.source for figure in published_figures())
    places = [(figure.detector, figure.dataset, figure.protocol) for figure in published_figures()]
    assert len(places) == len(set(places))


def test_failed_cells_are_counted_and_their_reasons_given():
    place = {"dataset": "thyroid", "protocol": "paper", "grouped": False, "detector": "knn"}
    cells = _cells("dagmm", [0.5, 0.6]) + [Cell(**place, seed=s, reason="too big") for s in (0, 1)]
    actual = blocks(cells)
    assert ("knn", "failed (2)") in overview(actual[0]).rows
    assert failures(actual).rows == (("knn", "thyroid", "Paper's protocol", "0, 1", "too big"),)
    assert failures(blocks(_cells("dagmm", [0.5]))) is None
