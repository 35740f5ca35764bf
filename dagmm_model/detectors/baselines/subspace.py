"""Two relatives of principal components: by a kernel, and robust against gross errors."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from scipy.linalg import eigh
from sklearn.metrics.pairwise import rbf_kernel

from dagmm_model.base.arrays import Float
from dagmm_model.detectors.base import ScaledDetector, sample
from dagmm_model.detectors.interface import Arrays, TooLarge
from dagmm_model.training.baseline_settings import BaselineSettings

MOST_ROWS = 10_000
"""Rows of the largest kernel matrix that is decomposed; its time grows with their cube."""


@dataclass(frozen=True)
class KernelPcaSettings(BaselineSettings):
    """Settings of `KernelPca`.

    Attributes:
        components: number of components kept.
        gamma: of the kernel exp(-gamma ||x - y||²); 1 / columns where None.
        limit: rows of a random sample to fit on; all where None.
    """

    components: int = 30
    gamma: float | None = None
    limit: int | None = None

    least: ClassVar[dict[str, float]] = {"gamma": 1e-12, "limit": 2}


class KernelPca(ScaledDetector[KernelPcaSettings]):
    """Reconstruction error in the kernel's feature space (Hoffmann, Pattern Recognition 2007)."""

    name = "kernel-pca"
    settings_type = KernelPcaSettings

    def check_size(self, n_rows: int, n_columns: int) -> None:
        rows = min(n_rows, self.settings_.limit or n_rows)
        if rows > MOST_ROWS:
            gigabytes = 3 * 8 * rows**2 / 1e9
            raise TooLarge(
                f"kernel-pca on {rows:,} rows would need about {gigabytes:,.0f} GB for its kernel "
                f"matrix and its decomposition; the limit is {MOST_ROWS:,} rows "
                f"({3 * 8 * MOST_ROWS**2 / 1e9:.1f} GB). Set limit=5000 to fit on a random "
                "sample, or use the detector pca"
            )

    def _learn_scaled(self, x: Float) -> Arrays:
        kept = sample(x, self.settings_.limit or len(x), self.seed)
        n, q = len(kept), min(self.settings_.components, len(kept) - 1)
        gamma = self.settings_.gamma or 1.0 / x.shape[1]
        kernel = rbf_kernel(kept, gamma=gamma)
        means, mean = kernel.mean(axis=0), kernel.mean()
        kernel += mean - means - means[:, None]
        values, vectors = eigh(kernel, subset_by_index=(n - q, n - 1))
        useful = values > 1e-10 * values[-1]
        return {
            "rows": kept,
            "gamma": np.array(gamma),
            "means": means,
            "mean": np.array(mean),
            "axes": vectors[:, useful] / np.sqrt(values[useful]),
        }

    def _score(self, x: Float) -> Float:
        fitted = self._arrays
        kernel = rbf_kernel(x, fitted["rows"], gamma=float(fitted["gamma"]))
        own = kernel.mean(axis=1)
        length = 1.0 - 2.0 * own + float(fitted["mean"])
        kernel += float(fitted["mean"]) - fitted["means"] - own[:, None]
        projected = kernel @ fitted["axes"]
        error: Float = length - np.vecdot(projected, projected)
        return error


@dataclass(frozen=True)
class RobustPcaSettings(BaselineSettings):
    """Settings of `RobustPca`.

    Attributes:
        iterations: most of them.
        tolerance: largest relative residual at the end.
        limit: rows of the random sample the low-rank part is found from.
    """

    iterations: int = 200
    tolerance: float = 1e-6
    limit: int = 50_000

    least: ClassVar[dict[str, float]] = {"limit": 2}


class RobustPca(ScaledDetector[RobustPcaSettings]):
    """Squared distance to the subspace of the low-rank part of the training rows.

    The rows are split into a low-rank and a sparse part (principal component pursuit: Candès, Li,
    Ma and Wright, JACM 2011; by the augmented Lagrangian method of Lin, Chen and Ma, 2010), so
    that gross errors in single cells do not turn the axes.
    """

    name = "robust-pca"
    settings_type = RobustPcaSettings

    def _learn_scaled(self, x: Float) -> Arrays:
        low_rank = pursue(
            sample(x, self.settings_.limit, self.seed),
            self.settings_.iterations,
            self.settings_.tolerance,
        )
        values, vectors = np.linalg.eigh(low_rank.T @ low_rank)
        return {"axes": vectors[:, values > 1e-9 * max(values[-1], 1e-300)]}

    def _score(self, x: Float) -> Float:
        residual = x - (x @ self._arrays["axes"]) @ self._arrays["axes"].T
        error: Float = np.vecdot(residual, residual)
        return error


def pursue(x: Float, iterations: int, tolerance: float) -> Float:
    """The low-rank part ``(n, D)`` of x, at sparsity weight 1 / sqrt(max(n, D)) (theorem 1.1)."""
    weight = 1.0 / np.sqrt(max(x.shape))
    norm = np.linalg.norm(x)
    largest = np.sqrt(np.linalg.eigvalsh(x.T @ x)[-1])
    if largest == 0:
        return x
    dual = x / max(largest, np.abs(x).max() / weight)
    step, sparse = 1.25 / largest, np.zeros_like(x)
    for _ in range(iterations):
        low_rank = _shrink_values(x - sparse + dual / step, 1.0 / step)
        rest = x - low_rank + dual / step
        sparse = np.sign(rest) * np.maximum(np.abs(rest) - weight / step, 0.0)
        residual = x - low_rank - sparse
        dual += step * residual
        step = min(step * 1.5, 1e7 / largest)
        if np.linalg.norm(residual) <= tolerance * norm:
            break
    return low_rank


def _shrink_values(x: Float, amount: float) -> Float:
    """The matrix with its singular values lowered, by way of its smaller Gram matrix."""
    tall = x if len(x) >= x.shape[1] else x.T
    values, axes = np.linalg.eigh(tall.T @ tall)
    singular = np.sqrt(np.maximum(values, 0.0))
    kept = singular > amount
    axes, factor = axes[:, kept], 1.0 - amount / singular[kept]
    shrunk: Float = (tall @ (axes * factor)) @ axes.T
    return shrunk if len(x) >= x.shape[1] else shrunk.T
