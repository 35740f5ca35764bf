"""A member with a wider code beside the others, in one scorer.

All members of a scorer have arrays of one shape. The narrow ones are filled up with coordinates of
the code that are always 0: no weight leads there or away, and in the mixture they are independent
of the rest and of density 1 at 0, which adds nothing to an energy. So is the error of a code as
wide as the table, which is always 0.
"""

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from dagmm_model.base.arrays import Float
from dagmm_model.mixture.mixture import VARIANCE_FLOOR, Mixture
from dagmm_model.scoring.inference import Scorer


def joined_scorer(narrow: Scorer, wide: Scorer) -> Scorer:
    """One scorer of all members, the wide ones last; its settings are the narrow ones'."""
    code, wider = (scorer.settings.encoder_widths[-1] for scorer in (narrow, wide))
    places = np.full(wider - code, code)  # before which the zeros go
    last = len(narrow.settings.encoder_widths) - 1
    axes = {
        f"encoder.{last}.weight": 1,
        f"encoder.{last}.bias": 1,
        "decoder.0.weight": 2,
        "estimation.0.weight": 2,
        "path.down": 1,
        "path.up": 2,
    }
    filled = {
        name: np.insert(value, places, 0.0, axis=axes[name]) if name in axes else value
        for name, value in narrow.parameters.items()
    }
    fitted = [_without_constants(mixture) for mixture in wide.mixtures]
    shifts = np.array([shift for _, shift in fitted])
    return Scorer(
        narrow.settings,
        {name: np.concatenate([v, wide.parameters[name]]) for name, v in filled.items()},
        np.concatenate([np.insert(narrow.latent_mean, places, 0.0, axis=1), wide.latent_mean]),
        np.concatenate([np.insert(narrow.latent_scale, places, 1.0, axis=1), wide.latent_scale]),
        (*(_filled(mixture, places) for mixture in narrow.mixtures), *(m for m, _ in fitted)),
        np.concatenate([narrow.energy_mean, wide.energy_mean + shifts]),
        np.concatenate([narrow.energy_scale, wide.energy_scale]),
    )


def own_coordinates(scorer: Scorer) -> NDArray[np.intp]:
    """The coordinates of a narrow member's latent rows that are not filled up."""
    code, width = scorer.settings.encoder_widths[-1], scorer.latent_mean.shape[1]
    features = width - scorer.double["decoder.0.weight"].shape[2]
    return np.concatenate([np.arange(code), np.arange(width - features, width)])


def own_mixtures(scorer: Scorer) -> tuple[Mixture, ...]:
    """Each member's mixture in its own coordinates."""
    if scorer.settings.wide() is None:
        return scorer.mixtures
    narrow, coordinates = scorer.reconstructing, own_coordinates(scorer)
    kept = (
        replace(m, mu=m.mu[:, coordinates], sigma=m.sigma[:, coordinates[:, None], coordinates])
        for m in scorer.mixtures[:narrow]
    )
    return (*kept, *scorer.mixtures[narrow:])


def _filled(mixture: Mixture, places: NDArray[np.intp]) -> Mixture:
    sigma = np.insert(np.insert(mixture.sigma, places, 0.0, axis=1), places, 0.0, axis=2)
    mu = np.insert(mixture.mu, places, 0.0, axis=1)
    return _settled(mixture, mu, sigma, places + np.arange(len(places)))


def _without_constants(mixture: Mixture) -> tuple[Mixture, float]:
    """The mixture without part of its coordinates that do not vary, and what energies change by."""
    constant = np.flatnonzero(mixture.spread <= VARIANCE_FLOOR)
    mu, sigma = mixture.mu.copy(), mixture.sigma.copy()
    mu[:, constant] = sigma[:, constant] = sigma[:, :, constant] = 0.0
    settled, somewhere = _settled(mixture, mu, sigma, constant), mixture.mu[:1]
    return settled, float((settled.energy(somewhere) - mixture.energy(somewhere))[0])


def _settled(mixture: Mixture, mu: Float, sigma: Float, unused: NDArray[np.intp]) -> Mixture:
    sigma[:, unused, unused] = 1.0 / (2.0 * np.pi * (1.0 + mixture.jitter))
    return replace(mixture, mu=mu, sigma=sigma)
