"""Scoring with hidden columns: every column is predicted from others, by a fixed set of masks.

The columns are cut into four groups, twice (once, where they are many), in an order that follows
from their number alone. Each group is hidden in turn, and reconstructed from what is left: a
column's error is the mean of its squared errors when it was hidden. How well a column can be told
from the others differs, so that errors count relative to their means over the training rows; and a
single column counts no more than the logarithm of its error once this is far from anything seen.

Up to the first tanh a mask only takes something off: the first layer is computed once for all.
"""

import numpy as np
from numpy.typing import NDArray

from dagmm_model.base.arrays import Float
from dagmm_model.kernels import scoring as kernels_scoring
from dagmm_model.kernels import tanh as kernels_tanh
from dagmm_model.networks.compression import LOG_FLOOR, layers_of

GROUPS = 4
"""Groups that the columns are cut into; one of them is hidden at a time."""

ROUNDS = 2
"""Times that each column is hidden, among other ones each time."""

MANY = 64
"""Columns from which on each is hidden once: the mean of so many errors is steady enough."""

ROWS = 16
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
        columns = np.concatenate(hidden)
        ends = np.cumsum([0, *(len(group) for group in hidden)])
        self._members = []
        for s in range(members):
            encoder, decoder = (_layers(parameters, name, s) for name in ("encoder", "decoder"))
            (first, bias), *middle, (last, last_bias) = [*encoder, *decoder]
            widths = np.array([width, *(len(b) for _, b in (*encoder, *decoder))])
            weights = (
                np.concatenate([first, first[columns]]),
                np.concatenate([bias, *(each.ravel() for layer in middle for each in layer)]),
                np.concatenate([last[:, group].ravel() for group in hidden]),
                last_bias[columns],
            )
            self._members.append((columns, ends, widths, len(encoder), *weights))
        self._code = parameters["decoder.0.weight"].shape[2]

    def errors(self, x: Float) -> Float:
        """Squared errors ``(S, n, D)`` of the hidden columns of scaled rows ``(n, D)``."""
        return self.codes_and_errors(x)[1]

    def codes_and_errors(self, x: Float) -> tuple[Float, Float]:
        """Codes ``(S, n, C)`` with all columns visible, and errors ``(S, n, D)`` of hidden ones."""
        x = np.ascontiguousarray(x)
        codes = np.empty((len(self._members), len(x), self._code))
        errors = np.empty((len(self._members), *x.shape))
        for member, code, error in zip(self._members, codes, errors, strict=True):
            kernels_tanh.masked_errors(x, *member, ROWS, code, error)
        return codes, errors


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


def _layers(parameters: dict[str, Float], network: str, member: int) -> list[tuple[Float, Float]]:
    """Weights ``(in, out)`` and bias of each layer of one member."""
    return [
        (np.ascontiguousarray(weight[member].T), bias[member])
        for weight, bias in layers_of(parameters, network)
    ]
