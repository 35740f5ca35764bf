"""The embedded store, read without MLflow, whose import and store take three seconds to open.

`HomeReader` has the methods of MLflow's client that `dagmm models` and `dagmm history` use, with
the same names and answers, over the tables of the MLflow version that pyproject.toml pins. It
cannot write. A tracking server is read by MLflow's client.
"""

import sqlite3
from collections.abc import Iterator, Sequence
from types import SimpleNamespace
from typing import Any
from urllib.parse import quote

from flows.common.errors import ServiceUnreachable, message_of
from flows.common.settings import Settings
from flows.tracking import pages
from flows.tracking.home.opening import without_tables
from flows.tracking.queries import condition

SCHEMA = "dc11669786a5"
"""Revision of MLflow's tables that is read here; a store of another one is MLflow's to read."""


class NotThere(LookupError):
    """There is no such model, version or alias; said as MLflow's exception says it."""

    error_code = "RESOURCE_DOES_NOT_EXIST"


class Page(list[Any]):
    """Everything that a search finds: there is no second page."""

    token = None


def links(settings: Settings, address: str) -> Iterator[str]:
    """Where each experiment's and each model's page is in MLflow."""
    home = HomeReader(settings)
    for name, number in home.experiments():
        if name != "Default" and not name.startswith("promotions of "):  # those hold leases
            yield f"runs of {name}: {address}{pages.page_address(number)}"
    for model in home.search_registered_models():
        page = f"/#/models/{quote(model.name)}?workflowType=machine_learning"
        yield f"model {model.name}: {address}{page}"


class HomeReader:
    """MLflow's tables in the SQLite file of a home, opened read-only for each question."""

    def __init__(self, settings: Settings) -> None:
        self._file = settings.store_file

    @property
    def schema(self) -> str | None:
        """Revision of the tables; None where there are none yet."""
        rows = self._rows("SELECT version_num FROM alembic_version")
        return str(rows[0][0]) if rows else None

    def search_registered_models(self, page_token: str | None = None) -> Page:
        """All registered models by name."""
        names = self._rows("SELECT name FROM registered_models ORDER BY name")
        return Page(SimpleNamespace(name=name) for (name,) in names)

    def get_registered_model(self, name: str) -> SimpleNamespace:
        """A model with its tags and aliases.

        Raises:
            NotThere: There is none of that name.
        """
        if not self._rows("SELECT 1 FROM registered_models WHERE name = ?", name):
            raise NotThere(f"no registered model {name!r}")
        tags = self._rows("SELECT key, value FROM registered_model_tags WHERE name = ?", name)
        aliases = self._rows(
            "SELECT alias, version FROM registered_model_aliases WHERE name = ?", name
        )
        return SimpleNamespace(
            name=name, tags=dict(tags), aliases={alias: str(v) for alias, v in aliases}
        )

    def get_model_version_by_alias(self, name: str, alias: str) -> SimpleNamespace:
        """Number of the version behind an alias.

        Raises:
            NotThere: There is no such model or alias.
        """
        version = self.get_registered_model(name).aliases.get(alias)
        if version is None:
            raise NotThere(f"no version of {name!r} has the alias {alias!r}")
        return SimpleNamespace(name=name, version=version)

    def search_model_versions(self, filter_string: str, page_token: str | None = None) -> Page:
        """Versions of the model that a filter names; aliases are not filled in."""
        name = condition(filter_string, "name")
        tags: dict[int, dict[str, str]] = {}
        for version, key, value in self._rows(
            "SELECT version, key, value FROM model_version_tags WHERE name = ?", name
        ):
            tags.setdefault(version, {})[key] = value
        rows = self._rows(
            "SELECT version, run_id, creation_time FROM model_versions "
            "WHERE name = ? AND current_stage != 'Deleted_Internal'",
            name,
        )
        return Page(
            SimpleNamespace(
                name=name,
                version=str(version),
                run_id=run_id,
                creation_timestamp=created,
                tags=tags.get(version, {}),
            )
            for version, run_id, created in rows
        )

    def experiments(self) -> list[tuple[str, str]]:
        """Name and id of each experiment that is there, in the order in which they were made."""
        rows = self._rows(
            "SELECT name, experiment_id FROM experiments WHERE lifecycle_stage = 'active' "
            "ORDER BY experiment_id"
        )
        return [(name, str(number)) for name, number in rows]

    def get_experiment_by_name(self, name: str) -> SimpleNamespace | None:
        """An experiment's id; None where there is none of that name."""
        rows = self._rows("SELECT experiment_id FROM experiments WHERE name = ?", name)
        return SimpleNamespace(experiment_id=str(rows[0][0])) if rows else None

    def search_runs(
        self, experiment_ids: Sequence[str], filter_string: str, **_order: object
    ) -> Page:
        """Runs of an experiment that have the tag of a filter, oldest first."""
        (experiment,) = experiment_ids
        value = condition(filter_string, "tags.`dagmm.model`")
        rows = self._rows(
            "SELECT r.run_uuid, r.start_time, r.status FROM runs r JOIN tags t USING (run_uuid) "
            "WHERE r.experiment_id = ? AND r.lifecycle_stage = 'active' "
            "AND t.key = 'dagmm.model' AND t.value = ? ORDER BY r.start_time, r.run_uuid",
            int(experiment),
            value,
        )
        return Page(
            SimpleNamespace(
                info=SimpleNamespace(run_id=run_id, start_time=started, status=status),
                data=SimpleNamespace(tags=self._tags(run_id)),
            )
            for run_id, started, status in rows
        )

    def get_run(self, run_id: str) -> SimpleNamespace:
        """The last values of a run's metrics, and its tags."""
        rows = self._of_run("key, value, is_nan", "latest_metrics", run_id)
        metrics = {key: float("nan") if nan else value for key, value, nan in rows}
        return SimpleNamespace(data=SimpleNamespace(metrics=metrics, tags=self._tags(run_id)))

    def _tags(self, run_id: str) -> dict[str, str]:
        return dict(self._of_run("key, value", "tags", run_id))

    def _of_run(self, columns: str, table: str, run_id: str) -> list[tuple[Any, ...]]:
        return self._rows(f"SELECT {columns} FROM {table} WHERE run_uuid = ?", run_id)  # noqa: S608

    def _rows(self, query: str, *values: object) -> list[tuple[Any, ...]]:
        if not self._file.exists():  # nothing was ever trained here
            return []
        try:
            store = sqlite3.connect(f"{self._file.as_uri()}?mode=ro", uri=True, timeout=20)
            try:
                return store.execute(query, values).fetchall()
            finally:
                store.close()
        except sqlite3.Error as error:
            if "no such table" in str(error):
                raise without_tables(self._file) from error
            raise ServiceUnreachable(message_of(error)) from error
