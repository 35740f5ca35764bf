"""Flow parameters: frozen models that Prefect validates and shows as forms."""

import re
from pathlib import Path
from typing import Any, Literal, Self

import yaml
from pydantic import Field, ValidationError, field_validator, model_validator

from dagmm_model.detectors.catalogue import CATALOGUE, entry, make_detector
from data_checks.contract.model import Contract
from flows.common.assignments import dotted_keys, first_problem, parse_assignment
from flows.common.errors import UsageError
from flows.common.policy import PromotionPolicy
from flows.common.value_types import Parameters, json_sha256

AUTO = "auto"
"""In place of a detector's name: the data decide (`flows.pipeline.choose`)."""

_MODEL_NAME = re.compile(r"\w(?:[\w .-]{0,198}\w)?")
Setting = bool | int | float | str | list[int] | None


class DetectorConfig(Parameters):
    """Which detector to train, and what differs from its preset."""

    name: str = Field("dagmm", json_schema_extra={"enum": [*CATALOGUE, AUTO]})
    """Name in the catalogue of detectors; auto: the best of the quick ones on labelled rows outside
    the test, dagmm where there are none"""
    preset: str = "recommended"
    """Named settings, e.g. recommended or paper-thyroid"""
    settings: dict[str, Setting] = Field(default_factory=dict)
    """What differs from the preset"""

    @model_validator(mode="after")
    def _known(self) -> Self:
        if self.name == AUTO:
            if self.settings or self.preset != "recommended":
                raise ValueError("auto chooses among recommended presets; give no preset, settings")
            return self
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


class SplitConfig(Parameters):
    """How rows are divided."""

    protocol: Literal["deployment", "paper"] = "deployment"
    """deployment: train, validation and test. paper: half and half, with the threshold at the test
    rows' known anomaly ratio; for comparison only"""
    fractions: tuple[float, float, float] | None = None
    """Train, validation and test shares; the contract's unless given"""
    group_duplicates: bool | None = None
    """Keep identical rows on one side; the contract's unless given"""


class FitConfig(Parameters):
    """How the training rows reach the detector."""

    streaming: bool = False
    """Read the training rows from Parquet window by window instead of into memory; for DAGMM
    detectors"""
    buffer_rows: int = Field(131_072, ge=1024)
    """Rows of a window, which are shuffled together"""


class CalibrationConfig(Parameters):
    """How the threshold is set."""

    target_rate: float = Field(0.05, gt=0, lt=1)
    """Accepted share of false alarms among normal rows"""
    rows_per_day: int | None = Field(None, ge=1)
    """Rows that come in a day: reports then tell the false alarms of a day, else of 1,000 rows"""


class TrainConfig(Parameters):
    """Parameters of the `train` flow."""

    dataset: str = "wdbc"
    """Name of a shipped contract, or path of a contract file"""
    data: str | None = None
    """Table to read instead of the contract's source"""
    seed: int = Field(0, ge=0, lt=2**32)
    """Seed of the split and of the training"""
    detector: DetectorConfig = DetectorConfig()
    split: SplitConfig = SplitConfig()
    fit: FitConfig = FitConfig()
    calibration: CalibrationConfig = CalibrationConfig()
    promotion: PromotionPolicy = PromotionPolicy()
    model_name: str | None = None
    """Registered name; dagmm-DATASET unless given"""

    @field_validator("model_name")
    @classmethod
    def _registrable(cls, name: str | None) -> str | None:
        """MLflow would refuse it after the whole training, and commands read `NAME@alias`."""
        if name is not None and not _MODEL_NAME.fullmatch(name):
            raise ValueError(
                "give up to 200 letters, digits, '_', '-', '.' and blanks, with a letter, digit or "
                "'_' at both ends"
            )
        return name

    @model_validator(mode="after")
    def _streams(self) -> Self:
        if self.fit.streaming and not is_dagmm(self.detector.name):
            raise ValueError(
                f"detector {self.detector.name!r} needs all rows in memory: leave fit.streaming "
                "out, or train 'dagmm'"
            )
        return self

    @property
    def digest(self) -> str:
        """sha256 of the canonical JSON of every parameter."""
        return json_sha256(self.model_dump(mode="json"))


def is_dagmm(name: str) -> bool:
    """Whether a detector is a DAGMM, which ranks can share and rows can be streamed to."""
    from dagmm_model.detectors.dagmm import DAGMM

    return name != AUTO and issubclass(entry(name).load(), DAGMM)


def keeps_duplicates_together(config: TrainConfig, contract: Contract) -> bool:
    """Whether identical rows stay on one side of the split."""
    chosen = config.split.group_duplicates
    return contract.split.group_duplicates if chosen is None else chosen


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

    The arguments win over the file, which may have any of the fields of `TrainConfig`; dotted
    assignments (``detector.settings.epochs=50``) win over all.

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
        key, value = parse_assignment(assignment, "seed=3")
        _assign(values, key.split("."), value, assignment)
    try:
        return TrainConfig.model_validate(values)
    except ValidationError as error:
        where, problem, got = first_problem(error, lambda: _keys(values))
        raise UsageError(
            f"configuration key {where!r}: {problem} (got {got!r})"
            + (f"; file {file}" if file else "")
        ) from None


def _keys(values: dict[str, Any]) -> dict[str, str]:
    """Every dotted key of a configuration with these values, settings of its detector included."""
    chosen = values.get("detector")
    name = chosen.get("name", "dagmm") if isinstance(chosen, dict) else "dagmm"
    known = isinstance(name, str) and name in CATALOGUE
    settings = vars(make_detector(name).settings_for(1_000, 10)) if known else {}
    return dotted_keys(TrainConfig) | {f"detector.settings.{name}": "" for name in settings}


def _read_yaml(file: Path) -> dict[str, Any]:
    try:
        values = yaml.safe_load(file.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError, yaml.YAMLError) as error:
        raise UsageError(f"configuration file {file}: {error}") from None
    if not isinstance(values, dict):
        raise UsageError(f"configuration file {file}: expected a mapping of keys to values")
    return values


def _assign(values: dict[str, Any], keys: list[str], value: Any, assignment: str) -> None:
    for key in keys[:-1]:
        values = values.setdefault(key, {})
        if not isinstance(values, dict):
            raise UsageError(f"--set {assignment!r}: {key!r} is not a group of keys")
    values[keys[-1]] = value
