"""The version that scores: resolved once, its files compared with their seal, its contract."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from dagmm_model.detectors.bundle import ScoringBundle, load_bundle
from data_checks.contract.model import Contract, load_contract
from flows.common.settings import Settings


def resolve(model: str, settings: Settings) -> str:
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


def read_bundle(folder: Path) -> tuple[ScoringBundle, Contract]:
    """A bundle, for rows checked against the contract that lies in it."""
    return load_bundle(folder).taking_new_levels(), load_contract(folder / "contract.json")
