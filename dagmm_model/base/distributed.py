"""Processes that train one model together: who takes part, and sums over all of them.

Any launcher will do that sets RANK, WORLD_SIZE, LOCAL_RANK, MASTER_ADDR and MASTER_PORT: torchrun,
Spark's TorchDistributor, Kubernetes. The processes talk through torch.distributed, by Gloo for what
lies on the CPU and by NCCL for what lies on a GPU. torch is imported only where there are several.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, fields
from datetime import timedelta
from functools import reduce
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

import numpy as np

from dagmm_model.base.arrays import Float
from dagmm_model.base.settings import SettingsError

if TYPE_CHECKING:
    from torch import Tensor

Mergeable = TypeVar("Mergeable", bound=Any)

VARIABLES = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT")

NCCL = {"TORCH_NCCL_ASYNC_ERROR_HANDLING": "2", "TORCH_NCCL_ENABLE_MONITORING": "0"}
"""What NCCL does where a rank is gone: end its messages, but not, as it would, the process, so that
`RanksLost` can be raised and the command can say what goes on from where."""

LISTEN_SECONDS = 0.2
"""Between two looks for a message."""

PEER_TROUBLE = ("gloo", "nccl", "connection", "timed out", "timeout", "socket", "broken pipe")
"""Words of the plain RuntimeErrors that the backends raise when a peer is gone."""


class RanksLost(ConnectionError):
    """Another process of the training has died, or no longer answers."""


class Part(NamedTuple):
    """Where the rows given to a step lie in the batch of all ranks.

    Attributes:
        start: rows of the ranks before.
        batch: rows of all ranks together.
        each: rows of each member where they differ; what fills up its batch weighs nothing.
    """

    start: int
    batch: int
    each: tuple[int, ...] | None = None


@dataclass(frozen=True)
class Ranks:
    """The processes that train together, as one of them sees it. Alone, every sum is its own.

    Attributes:
        rank: number of this process, from 0.
        size: how many there are.
        local_rank: number of this process on its machine, which is the number of its GPU.
        store: where messages to all ranks are kept; None for a process that is alone.
    """

    rank: int = 0
    size: int = 1
    local_rank: int = 0
    store: Any = None

    @property
    def first(self) -> bool:
        """Whether this is the rank that writes, logs and registers."""
        return self.rank == 0

    @property
    def alone(self) -> bool:
        """Whether there is no other."""
        return self.size == 1

    def part(self, n: int) -> slice:
        """This rank's share of n consecutive rows; shares differ by one row at most."""
        return slice(n * self.rank // self.size, n * (self.rank + 1) // self.size)

    def place(self, device: str) -> str:
        """This rank's device, all ranks having told theirs: cpu for all, or a GPU of its own each.

        A device of cuda is the GPU of this rank's number on its machine; others are taken as they
        are.

        Raises:
            SettingsError: some have none, or two the same; on every rank, before they begin.
        """
        if self.alone:
            return device
        identity = "cpu"
        if device != "cpu":
            import torch

            if device == "cuda":
                device = f"cuda:{self.local_rank % torch.cuda.device_count()}"
            identity = f"GPU {torch.cuda.get_device_properties(device).uuid}"
        told = np.frombuffer(identity.ljust(64).encode()[:64], np.uint8).astype(np.float64)
        everyone = [
            bytes(row[0].astype(np.uint8)).decode().strip() for row in self.gather(told[None])
        ]
        for rank, theirs in enumerate(everyone):
            shared = everyone.index(theirs)
            if theirs != "cpu" and shared != rank:
                problem = f"ranks {shared} and {rank} have {theirs} together"
            elif (theirs == "cpu") != (everyone[0] == "cpu"):
                problem = f"rank 0 has {everyone[0]}, rank {rank} has {theirs}"
            else:
                continue
            raise SettingsError(
                f"{problem}; start as many ranks on a machine as it has GPUs, or set device='cpu'"
            )
        return device

    def sum(self, values: Float) -> Float:
        """Sum over all ranks, the same bits on each; ``values`` is overwritten."""
        if self.alone:
            return values
        import torch
        import torch.distributed as dist

        with watched():
            dist.all_reduce(torch.from_numpy(values))
        return values

    def total(self, *parts: Tensor) -> tuple[Tensor, ...]:
        """Sums of tensors of one type over all ranks, with gradients, in one message.

        The loss of every rank depends on the sum, so its derivative is summed over the ranks, too.
        Plain ``dist.all_reduce`` has no backward pass and would leave out what the other ranks'
        losses owe to this rank's rows.
        """
        if self.alone:
            return parts
        import torch
        from torch.distributed import _functional_collectives as collectives
        from torch.distributed import group

        world = group.WORLD
        assert world is not None
        flat = collectives.all_reduce(torch.cat([p.reshape(-1) for p in parts]), "sum", world)
        pieces = flat.split([p.numel() for p in parts])
        return tuple(piece.view(p.shape) for piece, p in zip(pieces, parts, strict=True))

    def gather(self, rows: Float) -> list[Float]:
        """Arrays ``(n, ...)`` of all ranks, in their order; n may differ from rank to rank."""
        if self.alone:
            return [rows]
        import torch
        import torch.distributed as dist

        sizes = np.zeros(self.size)
        sizes[self.rank] = len(rows)
        counts = self.sum(sizes).astype(int)
        padded = torch.zeros((counts.max(), *rows.shape[1:]), dtype=torch.float64)
        padded[: len(rows)] = torch.from_numpy(rows)
        parts = [torch.empty_like(padded) for _ in range(self.size)]
        with watched():
            dist.all_gather(parts, padded)
        return [part.numpy()[:n] for part, n in zip(parts, counts, strict=True)]

    def merge(self, part: Mergeable) -> Mergeable:
        """A mergeable dataclass of arrays, such as moments, over all ranks in their order."""
        columns = (self.gather(getattr(part, field.name)) for field in fields(part))
        parts = (type(part)(*arrays) for arrays in zip(*columns, strict=True))
        merged: Mergeable = reduce(lambda one, other: one.merge(other), parts)
        return merged

    def from_first(self, data: bytes | None) -> bytes | None:
        """The first rank's bytes, on every rank; None where it has none."""
        if self.alone:
            return data
        import torch
        import torch.distributed as dist

        known = -1.0 if data is None else float(len(data))
        length = int(self.sum(np.array([known if self.first else 0.0]))[0])
        if length < 0:
            return None
        buffer = np.zeros(length, np.uint8)
        if self.first and data is not None:
            buffer[:] = np.frombuffer(data, np.uint8)
        with watched():
            dist.broadcast(torch.from_numpy(buffer), 0)
        return buffer.tobytes()

    def tell(self, key: str, text: str) -> None:
        """Leave a message that the other ranks `listen` for."""
        if not self.alone:
            with watched():
                self.store.set(key, text)

    def listen(self, *keys: str) -> tuple[str, str]:
        """Wait, however long it takes, for the first of these messages: its key and its text.

        Raises:
            RanksLost: the store of the messages is gone, and the first rank with it.
        """
        while True:
            for key in keys:
                with watched():
                    if self.store.check([key]):
                        return key, self.store.get(key).decode()
            time.sleep(LISTEN_SECONDS)


ALONE = Ranks()


@contextmanager
def watched() -> Iterator[None]:
    """Turn what a backend raises when a peer is gone into `RanksLost`."""
    try:
        yield
    except RuntimeError as error:  # Gloo's errors have no class of their own
        message = str(error)
        if not any(word in message.lower() for word in PEER_TROUBLE):
            raise
        raise RanksLost(
            "another rank of the training has died or no longer answers; the same command, with "
            "any number of ranks, resumes from the last checkpoint "
            f"({message.splitlines()[0][:200]})"
        ) from error


def world_size() -> int:
    """Number of processes that the launcher has started; 1 without one.

    Raises:
        SettingsError: the launcher's variables are incomplete, or not numbers.
    """
    given = os.environ.get("WORLD_SIZE") or "1"
    if not given.isdecimal():
        raise SettingsError(f"WORLD_SIZE is {given!r}, not a number of processes; unset it")
    size = int(given)
    missing = [name for name in VARIABLES if not os.environ.get(name)]
    if size > 1 and missing:
        raise SettingsError(
            f"WORLD_SIZE is {size}, but {', '.join(missing)} is not set; start the ranks with "
            "torchrun, or set all of " + ", ".join(VARIABLES)
        )
    return size


@contextmanager
def launched_ranks(timeout_seconds: float) -> Iterator[Ranks]:
    """The ranks that the launcher has started; waits until all are there.

    Args:
        timeout_seconds: how long a rank waits for the others, here and in every step, before it
            takes them for dead.

    Raises:
        RanksLost: not all came, or one died.
    """
    if world_size() == 1:
        yield ALONE
        return
    import torch
    import torch.distributed as dist
    from torch.distributed.distributed_c10d import PrefixStore
    from torch.distributed.rendezvous import rendezvous

    local = int(os.environ["LOCAL_RANK"])
    timeout = timedelta(seconds=timeout_seconds)
    backend = "gloo"
    if torch.cuda.is_available() and dist.is_nccl_available():
        backend = "cpu:gloo,cuda:nccl"
        torch.cuda.set_device(local % torch.cuda.device_count())
        for name, value in NCCL.items():
            os.environ.setdefault(name, value)
    with watched():
        store, rank, size = next(rendezvous("env://", timeout=timeout))
        store = PrefixStore("dagmm", store)
        dist.init_process_group(backend, store=store, rank=rank, world_size=size, timeout=timeout)
    try:
        yield Ranks(rank, size, local, PrefixStore("messages", store))
    finally:
        dist.destroy_process_group()
