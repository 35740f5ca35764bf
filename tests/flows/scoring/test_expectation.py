"""`ExpectRowsToBeNormal` in a suite of Great Expectations, in pandas and on Spark."""

import json
import re

import great_expectations as gx
import numpy as np
import pandas as pd
import pytest
from great_expectations.expectations.registry import get_expectation_impl
from great_expectations.expectations.row_conditions import Column
from great_expectations.render.renderer import ExpectationSuitePageRenderer
from great_expectations.render.renderer.inline_renderer import InlineRenderer
from great_expectations.render.view import DefaultJinjaPageView
from sklearn.datasets import load_breast_cancer

from flows.common.settings import Settings
from flows.scoring.expectation import ExpectRowsToBeNormal
from flows.scoring.run import score

MODEL = "dagmm-wdbc@production"
COUNTS = ("element_count", "unexpected_count", "observed_value")


@pytest.fixture
def rows(two_versions) -> pd.DataFrame:
    """Raw rows, of which two cannot be scored, named by an index of their own."""
    frame = load_breast_cancer(as_frame=True).data.assign(note="not of the model")
    frame.index = [f"r{number}" for number in range(len(frame))]
    frame.loc["r3", "mean area"] = np.nan
    frame.loc["r8", "mean texture"] = np.inf
    return frame


@pytest.fixture
def context(tmp_path):
    return gx.get_context(mode="ephemeral")


def batch_of(context, frame: pd.DataFrame):
    source = context.data_sources.add_pandas("pandas")
    asset = source.add_dataframe_asset("rows")
    return asset.add_batch_definition_whole_dataframe("all").get_batch({"dataframe": frame})


@pytest.fixture
def scored(rows, tmp_path) -> pd.DataFrame:
    """What `dagmm score` says of the rows."""
    rows.to_parquet(tmp_path / "rows.parquet", index=False)
    score(str(tmp_path / "rows.parquet"), str(tmp_path / "scored.parquet"), MODEL, Settings())
    return pd.read_parquet(tmp_path / "scored.parquet")


def test_it_counts_what_scoring_finds(context, rows, scored):
    batch = batch_of(context, rows)
    anomalies = int(scored.is_anomaly.sum())
    share = (anomalies + 2) / len(rows)
    for at_most, success in ((share, True), (share - 1e-9, False)):
        done = batch.validate(ExpectRowsToBeNormal(model=MODEL, at_most=at_most))
        assert done.success is success
        actual = done.result
        assert [actual[name] for name in COUNTS] == [len(rows), anomalies + 2, share]
        assert actual["details"]["model"] == "models:/dagmm-wdbc/2"
        assert actual["details"]["not_scored"] == 2
        assert sum(actual["details"]["causes"].values()) == 2
    worst = scored[scored.is_anomaly].nlargest(20, "energy")
    assert [each["row"] for each in actual["partial_unexpected_list"]] == [
        f"r{number}" for number in worst.row_id
    ]
    assert [each["reasons"] for each in actual["partial_unexpected_list"]] == list(worst.reasons)
    json.dumps(done.to_json_dict())


def test_a_condition_chooses_rows(context, rows):
    done = batch_of(context, rows).validate(
        ExpectRowsToBeNormal(model=MODEL, row_condition=Column("mean area") < 300)
    )
    assert done.result["element_count"] == int((rows["mean area"] < 300).sum())


def test_it_is_kept_in_a_suite_and_shown(context, rows):
    assert get_expectation_impl("expect_rows_to_be_normal") is ExpectRowsToBeNormal
    suite = gx.ExpectationSuite("rows", [ExpectRowsToBeNormal(model=MODEL, at_most=0.5)])
    kept = json.loads(json.dumps(suite.to_json_dict()))
    again = context.suites.add(gx.ExpectationSuite(**kept))
    assert again.expectations[0] == ExpectRowsToBeNormal(
        model=MODEL, at_most=0.5, id=again.expectations[0].id
    )
    done = batch_of(context, rows).validate(again)
    shown = InlineRenderer(render_object=done.results[0]).get_rendered_content()
    message = json.dumps([each.to_json_dict() for each in shown])
    assert "may be anomalies to the model" in message


