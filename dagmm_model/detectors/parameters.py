"""The parameters of a DAGMM: those of the estimator, and the settings that follow from them."""

from collections.abc import Mapping, Sequence
from dataclasses import fields
from typing import Any, ClassVar, Self

import numpy as np

from dagmm_model.base.settings import refuse, unknown
from dagmm_model.detectors.fitted import FittedDagmm
from dagmm_model.engines.choice import ENGINES
from dagmm_model.networks.presets import PRESETS, resolve
from dagmm_model.networks.settings import DagmmSettings

OVERRIDES = tuple(field.name for field in fields(DagmmSettings) if field.name != "preset")
"""Parameters that replace a setting of the preset unless None."""

ANY_SHAPE = (10_000, 30)
"""Rows and columns by which settings are checked before there is a table."""

RUNTIME = ("contamination", "engine", "device")
"""Parameters that are not settings of the model."""


class DagmmParameters(FittedDagmm):
    """What `DAGMM` is made with, which describes it, and the settings that this comes to."""

    name: ClassVar[str] = "dagmm"
    presets: ClassVar[tuple[str, ...]] = PRESETS
    fixed: ClassVar[Mapping[str, Any]] = {}
    """Settings that make a variant what it is."""

    def __init__(
        self,
        *,
        preset: str = "recommended",
        encoder_widths: Sequence[int] | None = None,
        estimation_widths: Sequence[int] | None = None,
        n_components: int | None = None,
        dropout: float | None = None,
        scaling: str | None = None,
        initial_weights: str | None = None,
        reconstruction_features: str | None = None,
        latent_scaling: str | None = None,
        members: int | None = None,
        wide_code: int | None = None,
        lambda_reconstruction: float | None = None,
        lambda_energy: float | None = None,
        lambda_penalty: float | None = None,
        reconstruction_reduction: str | None = None,
        epochs: int | None = None,
        batch_size: int | None = None,
        learning_rate: float | None = None,
        learning_rate_schedule: str | None = None,
        gradient_clip: float | None = None,
        jitter: float | None = None,
        early_stopping: int | None = None,
        keep_best: bool | None = None,
        validation_fraction: float | None = None,
        evaluate_every: int | None = None,
        linear_path: str | None = None,
        refinement: int | None = None,
        overlap_weight: float | None = None,
        mixture_term: str | None = None,
        layer_epochs: int | None = None,
        autoencoder_epochs: int | None = None,
        freeze_compression: bool | None = None,
        alternating: bool | None = None,
        final_mixture: str | None = None,
        criterion: str | None = None,
        masking: float | None = None,
        views: Sequence[str] | None = None,
        contamination: float = 0.1,
        engine: str = "auto",
        device: str = "auto",
        random_state: int | np.random.RandomState | None = None,
    ) -> None:
        given = locals()
        for name in ("preset", *OVERRIDES, *RUNTIME, "random_state"):
            setattr(self, name, given[name])  # under their names, as scikit-learn wants them

    @classmethod
    def configure(cls, preset: str, seed: int, settings: Mapping[str, Any]) -> Self:
        """An unfitted detector, see `dagmm_model.detectors.interface.Detector.configure`."""
        if preset not in cls.presets:
            raise unknown(f"preset of {cls.name}", preset, cls.presets)
        free = [name for name in (*OVERRIDES, *RUNTIME) if name not in cls.fixed]
        for name in settings:
            if name in cls.fixed:
                refuse(name, settings[name], f"another detector: it is what makes {cls.name}")
            if name not in free:
                raise unknown("setting", name, free)
        if settings.get("engine", "auto") not in ENGINES:
            refuse("engine", settings["engine"], f"one of {', '.join(ENGINES)}")
        detector = cls(preset=preset, random_state=seed, **settings)
        detector.settings_for(*ANY_SHAPE)  # refuses what no table could be fitted with
        return detector

    def settings_for(self, n_rows: int, n_columns: int) -> DagmmSettings:
        """The settings that a fit on a table of this shape would have.

        Raises:
            SettingsError: unknown preset, or a value that cannot be used.
        """
        overrides = {name: getattr(self, name) for name in OVERRIDES}
        given = {name: value for name, value in overrides.items() if value is not None}
        preset, changes = self.variant()
        return resolve(preset, n_columns, n_rows, {**changes, **given, **self.fixed})

    def variant(self) -> tuple[str, Mapping[str, Any]]:
        """A preset of `PRESETS`, and what a variant changes in it where the caller does not."""
        return self.preset, {}
