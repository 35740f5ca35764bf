"""What the pages of a model say of its versions after each switch."""

from flows.promotion import card, rollback
from flows.tracking import registry
from tests.flows import promotion_store as made

NAME = made.NAME


def _page(client, version: int) -> str:
    return registry.find_version(client, NAME, version).description or ""


def test_pages_say_what_is_in_production_and_a_rollback_keeps_the_gates(store, new, promote):
    settings, client = store
    first, second = new(), new()
    for version in (first, second):
        client.update_model_version(NAME, str(version), "ROC AUC 0.9 · dagmm on a table\n\nDetails")
    promote(first)
    alone = _page(client, first)
    assert alone.startswith("ROC AUC 0.9 · dagmm on a table\n\n> **In production** since 20")
    promote(second)
    assert "> **Replaced** by v2 on 20" in _page(client, first)
    assert "In production" not in _page(client, first)
    rollback.roll_back(client, settings, NAME, None, by="ann", reason="too many\nalerts")
    restored, withdrawn = _page(client, first), _page(client, second)
    assert "restored from v2 by ann: too many alerts" in restored
    assert "> **Withdrawn** on 20" in withdrawn
    assert "by ann: too many alerts (v1 restored)" in withdrawn
    for text in (restored, withdrawn):
        assert text.count(card.STANDING) == 1
        assert "| evidence | passed |" in text
        assert "\n\nDetails\n" in text
    tags = [registry.find_version(client, NAME, v).tags[card.DECISION_TAG] for v in (first, second)]
    assert tags == ["restored", "withdrawn"]
    model = client.get_registered_model(NAME).description
    assert model.startswith("**Production: v1** since 20")
    assert "restored from v2 by ann" in model
    assert "\nROC AUC 0.9 · dagmm on a table\n" in model
    assert model.count(card.MODEL) == 1
    assert "`dagmm rollback dagmm-wdbc`" in model
    runs = client.search_runs([client.get_experiment_by_name("promotions").experiment_id])
    names = {run.info.run_name for run in runs}
    assert {f"{NAME} production none → v1", f"{NAME} production v2 → v1 (rollback)"} <= names


def test_a_rejected_version_shows_its_gates_and_leaves_the_pages_of_others(store, new, promote):
    client = store[1]
    first, second = new(), new()
    promote(first)
    before = _page(client, first), client.get_registered_model(NAME).description
    policy = made.QUICK.model_copy(update={"min_roc_auc": 1.0})
    promote(second, policy=policy)
    judged = _page(client, second)
    failed = judged.index("| ROC AUC floor | **FAILED** |")
    assert failed < judged.index("| evidence | passed |")
    assert (_page(client, first), client.get_registered_model(NAME).description) == before
