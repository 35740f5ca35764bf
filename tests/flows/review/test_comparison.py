"""Two versions on the same rows."""

import numpy as np
import pytest
from sklearn.datasets import load_breast_cancer

from dagmm_model.evaluation.comparison import paired_difference
from data_checks.contract.model import load_contract
from flows.common.errors import UsageError
from flows.review.comparison import check_columns, compare
from flows.review.threshold.change import change_threshold
from flows.scoring.version import read_bundle
from flows.tracking import registry, seal
from tests.flows import promotion_store as made

NAME = made.NAME


@pytest.fixture
def rows(tmp_path):
    """A labelled table, one row of which cannot be scored."""
    actual = load_breast_cancer(as_frame=True)
    frame = actual.data.head(150).copy()
    frame["diagnosis"] = [actual.target_names[target] for target in actual.target[:150]]
    frame.loc[7, "mean area"] = np.nan
    file = tmp_path / "rows.csv"
    frame.to_csv(file, index=False)
    return file, frame


def test_another_threshold_ranks_alike_and_flags_otherwise(store, served):
    settings, client = store
    other = change_threshold(client, settings, NAME, 0.2, by="me").version
    actual = compare(client, settings, f"{NAME}/{served}", f"{NAME}/{other}")
    assert actual.note == ""  # the same split
    assert actual.difference.interval.low == actual.difference.interval.high == 0
    assert actual.drift.ranks == pytest.approx(1)
    assert actual.only[0] == 0
    assert actual.only[1] > 0
    assert actual.disagreements
    assert all(d.flagged == (False, True) for d in actual.disagreements[: actual.only[1]])
    assert all(all(d.reasons) for d in actual.disagreements)


@pytest.mark.usefixtures("two_versions")
def test_two_trainings_on_new_rows(dagmm, rows):
    from flows.common.settings import Settings
    from flows.tracking import tracking

    file, frame = rows
    message = dagmm("compare", f"{NAME}/1", f"{NAME}/2", "--data", file, "--json").json
    assert (message["rows"], message["left_out"]) == (149, 1)
    client, energies = tracking.connect(Settings()), []
    good = frame.drop(index=7)
    for version in (1, 2):
        with seal.sealed_bundle(client, registry.find_version(client, NAME, version)) as folder:
            energies.append(read_bundle(folder)[0].score(good.drop(columns="diagnosis")).energy)
    labels = good["diagnosis"] == "malignant"
    expected = paired_difference(labels, *energies, level=0.95).interval
    assert message["difference"]["interval"]["value"] == pytest.approx(expected.value)
    assert message["difference"]["interval"]["low"] == pytest.approx(expected.low)
    kept = dagmm("compare", f"{NAME}/1", f"{NAME}/2")
    assert kept.code == 0, kept.err
    assert "may have seen these rows" in kept.out
    assert "Paired" in kept.out


def test_rows_that_nobody_can_score(store, served, rows):
    file, frame = rows
    frame.assign(**{"mean area": "x"}).to_csv(file, index=False)
    with pytest.raises(UsageError, match=r"by both.*150 rejected: mean area: 'x' is no"):
        compare(store[1], store[0], NAME, f"{NAME}/{served}", str(file))


def test_a_version_of_another_table_is_refused_with_advice_that_helps():
    whole, other = load_contract("wdbc"), load_contract("thyroid")
    part = whole.model_copy(update={"columns": whole.columns[:-1]})
    check_columns(("whole/1", "part/1"), whole, part)
    with pytest.raises(UsageError, match=r"whole/1 takes columns that part/1 does not.*name it"):
        check_columns(("part/1", "whole/1"), part, whole)
    for pair in ((whole, other), (other, whole)):
        with pytest.raises(UsageError, match=r"': compare versions of one table"):
            check_columns(("one/1", "other/1"), *pair)
