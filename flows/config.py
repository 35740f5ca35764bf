"""Flow parameters: frozen models that Prefect validates and shows as forms."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from dagmm_model.detectors import CATALOGUE, entry, make_detector
from flows.errors import UsageError

Setting = bool | int | float | str | list[int] | None


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class DetectorConfig(_Frozen):
    """Which detector to train, and what differs from its preset."""

    name: str = Field(
        "dagmm",
        description="Name in the catalogue of detectors",
        json_schema_extra={"enum": list(CATALOGUE)},
    )
    preset: str = Field(
        "recommended", description="Named settings, e.g. recommended or paper-thyroid"
    )
    settings: dict[str, Setting] = Field(
        default_factory=dict, description="What differs from the preset"
    )

    @model_validator(mode="after")
    def _known(self) -> DetectorConfig:
        entry(self.name)
        if self.settings or self.preset != "recommended":  # else there is nothing to load it for
            make_detector(self.name, self.preset, **self.settings)
        if self.settings.get("epochs") == 0:
            raise ValueError("epochs=0 trains nothing; give a positive number")
        return self

    @field_validator("settings", mode="before")
    @classmethod
    def _numbers(cls, settings: Any) -> Any:
        """YAML takes 1e-4 for a word; no setting is a word that reads as a number."""
        if not isinstance(settings, dict):
            return settings
        return {name: _number(value) for name, value in settings.items()}


class SplitConfig(_Frozen):
    """How rows are divided."""

    protocol: Literal["deployment", "paper"] = Field(
        "deployment",
        description="deployment: train, validation and test. paper: half and half, with the "
        "threshold at the test rows' known anomaly ratio; for comparison only",
    )
    fractions: tuple[float, float, float] | None = Field(
        None, description="Train, validation and test shares; the contract's unless given"
    )
    group_duplicates: bool | None = Field(
        None, description="Keep identical rows on one side; the contract's unless given"
    )


class CalibrationConfig(_Frozen):
    """How the threshold is set."""

    target_rate: float = Field(
        0.05, gt=0, lt=1, description="Accepted share of false alarms among normal rows"
    )


class PromotionPolicy(_Frozen):
    """What a candidate must show before it becomes `production`."""

    promote: bool = Field(True, description="Promote when every gate passes; else only register")
    min_roc_auc: float = Field(0.6, ge=0, le=1, description="Absolute floor on the test rows")
    min_recall: float = Field(
        0.0, ge=0, le=1, description="Absolute floor of the recall at the calibrated threshold"
    )
    min_anomalies: int = Field(
        5, ge=1, description="Labelled test anomalies below which no floor is measured"
    )
    min_normals: int = Field(
        20, ge=1, description="Labelled normal test rows below which no floor is measured"
    )
    margin: float = Field(
        0.05,
        ge=0,
        le=1,
        description="How much average precision a candidate may lose against production; the "
        "lower end of the paired 90 % interval has to be within it",
    )
    simple_margin: float = Field(
        0.02,
        ge=0,
        le=1,
        description="Blocked when a simple detector is better by more than this beyond doubt",
    )
    required_slices: tuple[str, ...] = Field(
        (), description="Values of the slice column that may not get worse than in production"
    )
    max_condition: float = Field(
        1e8, gt=1, description="Largest condition number of a component's covariance"
    )
    min_effective_components: float = Field(
        1.0, ge=1, description="Fewest components that carry the mixture (exp. of its entropy)"
    )
    max_evidence_days: float = Field(90.0, gt=0, description="Oldest evaluation accepted")
    serving_check: bool = Field(
        True, description="Serve the model in a fresh process and query it before promotion"
    )
    max_latency_ms: float = Field(
        1000.0, gt=0, description="95th percentile of the time to score one row over HTTP"
    )
    max_memory_mb: float = Field(2048.0, gt=0, description="Memory of the serving process")
    serving_seconds: float = Field(
        120.0, gt=0, description="Time the model may take to be served and to answer"
    )
    approvals: int = Field(
        0, ge=0, description="People other than the requester who have to approve"
    )
    keep_promoted: int = Field(
        5, ge=2, description="Promoted versions that are marked to be kept for a rollback"
    )


class TrainConfig(_Frozen):
    """Parameters of the `train` flow."""

    dataset: str = Field(
        "wdbc", description="Name of a shipped contract, or path of a contract file"
    )
    data: str | None = Field(None, description="Table to read instead of the contract's source")
    seed: int = Field(0, ge=0, lt=2**32, description="Seed of the split and of the training")
    detector: DetectorConfig = DetectorConfig()
    split: SplitConfig = SplitConfig()
    calibration: CalibrationConfig = CalibrationConfig()
    promotion: PromotionPolicy = PromotionPolicy()
    model_name: str | None = Field(None, description="Registered name; dagmm-DATASET unless given")

    @property
    def digest(self) -> str:
        """sha256 of the canonical JSON of every parameter."""
        canonical = json.dumps(self.model_dump(mode="json"), sort_keys=True)
        return hashlib.sha256(canonical.encode()).hexdigest()


def _number(value: Any) -> Any:
    try:
        return float(value) if isinstance(value, str) else value
    except ValueError:
        return value


def build_config(
    dataset: str,
    data: str | None,
    file: Path | None,
    assignments: list[str],
    detector: str | None = None,
) -> TrainConfig:
    """Combine a configuration file, `--set key=value` assignments and the command's arguments.

    Args:
        dataset: Contract name or path; wins over the file.
        data: Table to read instead of the contract's source.
        file: YAML file with any of the fields of `TrainConfig`.
        assignments: Dotted assignments, e.g. ``detector.settings.epochs=50``; they win over all.
        detector: Name in the catalogue; wins over the file.

    Raises:
        UsageError: The file is unreadable or not a mapping, or a key or value is not valid.
    """
    values: dict[str, Any] = _read_yaml(file) if file else {}
    values["dataset"] = dataset
    if data is not None:
        values["data"] = data
    if detector is not None:
        _assign(values, ["detector", "name"], detector, f"detector.name={detector}")
    for assignment in assignments:
        key, separator, text = assignment.partition("=")
        if not separator or not key:
            raise UsageError(f"--set {assignment!r}: write it as key=value, e.g. seed=3")
        _assign(values, key.split("."), _parse(text, assignment), assignment)
    try:
        return TrainConfig.model_validate(values)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise UsageError(
            f"configuration key {where!r}: {first['msg'].removeprefix('Value error, ')} "
            f"(got {first['input']!r})" + (f"; file {file}" if file else "")
        ) from None


def _read_yaml(file: Path) -> dict[str, Any]:
    try:
        values = yaml.safe_load(file.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise UsageError(f"configuration file {file}: {error}") from None
    if not isinstance(values, dict):
        raise UsageError(f"configuration file {file}: expected a mapping of keys to values")
    return values


def _parse(text: str, assignment: str) -> Any:
    try:
        return yaml.safe_load(text)
    except yaml.YAMLError:
        raise UsageError(f"--set {assignment!r}: the value is not valid YAML") from None


def _assign(values: dict[str, Any], keys: list[str], value: Any, assignment: str) -> None:
    for key in keys[:-1]:
        values = values.setdefault(key, {})
        if not isinstance(values, dict):
            raise UsageError(f"--set {assignment!r}: {key!r} is not a group of keys")
    values[keys[-1]] = value
