"""Which settings are searched, and where: a few that matter, of whatever detector has them."""

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)

from dagmm_model.detectors.catalogue import entry, make_detector
from flows.common.errors import UsageError

SPACE: Mapping[str, BaseDistribution] = {
    "learning_rate": FloatDistribution(1e-4, 1e-2, log=True),
    "epochs": IntDistribution(10, 300, log=True),
    "batch_size": CategoricalDistribution((64, 128, 256, 512)),
    "scaling": CategoricalDistribution(("minmax", "standard", "robust")),
    "dropout": FloatDistribution(0.0, 0.5),
    "n_components": IntDistribution(1, 32, log=True),
    "lambda_energy": FloatDistribution(1e-3, 1.0, log=True),
    "lambda_penalty": FloatDistribution(1e-6, 1e-1, log=True),
    "neighbours": IntDistribution(1, 50, log=True),
    "components": IntDistribution(1, 32, log=True),
    "clusters": IntDistribution(2, 32, log=True),
    "trees": IntDistribution(50, 500, log=True),
    "nu": FloatDistribution(1e-3, 0.5, log=True),
    "noise": FloatDistribution(0.05, 1.0, log=True),
    "weight_decay": FloatDistribution(1e-7, 1e-2, log=True),
}
"""By the setting's name. What a detector's settings do not have is left out, as is what makes a
variant what it is."""


def space_of(name: str, preset: str) -> dict[str, BaseDistribution]:
    """The part of `SPACE` that a detector has.

    Raises:
        UsageError: It has none of these settings.
    """
    fixed: Mapping[str, Any] = getattr(entry(name).load(), "fixed", {})
    settings = asdict(make_detector(name, preset).settings_for(1_000, 10))
    space = {
        setting: where
        for setting, where in SPACE.items()
        if setting in settings and setting not in fixed
    }
    if not space:
        raise UsageError(f"detector {name!r} has no setting to tune; known are {', '.join(SPACE)}")
    return space
