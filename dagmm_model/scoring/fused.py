"""Scoring in as few passes as the algebra allows: what `inference.Scorer` computes, faster.

Everything up to the first tanh is linear in the scaled row: the whitening rotation, the first layer
of every member's encoder, the linear path, and the row's coordinates in the space that a member's
decoder reaches. The reconstruction is never written out: with the decoder's last layer as
x_hat = A u (u: hidden units, code, 1) and A = Q R,

    |x - x_hat|^2 = |R u - Q'x|^2 + (|x|^2 - |Q'x|^2),   x . x_hat = Q'x . R u,   |x_hat| = |R u|

The bracket is what no code could reconstruct; it is off by about 1e-15 of |x|^2.
"""

import numpy as np
from numpy.typing import NDArray

from dagmm_model.base.arrays import Float
from dagmm_model.kernels import arithmetic as kernels
from dagmm_model.kernels import scoring as kernels_scoring
from dagmm_model.kernels import tanh as kernels_tanh
from dagmm_model.mixture.mixture import Mixture
from dagmm_model.networks.compression import FEATURES, LOG_FLOOR, SQUARE_FLOOR, layers_of
from dagmm_model.scoring.explanation import ExplainedEnergies, Explanation, in_blocks
from dagmm_model.scoring.fused_linear import LevelTables, LinearPart
from dagmm_model.scoring.inference import Scorer
from dagmm_model.scoring.workspace import Workspace, Workspaces
from dagmm_model.tables.encoded import Encoded, Layout, width_of
from dagmm_model.tables.scaling import Scaler

FUSED_ROWS = 1024
"""Rows computed at a time: their activations stay in the processor's cache."""


