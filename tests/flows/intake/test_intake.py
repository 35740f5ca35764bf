"""From a scored file to verdicts and back, by every way to name a row; one error for each fault."""

import json

import numpy as np
import pandas as pd
import pytest
from sklearn.datasets import load_breast_cancer

from flows.common.errors import UsageError
from flows.intake.import_file import give_verdicts
from flows.review.threshold.change import change_threshold
from flows.scoring.run import score
from flows.verdicts import store as verdicts
from tests.flows import promotion_store as made

NAME = made.NAME


def kept(settings):
    return verdicts.read_verdicts(settings.verdicts_database, NAME)


def test_the_round_trip_gives_precision_and_recall(store, batch, asked, give):
    report = give(asked)
    alerts = asked[asked["is_anomaly"]]
    assert report.intake.added == len(asked) == batch.anomalies + 20
    hits = (alerts["verdict"] == "anomaly").sum()
    assert report.live.judged_alerts == len(alerts)
    assert report.live.precision.value == hits / len(alerts)
    drawn = asked[~asked["is_anomaly"]]
    missed = (drawn["verdict"] == "anomaly").mean() * (batch.scored - batch.anomalies)
    assert report.live.recall.value == pytest.approx(hits / (hits + missed))
    # None of the drawn rows may be an anomaly.
    assert report.live.recall.low < report.live.recall.value <= report.live.recall.high
    assert give(asked).intake.added == 0
    assert "dagmm.verdicts" in store[1].get_registered_model(NAME).tags


def test_the_scored_file_gains_nothing_by_the_review(store, batch, tmp_path):
    score(str(tmp_path / "rows.csv"), str(tmp_path / "plain.csv"), NAME, store[0])
    assert (tmp_path / "plain.csv").read_text() == (tmp_path / "scored.csv").read_text()


@pytest.mark.parametrize("rows", [0, 20])
def test_where_no_row_can_be_scored_the_report_says_why_and_nothing_is_to_be_judged(
    store, served, tmp_path, rows
):
    frame = load_breast_cancer(as_frame=True).data.head(rows).astype({"mean radius": str})
    frame.assign(**{"mean radius": "many"}).to_csv(tmp_path / "rows.csv", index=False)
    out = tmp_path / "scored.csv"
    report = score(str(tmp_path / "rows.csv"), str(out), NAME, store[0], review_rows=5)
    assert (report.scored, report.rejected, report.review) == (0, rows, None)
    assert report.causes == ({"mean radius: not a number": rows} if rows else {})
    assert report.failure
    assert out.exists()
    assert verdicts.read_reviews(store[0].verdicts_database, NAME) == ((), ())


def test_scoring_the_same_batch_again_asks_for_the_same_rows_and_keeps_what_is_filled_in(
    store, served, tmp_path
):
    rows, out = str(tmp_path / "rows.csv"), str(tmp_path / "scored.csv")
    load_breast_cancer(as_frame=True).data.to_csv(rows, index=False)
    first = score(rows, out, NAME, store[0], review_rows=20)
    filled = pd.read_csv(first.review).assign(verdict="normal", who="ann")
    filled.to_csv(first.review, index=False)
    again = score(rows, out, NAME, store[0], review_rows=20)
    assert again.review == first.review
    assert pd.read_csv(again.review)["who"].eq("ann").all()
    reviews, drawn = verdicts.read_reviews(store[0].verdicts_database, NAME)
    assert len(reviews) == 1
    assert len(drawn) == len(filled)


def test_drawn_rows_lie_below_the_threshold_and_are_those_of_the_source(batch, tmp_path):
    actual, source = pd.read_csv(batch.review), pd.read_csv(tmp_path / "rows.csv")
    assert (~actual["is_anomaly"]).sum() == 20
    ids = actual["row_id"].to_numpy()
    assert len(set(ids)) == len(ids)
    assert np.allclose(actual[source.columns].to_numpy(), source.to_numpy()[ids])


def test_every_way_to_name_a_row_names_the_same(store, batch, asked, give, tmp_path):
    """By the review, by the number in what was scored, by its own values: one row, one verdict."""
    some = asked.head(8)
    give(some)
    scored = pd.read_csv(tmp_path / "scored.csv").merge(some[["row_id", "verdict", "who", "when"]])
    assert give(scored, rows=str(tmp_path / "rows.csv")).intake.added == 0
    values = pd.read_csv(tmp_path / "rows.csv").iloc[some["row_id"]].reset_index(drop=True)
    values = values.assign(**{c: some[c].to_numpy() for c in ("verdict", "who", "when")})
    assert give(values).intake.added == 0
    assert {v.row_key for v in kept(store[0])} == {v.row_key for v in kept(store[0])[:8]}


def test_lines_without_a_verdict_wait(asked, give, store):
    asked.loc[5:, "verdict"] = ""
    report = give(asked)
    assert (report.intake.added, report.intake.empty) == (5, len(asked) - 5)
    assert len(kept(store[0])) == 5


