"""Starting values of the networks."""

import numpy as np
import pytest

from dagmm_model.networks.network import initialise
from dagmm_model.networks.settings import DagmmSettings

WIDTH = 50


@pytest.mark.parametrize("rule", ["glorot", "fan_in"])
def test_starting_values_fill_the_range_of_their_rule(rule):
    settings = DagmmSettings(encoder_widths=(40, 3), initial_weights=rule)
    members = initialise(settings, WIDTH, [0, 1])
    alone = initialise(settings, WIDTH, [1])
    for name, values in members.items():
        np.testing.assert_array_equal(values[1], alone[name][0])
    for layer in ("encoder.0", "decoder.1"):
        weight, bias = members[f"{layer}.weight"], members[f"{layer}.bias"]
        outputs, inputs = weight.shape[1:]
        limit = inputs**-0.5 if rule == "fan_in" else (6 / (inputs + outputs)) ** 0.5
        assert 0.98 * limit < np.abs(weight).max() <= limit
        assert weight.std() == pytest.approx(limit / 3**0.5, rel=0.05)
        if rule == "glorot":
            assert not bias.any()
        else:
            assert 0.8 * limit < np.abs(bias).max() <= limit