def test_data_docs_say_it_in_a_sentence_with_the_default_limit_and_with_parameters():
    parameters = {"model": {"$PARAMETER": "m"}, "at_most": {"$PARAMETER": "share"}}
    suite = gx.ExpectationSuite(
        "rows", [ExpectRowsToBeNormal(model=MODEL), ExpectRowsToBeNormal(**parameters)]
    )
    kept = gx.ExpectationSuite(**json.loads(json.dumps(suite.to_json_dict())))
    assert kept.expectations[1].at_most == {"$PARAMETER": "share"}
    page = DefaultJinjaPageView().render(ExpectationSuitePageRenderer().render(kept))
    message = " ".join(re.sub(r"<[^>]+>", " ", page).split())
    assert f"At most a share of 0.01 of the rows may be anomalies to the model {MODEL}" in message
    assert "expect_rows_to_be_normal (**" not in message


def test_a_suite_takes_its_parameters_when_it_runs(context, rows):
    suite = gx.ExpectationSuite(
        "rows",
        [ExpectRowsToBeNormal(model={"$PARAMETER": "m"}, at_most={"$PARAMETER": "share"})],
    )
    batch = batch_of(context, rows)
    for share, success in ((1.0, True), (0.0, False)):
        done = batch.validate(suite, expectation_parameters={"m": MODEL, "share": share})
        assert done.results[0].success is success, done.results[0].exception_info


@pytest.mark.parametrize("wrong", [{"model": ""}, {"at_most": {"a": 1}}, {"model": {}}])
def test_neither_a_value_nor_a_parameter(wrong):
    with pytest.raises(ValueError, match=r"PARAMETER|at least 1 character"):
        ExpectRowsToBeNormal(**({"model": MODEL} | wrong))


def test_a_batch_without_rows_has_no_anomalies(context, rows):
    done = batch_of(context, rows[:0]).validate(ExpectRowsToBeNormal(model=MODEL, at_most=0))
    assert done.success
    assert done.result["element_count"] == 0


@pytest.mark.parametrize(
    ("model", "change", "words"),
    [
        ("dagmm-none", lambda rows: rows, "no registered model 'dagmm-none'"),
        ("dagmm-wdbc/9", lambda rows: rows, "no version 9"),
        (MODEL, lambda rows: rows.drop(columns="mean area"), "missing column 'mean area'"),
    ],
)
def test_what_cannot_be_judged_is_no_success_and_says_why(context, rows, model, change, words):
    batch = batch_of(context, change(rows))
    done = batch.validate(ExpectRowsToBeNormal(model=model))
    assert not done.success
    (raised,) = done.exception_info.values()
    assert words in raised["exception_message"]


def test_an_altered_model_is_not_used(context, rows, home):
    for file in home.rglob("bundle.json"):
        file.write_text(file.read_text() + " ")
    done = batch_of(context, rows).validate(ExpectRowsToBeNormal(model=MODEL, at_most=1))
    assert not done.success
    (raised,) = done.exception_info.values()
    assert "not those that were registered" in raised["exception_message"]


@pytest.mark.parametrize("share", [-0.1, 1.1, "much"])
def test_a_share_is_a_share(share):
    with pytest.raises(ValueError, match="at_most"):
        ExpectRowsToBeNormal(model=MODEL, at_most=share)


@pytest.mark.slow
def test_spark_counts_the_same(spark, context, rows, scored):
    frame = spark.createDataFrame(rows.reset_index(drop=True)).repartition(3)
    source = context.data_sources.add_spark("spark")
    asset = source.add_dataframe_asset("rows")
    batch = asset.add_batch_definition_whole_dataframe("all").get_batch({"dataframe": frame})
    done = batch.validate(ExpectRowsToBeNormal(model=MODEL, at_most=0.5))
    anomalies = int(scored.is_anomaly.sum())
    assert [done.result[name] for name in COUNTS[:2]] == [len(rows), anomalies + 2]
    energies = [each["energy"] for each in done.result["partial_unexpected_list"]]
    np.testing.assert_allclose(energies, scored.energy.nlargest(20), rtol=1e-12)
    done = batch.validate(ExpectRowsToBeNormal(model="dagmm-none"))
    assert not done.success
    batch = asset.add_batch_definition_whole_dataframe("less").get_batch(
        {"dataframe": frame.drop("mean area")}
    )
    (raised,) = batch.validate(ExpectRowsToBeNormal(model=MODEL)).exception_info.values()
    assert "missing column 'mean area';" in raised["exception_message"]
