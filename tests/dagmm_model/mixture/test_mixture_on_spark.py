"""The mixture's moments as a monoid over the partitions of a Spark table."""

from functools import reduce

import numpy as np
import pandas as pd
import pytest

from dagmm_model.mixture.moments import Moments

K, L = 4, 3


def rows(n: int) -> tuple[np.ndarray, np.ndarray]:
    """Latent rows far from the origin, where sums of squares would lose their digits."""
    rng = np.random.default_rng(7)
    z = rng.normal(size=(n, L)) @ rng.normal(size=(L, L)) + 1e3
    gamma = rng.dirichlet(np.ones(K), size=n)
    return z, gamma


def assert_equal(actual: Moments, z: np.ndarray, gamma: np.ndarray) -> None:
    one, other = Moments.of(z, gamma).mixture(jitter=1e-6), actual.mixture(jitter=1e-6)
    np.testing.assert_allclose(other.phi, one.phi, rtol=1e-12)
    np.testing.assert_allclose(other.mu, one.mu, rtol=1e-12)
    scale = np.abs(one.sigma).max()
    np.testing.assert_allclose(other.sigma / scale, one.sigma / scale, rtol=0, atol=1e-12)


def test_a_tree_of_partitions_gives_the_mixture_of_all_rows(spark):
    z, gamma = rows(4_001)
    chunks = [
        (z[start : start + 311], gamma[start : start + 311]) for start in range(0, 4_001, 311)
    ]
    zero = Moments(np.zeros(K), np.zeros((K, L)), np.zeros((K, L, L)))
    actual = spark.sparkContext.parallelize(chunks, 7).treeAggregate(
        zero,
        lambda moments, chunk: moments.merge(Moments.of(*chunk)),
        lambda one, other: one.merge(other),
        depth=3,
    )
    assert_equal(actual, z, gamma)


@pytest.mark.slow  # the other states it; workers of SQL are processes of their own
def test_map_in_pandas_and_merge_give_the_mixture_of_all_rows(spark):
    z, gamma = rows(1_500)
    columns = [*(f"z{i}" for i in range(L)), *(f"g{i}" for i in range(K))]
    table = spark.createDataFrame(pd.DataFrame(np.hstack([z, gamma]), columns=columns))

    def moments(batches):
        for batch in batches:
            values = batch.to_numpy()
            part = Moments.of(values[:, :L], values[:, L:])
            flat = np.concatenate([part.weight, part.mean.ravel(), part.scatter.ravel()])
            yield pd.DataFrame({"flat": [flat.tolist()]})

    parts = table.repartition(5).mapInPandas(moments, "flat array<double>").collect()
    assert len(parts) == 5
    actual = [np.array(row.flat) for row in parts]
    actual = [
        Moments(f[:K], f[K : K + K * L].reshape(K, L), f[K + K * L :].reshape(K, L, L))
        for f in actual
    ]
    assert_equal(reduce(Moments.merge, actual), z, gamma)
