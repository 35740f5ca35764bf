"""Scoring with hidden columns: every column is predicted from others, by a fixed set of masks.

The columns are cut into four groups, twice (once, where they are many), in an order that follows
from their number alone. Each group is hidden in turn, and reconstructed from what is left: a
column's error is the mean of its squared errors when it was hidden. How well a column can be told
from the others differs, so that errors count relative to their means over the training rows; and a
single column counts no more than the logarithm of its error once this is far from anything seen.

Up to the first tanh a mask only takes something off: the first layer is computed once for all.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from dagmm_model.kernels import arithmetic as kernels
from dagmm_model.kernels import scoring as kernels_scoring
from dagmm_model.networks.compression import LOG_FLOOR
from dagmm_model.scoring.workspace import Workspace

Float = NDArray[np.float64]

GROUPS = 4
"""Groups that the columns are cut into; one of them is hidden at a time."""

ROUNDS = 2
"""Times that each column is hidden, among other ones each time."""

MANY = 64
"""Columns from which on each is hidden once: the mean of so many errors is steady enough."""

ROWS = 128
"""Rows computed at a time: a layer's activations, of each with each group hidden, stay in the
processor's cache."""

TYPICAL_FLOOR = 1e-3
"""Added to a column's mean squared error: one that never varied says little by varying a bit."""

TAIL = 100.0
"""Relative squared error up to about which a column's part grows in proportion."""


def rounds(width: int) -> int:
    """How many times each of D columns is hidden."""
    return ROUNDS if width < MANY else 1


def groups(width: int) -> list[NDArray[np.intp]]:
    """The columns that are hidden together, partitions of all D columns after one another."""
    generator = np.random.default_rng(width)
    orders = [generator.permutation(width) for _ in range(rounds(width))]
    count = min(GROUPS, width)
    return [np.sort(order[start::count]) for order in orders for start in range(count)]


class MaskedNetwork:
    """Codes and errors of hidden columns of all members; safe to use from several threads.

    Args:
        parameters: of the S members, float64, each ``(S, ...)``.
    """

    def __init__(self, parameters: dict[str, Float]) -> None:
        members, _, width = parameters["encoder.0.weight"].shape
        hidden = groups(width)
        self._columns = np.concatenate(hidden)
        ends = np.cumsum([len(part) for part in hidden])
        self._groups = [slice(b - len(p), b) for b, p in zip(ends.tolist(), hidden, strict=True)]
        self._members = [_Member(parameters, s, hidden) for s in range(members)]

    def errors(self, x: Float) -> Float:
        """Squared errors ``(S, n, D)`` of the hidden columns of scaled rows ``(n, D)``."""
        return self.codes_and_errors(x)[1]

    def codes_and_errors(self, x: Float, work: Workspace | None = None) -> tuple[Float, Float]:
        """Codes ``(S, n, C)`` with all columns visible, and errors ``(S, n, D)`` of hidden ones.

        Args:
            x: ``(n, D)`` scaled rows.
            work: where intermediate arrays are.
        """
        work = Workspace() if work is None else work
        codes = np.empty((len(self._members), len(x), self._members[0].code))
        errors = np.empty((len(self._members), *x.shape))
        for start in range(0, len(x), ROWS):
            part = slice(start, start + ROWS)
            some = x[part]
            columns = work("columns", len(some), len(self._columns))
            np.take(some, self._columns, axis=1, out=columns, mode="clip")
            for member, code, error in zip(self._members, codes, errors, strict=True):
                code[part] = self._missed(member, some, columns, error[part], work)
        return codes, errors

    def _missed(
        self, member: _Member, x: Float, columns: Float, error: Float, work: Workspace
    ) -> Float:
        """Codes ``(n, C)`` with all columns visible; errors ``(n, D)`` are written.

        All groups go through a layer at once, and the rows as they are after them.
        """
        n, copies = len(x), len(self._groups) + 1
        first, *encoder = member.encoder
        hidden = work("first", copies, n, first.shape[1])
        whole = np.matmul(x, first, out=work("whole", n, first.shape[1]))
        hidden[-1] = 0.0
        for out, part, weight in zip(hidden, self._groups, member.first_of, strict=False):
            np.matmul(columns[:, part], weight, out=out)
        np.subtract(whole, hidden, out=hidden)
        hidden = hidden.reshape(copies * n, -1)
        for i, (bias, weight) in enumerate(zip(member.encoder_biases, encoder, strict=True)):
            kernels.tanh_biased(hidden[None], bias[None])
            out = work(f"encoder {i}", len(hidden), weight.shape[1])
            hidden = np.matmul(hidden, weight, out=out)
        hidden += member.code_bias
        code, hidden = hidden[-n:], hidden[:-n]
        *decoder, _ = member.decoder
        for i, (bias, weight) in enumerate(zip(member.decoder_biases, decoder, strict=True)):
            out = work(f"decoder {i}", len(hidden), weight.shape[1])
            hidden = np.matmul(hidden, weight, out=out)
            kernels.tanh_biased(hidden[None], bias[None])
        hidden = hidden.reshape(copies - 1, n, -1)
        guessed = work("guessed", *columns.shape)
        for given, part, weight in zip(hidden, self._groups, member.last_of, strict=True):
            np.matmul(given, weight, out=guessed[:, part])
        kernels_scoring.mean_squares(guessed, member.last_bias, columns, self._columns, error)
        return code


def relative_errors(errors: Float, typical: Float) -> Float:
    """What each column contributes to a row's error, ``(S, n, D)``.

    Args:
        errors: ``(S, n, D)`` squared errors of hidden columns.
        typical: ``(S, D)`` their means over the training rows.
    """
    relative = errors / (TAIL * (typical + TYPICAL_FLOOR))[:, None]
    np.log1p(relative, out=relative)
    relative *= TAIL
    return relative


def log_error(errors: Float, typical: Float) -> Float:
    """Logarithm of the sum of `relative_errors`, ``(S, n)``: the feature z_r of masked rows."""
    out = np.empty(errors.shape[:2])
    inverse = 1.0 / (TAIL * (typical + TYPICAL_FLOOR))
    kernels_scoring.relative_log(errors, inverse, TAIL, LOG_FLOOR * errors.shape[2], out)
    return out


class _Member:
    """The layers of one member, weights ``(in, out)``, by group where columns are hidden."""

    def __init__(
        self, parameters: dict[str, Float], member: int, hidden: list[NDArray[np.intp]]
    ) -> None:
        self.encoder, (*self.encoder_biases, self.code_bias) = _of(parameters, "encoder", member)
        self.decoder, (*self.decoder_biases, last_bias) = _of(parameters, "decoder", member)
        self.code = len(self.code_bias)
        first, last = self.encoder[0], self.decoder[-1]
        self.first_of = [np.ascontiguousarray(first[part]) for part in hidden]
        self.last_of = [np.ascontiguousarray(last[:, part]) for part in hidden]
        self.last_bias = last_bias[np.concatenate(hidden)]


def _of(parameters: dict[str, Float], network: str, member: int) -> tuple[list[Float], list[Float]]:
    """Weights and biases of each layer."""
    weights: list[Float] = []
    biases: list[Float] = []
    while f"{network}.{len(weights)}.weight" in parameters:
        layer = f"{network}.{len(weights)}"
        weights.append(np.ascontiguousarray(parameters[f"{layer}.weight"][member].T))
        biases.append(np.ascontiguousarray(parameters[f"{layer}.bias"][member]))
    return weights, biases
