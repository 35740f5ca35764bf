"""Isolation forest (Liu, Ting and Zhou, ICDM 2008): grown by scikit-learn, kept as arrays.

A fitted forest is normally kept by pickling its trees. Here the trees' nodes are laid out in five
arrays, and rows go down all trees at once; the scores are scikit-learn's.
"""

from dataclasses import dataclass

import numpy as np
from sklearn.ensemble import IsolationForest as SklearnForest
from sklearn.tree._tree import Tree

from dagmm_model.base.arrays import Float
from dagmm_model.detectors.base import ScaledDetector
from dagmm_model.detectors.interface import Arrays
from dagmm_model.training.baseline_settings import BaselineSettings


@dataclass(frozen=True)
class IsolationForestSettings(BaselineSettings):
    """Settings of `IsolationForest`; the cuts are the same whatever the scale of a column.

    Attributes:
        trees: number of trees.
        samples: rows drawn for each tree, all where there are fewer.
    """

    scaling: str = "none"
    trees: int = 100
    samples: int = 256


class IsolationForest(ScaledDetector[IsolationForestSettings]):
    """2 to the power of minus the mean path length over the expected one, in (0, 1)."""

    name = "isolation-forest"
    settings_type = IsolationForestSettings

    def _learn_scaled(self, x: Float) -> Arrays:
        samples = min(self.settings_.samples, len(x))
        forest = SklearnForest(
            n_estimators=self.settings_.trees, max_samples=samples, random_state=self.seed
        ).fit(x)
        trees = [estimator.tree_ for estimator in forest.estimators_]
        starts = np.cumsum([0] + [tree.node_count for tree in trees])
        return {
            "roots": starts[:-1],
            "feature": np.concatenate([np.maximum(tree.feature, 0) for tree in trees]),
            "threshold": np.concatenate([tree.threshold for tree in trees]),
            "left": _children([tree.children_left for tree in trees], starts),
            "right": _children([tree.children_right for tree in trees], starts),
            "length": np.concatenate([_lengths(tree) for tree in trees]),
            "expected": np.array(expected_length(np.array([samples]))[0]),
        }

    def _score(self, x: Float) -> Float:
        forest = self._arrays
        values = x.astype(np.float32)  # as the trees were grown
        node = np.repeat(forest["roots"][None], len(x), axis=0)
        row = np.arange(len(x))[:, None]
        while True:
            low = values[row, forest["feature"][node]] <= forest["threshold"][node]
            below = np.where(low, forest["left"][node], forest["right"][node])
            if (below == node).all():
                break
            node = below
        mean: Float = forest["length"][node].mean(axis=1)
        return np.exp2(-mean / max(float(forest["expected"]), 1.0))


def expected_length(rows: np.ndarray) -> Float:
    """Mean path length of an unsuccessful search in a binary tree of n rows (equation 1)."""
    n = np.maximum(rows.astype(np.float64), 2.0)
    length: Float = 2.0 * (np.log(n - 1.0) + np.euler_gamma) - 2.0 * (n - 1.0) / n
    return np.where(rows <= 1, 0.0, np.where(rows == 2, 1.0, length))


def _children(children: list[np.ndarray], starts: np.ndarray) -> np.ndarray:
    """Children of all trees' nodes, numbered through; a leaf is its own child."""
    own = [np.where(c < 0, np.arange(len(c)), c) for c in children]
    return np.concatenate([c + s for c, s in zip(own, starts[:-1], strict=True)])


def _lengths(tree: Tree) -> Float:
    """Path length that ends in each node: its depth, and what its rows would take to part."""
    depth: Float = tree.compute_node_depths() - 1.0
    return depth + expected_length(tree.n_node_samples)
