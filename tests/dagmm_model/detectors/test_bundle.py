"""Raw rows to verdicts and reasons."""

import subprocess
import sys

import numpy as np
import pytest

from dagmm_model import DAGMM
from dagmm_model.detectors.bundle import ScoringBundle
from dagmm_model.detectors.catalogue import make_detector
from dagmm_model.detectors.file_format import save_bundle
from dagmm_model.evaluation.threshold import calibrate
from dagmm_model.tables.preprocessing import Encoder, FeatureColumn

LEVELS = ("a", "b", "c")


def raw(rows: int, seed: int) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    base = rng.normal(size=(rows, 3))
    return {
        "x": base[:, 0] + 0.1 * base[:, 1],
        "kind": np.array(LEVELS, object)[rng.integers(0, 3, rows)],
        "constant": np.full(rows, "only", object),
        "y": base[:, 0] - 0.1 * base[:, 2],
        "z": base[:, 1],
    }


ENCODER = Encoder(
    (
        FeatureColumn("x"),
        FeatureColumn("kind", "categorical", LEVELS),
        FeatureColumn("constant", "categorical", ("only",), ("only",)),
        FeatureColumn("y"),
        FeatureColumn("z"),
    )
)


def bundle_of(detector) -> ScoringBundle:
    detector.fit(ENCODER.encode(raw(600, 0)))
    held = np.sort(detector.energy(ENCODER.encode(raw(400, 1))))
    return ScoringBundle(ENCODER, detector, calibrate(held, 0.05), held)


@pytest.fixture(scope="module")
def bundle() -> ScoringBundle:
    return bundle_of(DAGMM(epochs=5, members=2, random_state=0))


def test_reasons_are_those_of_the_anomalies_by_column_of_the_table(bundle):
    table = raw(200, 2)
    table["y"][[3, 50]] += 9.0
    scores = bundle.score(table, explain="anomalies")
    reasons = scores.reasons
    assert {3, 50} <= set(reasons.rows.tolist())
    assert reasons.rows.tolist() == np.flatnonzero(scores.is_anomaly).tolist()
    assert reasons.columns == tuple(table)
    np.testing.assert_allclose(reasons.shares.sum(axis=1), 1.0)
    assert (reasons.shares[:, 2] == 0).all(), "a column of no width has no share"
    for row in (3, 50):
        top = reasons.shares[reasons.rows == row][0].argmax()
        assert reasons.columns[top] in {"x", "y"}, "the pair that no longer agrees"
    assert (reasons.component >= 0).all()


def test_all_rows_or_none_can_be_explained(bundle):
    table = raw(50, 3)
    assert bundle.score(table).reasons is None
    assert bundle.score(table, explain="all").reasons.rows.tolist() == list(range(50))
    calm = {name: values[~bundle.score(table).is_anomaly] for name, values in table.items()}
    assert bundle.score(calm, explain="anomalies").reasons.shares.shape == (0, 5)


def test_the_layout_in_memory_changes_no_value():
    table = raw(1000, 4)
    columns, rows = ENCODER.encode(table, order="F"), ENCODER.encode(table)
    assert columns.flags.f_contiguous
    np.testing.assert_array_equal(columns, rows)


def test_a_detector_without_reasons_still_scores():
    bundle = bundle_of(make_detector("mahalanobis"))
    scores = bundle.score(raw(100, 5), explain="anomalies")
    assert not bundle.explains
    assert scores.reasons is None
    assert np.isfinite(scores.energy).all()


WARM = """
import sys
from pathlib import Path
import numpy as np
from numba.core.registry import CPUDispatcher
from dagmm_model.detectors.file_format import load_bundle

def compiled():
    from dagmm_model.kernels import arithmetic, scoring, tanh
    found = [f for kernels in (arithmetic, scoring, tanh) for f in vars(kernels).values()]
    return sum(len(f.signatures) for f in found if isinstance(f, CPUDispatcher))

bundle, before = load_bundle(Path(sys.argv[1])), compiled()
bundle.warm_up()
warm = compiled()
row = {"x": [0.1], "kind": ["b"], "constant": ["only"], "y": [np.int64(2)], "z": [3.0]}
bundle.score(row)
print(before, warm, compiled())
assert not {"torch", "mlflow", "prefect", "great_expectations"} & set(sys.modules)
"""


def test_the_first_rows_after_warming_up_compile_nothing_and_need_no_torch(bundle, tmp_path):
    save_bundle(bundle, tmp_path / "bundle")
    command = [sys.executable, "-c", WARM, str(tmp_path / "bundle")]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    before, warm, after = map(int, done.stdout.split())
    assert before < warm == after
