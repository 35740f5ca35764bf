"""What lets a hypersphere collapse is not there, and a collapse is no silent one."""

import numpy as np
import pytest
import torch

from dagmm_model.detectors.baselines.deep import deepsvdd
from dagmm_model.detectors.catalogue import make_detector
from tests.dagmm_model.detectors.baselines.tables import plane, quick


@pytest.fixture(scope="module")
def detector():
    return make_detector("deep-svdd", seed=1, **quick("deep-svdd")).fit(plane()[0])


def test_nothing_in_the_network_can_be_a_constant(detector):
    arrays = detector.state()[1]
    assert not [name for name in arrays if "bias" in name]
    encoder = deepsvdd.Sphere((4, 3, 2)).encoder
    assert {type(layer) for layer in encoder} == {torch.nn.Linear, torch.nn.LeakyReLU}
    assert isinstance(encoder[-1], torch.nn.Linear)
    assert np.abs(arrays["centre"]).min() >= deepsvdd.NEAREST - 1e-6
    # The row of all means is 0 after scaling, and can only be mapped to 0, which is not the centre.
    middle = detector.energy(arrays["scaler.centre"][None])
    assert middle == pytest.approx(float((arrays["centre"].astype(float) ** 2).sum()))


def test_the_spread_of_the_outputs_is_recorded_and_they_stay_apart(detector):
    spreads = [record.terms["spread"] for record in detector.history_]
    assert spreads[0] > spreads[-1] > deepsvdd.COLLAPSED
    energies = detector.energy(plane()[0])
    assert len(np.unique(energies)) == len(energies)


def test_a_collapse_is_an_error_with_its_remedy(monkeypatch):
    # Toward a centre at 0 nothing holds the weights.
    monkeypatch.setattr(
        deepsvdd.Sphere, "distances", lambda networks, outputs: outputs.square().sum(1)
    )
    settings = quick("deep-svdd", epochs=400, learning_rate=1e-2, weight_decay=1.0)
    with pytest.raises(deepsvdd.HypersphereCollapse, match="lower epochs, learning_rate"):
        make_detector("deep-svdd", seed=1, **settings).fit(plane()[0])


def test_rows_that_are_all_equal_are_no_collapse_of_ours():
    rows = np.ones((20, 3))
    fitted = make_detector("deep-svdd", **quick("deep-svdd", epochs=2)).fit(rows)
    assert np.isfinite(fitted.energy(rows)).all()
