"""What `dagmm models` tells of a registry."""

import pytest

from flows.common.errors import UsageError
from flows.common.settings import Settings
from flows.promotion import audit
from flows.promotion.promote import promote
from flows.promotion.rollback import roll_back
from flows.reporting.terminal import show
from flows.review import screens
from flows.review.listing import list_versions
from flows.review.threshold.change import change_threshold
from flows.tracking.home import reading
from flows.tracking.home.reading import links
from flows.tracking.reader import reader
from tests.flows import promotion_store as made

NAME = made.NAME


def test_versions_stand_with_aliases_and_the_last_decision_on_each(store, served, new, capsys):
    settings, client = store
    waiting = new()
    second = change_threshold(client, settings, NAME, 0.02, by="me")
    roll_back(client, settings, NAME, None, by="boss", reason="too quiet")
    actual = {each.version: each for each in list_versions(client, NAME)}
    assert list(actual) == [3, 2, 1]
    assert (actual[1].aliases, actual[1].decision, actual[1].by) == (
        ("production",),
        "restored",
        "boss",
    )
    assert "too quiet" in actual[1].why
    assert (actual[second.version].decision, actual[second.version].by) == ("withdrawn", "boss")
    assert actual[waiting].decision == ""
    assert "previous" in actual[second.version].aliases
    assert actual[second.version].threshold_of == served
    assert actual[second.version].threshold == second.threshold.value
    assert actual[second.version].figures["recall"] == round(second.now.deployment.recall.value, 4)
    capsys.readouterr()
    show(screens.models(actual.values()))
    text = capsys.readouterr().out
    assert "not decided on yet" in text
    assert "of v1" in text


def test_a_rejection_names_the_gates(store, new, parts):
    settings, client = store
    asked = made.QUICK.model_copy(update={"min_roc_auc": 1.0}).model_dump(mode="json")
    version = new(config=parts.document["config"] | {"promotion": asked})
    promote(client, settings, NAME, version, by="t")
    (actual,) = list_versions(client)
    assert actual.decision == "rejected"
    assert actual.why == "ROC AUC floor failed"


def test_more_versions_than_a_page_of_the_registry(store, monkeypatch):
    from flows.tracking import registry

    client = store[1]
    client.create_registered_model("many")
    for _ in range(5):
        client.create_model_version("many", "file:///nowhere")
    search = client.search_model_versions
    monkeypatch.setattr(
        client,
        "search_model_versions",
        lambda **query: search(max_results=2, **query),
    )
    assert [int(v.version) for v in registry.versions(client, "many")] == [5, 4, 3, 2, 1]


def test_an_empty_registry_and_an_unknown_name(dagmm):
    assert "train one" in dagmm("models").out
    assert dagmm("models", "--json").json == []
    wrong = dagmm("models", "nobody")
    assert wrong.code == 2
    assert "no registered model 'nobody'" in wrong.err


@pytest.mark.usefixtures("two_versions")
def test_the_command(dagmm):
    listed = dagmm("models", NAME, "--json").json
    assert [each["version"] for each in listed] == [2, 1]
    assert listed[0]["aliases"] == ["production"]
    assert 0 < listed[0]["figures"]["roc_auc"] <= 1


def test_a_home_is_read_without_mlflow_as_mlflow_reads_it(store, served, new):
    settings, client = store
    second = change_threshold(client, settings, NAME, 0.02, by="me")
    new()
    roll_back(client, settings, NAME, None, by="boss", reason="too 'quiet'")
    direct = reader(settings)
    assert type(direct) is not type(client)
    assert list_versions(direct) == list_versions(client) != []
    shown = list(links(settings, "http://here"))
    assert f"model {NAME}: http://here/#/models/{NAME}?workflowType=machine_learning" in shown
    number = client.get_experiment_by_name("promotions").experiment_id
    (decided,) = [line for line in shown if line.startswith("runs of promotions")]
    assert decided.startswith(f"runs of promotions: http://here/#/experiments/{number}/runs?")
    decisions = audit.history(direct, NAME)
    assert decisions == audit.history(client, NAME)
    client.set_registered_model_alias(NAME, "production", str(second.version))
    for each in (direct, client):
        assert "moved outside" in audit.moved_outside(each, NAME, decisions)
        with pytest.raises(UsageError, match=f"no registered model 'none'; registered: {NAME}"):
            audit.history(each, "none")
    client.delete_model_version(NAME, "2")
    client.delete_run(decisions[0].run_id)
    assert list_versions(direct) == list_versions(client)
    assert audit.history(direct, NAME) == audit.history(client, NAME) != decisions


def test_tables_of_another_version_of_mlflow_are_left_to_it(store, served, monkeypatch):
    settings, client = store
    monkeypatch.setattr(reading, "SCHEMA", "another")
    read = reader(settings)
    assert type(read) is type(client)
    assert list_versions(read) == list_versions(client) != []


def test_a_home_in_which_nothing_was_trained_has_no_models(tmp_path, monkeypatch):
    monkeypatch.setenv("DAGMM_HOME", str(tmp_path))
    assert list_versions(reader(Settings())) == []
