"""The version that scores: resolved once, its files compared with their seal, its contract."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from dagmm_model.detectors.bundle import ScoringBundle
from dagmm_model.detectors.file_format import load_bundle
from data_checks.contract.model import Contract, load_contract
from flows.common.settings import Settings

if TYPE_CHECKING:
    from mlflow.entities.model_registry import ModelVersion
    from mlflow.tracking import MlflowClient


def resolve_version(model: str, settings: Settings) -> str:
    """`models:/NAME/VERSION` of `NAME`, `NAME@ALIAS` or `NAME/VERSION`.

    Raises:
        UsageError: The address is malformed, or there is no such model, alias or version.
    """
    from flows.tracking import registry, tracking

    version = registry.find_model(tracking.connect(settings), model)
    return f"models:/{version.name}/{version.version}"


@contextmanager
def version_folder(resolved: str, settings: Settings) -> Iterator[Path]:
    """A private copy of the bundle of a registered version, compared with its seal.

    Raises:
        UsageError: There is no such version any more.
        SealBroken: Its files are not those that were registered.
    """
    from flows.tracking import registry, seal, tracking

    client = tracking.connect(settings)
    with seal.sealed_bundle(client, registry.find_model(client, resolved)) as folder:
        yield folder


def read_version(client: MlflowClient, version: ModelVersion) -> tuple[ScoringBundle, Contract]:
    """The bundle of a version, compared with its seal, and the contract of its rows.

    Raises:
        SealBroken: Its files are not those that were registered.
        BundleError, ContractError: They are, and cannot be read by this program.
    """
    from flows.tracking import seal

    with seal.sealed_bundle(client, version) as folder:
        return read_bundle(folder)


def read_bundle(folder: Path) -> tuple[ScoringBundle, Contract]:
    """A bundle, for rows checked against the contract that lies in it."""
    return load_bundle(folder).taking_new_levels(), load_contract(folder / "contract.json")
