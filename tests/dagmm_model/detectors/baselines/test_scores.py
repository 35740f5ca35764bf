"""The trained baselines' scores against their definitions, worked out in float64 NumPy."""

import re

import numpy as np
import pytest

from dagmm_model.detectors.catalogue import make_detector
from tests.dagmm_model.detectors.baselines.tables import plane, quick


def scored(name, **settings):
    """A detector after two epochs: itself, its arrays, scaled test rows and their energies."""
    short = {"epochs": 2, "pretraining": 2, "encoding": 2}
    settings = {**{k: v for k, v in short.items() if k in quick(name)}, **settings}
    train, rows, _ = plane()
    detector = make_detector(name, seed=2, **quick(name, **settings)).fit(train)
    arrays = {n: a.astype(np.float64) for n, a in detector.state()[1].items()}
    x = (rows - arrays["scaler.centre"]) / arrays["scaler.scale"]
    return detector, arrays, x, detector.energy(rows)


def leaky(x):
    return np.where(x > 0, x, 0.2 * x)


def relu(x):
    return np.maximum(x, 0)


def linear(arrays, name, x):
    """A linear layer, divided by its largest singular value where that is tracked."""
    if f"{name}.weight" in arrays:
        weight = arrays[f"{name}.weight"]
    else:
        weight = arrays[f"{name}.parametrizations.weight.original"]
        u, v = (arrays[f"{name}.parametrizations.weight.0._{which}"] for which in "uv")
        weight = weight / (u @ weight @ v)
    return x @ weight.T + arrays[f"{name}.bias"]


def network(arrays, name, x, activation=leaky, hidden_only=False):
    """Layers in turn, an activation after each but the last."""
    actual = {re.match(rf"{name}\.(\d+)\.", key) for key in arrays} - {None}
    layers = sorted({int(match[1]) for match in actual})
    assert layers
    for i in layers:
        x = linear(arrays, f"{name}.{i}", x)
        if hidden_only or i != layers[-1]:
            x = activation(x)
    return x


def l1(difference):
    return np.abs(difference).sum(axis=1)


def features(arrays, name, x):
    return network(arrays, f"{name}.body", x, hidden_only=True)


def test_dsebm_is_the_well_minus_the_last_layer_and_the_norm_of_its_gradient():
    _, arrays, x, energies = scored("dsebm-e")

    def energy(rows):
        hidden = rows
        for i in range(2):
            hidden = np.logaddexp(0.0, linear(arrays, f"layers.{i}", hidden))
        return 0.5 * ((rows - arrays["visible"]) ** 2).sum(axis=1) - hidden.sum(axis=1)

    np.testing.assert_allclose(energies, energy(x), rtol=1e-9)
    step = 1e-5
    gradient = np.stack(
        [(energy(x + step * e) - energy(x - step * e)) / (2 * step) for e in np.eye(x.shape[1])],
        axis=1,
    )
    squares = scored("dsebm-r")[3]
    np.testing.assert_allclose(squares, (gradient**2).sum(axis=1), rtol=1e-5)


def test_dcn_is_the_distance_to_the_nearest_centre():
    _, arrays, x, energies = scored("dcn")
    codes = network(arrays, "encoder", x, np.tanh)
    distances = ((codes[:, None] - arrays["centres"]) ** 2).sum(axis=2)
    np.testing.assert_allclose(energies, distances.min(axis=1), rtol=1e-9)


def test_egbad_is_residual_and_features_of_the_pair():
    _, arrays, x, energies = scored("egbad", alpha=0.7)
    z = network(arrays, "encoder", x)
    again = network(arrays, "generator", z, relu)

    def joint(rows):
        of_x = network(arrays, "critic.of_x", rows, hidden_only=True)
        of_z = network(arrays, "critic.of_z", z, hidden_only=True)
        return features(arrays, "critic.critic", np.hstack([of_x, of_z]))

    expected = 0.7 * l1(x - again) + 0.3 * l1(joint(x) - joint(again))
    np.testing.assert_allclose(energies, expected, rtol=1e-9)


@pytest.mark.parametrize("spectral", [True, False])
def test_alad_is_the_features_of_the_reconstruction(spectral):
    _, arrays, x, energies = scored("alad", spectral_norm=spectral)
    again = network(arrays, "generator", network(arrays, "encoder", x), relu)
    expected = l1(
        features(arrays, "xx", np.hstack([x, x])) - features(arrays, "xx", np.hstack([x, again]))
    )
    np.testing.assert_allclose(energies, expected, rtol=1e-9)


def test_ganomaly_is_the_distance_of_the_codes():
    _, arrays, x, energies = scored("ganomaly")
    codes = network(arrays, "encoder", x)
    again = network(arrays, "second", network(arrays, "generator", codes, relu))
    np.testing.assert_allclose(energies, l1(codes - again), rtol=1e-9)


def test_f_anogan_is_residual_and_features_through_the_encoder():
    _, arrays, x, energies = scored("f-anogan", kappa=0.5)
    again = network(arrays, "generator", network(arrays, "encoder", x), relu)
    difference = features(arrays, "critic", x) - features(arrays, "critic", again)
    expected = ((x - again) ** 2).mean(axis=1) + 0.5 * (difference**2).mean(axis=1)
    np.testing.assert_allclose(energies, expected, rtol=1e-9)


def test_anogan_starts_from_the_nearest_generated_row_and_its_search_comes_nearer():
    _, arrays, x, energies = scored("anogan", steps=0, weight=0.3)
    made = network(arrays, "generator", arrays["starts"], relu)
    nearest = ((x[:, None] - made) ** 2).sum(axis=2).argmin(axis=1)
    matching = l1(features(arrays, "critic", x) - features(arrays, "critic", made[nearest]))
    expected = 0.7 * l1(x - made[nearest]) + 0.3 * matching
    np.testing.assert_allclose(energies, expected, rtol=1e-9)
    some = scored("anogan", steps=20, weight=0.3)[3]
    more = scored("anogan", steps=60, weight=0.3)[3]
    assert (more <= some).all()
    assert (some <= energies).all()
    assert (more < energies).mean() > 0.9


def test_anogan_searches_once_for_rows_that_occur_several_times():
    detector, _, _, _ = scored("anogan")
    rows = plane()[1][:5]
    repeated = detector.energy(rows[[3, 0, 0, 3, 4]])
    np.testing.assert_allclose(repeated, detector.energy(rows)[[3, 0, 0, 3, 4]], rtol=1e-8)
    with pytest.raises(ValueError, match="row 0, column 1"):
        detector.energy(np.where(np.eye(5, 8, k=1) > 0, np.nan, rows))