class FusedScorer:
    """Scores rows of one layout; safe to use from several threads."""

    def __init__(self, scaler: Scaler, scorer: Scorer, layout: Layout) -> None:
        self._scorer, self._width = scorer, width_of(layout)
        self._workspaces = Workspaces()
        names = FEATURES[scorer.settings.reconstruction_features]
        self._kinds = np.array([kernels_scoring.KINDS[name] for name in names])
        self._floors = SQUARE_FLOOR, LOG_FLOOR * self._width
        self._encoder = layers_of(scorer.double, "encoder")
        self._decoder = layers_of(scorer.double, "decoder")
        first, bias = self._encoder[0]
        last, offset = self._decoder[-1]
        self._members, self._code = len(first), self._encoder[-1][0].shape[1]
        down = scorer.double.get("path.down", np.empty((1, 0, self._width)))
        up = scorer.double.get("path.up", np.empty((self._members, self._width, 0)))
        if (down == down[:1]).all():
            down = down[:1]  # one path for all members
        reached = np.concatenate([last, up, offset[..., None]], axis=2)
        basis, triangle = np.linalg.qr(reached)
        self._triangle = np.ascontiguousarray(triangle.swapaxes(1, 2))
        self._back = scaler.by_column(reached.swapaxes(1, 2))
        outputs = [*first, *down, *basis.swapaxes(1, 2)]
        ends = [0, bias.size, bias.size + down.shape[0] * down.shape[1]]
        self._first, self._path = slice(*ends[:2]), slice(*ends[1:])
        self._coordinates = slice(ends[2], None)
        directions = np.concatenate(outputs)
        biases = np.concatenate([bias.ravel(), np.zeros(len(directions) - bias.size)])
        self._linear = LinearPart(scaler, layout, directions, biases)
        self._heads = [
            _Head(mixture, scorer.latent_mean[s], scorer.latent_scale[s])
            for s, mixture in enumerate(scorer.mixtures)
        ]

    def energy(self, rows: Encoded) -> Float:
        """Energy of each row ``(n,)``, see `inference.Scorer.energy` and `score`."""
        return self.score(rows, np.inf).energy

    def score(self, rows: Encoded, explain_above: float) -> ExplainedEnergies:
        """Energies, and reasons for the rows with an energy above a bound (-inf: for all).

        Raises:
            ValueError: a value is too large once it is scaled.
        """

        def block(whole: slice, energy: Float, chosen: NDArray[np.bool_]) -> list[Explanation]:
            explained, here = [], rows[whole]
            tables = self._linear.tables(here)
            with self._workspaces.one() as work:
                for start in range(0, len(here), FUSED_ROWS):
                    part = slice(start, min(start + FUSED_ROWS, len(here)))
                    outputs, square, scaled = self._linear.of(here, part, tables, whole.start, work)
                    z, u, error = self._latent(outputs, square, work)
                    energies = error
                    if self._heads:
                        energies = work("energies", *error.shape)
                        for s in reversed(range(self._members)):  # the first one's weights are left
                            weights = self._heads[s].energy(z[s], energies[s], work)
                    energy[part] = self._scorer.together(energies)
                    chosen[part] = above = energy[part] > explain_above
                    if above.any():
                        places = np.flatnonzero(above)
                        shares = self._shares(u, scaled, tables, part, places, work)
                        nearest = np.full(len(places), -1), np.zeros(len(places))
                        if self._heads:
                            nearest = self._heads[0].nearest(weights[:, places])
                        explained.append(Explanation(shares, *nearest))
            return explained

        return in_blocks(len(rows), self._width, block)

    def _latent(self, outputs: Float, square: Float, work: Workspace) -> tuple[Float, Float, Float]:
        """Latent rows ``(S, L, m)``, u ``(S, m, k)`` and squared errors ``(S, m)``."""
        m, code = len(outputs), self._code
        z = work("z", self._members, code + len(self._kinds), m)
        x = outputs[:, self._first].reshape(m, self._members, -1).transpose(1, 0, 2)
        if len(self._encoder) > 1:
            x = work("encoder", *x.shape)
            kernels_tanh.tanh_first(outputs, self._first.start, x)
        for i, (weight, bias) in enumerate(self._encoder[1:], start=2):
            x = np.matmul(
                x, weight.swapaxes(1, 2), out=work(f"encoder {i}", *x.shape[:2], len(bias[0]))
            )
            if i < len(self._encoder):
                kernels_tanh.tanh_biased(x, bias)
            else:
                x += bias[:, None]
        z[:, :code] = x.swapaxes(1, 2)
        if outputs[:, self._path].size:
            z[:, :code] += outputs[:, self._path].reshape(m, -1, code).transpose(1, 2, 0)
        u = work("u", self._members, m, self._triangle.shape[1])
        u[..., -1] = 1.0
        x = z[:, :code].swapaxes(1, 2)
        width = self._decoder[-1][0].shape[2]
        u[..., width:-1] = x[..., : u.shape[2] - 1 - width]
        for i, (weight, bias) in enumerate(self._decoder[:-1]):
            inner = i < len(self._decoder) - 2
            x, given = (work(f"decoder {i}", self._members, m, len(bias[0])) if inner
                        else u[..., :width]), x  # fmt: skip
            np.matmul(given, weight.swapaxes(1, 2), out=x)
            kernels_tanh.tanh_biased(x if inner else u, bias)
        if len(self._decoder) == 1:
            u[..., :width] = x
        reached = work("x_hat", self._members, m, self._triangle.shape[2])
        x_hat, error = np.matmul(u, self._triangle, out=reached), work("error", self._members, m)
        kernels_scoring.reconstruction(
            x_hat, outputs, self._coordinates.start, square, self._kinds, self._floors, z, error
        )
        return z, u, error

    def _shares(
        self,
        u: Float,
        numbers: Float,
        tables: LevelTables,
        part: slice,
        places: NDArray[np.intp],
        work: Workspace,
    ) -> Float:
        """Share of each column ``(j, D)`` in the squared error, mean over reconstructing members.

        Of the rows at these places of the part, in columns scaled by themselves.
        """
        j, width = len(places), self._width
        scaled = work("scaled", j, width)
        np.take(tables.scaled, tables.which[part][places], axis=0, out=scaled, mode="clip")
        scaled[:, self._linear.numbers] = numbers[places]
        u = u[: self._scorer.reconstructing]
        some = work("some of u", len(u), j, u.shape[2])
        np.take(u, places, axis=1, out=some, mode="clip")
        error = np.matmul(some, self._back[: len(u)], out=work("differences", len(u), j, width))
        error -= scaled
        total = np.vecdot(error, error)
        error *= error
        error *= (1.0 / (len(u) * np.where(total > 0, total, 1.0)))[..., None]
        shares: Float = error.sum(axis=0)
        return shares


class _Head:
    """A member's mixture over its latent rows as the network gives them."""

    def __init__(self, mixture: Mixture, mean: Float, scale: Float) -> None:
        centre, self._live, factors, self._constant = mixture.terms
        self._shift = (mean + scale * centre)[:, None]
        self._factors = factors / np.append(scale, 1.0)

    def energy(self, z: Float, out: Float, work: Workspace) -> Float:
        """Write energies ``(m,)`` of z ``(L, m)``; what each live component is responsible for."""
        m, live = z.shape[1], len(self._live)
        centred = work("centred", len(z) + 1, m)
        np.subtract(z, self._shift, out=centred[:-1])
        centred[-1] = 1.0
        white = np.matmul(self._factors, centred, out=work("white", len(self._factors), m))
        weights = work("weights", live, m)
        kernels.evidence(white, self._constant, weights, out)
        np.negative(out, out=out)
        return weights

    def nearest(self, weights: Float) -> tuple[NDArray[np.int64], Float]:
        """The most responsible component of each row ``(m,)``, and its posterior probability."""
        return self._live[weights.argmax(axis=0)], weights.max(axis=0)
