"""Made-up tables on which it is known what a detector has to find."""

import numpy as np

from dagmm_model.detectors.catalogue import CATALOGUE

TRAINED = (
    "dsebm-r",
    "dsebm-e",
    "dcn",
    "deep-svdd",
    "anogan",
    "f-anogan",
    "egbad",
    "alad",
    "ganomaly",
)
CLASSIC = ("kernel-pca", "robust-pca", "gmm", "kmeans", "isolation-forest", "lof", "ecod")
QUICK = {
    "dsebm-r": {"noise": 0.3},
    "dsebm-e": {"noise": 0.3},
    "dcn": {"encoder_widths": (16, 2), "pretraining": 20},
    "deep-svdd": {"widths": (32, 16)},
    "f-anogan": {"encoding": 20, "average": 0.98},
    "anogan": {"average": 0.98, "steps": 30},
    "egbad": {"average": 0.98},
    "alad": {"average": 0.98},
    "ganomaly": {"average": 0.98, "latent": 12},
}
"""Settings of a training of a second or less."""


def quick(name: str, **settings: object) -> dict[str, object]:
    """Settings for a quick fit of any baseline."""
    actual = dict(QUICK.get(name, {}))
    if name in TRAINED:
        actual |= {"epochs": 30, "batch_size": 64, "learning_rate": 3e-3}
    return actual | settings


def plane(seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Rows near a plane in 8 columns; half of the test rows keep the columns but not the plane.

    No column by itself tells them apart: what is to be learned is how the columns go together.
    """
    rng = np.random.default_rng(seed)
    axes = rng.normal(size=(2, 8))

    def rows(n: int) -> np.ndarray:
        return rng.normal(size=(n, 2)) @ axes + 0.1 * rng.normal(size=(n, 8))

    odd = rng.permuted(rows(150), axis=0)
    return rows(256), np.vstack([rows(150), odd]), np.repeat([0, 1], 150)


def islands(seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Rows around four points of a plane; half of the test rows lie anywhere, mostly farther out.

    The plane shows in 8 columns, 8 others are noise: the clusters have to be found first.
    """
    rng = np.random.default_rng(seed)
    centres = np.array([[2.0, 2.0], [2.0, -2.0], [-2.0, 2.0], [-2.0, -2.0]])
    axes = rng.normal(size=(2, 8))

    def columns(z: np.ndarray) -> np.ndarray:
        return np.hstack([z @ axes, np.zeros((len(z), 8))]) + rng.normal(size=(len(z), 16))

    def rows(n: int) -> np.ndarray:
        return columns(centres[rng.integers(4, size=n)] + 0.2 * rng.normal(size=(n, 2)))

    odd = columns(5.0 * rng.normal(size=(150, 2)))
    return rows(256), np.vstack([rows(150), odd]), np.repeat([0, 1], 150)


assert {*TRAINED, *CLASSIC} <= CATALOGUE.keys()
