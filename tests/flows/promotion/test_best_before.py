"""Versions that are each a little worse than the last do not go down step by step."""

from dataclasses import replace

import numpy as np
import pytest

from flows.common.policy import PromotionPolicy
from flows.promotion import rollback
from flows.promotion.best_before import with_best_before
from flows.promotion.gates import comparisons
from flows.promotion.gates.case import read_case
from flows.promotion.version.stored_version import fetch_version
from tests.flows import promotion_store as made
from tests.flows.promotion.conftest import gate

NAME = made.NAME
TITLE = "not worse than the best before"


def blurred(energies: np.ndarray, noise: float) -> np.ndarray:
    ranks = np.argsort(np.argsort(energies)) / len(energies)
    return ranks + noise * np.random.default_rng(0).normal(size=len(energies))


def test_a_small_step_down_from_production_is_a_large_one_from_the_best(
    store, new, promote, tmp_path
):
    client = store[1]
    best, current, candidate = new(), new(), new()
    promote(best), promote(current)
    version = client.get_model_version(NAME, str(candidate))
    case = read_case(fetch_version(client, version, tmp_path), PromotionPolicy(margin=0.1))
    case = replace(
        case,
        candidate=blurred(case.candidate, 0.35),
        production=blurred(case.candidate, 0.33),
    )
    case = with_best_before(client, version, case, current)
    assert case.best_version == best
    (against_production,) = comparisons.not_worse_than_production(case)
    assert against_production.passed
    against_best = comparisons.not_worse_than_the_best(case)
    assert not against_best.passed
    assert f"against version {best}" in against_best.note


def test_it_is_told_with_every_promotion(new, promote):
    first, second, third = new(), new(), new()
    assert not gate(promote(first), TITLE).measured
    assert not gate(promote(second), TITLE).measured  # the first is in production: no other one
    record = promote(third)
    assert gate(record, TITLE).value == pytest.approx(0)
    assert record.best_before == first


@pytest.mark.parametrize(
    "how",
    [
        "another contract",
        *(pytest.param(h, marks=pytest.mark.slow) for h in ("rolled back", "deleted")),
    ],
)
def test_what_cannot_be_compared_is_no_standard(store, new, promote, how):
    settings, client = store
    other = {"contract_sha256": "0" * 64} if how == "another contract" else {}
    first, second, third = new(**other), new(), new()
    promote(first), promote(second)
    if how == "deleted":
        client.delete_model_version(NAME, str(first))
    elif how == "rolled back":  # second was taken out; first is in production
        rollback.roll_back(client, settings, NAME, None, by="ann", keep_held=False)
    assert not gate(promote(third, rehearse=True), TITLE).measured


@pytest.mark.slow
def test_the_best_is_kept_however_old_it_is(store, new, promote):
    policy = made.QUICK.model_copy(update={"keep_promoted": 2})
    versions = [new() for _ in range(4)]
    for version in versions:
        promote(version, policy=policy)
    tags = [store[1].get_model_version(NAME, str(v)).tags["dagmm.retention"] for v in versions]
    assert tags == ["kept for comparison", "may be deleted", *["kept for rollback"] * 2]
