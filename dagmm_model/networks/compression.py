"""The two networks: encoder, decoder and reconstruction features (paper 3.2), memberships (3.3).

One text for two libraries: every function takes the array namespace ``xp`` (`numpy` or `torch`),
so that scoring (NumPy, float64, no torch import) and the autograd reference run the same equations.
Every parameter has a leading axis S of independently seeded members.
"""

from collections.abc import Mapping
from typing import Any

FEATURES: dict[str, tuple[str, ...]] = {
    "paper": ("relative", "cosine"),
    "log_error": ("log_error",),
    "log_error_cosine": ("log_error", "cosine"),
}
"""Reconstruction features by the name of the setting, in the order in which they enter z."""

SQUARE_FLOOR = 1e-12
"""Floor of a squared norm: it is clamped, not the root, whose gradient at 0 is infinite."""

LOG_FLOOR = 1e-3
"""Squared error per column that is added inside the logarithm: a row that happens to be
reconstructed perfectly is no anomaly, and the feature has no heavy lower tail."""

VISIBLE = 0.1
"""Weight of a visible column's squared error where the others, of weight 1, are hidden."""


def layers_of(parameters: Mapping[str, Any], network: str) -> list[tuple[Any, Any]]:
    """Weights ``(S, out, in)`` and biases ``(S, out)`` of a network's layers."""
    depth = sum(name.startswith(f"{network}.") and name.endswith(".weight") for name in parameters)
    names = (f"{network}.{i}" for i in range(depth))
    return [(parameters[f"{name}.weight"], parameters[f"{name}.bias"]) for name in names]


def layers(
    xp: Any, parameters: Mapping[str, Any], network: str, x: Any, masks: list[Any] | None = None
) -> Any:
    """Dense layers with tanh and dropout between them, the last one linear.

    From ``(S or 1, n, in)`` to ``(S, n, out)``, by ``{network}.{i}.weight`` ``(S, out, in)`` and
    ``.bias`` ``(S, out)``. There is a mask ``(S, n, width)`` for each hidden layer, 0 for a dropped
    unit and 1 / (1 - rate) for a kept one; None for no dropout.
    """
    every = layers_of(parameters, network)
    for i, (weight, bias) in enumerate(every):
        x = xp.matmul(x, weight.swapaxes(-1, -2))
        x += bias[:, None, :]
        if i < len(every) - 1:
            x = xp.tanh(x)
            if masks is not None:
                x = x * masks[i]
    return x


def encode(xp: Any, parameters: Mapping[str, Any], x: Any) -> Any:
    """Code z_c ``(S, n, C)`` of x ``(S or 1, n, D)``, with the linear path if there is one."""
    z_c = layers(xp, parameters, "encoder", x)
    if "path.down" in parameters:
        z_c = z_c + xp.matmul(x, parameters["path.down"].swapaxes(-1, -2))
    return z_c


def decode(xp: Any, parameters: Mapping[str, Any], z_c: Any) -> Any:
    """Reconstruction ``(S, n, D)`` of a code ``(S, n, C)``, the linear path added likewise."""
    x_hat = layers(xp, parameters, "decoder", z_c)
    if "path.up" in parameters:
        x_hat = x_hat + xp.matmul(z_c, parameters["path.up"].swapaxes(-1, -2))
    return x_hat


def reconstruction_features(xp: Any, x: Any, x_hat: Any, kind: str) -> Any:
    """What the reconstruction tells beside the code: z_r (paper 3.2, equation 2).

    ``relative``: ``|x - x_hat| / |x|``; ``cosine``: ``x . x_hat / (|x| |x_hat|)``; ``log_error``:
    ``log(|x - x_hat|^2 + D LOG_FLOOR)``. A row x = 0 has its norm taken as 1 (the distance is then
    absolute, the cosine 0); x_hat = 0 gives a cosine of 0.

    Args:
        xp: `numpy` or `torch`.
        x: ``(S or 1, n, D)``.
        x_hat: ``(S, n, D)``.
        kind: a key of `FEATURES`.

    Returns:
        ``(S, n, len(FEATURES[kind]))``.
    """
    difference = x - x_hat
    dot = xp.linalg.vecdot
    error = dot(difference, difference)
    square = dot(x, x)
    square = xp.where(square > SQUARE_FLOOR, square, xp.ones_like(square))
    columns = []
    for name in FEATURES[kind]:
        if name == "relative":
            columns.append(xp.sqrt(xp.clip(error, SQUARE_FLOOR, None) / square))
        elif name == "cosine":
            square_hat = xp.clip(dot(x_hat, x_hat), SQUARE_FLOOR, None)
            # Two roots, not one of the product: the product of squares can overflow.
            columns.append(dot(x, x_hat) / (xp.sqrt(square) * xp.sqrt(square_hat)))
        else:
            columns.append(xp.log(error + LOG_FLOOR * x.shape[-1]))
    return xp.stack(columns, -1)


def compress(
    xp: Any, parameters: Mapping[str, Any], x: Any, kind: str, visible: Any = None
) -> tuple[Any, Any]:
    """Latent rows and reconstructions: z = [z_c, z_r] (paper 3.2, equations 1 to 3).

    Where some columns are hidden, the encoder sees their mean, 0, and the reconstruction of the
    others is drawn to them, so that their squared error counts `VISIBLE`.

    Args:
        xp: `numpy` or `torch`.
        parameters: all weights of the S members.
        x: ``(S or 1, n, D)`` scaled rows.
        kind: a key of `FEATURES`.
        visible: ``(S or 1, n, D)``, 1 for a column that the encoder sees and 0 for a hidden one;
            None where it sees all.

    Returns:
        z ``(S, n, L)`` and x_hat ``(S, n, D)``.
    """
    z_c = encode(xp, parameters, x if visible is None else x * visible)
    x_hat = decode(xp, parameters, z_c)
    if visible is not None:
        x_hat = x + (x_hat - x) * (1.0 - (1.0 - VISIBLE**0.5) * visible)
    z_r = reconstruction_features(xp, x, x_hat, kind)
    return xp.concatenate([z_c, z_r], -1), x_hat


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
