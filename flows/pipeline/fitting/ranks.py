"""Ranks of `dagmm train` under a launcher: the first runs the flow, the others help it to fit.

Only the first rank reads sources, orchestrates, tracks and registers. The others wait for the word
that there is something to fit, fit their part, and leave with the first one. Whichever dies takes
all with it: the launcher ends the rest, and so does the next sum over the ranks.
"""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np

from dagmm_model.base import distributed
from dagmm_model.base.distributed import ALONE, Ranks
from flows.common.config import TrainConfig, is_dagmm
from flows.common.errors import UsageError
from flows.common.settings import Settings

FIT, END = "fit", "end"

_ours = ALONE
"""One group for each process, as in torch.distributed."""


def ours() -> Ranks:
    """The ranks that this process has joined."""
    return _ours


@contextmanager
def joined(config: TrainConfig, settings: Settings) -> Iterator[Ranks]:
    """Join the ranks that the launcher has started; alone where there is no launcher.

    Raises:
        UsageError: The detector is trained by one process only.
        RanksLost: Not all ranks came.
    """
    global _ours
    if distributed.world_size() > 1 and not is_dagmm(config.detector.name):
        raise UsageError(
            f"detector {config.detector.name!r} is trained by one process; start it without "
            "torchrun, or train 'dagmm'"
        )
    with distributed.launched_ranks(settings.rank_timeout_seconds) as _ours:
        try:
            yield _ours
            _ours.tell(END, "")
            _ours.sum(np.zeros(1))  # nobody leaves before all have heard it
        finally:
            _ours = ALONE


def follow(ranks: Ranks, fit: Callable[[str, Ranks], None]) -> None:
    """What every rank but the first does: wait for the fit, help with it, wait for the end.

    Args:
        ranks: That train together.
        fit: Does this rank's part of the work that the first one describes.
    """
    os.environ["DAGMM_PROGRESS"] = "off"
    key, text = ranks.listen(FIT, END)
    if key == FIT:
        fit(text, ranks)
        ranks.listen(END)
