"""A version of the registry, fetched, compared with its seal and seen to answer as recorded."""

import numpy as np
from mlflow.entities.model_registry import ModelVersion
from mlflow.tracking import MlflowClient

from flows.api.model import ServedModel
from flows.promotion.version.canary import canary_columns, sealed_canary
from flows.scoring.version import read_bundle
from flows.tracking import seal


def load_verified(client: MlflowClient, version: ModelVersion) -> ServedModel:
    """Fetch a version, compare it with its seal, load it and replay its canary rows.

    Raises:
        SealBroken: Its files are not those that were registered.
        BundleError, ContractError: They are, and cannot be read by this program.
        NotAsRecorded: The canary rows get other energies than at training.
    """
    canary = sealed_canary(client, version)
    with seal.sealed_bundle(client, version) as folder:
        bundle, contract = read_bundle(folder)
    bundle.warm_up()
    served = ServedModel(
        name=version.name,
        number=int(version.version),
        created=version.creation_timestamp / 1000,
        detector=version.tags.get("dagmm.detector", ""),
        sealed=version.tags.get(seal.EVIDENCE_TAG, ""),
        bundle=bundle,
        contract=contract,
        canary=canary_columns(canary),
        recorded=np.array(canary["energy"], dtype=np.float64),
    )
    served.replay()
    return served
