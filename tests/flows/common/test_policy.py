"""Policies: the contract's and the configuration's, and which of two asks for less."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flows.common.errors import UsageError
from flows.common.policy import (
    STRICTER_WHEN_HIGHER,
    STRICTER_WHEN_LOWER,
    PromotionPolicy,
    contract_policy,
    loosened,
)

NOT_GATES = {"promote", "keep_promoted", "serving_check", "required_slices"}
policies = st.builds(
    PromotionPolicy,
    min_roc_auc=st.sampled_from([0.0, 0.6, 0.9]),
    margin=st.sampled_from([0.0, 0.05, 1.0]),
    approvals=st.integers(0, 2),
    serving_check=st.booleans(),
    required_slices=st.sets(st.sampled_from("abc")).map(lambda s: tuple(sorted(s))),
)


def test_every_setting_has_a_direction():
    named = {*STRICTER_WHEN_HIGHER, *STRICTER_WHEN_LOWER}
    assert named | NOT_GATES == set(PromotionPolicy.model_fields)


@given(policies)
def test_a_policy_is_not_looser_than_itself(policy):
    assert loosened(policy, policy) == ()


@given(policies, policies)
def test_of_two_different_policies_one_asks_for_less(one, other):
    assert (one == other) == (not loosened(one, other) and not loosened(other, one))


def test_the_configuration_wins_over_the_contract_and_the_contract_over_defaults():
    chosen = PromotionPolicy(margin=0.01)
    actual = contract_policy({"margin": 0.1, "min_roc_auc": 0.9}, chosen, "pumps")
    assert (actual.margin, actual.min_roc_auc, actual.approvals) == (0.01, 0.9, 0)


@pytest.mark.parametrize("stated", [{"min_auc": 0.9}, {"min_roc_auc": 2}, {"margin": "wide"}])
def test_a_contract_with_a_policy_that_is_none_is_refused_by_name(stated):
    key = next(iter(stated))
    with pytest.raises(UsageError, match=rf"contract 'pumps', key promotion\.{key}"):
        contract_policy(stated, PromotionPolicy(), "pumps")
