"""CUDA's graphs on a CPU: a step's operations on tensors are taped, and a replay runs the tape.

As a graph does, a replay knows memory only: values that Python computed at the capture stay what
they were, and a tensor that Python has put in another's place is not seen. And as under a capture,
an operation that hands a value to the host is an error.
"""

import contextlib
from unittest import mock

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map

WAITS = ("_local_scalar_dense", "nonzero", "masked_select", "unique_consecutive", "_unique2")
"""Operations whose result, or its size, is known to the host once the device has worked."""


def memory(tree):
    """Addresses of the storages of all tensors in it."""
    leaves = (leaf for leaf in tree_leaves(tree) if isinstance(leaf, torch.Tensor))
    return {leaf.untyped_storage()._cdata for leaf in leaves}


def detached(tree):
    return tree_map(lambda leaf: leaf.detach() if isinstance(leaf, torch.Tensor) else leaf, tree)


class Tape(TorchDispatchMode):
    """Runs operations and notes each with its arguments and results."""

    def __init__(self):
        super().__init__()
        self.operations = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        name = func.overloadpacket.__name__
        if name in WAITS:
            raise RuntimeError(f"{name}: operation not permitted when stream is capturing")
        given = (args, kwargs or {})
        result = func(*args, **given[1])
        written = memory(result) - memory(given)  # a view has nothing of its own
        if written or func._schema.is_mutable:
            with torch.utils._python_dispatch._disable_current_modes():
                self.operations.append((func, *detached(given), detached(result), written))
        return result


class Graph:
    """Stands for `torch.cuda.CUDAGraph`."""

    def __init__(self):
        self.tape = Tape()

    @torch.no_grad()
    def replay(self):
        for func, args, kwargs, results, written in self.tape.operations:
            again = func(*args, **kwargs)
            for old, new in zip(tree_leaves(results), tree_leaves(again), strict=True):
                if isinstance(old, torch.Tensor) and memory(old) & written:
                    old.copy_(new)


@contextlib.contextmanager
def capture(graph, stream=None):
    """Stands for `torch.cuda.graph`."""
    with graph.tape:
        yield


@contextlib.contextmanager
def emulated_graphs():
    """Within, ``graph=True`` works on a CPU."""
    stream = mock.Mock()
    with mock.patch.multiple(
        torch.cuda,
        CUDAGraph=Graph,
        graph=capture,
        Stream=lambda device=None: stream,
        current_stream=lambda device=None: stream,
        stream=lambda stream: contextlib.nullcontext(),
    ):
        yield
