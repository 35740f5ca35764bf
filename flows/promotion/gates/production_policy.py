"""The policy of what is in production stands: a candidate may not be judged by a weaker one."""

import mlflow
from mlflow.tracking import MlflowClient

from flows.common.policy import PromotionPolicy, loosened
from flows.promotion.gates.gate import GateFinding, unmeasured
from flows.promotion.version.stored_version import StoredVersion
from flows.tracking import registry
from flows.tracking.seal import sealed_evidence

GATE = "policy not loosened"


def no_weaker_policy(
    client: MlflowClient, stored: StoredVersion, production: int | None
) -> GateFinding:
    """Its policy asks for no less than that of the version in production.

    Without this gate whoever trains could lower the floors for their own candidate.
    """
    if production is None:
        return unmeasured("no production model yet")
    try:
        version = registry.find_version(client, stored.version.name, production)
        policy = sealed_evidence(client, version)["config"]["promotion"]
        standing = PromotionPolicy.model_validate(policy)
    except (OSError, ValueError, KeyError, mlflow.MlflowException) as error:
        return GateFinding(False, f"that of version {production} cannot be read: {error}")
    looser = "; ".join(loosened(stored.policy, standing))
    if looser:
        return GateFinding(False, f"less is asked for than under version {production}: {looser}")
    return GateFinding(True, f"asks for no less than that of version {production}")
