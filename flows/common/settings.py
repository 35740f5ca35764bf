"""Endpoints and folders, from the environment; everything else is a flow parameter."""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal

from pydantic import AliasGenerator, Field, HttpUrl, ValidationError, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from data_checks.base.locations import default_data_dir
from flows.common.assignments import first_problem
from flows.common.errors import UsageError
from flows.common.server_address import announced_address

Engine = Literal["local", "spark"]
_DATABASES = ("sqlite", "postgresql", "mysql", "mssql")
_HOSTED = ("databricks", "databricks-uc", "uc")
OF_ENVIRONMENT = SettingsConfigDict(
    frozen=True,
    env_ignore_empty=True,
    allow_inf_nan=False,
    alias_generator=AliasGenerator(validation_alias=lambda name: f"DAGMM_{name.upper()}"),
)
"""Each field is read from the variable of its name."""
NO_SETTINGS: Mapping[str, str] = MappingProxyType({})


class Settings(BaseSettings):
    """Read once at the start of a command."""

    model_config = OF_ENVIRONMENT

    def __init__(self, **values: Any) -> None:
        """Read the environment.

        Raises:
            UsageError: A variable holds nothing of its type.
        """
        try:
            super().__init__(**values)
        except ValidationError as error:
            variable, problem, got = first_problem(error, dict)
            told = "" if "://" in str(got) else f" is {got!r}"  # an address may hold a password
            raise UsageError(f"{variable}{told}: {problem}") from None

    home: Path = Path("mlruns")
    """Folder of the embedded stores and the workspace"""
    data_dir: Path = Field(default_factory=default_data_dir)
    """Folder with the data files of the contracts; dagmm-pipeline in the user's cache folder unless
    set"""
    checkpoint_seconds: float = Field(10.0, ge=0)
    """Time between two checkpoints of a training, or two parts of a scoring run; 0 for as often as
    possible"""
    rank_timeout_seconds: float = Field(600.0, gt=0)
    """How long a rank of a training waits for the others before it takes them for dead"""
    mlflow_port: int = 5000
    """Port of the MLflow pages"""
    prefect_port: int = 4200
    """Port of the Prefect pages"""
    verdicts_port: int = 5050
    """Port of the pages on which rows are judged"""
    prefect_idle_seconds: float = Field(300.0, ge=0)
    """How long the home's Prefect server, which takes seconds to start, waits for the next command;
    0 ends it with the last"""
    spark_master: str = "local[*]"
    """Spark master of what runs with --engine spark"""
    mlflow_tracking_uri: str | None = Field(None, validation_alias="MLFLOW_TRACKING_URI")
    """MLflow's tracking server and registry; SQLite under DAGMM_HOME unless set"""
    verdicts_uri: str | None = None
    """Database of the verdicts on scored rows, SQLite or PostgreSQL; MLflow's own where
    MLFLOW_TRACKING_URI is a database, or unset"""
    notify_file: Path | None = Field(None, validation_alias="DAGMM_NOTIFY")
    """YAML file that says who is notified of what; notify.yaml in DAGMM_HOME, if it is there,
    unless set"""
    prefect_api_url: str | None = Field(None, validation_alias="PREFECT_API_URL")
    """Prefect server; one that the commands of a home share unless set"""
    prefect_ui_url: str | None = Field(None, validation_alias="PREFECT_UI_URL")
    """Where a browser finds Prefect's pages; where PREFECT_API_URL is unless set"""
    mlflow_ui_url: HttpUrl | None = None
    """Where a browser finds MLflow's pages; where MLFLOW_TRACKING_URI is unless set"""
    signing_key: Path | None = None
    """Private EC key (PEM) that signs the evidence of new versions"""
    trusted: str = Field("", validation_alias="DAGMM_TRUSTED_KEYS")
    """Public EC keys (PEM), separated by `:`; when set, only versions that one of them signed are
    used"""

    @field_validator("mlflow_tracking_uri")
    @classmethod
    def _server_or_database(cls, uri: str | None) -> str | None:
        """What MLflow cannot use for a registry ends deep in its code, or after minutes."""
        if uri is None:
            return None
        scheme, there, rest = uri.strip().partition("://")
        database = there and scheme.partition("+")[0] in _DATABASES
        server = scheme in ("http", "https") and rest.strip("/")
        if database:
            _check_driver(uri.strip())
        elif not server and scheme not in _HOSTED:
            raise ValueError(
                "give the address of an MLflow server (http://HOST:5000) or of a database "
                "(sqlite:////FOLDER/mlflow.db, postgresql+psycopg://…)"
            )
        return uri.strip()

    @property
    def trusted_keys(self) -> tuple[Path, ...]:
        """Files of the public keys that may have signed a version; none where nobody asks for it.

        Raises:
            UsageError: The variable is set and names none, as `$OLD:$NEW` of unset variables does;
                taken for unset, it would let everything through.
        """
        keys = tuple(Path(part) for part in self.trusted.split(os.pathsep) if part)
        if self.trusted and not keys:
            raise UsageError(
                f"DAGMM_TRUSTED_KEYS is {self.trusted!r} and names no key; unset it if versions "
                "need no signature"
            )
        return keys

    @property
    def tracking_uri(self) -> str:
        """Where runs and model versions are kept."""
        return self.mlflow_tracking_uri or f"sqlite:///{self.store_file}"

    @property
    def store_file(self) -> Path:
        """SQLite file of the embedded tracking store."""
        return self.home.resolve() / "mlflow.db"

    @property
    def embedded_tracking(self) -> bool:
        """Whether MLflow's stores are the files under `home`."""
        return self.mlflow_tracking_uri is None

    @property
    def verdicts_database(self) -> str | None:
        """Where verdicts are kept: beside the registry; None where only a server knows that."""
        if self.verdicts_uri is not None:
            return self.verdicts_uri
        kind = self.tracking_uri.partition("://")[0]
        return self.tracking_uri if kind.startswith(("sqlite", "postgresql")) else None

    @property
    def artifacts(self) -> Path:
        """Artifact folder of the embedded tracking store."""
        return self.home.resolve() / "artifacts"

    @property
    def workspace(self) -> Path:
        """Folder of stage outputs."""
        return self.home.resolve() / "workspace"

    def spark(self, settings: Mapping[str, str]) -> dict[str, str]:
        """Spark's settings of a run, with the master where they name none."""
        return {"spark.master": self.spark_master, **settings}

    @property
    def spark_log(self) -> Path:
        """What the last Java process of Spark said."""
        return self.workspace / "spark.log"

    @property
    def prefect_url(self) -> str:
        """Where a browser finds Prefect: the server, or what `dagmm ui` starts."""
        served = self.prefect_ui_url or self.prefect_api_url
        address = served or f"http://127.0.0.1:{self.prefect_port}"
        return address.rstrip("/").removesuffix("/api")

    @property
    def mlflow_url(self) -> str:
        """Where a browser finds MLflow: the server, or what `dagmm ui` serves now or would."""
        uri = str(self.mlflow_ui_url or self.mlflow_tracking_uri or "")
        if uri.startswith("http"):
            return uri.rstrip("/")
        return announced_address(self.mlflow_served) or f"http://127.0.0.1:{self.mlflow_port}"

    @property
    def mlflow_served(self) -> Path:
        """File in which `dagmm ui` says where it serves MLflow: the port may have been taken."""
        return self.home / "logs" / "mlflow.address"


