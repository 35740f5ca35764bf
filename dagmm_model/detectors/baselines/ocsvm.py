"""One-class support vector machine with a Gaussian kernel (Schölkopf et al. 2001), by scikit-learn.

The exact machine solves a problem as large as the kernel matrix of all rows: its time grows with
their square and more. Beyond `OcSvmSettings.limit` rows the kernel is replaced by its Nystroem
features, on which a linear machine is trained by stochastic gradients, chunk by chunk, so that
neither time nor memory grows by more than the rows.
"""

from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np
from sklearn.kernel_approximation import Nystroem
from sklearn.linear_model import SGDOneClassSVM
from sklearn.metrics.pairwise import rbf_kernel
from sklearn.svm import OneClassSVM

from dagmm_model.base.arrays import Float
from dagmm_model.detectors.base import ScaledDetector
from dagmm_model.detectors.interface import Arrays, TooLarge
from dagmm_model.training.baseline_settings import BaselineSettings

MOST_ROWS = 50_000
"""Training rows of the largest exact machine: minutes."""
KERNEL_ROWS = 1024
"""Rows of a kernel matrix at a time."""
CACHE_MEGABYTES = 500
"""Megabytes for the rows of the kernel matrix that the exact solver keeps."""


@dataclass(frozen=True)
class OcSvmSettings(BaselineSettings):
    """Settings of `OneClassSvm`.

    Attributes:
        nu: upper bound of the share of training rows outside, lower bound of the support vectors'.
        gamma: of the kernel exp(-gamma ||x - y||²); 1 / columns where None.
        kernel: exact, nystroem, or auto: exact up to ``limit`` training rows.
        limit: see ``kernel``.
        features: of the Nystroem approximation, as many training rows are landmarks.
        passes: over the training rows by the stochastic gradients.
    """

    nu: float = 0.05
    gamma: float | None = None
    kernel: str = "auto"
    limit: int = 10_000
    features: int = 500
    passes: int = 4

    choices: ClassVar[dict[str, tuple[str, ...]]] = BaselineSettings.choices | {
        "kernel": ("auto", "exact", "nystroem")
    }
    least: ClassVar[dict[str, float]] = {"nu": 1e-6, "gamma": 1e-12}
    most: ClassVar[dict[str, float]] = {"nu": 1.0}


class OneClassSvm(ScaledDetector[OcSvmSettings]):
    """Distance to the wrong side of the machine's boundary, in the kernel's feature space."""

    name = "oc-svm"
    settings_type = OcSvmSettings

    def settings_for(self, n_rows: int, n_columns: int) -> OcSvmSettings:
        settings = self._asked
        if settings.kernel == "auto":
            exact = n_rows <= settings.limit
            settings = replace(settings, kernel="exact" if exact else "nystroem")
        return replace(settings, gamma=settings.gamma or 1.0 / n_columns)

    def check_size(self, n_rows: int, n_columns: int) -> None:
        if self.settings_for(n_rows, n_columns).kernel == "exact" and n_rows > MOST_ROWS:
            raise TooLarge(
                f"the exact oc-svm on {n_rows:,} rows would work on a kernel matrix of "
                f"{8 * n_rows**2 / 1e9:,.0f} GB, for hours; the limit is {MOST_ROWS:,} rows. Set "
                "kernel='nystroem', which needs seconds"
            )

    def _learn_scaled(self, x: Float) -> Arrays:
        settings = self.settings_
        if settings.kernel == "exact":
            exact = OneClassSVM(
                nu=settings.nu, gamma=settings.gamma, cache_size=CACHE_MEGABYTES
            ).fit(x)
            return {
                "landmarks": exact.support_vectors_,
                "weights": exact.dual_coef_[0],
                "offset": -exact.intercept_,
            }
        features = Nystroem(
            gamma=settings.gamma,
            n_components=min(settings.features, len(x)),
            random_state=self.seed,
        ).fit(x)
        linear = SGDOneClassSVM(nu=settings.nu, random_state=self.seed)
        shuffling = np.random.default_rng(self.seed)
        for _ in range(settings.passes):
            order = shuffling.permutation(len(x))
            for start in range(0, len(x), KERNEL_ROWS):
                linear.partial_fit(features.transform(x[order[start : start + KERNEL_ROWS]]))
        return {
            "landmarks": features.components_,
            "weights": features.normalization_.T @ linear.coef_,
            "offset": linear.offset_,
        }

    def _score(self, x: Float) -> Float:
        fitted, out = self._arrays, np.empty(len(x))
        for start in range(0, len(x), KERNEL_ROWS):
            part = slice(start, start + KERNEL_ROWS)
            kernel = rbf_kernel(x[part], fitted["landmarks"], gamma=self.settings_.gamma)
            out[part] = fitted["offset"][0] - kernel @ fitted["weights"]
        return out
