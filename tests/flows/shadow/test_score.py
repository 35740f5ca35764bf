"""`dagmm score --shadow`: the result is the same with it, whatever becomes of it."""

import pandas as pd
import pytest

from flows.common.settings import Settings
from flows.promotion.version.canary import sealed_canary
from flows.promotion.version.shadows import CONTENT
from flows.tracking import registry as versions
from flows.tracking import tracking
from tests.flows.api.conftest import bundle_file
from tests.flows.promotion.conftest import flip

NAME = "dagmm-wdbc"


@pytest.fixture
def rows(two_versions, tmp_path):
    client = tracking.connect(Settings())
    canary = sealed_canary(client, versions.find_version(client, NAME, 2))
    frame = pd.DataFrame(canary["data"], columns=canary["columns"])
    many = pd.concat([frame] * 20).astype({"mean area": object})
    many.iloc[5, many.columns.get_loc("mean area")] = "many"
    many.to_csv(tmp_path / "rows.csv", index=False)
    return tmp_path / "rows.csv", client


def score(dagmm, source, *more):
    out = source.with_name("out.parquet")
    actual = dagmm("score", source, out, "--model", NAME, "--restart", "--json", *more)
    return actual, pd.read_parquet(out)


def test_the_result_is_the_same_and_the_shadow_is_a_run(dagmm, rows):
    source, client = rows
    _, expected = score(dagmm, source)
    actual, result = score(dagmm, source, "--shadow", "1")
    assert actual.code == 0
    pd.testing.assert_frame_equal(result, expected)
    shadow = actual.json["shadow"]
    assert (shadow["candidate"], shadow["rows"]) == (f"models:/{NAME}/1", len(result))
    assert shadow["failure"] == ""
    assert 0 <= shadow["disagreement"] <= 1
    run = client.get_run(shadow["run"].rpartition("/")[2].partition("?")[0])
    assert run.data.metrics["rows"] == len(result)
    assert run.data.tags["dagmm.answers"] == "2"
    page = shadow["page"].partition("?")[0].rpartition("/artifacts/")[2]
    assert page in [file.path for file in client.list_artifacts(run.info.run_id)]
    text = dagmm("score", source, source.with_name("o.csv"), "--model", NAME, "--shadow", "1").out
    assert f"Shadow     models:/{NAME}/1: {len(result):,} rows, other alerts on" in text
    again = client.search_runs([run.info.experiment_id])
    assert len(again) == 2
    assert {each.data.tags[CONTENT] for each in again} == {run.data.tags[CONTENT]}


@pytest.mark.parametrize(
    ("candidate", "message"),
    [("challenger", "has the alias 'challenger'"), ("2", "2 is the version that scores")],
)
def test_without_a_candidate_the_rows_are_scored_all_the_same(dagmm, rows, candidate, message):
    source, client = rows
    if versions.version_behind(client, NAME, "challenger") is not None:
        client.delete_registered_model_alias(NAME, "challenger")
    actual, result = score(dagmm, source, "--shadow", candidate)
    assert actual.code == 0
    assert len(result) == actual.json["scored"]
    assert message in actual.json["shadow"]["failure"]


def test_a_damaged_candidate_changes_nothing(dagmm, rows):
    source, client = rows
    flip(bundle_file(client, 1))
    actual, result = score(dagmm, source, "--shadow", "1")
    assert actual.code == 0
    assert len(result) == actual.json["scored"]
    assert "not those that were registered" in actual.json["shadow"]["failure"]


def test_the_flow_compares_as_well(rows, prefect_server):
    from flows.orchestration.score_flow import score as flow

    source, client = rows
    before = shadows(client)
    report = flow(str(source), str(source.with_name("flow.csv")), NAME, shadow="1")
    (run,) = shadows(client).keys() - before.keys()
    assert shadows(client)[run]["rows"] == report.scored


def shadows(client) -> dict:
    """Figures of the shadows' runs."""
    experiment = client.get_experiment_by_name("shadows")
    runs = [] if experiment is None else client.search_runs([experiment.experiment_id])
    return {run.info.run_id: run.data.metrics for run in runs}


def test_what_it_does_not_go_with_is_said_before_anything_is_scored(dagmm, two_versions, tmp_path):
    for more in (("--fdr", "0.1"), ("--engine", "spark")):
        actual = dagmm("score", "in.csv", "out.csv", "--shadow", "1", *more)
        assert actual.code == 2
        assert "--shadow compares verdicts on single rows" in actual.err
