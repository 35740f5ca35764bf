"""The promote flow waits for a person and goes on with the answer given in Prefect."""

import asyncio
import time

import pytest

from flows.promotion import promote as stage
from tests.alongside import alongside
from tests.flows import promotion_store as made
from tests.flows.conftest import production

POLICY = made.QUICK.model_copy(update={"approvals": 1})


@pytest.mark.parametrize("decision", ["approve", pytest.param("reject", marks=pytest.mark.slow)])
def test_the_flow_pauses_until_somebody_answers(store, prefect_server, parts, tmp_path, decision):
    from flows.orchestration.promote_flow import promote

    client = store[1]
    version = made.register(client, parts, tmp_path, requested_by="trainer")
    with alongside(lambda: asyncio.run(answer(f"{made.NAME}-v{version}", decision))) as person:
        record = promote(made.NAME, version, policy=POLICY)
    assert "approvals 0, at least 1" in person.result()
    approved = decision == "approve"
    assert record.decision == ("promoted" if approved else "rejected")
    assert production(client) == (version if approved else None)
    tags = client.get_model_version(made.NAME, str(version)).tags
    assert tags["dagmm.approval"] == ("approved" if approved else "rejected")


def test_a_rejection_on_the_form_is_the_versions(store, parts, tmp_path):
    from flows.orchestration.promote_flow import Approval, write_approval

    settings, client = store
    version = made.register(client, parts, tmp_path, requested_by="trainer")
    form = Approval(decision="reject", by="ann", reason="looked at it")
    write_approval.fn(made.NAME, version, form)
    record = stage.promote(client, settings, made.NAME, version, by="ann", policy=POLICY)
    assert record.decision == "rejected"


async def answer(run_name: str, decision: str) -> str:
    """What a person does on the page of the paused run, at last; returns what the page said."""
    from prefect.client.orchestration import get_client
    from prefect.client.schemas.filters import (
        FlowRunFilter,
        FlowRunFilterName,
        FlowRunFilterState,
        FlowRunFilterStateName,
    )
    from prefect.exceptions import PrefectHTTPStatusError

    waiting = FlowRunFilter(
        name=FlowRunFilterName(any_=[run_name]),
        state=FlowRunFilterState(name=FlowRunFilterStateName(any_=["Paused"])),
    )
    deadline = time.monotonic() + 600
    async with get_client() as prefect:
        while not (runs := await prefect.read_flow_runs(flow_run_filter=waiting)):
            assert time.monotonic() < deadline
            await asyncio.sleep(0.3)
        keys = runs[0].state.state_details.run_input_keyset
        while True:  # the page's text is stored a moment after the state
            try:
                message = await prefect.read_flow_run_input(runs[0].id, keys["description"])
                break
            except PrefectHTTPStatusError as error:
                if error.response.status_code != 404:
                    raise
                assert time.monotonic() < deadline
                await asyncio.sleep(0.3)
        form = {"decision": decision, "by": "ann", "reason": "looked at it"}
        for incomplete in ({}, form | {"by": " "}, form | {"reason": ""}, form | {"decision": ""}):
            refused = await prefect.resume_flow_run(runs[0].id, run_input=incomplete)
            assert refused.status.value == "REJECT", incomplete
        await prefect.resume_flow_run(runs[0].id, run_input=form)
        return message
