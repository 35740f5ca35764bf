"""Scoring with hidden columns: every column is predicted from others, by a fixed set of masks.

The columns are cut into four groups, twice (once, where they are many), in an order that follows
from their number alone. Each group is hidden in turn, and reconstructed from what is left: a
column's error is the mean of its squared errors when it was hidden. How well a column can be told
from the others differs, so that errors count relative to their means over the training rows; and a
single column counts no more than the logarithm of its error once this is far from anything seen.

Up to the first tanh a mask only takes something off: the first layer is computed once for all.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from dagmm_model.kernels import arithmetic as kernels
from dagmm_model.kernels import scoring as kernels_scoring
from dagmm_model.networks.compression import LOG_FLOOR

Float = NDArray[np.float64]

GROUPS = 4
"""Groups that the columns are cut into; one of them is hidden at a time."""

ROUNDS = 2
"""Times that each column is hidden, among other ones each time."""

MANY = 64
"""Columns from which on each is hidden once: the mean of so many errors is steady enough."""

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
    """Codes and errors of hidden columns of all members.

    Args:
        parameters: of the S members, float64, each ``(S, ...)``.
    """

    def __init__(self, parameters: dict[str, Float]) -> None:
        self._members, _, width = parameters["encoder.0.weight"].shape
        self._hidden = hidden = groups(width)
        members = range(self._members)
        self._encoder = [_Layers(parameters, "encoder", s, hidden) for s in members]
        self._decoder = [_Layers(parameters, "decoder", s, hidden) for s in members]

    def errors(self, x: Float) -> Float:
        """Squared errors ``(S, n, D)`` of the hidden columns of scaled rows ``(n, D)``."""
        return self.codes_and_errors(x)[1]

    def codes_and_errors(self, x: Float) -> tuple[Float, Float]:
        """Codes ``(S, n, C)`` with all columns visible, and errors ``(S, n, D)`` of hidden ones.

        Args:
            x: ``(n, D)`` scaled rows.
        """
        codes, errors = [], np.zeros((self._members, *x.shape))
        for encoder, decoder, error in zip(self._encoder, self._decoder, errors, strict=True):
            whole = x @ encoder.weights[0]
            for g, hidden in enumerate(self._hidden):
                columns = x[:, hidden]
                code = encoder.after_first(whole - columns @ encoder.first_of[g])
                missed = decoder.up_to_last(code) @ decoder.last_of[g]
                missed += decoder.last_bias_of[g]
                missed -= columns
                missed *= missed
                error[:, hidden] += missed
            codes.append(encoder.after_first(whole))  # which overwrites it
        errors *= 1.0 / rounds(x.shape[1])
        return np.stack(codes), errors


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


class _Layers:
    """The layers of one member's encoder or decoder, weights ``(in, out)``."""

    def __init__(
        self,
        parameters: dict[str, Float],
        network: str,
        member: int,
        hidden: list[NDArray[np.intp]],
    ) -> None:
        self.weights, self._biases = [], []
        for weight, bias in _of(parameters, network):
            self.weights.append(np.ascontiguousarray(weight[member].T))
            self._biases.append(np.ascontiguousarray(bias[member]))
        if network == "encoder":
            self.first_of = [np.ascontiguousarray(self.weights[0][part]) for part in hidden]
        else:
            self.last_of = [np.ascontiguousarray(self.weights[-1][:, part]) for part in hidden]
            self.last_bias_of = [self._biases[-1][part] for part in hidden]

    def after_first(self, x: Float) -> Float:
        """The last layer's output, of the first one's before its bias; x is overwritten."""
        for bias, weight in zip(self._biases[:-1], self.weights[1:], strict=True):
            kernels.tanh_biased(x[None], bias[None])
            x = x @ weight
        x += self._biases[-1]
        return x

    def up_to_last(self, x: Float) -> Float:
        """What the last layer is given."""
        for bias, weight in zip(self._biases[:-1], self.weights[:-1], strict=True):
            x = x @ weight
            kernels.tanh_biased(x[None], bias[None])
        return x


def _of(parameters: dict[str, Float], network: str) -> Iterator[tuple[Float, Float]]:
    i = 0
    while f"{network}.{i}.weight" in parameters:
        yield parameters[f"{network}.{i}.weight"], parameters[f"{network}.{i}.bias"]
        i += 1
