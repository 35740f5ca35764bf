"""Everything that is read from or written to the model registry: versions and aliases."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

from flows.common.errors import UsageError
from flows.tracking.queries import equals, pages

if TYPE_CHECKING:
    from mlflow.entities.model_registry import ModelVersion
    from mlflow.tracking import MlflowClient

ABSENT = ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE")
"""What MLflow says about a name that does not exist, or that no model could have."""
PRODUCTION, CHALLENGER, PREVIOUS = "production", "challenger", "previous"
ABOUT = """Scored and served as `models:/{name}@production`; `dagmm rollback {name}` returns to \
`previous`, `challenger` is the newest version that was not promoted. \
`dagmm promote {name} VERSION` judges before it moves anything, and `dagmm history {name}` tells \
who moved what, when and why."""


def find_version(client: MlflowClient, name: str, version: int) -> ModelVersion:
    """A version of a registered model.

    Raises:
        UsageError: The model or the version does not exist.
    """
    if (there := version_or_none(client, name, version)) is not None:
        return there
    hint = f"registered models: {known_names(client)}"
    if is_registered(client, name):
        numbers = sorted(int(each.version) for each in versions(client, name))
        hint = f"versions of {name}: {', '.join(map(str, numbers)) or 'none'}"
    raise UsageError(f"no version {version} of model {name!r}; {hint}")


def find_model(client: MlflowClient, reference: str) -> ModelVersion:
    """The version that `NAME`, `NAME@alias` or `NAME/VERSION` stands for; `models:/` may precede.

    A name alone is the version in production.

    Raises:
        UsageError: The reference is malformed, or there is no such model, alias or version.
    """
    address = reference.removeprefix("models:/")
    name, mark, rest = re.fullmatch(r"([^@/]*)([@/]?)(.*)", address, re.DOTALL).groups()
    if mark == "/" and rest.isascii() and rest.isdigit() and name:
        return find_version(client, name, int(rest))
    alias = rest if mark == "@" else PRODUCTION
    if mark == "/" or not name or not alias:
        raise UsageError(f"model {reference!r}: write NAME, NAME@{PRODUCTION} or NAME/3")
    number = version_behind(client, name, alias)
    if number is None:
        if not is_registered(client, name):
            raise UsageError(
                f"no registered model {name!r}; registered models: {known_names(client)}"
            )
        remedy = f"`dagmm models {name}` lists versions and aliases"
        if alias == PRODUCTION:
            remedy = f"promote one with `dagmm promote {name} VERSION`, or train one"
        raise UsageError(f"no version of {name!r} has the alias {alias!r}; {remedy}")
    return find_version(client, name, number)


def name_of(reference: str) -> str:
    """The registered model of `NAME`, `NAME@alias` or `NAME/VERSION`."""
    return re.split("[@/]", reference.removeprefix("models:/"))[0]


def sibling(name: str, which: str) -> str:
    """The reference to another version of a model, which is named by its alias or number."""
    plain = which.removeprefix("@")
    return f"{name}/{plain}" if plain.isascii() and plain.isdigit() else f"{name}@{plain}"


def version_or_none(client: MlflowClient, name: str, version: int) -> ModelVersion | None:
    """A version of a registered model; None when it was deleted."""
    try:
        return client.get_model_version(name, str(version))
    except Exception as error:
        _pass_over(error, "RESOURCE_DOES_NOT_EXIST")
        return None


def version_behind(client: MlflowClient, name: str, alias: str) -> int | None:
    """Version that an alias points to; None when the model or the alias does not exist."""
    try:
        return int(client.get_model_version_by_alias(name, alias).version)
    except Exception as error:
        _pass_over(error, *ABSENT)
        return None


def register_version(
    client: MlflowClient,
    name: str,
    model_uri: str,
    model_id: str | None,
    run_id: str,
    tags: dict[str, str],
) -> int:
    """Register the model of a run; a run that has its version already keeps it."""
    try:
        client.create_registered_model(name, description=ABOUT.format(name=name))
    except Exception as error:
        _pass_over(error, "RESOURCE_ALREADY_EXISTS")
    if (existing := version_of_run(client, name, run_id)) is not None:
        return int(existing.version)
    created = client.create_model_version(
        name, model_uri, run_id=run_id, tags=tags, model_id=model_id
    )
    if model_id is not None:  # as MLflow's server does it: the pages of run and model lead here
        link = json.dumps([{"name": name, "version": int(created.version)}])
        client.set_logged_model_tags(model_id, {"mlflow.modelVersions": link})
    return int(created.version)


def version_of_run(client: MlflowClient, name: str, run_id: str) -> ModelVersion | None:
    """The version that a run was registered as; None when it was not."""
    of_run = client.search_model_versions(f"{equals('name', name)} and {equals('run_id', run_id)}")
    return find_version(client, name, int(of_run[0].version)) if of_run else None


def is_registered(client: MlflowClient, name: str) -> bool:
    """Whether there is a registered model of that name."""
    try:
        client.get_registered_model(name)
    except Exception as error:
        _pass_over(error, *ABSENT)
        return False
    return True


def names(client: MlflowClient) -> list[str]:
    """Names of all registered models."""
    return [model.name for model in pages(client.search_registered_models)]


def versions(client: MlflowClient, name: str) -> list[ModelVersion]:
    """All versions of a model, the newest first; aliases are not filled in."""
    listed = pages(client.search_model_versions, filter_string=equals("name", name))
    return sorted(listed, key=lambda version: -int(version.version))


def _pass_over(error: Exception, *codes: str) -> None:
    """Raise an error of MLflow's again, unless it has one of these codes.

    Importing the class of these errors would cost two seconds where the registry is only read.
    """
    if getattr(error, "error_code", "") not in codes:
        raise error


def known_names(client: MlflowClient) -> str:
    """Names of the registered models, for messages."""
    return ", ".join(names(client)) or "none yet"
