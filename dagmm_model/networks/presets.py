"""The paper's four architectures, and the rules behind `recommended`."""

import tomllib
from collections.abc import Mapping
from dataclasses import replace
from importlib.resources import files
from math import isqrt
from typing import Any

from dagmm_model.base.settings import replaced, unknown
from dagmm_model.networks.settings import VIEWS, DagmmSettings

_FILE = (files("dagmm_model.networks") / "paper.toml").read_text("utf-8")

PAPER: dict[str, DagmmSettings] = {
    name: replaced(DagmmSettings(preset=name), values)
    for name, values in tomllib.loads(_FILE).items()
}
"""The paper's four experiments (section 4.3)."""

LEAST_STEPS = 1_200
"""Steps of a recommended training, to the next whole epoch."""

MANY_ROWS = 500_000
"""Rows from which on a recommended training takes batches of 1,024 instead of 256."""

STEPS = 1_500
"""Most steps of a training along the principal axes: it gains nothing (docs/results.md)."""

WIDEST = 12
"""Largest wide code: beyond it, the mixture's covariances cost more than they detect."""

PRESETS: tuple[str, ...] = ("recommended", "recommended-fast", "paper", *PAPER)


def _paper(n_features: int, n_rows: int) -> DagmmSettings:
    """The architecture of the paper's data set that is nearest in width."""
    if n_features <= 12:
        name = "paper-thyroid"
    elif n_rows < 5_000:
        name = "paper-arrhythmia"
    else:
        name = "paper-kddcup"
    return replace(PAPER[name], preset="paper")


def _recommended(n_features: int, n_rows: int) -> DagmmSettings:
    """The rule behind `recommended`: everything follows from the table's shape.

    Columns are softly clipped and standardised. The network reconstructs hidden columns from the
    others; its code is twice the square root of their number wide. It is trained for at least
    `LEAST_STEPS` steps, jointly with sixteen components (a tenth of the rows at most).
    """
    batch = max(1, min(256 if n_rows < MANY_ROWS else 1024, n_rows))
    return DagmmSettings(
        preset="recommended",
        encoder_widths=(64, 64, max(2, min(32, round(2 * n_features**0.5)))),
        estimation_widths=(16,),
        n_components=max(1, min(16, n_rows // 10)),
        dropout=0.0,
        scaling="clipped",
        reconstruction_features="log_error",
        latent_scaling="standardised",
        epochs=-(-LEAST_STEPS // -(-n_rows // batch)),
        batch_size=batch,
        learning_rate=2e-3,
        learning_rate_schedule="warmup_cosine",
        lambda_energy=0.01,
        lambda_penalty=0.0005,
        jitter=1e-2,
        refinement=20,
        overlap_weight=0.0,
        masking=0.7,
        views=VIEWS,
    )


def principal_axes_preset(n_features: int, n_rows: int) -> DagmmSettings:
    """The rule behind `recommended-fast`, and the view `axes` of others, untrained there.

    Columns are softly clipped and whitened; the code starts as their leading principal axes, about
    the square root of their number and no more than 20 rows can carry each; training goes on from
    there for at most `STEPS` steps. Sixteen components, from 10,000 rows on 32 (a tenth of the rows
    at most), are trained, and as many kept as stand apart. Four members are averaged. Where the
    rows carry a code wider by half, of all columns or `WIDEST` at most, one of the four has it.
    """
    code = max(1, min(round(n_features**0.5), n_rows // 20, n_features - 1))
    wide = min(n_features, WIDEST, isqrt(n_rows // 5))  # ten rows for each of its covariances
    wide = wide if wide >= 1.5 * code else 0
    large = n_rows >= 10_000
    batch = 1024 if large else 128
    return DagmmSettings(
        preset="recommended-fast",
        encoder_widths=(32, code),
        estimation_widths=(16,),
        n_components=max(1, min(32 if large else 16, n_rows // 10)),
        dropout=0.0,
        scaling="tempered",
        reconstruction_features="log_error",
        latent_scaling="standardised",
        members=3 if wide else 4,
        wide_code=wide,
        epochs=max(1, min(30, STEPS // -(-n_rows // batch))),
        batch_size=batch,
        learning_rate=1e-4,
        learning_rate_schedule="warmup_cosine",
        jitter=1e-3,
        linear_path="pca",
        refinement=20,
    )


def resolve(
    preset: str, n_features: int, n_rows: int, overrides: Mapping[str, Any] | None = None
) -> DagmmSettings:
    """The settings of a preset for a training matrix of that shape, with some of them replaced.

    Overrides of None are left to the preset.

    Raises:
        SettingsError: unknown preset or setting, or a value that cannot be used.
    """
    if preset == "recommended":
        settings = _recommended(n_features, n_rows)
    elif preset == "recommended-fast":
        settings = principal_axes_preset(n_features, n_rows)
    elif preset == "paper":
        settings = _paper(n_features, n_rows)
    elif preset in PAPER:
        settings = PAPER[preset]
    else:
        raise unknown("preset", preset, PRESETS)
    return replaced(settings, overrides or {})