def _check_driver(url: str) -> None:
    """Have SQLAlchemy find what it would talk to a database with.

    Raises:
        ValueError: It is not installed or not of MLflow's kind, or the address is none.
    """
    from data_checks.readers.database.sql import database_errors, parsed_url

    with database_errors(url):
        dialect = parsed_url(url).get_dialect()
        dialect.import_dbapi()
    if dialect.is_async:  # MLflow would try for minutes
        raise ValueError(f"the driver {dialect.driver} is for asynchronous programs; name another")


@contextmanager
def environment_kept(*names: str) -> Iterator[None]:
    """Have variables after the block as they were before it."""
    before = {name: os.environ.get(name) for name in names}
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def make_private(home: Path) -> None:
    """Make a home that others cannot read: models, logins and rows lie in it.

    A home that its owner shares with a group stays so.
    """
    if "?" in str(home.resolve()):  # what stands behind it in a database's address is no path
        raise UsageError(f"DAGMM_HOME {home}: name a folder without a ? in its path")
    if (home.exists() or home.is_symlink()) and not home.is_dir():
        raise UsageError(f"DAGMM_HOME {home}: not a folder; name one, or remove what lies there")
    home.mkdir(mode=0o700, parents=True, exist_ok=True)
    state = home.stat()
    if state.st_mode & 0o006 and state.st_uid == os.geteuid():
        shared = state.st_mode & 0o020
        home.chmod(state.st_mode & (0o7770 if shared else 0o7700))


def embed_services(settings: Settings) -> None:
    """Make the home, and have libraries say no more than is needed.

    Must run before MLflow is imported, because it reads the environment at import.
    """
    make_private(settings.home)
    # Git's presence is checked by our own lineage tags; MLflow's notice adds nothing.
    os.environ.setdefault("GIT_PYTHON_REFRESH", "quiet")