def test_who_says_nothing_of_themselves_is_named_by_the_command(asked, give, store):
    give(asked.drop(columns=["who", "when"]).head(2), by="zoe")
    assert {v.who for v in kept(store[0])} == {"zoe"}


def changed(asked, column, value, row=3):
    frame = asked.astype({column: object})
    frame.loc[row, column] = value
    return frame


@pytest.mark.parametrize(
    ("column", "value", "message"),
    [
        ("verdict", "fine", "'fine' is not one of anomaly, normal, unsure"),
        ("row_id", 99_999, "'99999' is no row of review"),
        ("row_id", "x", "is not a number"),
        ("review", "r000", "there is no review 'r000'"),
        ("model", "models:/dagmm-pumps/1", "is no version of 'dagmm-wdbc'"),
        ("model", "models:/dagmm-wdbc/77", "there is no 'models:/dagmm-wdbc/77' any more"),
        ("when", "yesterday", "is not a time"),
    ],
)
def test_a_line_that_cannot_be_used_is_named_and_nothing_is_taken(
    asked, give, store, column, value, message
):
    with pytest.raises(UsageError, match=rf"verdicts.csv, line 5, column '{column}': .*{message}"):
        give(changed(asked, column, value))
    assert kept(store[0]) == ()


def test_two_words_of_one_person_on_one_row_need_a_time(asked, give, store):
    both = pd.concat([asked.head(1), asked.head(1).assign(verdict="unsure")])
    with pytest.raises(UsageError, match=r"line 3, column 'verdict'.*line 2; .*`when`"):
        give(both)
    later = both.assign(when=["2026-11-01T08:00", "2026-11-02T08:00"])
    assert give(later).intake.added == 2
    assert give(asked.head(1)).holds["unsure"] == 1


def test_two_people_who_disagree_are_counted_as_disputed(asked, give):
    one = asked[asked["verdict"] == "anomaly"].head(1)
    give(one)
    report = give(one.assign(who="bob", verdict="normal"))
    assert report.holds["disputed"] == 1
    assert report.live.precision is None


def test_rows_that_are_not_those_that_were_scored(asked, give, tmp_path):
    scored = pd.read_csv(tmp_path / "scored.csv").head(3).assign(verdict="normal")
    with pytest.raises(UsageError, match=r"line 2: nothing says which row this is.*--rows INPUT"):
        give(scored)
    other = load_breast_cancer(as_frame=True).data.iloc[::-1]
    other.to_csv(tmp_path / "other.csv", index=False)
    with pytest.raises(UsageError, match=r"line 2, column 'energy': .*another row"):
        give(scored, rows=str(tmp_path / "other.csv"))
    with pytest.raises(UsageError, match=r"column 'row_id': .* has no row 70000"):
        give(changed(scored, "row_id", 70_000, 1), rows=str(tmp_path / "rows.csv"))


def test_values_that_no_model_scores(give, batch, tmp_path):
    rows = pd.read_csv(tmp_path / "rows.csv").head(4).astype(object).assign(verdict="normal")
    rows.loc[2, "mean area"] = "large"
    with pytest.raises(UsageError, match=r"line 4: no row that can be scored: mean area: 'large'"):
        give(rows)


def test_the_command(dagmm, store, batch, asked, tmp_path):
    asked.to_csv(tmp_path / "filled.csv", index=False)
    done = dagmm("verdicts", NAME, "--data", tmp_path / "filled.csv")
    assert done.code == 0, done.err
    assert f"{len(asked):,} added" in done.out
    shown = json.loads(dagmm("verdicts", NAME, "--json").out)
    assert shown["intake"] is None
    assert shown["live"]["judged_alerts"] == batch.anomalies
    assert dagmm("verdicts", NAME, "--rows", "x.csv").code == 2
    absent = dagmm("verdicts", "no-such-model", "--data", tmp_path / "filled.csv")
    assert (absent.code, "Traceback" in absent.err) == (2, False)


def test_where_only_a_server_knows_the_database(store, served, monkeypatch):
    settings = store[0].model_copy(update={"mlflow_tracking_uri": "http://127.0.0.1:1"})
    with pytest.raises(UsageError, match="DAGMM_VERDICTS_URI"):
        give_verdicts(store[1], settings, NAME)


def test_confirmed_normal_rows_have_a_say_in_the_threshold(store, served, batch, asked, give):
    def change(**options):
        return change_threshold(store[1], store[0], NAME, 0.1, by="me", rehearse=True, **options)

    plain = change().threshold
    with pytest.raises(UsageError, match="nobody has judged rows"):
        change(confirmed=True)
    give(asked)
    assert change(confirmed=True).threshold.value >= plain.value
    # Somebody takes every alert back: far more than a tenth of the rows lie above that threshold.
    give(asked.assign(verdict="normal", when="2026-11-02"))
    raised = change(confirmed=True).threshold
    assert raised.value > plain.value
    assert raised.guaranteed_rate < plain.guaranteed_rate
    assert "confirmed normal rows" in raised.method
