"""The fast scorer against the readable one."""

import numpy as np
import pytest

from dagmm_model import DAGMM
from dagmm_model.detectors.bundle import ScoringBundle
from dagmm_model.detectors.catalogue import make_detector
from dagmm_model.evaluation.threshold import calibrate
from dagmm_model.tables.encoded import Encoded
from dagmm_model.tables.preprocessing import Encoder, FeatureColumn
from tests.dagmm_model.saved import parts

LEVELS = ("a", "b", "c", "never seen")
ENCODER = Encoder(
    (
        FeatureColumn("kind", "categorical", LEVELS, unseen="other"),
        FeatureColumn("x"),
        FeatureColumn("constant", "categorical", ("only",), ("only",)),
        FeatureColumn("on", "boolean"),
        FeatureColumn("y"),
        FeatureColumn("colour", "categorical", ("red", "green"), unseen="other"),
    )
)
VARIANTS = {
    "recommended-fast": {"preset": "recommended-fast", "members": 3},
    "paper": {"preset": "paper-kddcup"},
    "wide code, both features": {
        "preset": "paper",
        "encoder_widths": (9, 4),
        "reconstruction_features": "log_error_cosine",
        "members": 2,
    },
    "one layer": {"preset": "recommended-fast", "encoder_widths": (3,), "members": 2},
    "one layer, no path": {"preset": "paper", "encoder_widths": (2,)},
    "unscaled": {"preset": "paper-arrhythmia", "scaling": "none"},
}


def table(rows: int, seed: int) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    x = rng.normal(size=rows)
    return {
        "kind": np.array(LEVELS, object)[rng.integers(0, 3, rows)],
        "x": x,
        "constant": np.full(rows, "only", object),
        "on": x > rng.normal(size=rows),
        "y": 1e4 + x + 0.1 * rng.standard_t(3, size=rows),
        "colour": np.array(["red", "green"], object)[rng.integers(0, 2, rows)],
    }


def strange(rows: int) -> dict[str, np.ndarray]:
    """Rows unlike the training's, levels that it never saw among them."""
    actual = table(rows, 7)
    actual["kind"][::3], actual["colour"][::5] = "never seen", "mauve"
    actual["y"][::4] *= 1e6
    return actual


@pytest.fixture(scope="module", params=[*VARIANTS, "pae"])
def detector(request):
    matrix = ENCODER.encode(table(600, 0))
    if request.param == "pae":
        return make_detector("pae", layer_epochs=2, autoencoder_epochs=2).fit(matrix)
    return DAGMM(epochs=3, random_state=0, **VARIANTS[request.param]).fit(matrix)


def test_energies_are_those_of_the_readable_scorer(detector):
    scorer, scaler = parts(detector)
    for rows in (table(700, 1), strange(700)):
        encoded = ENCODER.codes(rows)
        expected = scorer.energy(scaler.transform(encoded.matrix()))
        by_level = detector.for_layout(ENCODER.layout).energy(encoded)
        np.testing.assert_allclose(by_level, expected, rtol=1e-9, atol=1e-9)
        np.testing.assert_allclose(
            detector.energy(encoded.matrix()), expected, rtol=1e-9, atol=1e-9
        )


def test_shares_are_those_of_the_reconstruction_written_out(detector):
    encoded = ENCODER.codes(strange(700))
    scorer, scaler = parts(detector)
    x = scaler.transform(encoded.matrix())
    z, x_hat = scorer.compress(x)
    error = scaler.by_column(x_hat - x)[: scorer.reconstructing] ** 2
    expected = (error / error.sum(axis=2, keepdims=True)).mean(axis=0)
    fast = detector.for_layout(ENCODER.layout)
    all_rows = fast.score(encoded, -np.inf)
    assert all_rows.rows.tolist() == list(range(700))
    np.testing.assert_allclose(all_rows.explanation.shares, expected, rtol=1e-6, atol=1e-9)
    if scorer.mixtures:
        posterior = scorer.mixtures[0].posterior(z[0])
        np.testing.assert_array_equal(all_rows.explanation.component, posterior.argmax(axis=1))
        responsibility = all_rows.explanation.responsibility
        np.testing.assert_allclose(responsibility, posterior.max(axis=1), rtol=1e-9)
    bound = float(np.median(all_rows.energy))
    some = fast.score(encoded, bound)
    np.testing.assert_array_equal(some.rows, np.flatnonzero(all_rows.energy > bound))
    expected = all_rows.explanation.shares[some.rows]
    np.testing.assert_allclose(some.explanation.shares, expected, rtol=1e-9, atol=1e-15)


def test_several_views_see_the_same_row_in_levels_and_in_the_matrix():
    detector = DAGMM(epochs=3, random_state=0).fit(ENCODER.encode(table(600, 0)))
    encoded = ENCODER.codes(strange(700))
    by_level = detector.for_layout(ENCODER.layout).score(encoded, -np.inf)
    matrix = encoded.matrix()
    np.testing.assert_allclose(by_level.energy, detector.energy(matrix), rtol=1e-9, atol=1e-12)
    shares = detector.explain(matrix).shares
    np.testing.assert_allclose(by_level.explanation.shares, shares, rtol=1e-9, atol=1e-12)


def test_equal_rows_get_equal_verdicts_wherever_they_stand():
    """At the threshold and with what stands beside them, last digits must decide nothing."""
    detector = DAGMM(epochs=3, members=2, random_state=0).fit(ENCODER.encode(table(600, 0)))
    held = table(99, 1)
    energies = detector.for_layout(ENCODER.layout).energy(ENCODER.codes(held))
    bundle = ScoringBundle(ENCODER, detector, calibrate(energies, 0.1), np.sort(energies))
    row = int(np.flatnonzero(energies == bundle.threshold.value)[0])
    for size in (1, 2, 3, 5, 300, 513, 9000):
        copies = {name: np.repeat(values[row : row + 1], size) for name, values in held.items()}
        scores = bundle.score(copies, explain="anomalies")
        assert not scores.is_anomaly.any()
        assert (scores.p_value == scores.p_value[0]).all()
        assert scores.p_value[0] == pytest.approx((1 + 10) / 100)
        assert len(scores.reasons.rows) == 0


def test_a_value_beyond_any_scale_is_named_by_its_place_in_the_matrix():
    detector = DAGMM(preset="paper", epochs=1, random_state=0).fit(ENCODER.encode(table(600, 0)))
    rows = table(9000, 1)
    rows["y"][8500] = 3e38
    values, arrays = detector.state()
    arrays["scaler.scale"][6] = 1e-70
    detector = DAGMM.from_state(values, arrays)
    with pytest.raises(ValueError, match="row 8500, column 6"):
        detector.for_layout(ENCODER.layout).energy(ENCODER.codes(rows))


def test_combinations_are_told_apart_however_many_there_could_be():
    rng = np.random.default_rng(0)
    codes = rng.integers(0, 51, (12, 400))
    codes[:, 200:] = codes[:, :200]
    encoded = Encoded((50,) * 12, np.empty((0, 400)), codes)
    actual, which = encoded.combinations()
    assert actual.shape == (12, 200)
    np.testing.assert_array_equal(actual[:, which], codes)
