"""The table of stages says what their functions take and leave."""

import inspect
from typing import get_type_hints

import pytest

from flows.stages.decision import Evidence
from flows.stages.run import EVIDENCE, TrainRun
from flows.stages.table import STAGES


@pytest.mark.parametrize("name", STAGES)
def test_a_stages_function_takes_what_it_reads_and_gives_what_it_leaves(name):
    stage = STAGES[name]
    work = stage.work()
    hints = get_type_hints(work)
    accepted = [hints[parameter] for parameter in inspect.signature(work).parameters]
    remaining = {EVIDENCE: Evidence} | {each.name: each.leaves for each in STAGES.values()}
    assert accepted == [TrainRun, *(remaining[read] for read in stage.reads)]
    assert hints["return"] is stage.leaves


def test_a_stage_reads_only_what_came_before():
    before = []
    for name, stage in STAGES.items():
        assert set(stage.reads) <= {*before, EVIDENCE}
        before.append(name)
