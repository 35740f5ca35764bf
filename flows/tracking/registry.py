"""Everything that is read from or written to the model registry: versions and aliases."""

from __future__ import annotations

from mlflow.entities.model_registry import ModelVersion
from mlflow.exceptions import MlflowException
from mlflow.tracking import MlflowClient

from flows.common.errors import UsageError

PRODUCTION, CHALLENGER, PREVIOUS = "production", "challenger", "previous"
ABOUT = """Anomaly detector made by `dagmm train`; the page of a version is its model card.

| alias | version |
|---|---|
| `production` | what is served and scored with: `models:/{name}@production` |
| `previous` | what was in production before; `dagmm rollback {name}` returns to it |
| `challenger` | the newest version that was not promoted |

Move `production` with `dagmm promote {name} VERSION`, which judges first and writes every decision
into the experiment `promotions`; `dagmm history {name}` tells who moved what, when and why."""


def find_version(client: MlflowClient, name: str, version: int) -> ModelVersion:
    """A version of a registered model.

    Raises:
        UsageError: The model or the version does not exist.
    """
    try:
        return client.get_model_version(name, str(version))
    except MlflowException as error:
        if error.error_code != "RESOURCE_DOES_NOT_EXIST":
            raise
        if client.search_registered_models(f"name='{name}'"):
            numbers = sorted(int(v.version) for v in client.search_model_versions(f"name='{name}'"))
            hint = f"versions of {name}: {', '.join(map(str, numbers)) or 'none'}"
        else:
            hint = f"registered models: {known(client)}"
        raise UsageError(f"no version {version} of model {name!r}; {hint}") from None


def version_behind(client: MlflowClient, name: str, alias: str) -> int | None:
    """Version that an alias points to; None when the model or the alias does not exist."""
    try:
        return int(client.get_model_version_by_alias(name, alias).version)
    except MlflowException as error:
        if error.error_code in {"RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"}:
            return None
        raise


def register_version(
    client: MlflowClient,
    name: str,
    model_uri: str,
    model_id: str,
    run_id: str,
    tags: dict[str, str],
) -> int:
    """Register the model of a run; a run that has its version already keeps it."""
    try:
        client.create_registered_model(name, description=ABOUT.format(name=name))
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise
    existing = client.search_model_versions(f"name='{name}' and run_id='{run_id}'")
    if existing:
        return int(existing[0].version)
    created = client.create_model_version(
        name, model_uri, run_id=run_id, tags=tags, model_id=model_id
    )
    return int(created.version)


def known(client: MlflowClient) -> str:
    """Names of the registered models, for messages."""
    return ", ".join(m.name for m in client.search_registered_models()) or "none yet"
