"""Processes that wait for work as ranks of one group: a test pays for no interpreter's start."""

from __future__ import annotations

import os
import socket
import traceback
from collections.abc import Callable
from typing import Any

from dagmm_model.base.distributed import launched_ranks
from tests.forkserver import processes

TIMEOUT = 300.0


class Team:
    """``size`` processes; `run` calls a function of a test module in each, with its `Ranks`."""

    def __init__(self, size: int, timeout: float = TIMEOUT) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        self._ends = []
        self.processes = []
        for rank in range(size):
            here, there = processes.Pipe()
            process = processes.Process(target=_serve, args=(there, rank, size, port, timeout))
            process.start()
            self._ends.append(here)
            self.processes.append(process)

    def run(self, work: Callable[..., Any], *arguments: Any) -> list[Any]:
        """What the function returned on each rank."""
        self.start(work, *arguments)
        return [self.answer(rank) for rank in range(len(self._ends))]

    def start(self, work: Callable[..., Any], *arguments: Any) -> None:
        """Have every rank call the function."""
        for end in self._ends:
            end.send((work, arguments))

    def answer(self, rank: int) -> Any:
        """What the function returned on that rank."""
        assert self._ends[rank].poll(TIMEOUT), f"rank {rank} does not answer"
        failed, answer = self._ends[rank].recv()
        assert not failed, answer
        return answer

    def stop(self) -> None:
        """End all."""
        for end, process in zip(self._ends, self.processes, strict=True):
            if process.is_alive():
                end.send(None)
        for process in self.processes:
            process.join(10)
            process.kill()


def _serve(end: Any, rank: int, size: int, port: int, timeout: float) -> None:
    os.environ |= {
        "RANK": str(rank),
        "LOCAL_RANK": str(rank),
        "WORLD_SIZE": str(size),
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(port),
    }
    import torch

    torch.set_num_threads(1)
    with launched_ranks(timeout) as ranks:
        while (task := end.recv()) is not None:
            work, arguments = task
            try:
                end.send((False, work(ranks, *arguments)))
            except Exception:
                end.send((True, traceback.format_exc()))
