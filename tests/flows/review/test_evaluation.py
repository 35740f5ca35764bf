"""A version on labelled rows: counts, figures, floors, and the run that is tied to it."""

import os
import signal

import numpy as np
import pandas as pd
import pytest
import sqlalchemy as sa
from sklearn.datasets import load_breast_cancer

from dagmm_model.evaluation.metrics import deployment_metrics
from data_checks.contract.model import load_contract
from data_checks.contract.source_settings import SqlSource
from flows.common.errors import UsageError
from flows.common.value_types import plain
from flows.review import evaluation
from flows.review.labelled import RowCounts, read_labelled
from flows.scoring.version import read_bundle
from flows.tracking import registry, seal
from tests.flows import promotion_store as made
from tests.flows.forked import processes

NAME = made.NAME


@pytest.fixture(scope="module")
def rows() -> pd.DataFrame:
    """Labelled rows as a user would have them."""
    actual = load_breast_cancer(as_frame=True)
    frame = actual.data.copy()
    frame["diagnosis"] = [actual.target_names[target] for target in actual.target]
    return frame.sample(200, random_state=0).reset_index(drop=True)


def read(source, tmp_path, contract=None):
    counts = RowCounts()
    contract = contract or load_contract("wdbc")
    batches = list(read_labelled(contract, str(source), tmp_path, counts))
    return batches, counts


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_rows_that_do_not_count_are_counted(rows, tmp_path, suffix):
    broken = rows.copy()
    if suffix == "csv":
        broken = broken.astype(object)
        broken.loc[0, "mean radius"] = "many"
    else:
        broken.loc[0, "mean radius"] = np.nan
    broken.loc[1, "mean area"] = np.nan
    broken.loc[2, "diagnosis"] = "unsure"
    broken.loc[3, "diagnosis"] = None
    file = tmp_path / f"rows.{suffix}"
    broken.to_csv(file, index=False) if suffix == "csv" else broken.to_parquet(file, index=False)
    batches, counts = read(file, tmp_path)
    assert (counts.rows, counts.rejected, counts.unlabelled) == (200, 2, 2)
    assert counts.unknown == {"unsure": 1}
    assert sum(counts.reasons.values()) == 2
    ids = np.concatenate([batch.ids for batch in batches])
    assert list(ids) == list(range(2, 200))
    labels = np.concatenate([batch.labels for batch in batches])
    assert list(labels[:2]) == [-1, -1]
    assert (labels[2:] == (rows["diagnosis"][4:] == "malignant")).all()
    assert any("unsure" in sentence for sentence in counts.sentences())


def test_labelled_rows_of_a_database(rows, tmp_path):
    url = f"sqlite:///{tmp_path / 'rows.db'}"
    engine = sa.create_engine(url)
    rows.to_sql("samples", engine, index=False)
    engine.dispose()
    source = SqlSource(kind="sql", query="SELECT * FROM samples", url="sqlite:///rows.db")
    contract = load_contract("wdbc").model_copy(update={"source": source})
    batches, counts = read(url, tmp_path, contract)
    assert counts.rows == 200
    labels = np.concatenate([batch.labels for batch in batches])
    assert labels.sum() == (rows["diagnosis"] == "malignant").sum()


def test_slices_are_read_beside_the_label(rows, tmp_path):
    contract = load_contract("wdbc").model_copy(update={"slice_column": "diagnosis"})
    file = tmp_path / "rows.csv"
    rows.to_csv(file, index=False)
    batches, _ = read(file, tmp_path, contract)
    assert [value for batch in batches for value in batch.slices] == list(rows["diagnosis"])


@pytest.mark.parametrize(
    ("floor", "words"),
    [
        ("accuracy=.9", "no figure 'accuracy'"),
        ("roc_auc", "write roc_auc=NUMBER"),
        ("roc_auc=high", "write roc_auc=NUMBER"),
        ("roc_auc=1.5", "between 0 and 1"),
        ("roc_auc=nan", "between 0 and 1"),
    ],
)
def test_what_is_no_floor(floor, words):
    with pytest.raises(UsageError, match=words):
        evaluation.bounds([floor], [])


