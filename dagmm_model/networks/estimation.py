"""The estimation network: latent row -> membership of each component (paper 3.3, equation 4)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dagmm_model.networks.compression import layers


def membership_logits(
    xp: Any, parameters: Mapping[str, Any], z: Any, masks: list[Any] | None = None
) -> Any:
    """Logits of gamma: dense layers with tanh and dropout between them, the last one linear.

    Args:
        xp: `numpy` or `torch`.
        parameters: ``estimation.{i}.weight`` ``(S, out, in)`` and ``.bias`` ``(S, out)``.
        z: ``(S, n, L)`` latent rows.
        masks: one ``(S, n, width)`` factor for each hidden layer, 0 for a dropped unit and
            1 / (1 - rate) for a kept one; None outside training.

    Returns:
        ``(S, n, K)``.
    """
    return layers(xp, parameters, "estimation", z, masks)


def membership(xp: Any, logits: Any) -> Any:
    """Softmax over the last axis; the largest logit is taken off first."""
    shifted = xp.exp(logits - xp.amax(logits, -1)[..., None])
    return shifted / shifted.sum(-1)[..., None]