def test_a_bound_keeps_what_it_says():
    floor, ceiling = evaluation.bounds(["roc-auc=.9"], ["alert_rate=.1"])
    assert floor.holds(0.9)
    assert not floor.holds(0.899)
    assert ceiling.holds(0.1)
    assert not ceiling.holds(0.2)
    assert not floor.holds(None)  # what was not measured was not reached


def test_the_figures_are_those_of_the_energies_and_the_run_names_the_version(
    store, served, rows, tmp_path
):
    settings, client = store
    file = tmp_path / "rows.csv"
    rows.to_csv(file, index=False)
    limits = evaluation.bounds(["recall=1"], ["alert_rate=1"])
    actual = evaluation.evaluate(client, settings, NAME, str(file), limits)
    with seal.sealed_bundle(client, registry.find_version(client, NAME, served)) as folder:
        bundle, _ = read_bundle(folder)
    energies = bundle.score(rows.drop(columns="diagnosis")).energy
    labels = (rows["diagnosis"] == "malignant").to_numpy()
    assert actual.measured.deployment == deployment_metrics(labels, energies, actual.threshold)
    assert len(actual.failed) == (actual.measured.deployment.recall.value < 1)
    run = client.get_run(actual.run_id)
    assert run.info.status == "FINISHED"
    assert run.data.tags["dagmm.evaluated"] == f"{NAME}/{served}"
    assert run.data.metrics["deployed/roc_auc"] == actual.measured.deployment.roc_auc.value
    assert run.data.metrics["rows"] == 200
    version = registry.find_version(client, NAME, served)
    assert version.tags["dagmm.last_evaluation"] == actual.run_id
    assert plain(actual)["counts"]["rows"] == 200


def die_in(uri: str, home: str, source: str) -> None:
    """In a process of its own: evaluate, and be killed while the figures are written."""
    from flows.tracking import tracking

    settings = made.settings_of(uri, home)
    evaluation._metrics = lambda _result: os.kill(os.getpid(), signal.SIGKILL)
    evaluation.evaluate(tracking.connect(settings), settings, NAME, source)


def test_the_run_of_an_evaluation_that_was_killed_says_so(store, served, home, rows, tmp_path):
    settings, client = store
    file = tmp_path / "rows.csv"
    rows.to_csv(file, index=False)
    dying = processes.Process(target=die_in, args=(settings.tracking_uri, str(home), str(file)))
    dying.start()
    dying.join(120)
    assert dying.exitcode == -signal.SIGKILL
    experiment = client.get_experiment_by_name(evaluation.EXPERIMENT)
    runs = client.search_runs([experiment.experiment_id], "status != 'FINISHED'")
    assert [run.info.status for run in runs] == ["KILLED"]


def test_the_command_ends_with_1_below_a_floor(store, served, rows, tmp_path, dagmm):
    file = tmp_path / "rows.csv"
    rows.to_csv(file, index=False)
    good = dagmm("evaluate", NAME, "--data", file, "--floor", "roc_auc=.5")
    assert good.code == 0, good.err
    assert "ROC AUC" in good.out
    bad = dagmm("evaluate", f"{NAME}/{served}", "--data", file, "--ceiling", "alert_rate=0")
    assert bad.code == 1
    assert "ceiling 0" in bad.out


def test_rows_of_which_none_can_be_scored_are_refused(store, served, rows, tmp_path):
    file = tmp_path / "rows.csv"
    rows.assign(**{"mean radius": "x"}).to_csv(file, index=False)
    with pytest.raises(UsageError, match="no row can be scored: 200 rejected"):
        evaluation.evaluate(store[1], store[0], NAME, str(file))
