"""The team set-up's addresses and secrets: from the environment, never a default password.

On loopback a secret that is not given is generated and kept in a file that only its owner reads.
Beyond loopback every secret has to be given, so that nobody exposes one without having chosen it.
"""

import ipaddress
import os
import secrets
from pathlib import Path

from pydantic import Field
from pydantic_settings import BaseSettings

from flows.common.errors import UsageError
from flows.common.settings import OF_ENVIRONMENT, Settings
from flows.services.team.postgres import Postgres

SECRETS = {
    "POSTGRES_PASSWORD": "{}",
    "MLFLOW_AUTH_ADMIN_PASSWORD": "{}",
    "MLFLOW_FLASK_SERVER_SECRET_KEY": "{}",
    "PREFECT_SERVER_API_AUTH_STRING": "dagmm:{}",
}
"""The secrets by the names that the servers themselves use, and the form of each."""
KNOWN_DEFAULTS = ("password", "postgres", "changeme", "change-me", "secret", "admin", "prefect")
MIN_LENGTH = 12
MLFLOW, MLFLOW_AUTH, PREFECT = "mlflow", "mlflow_auth", "prefect"
DATABASES = (MLFLOW, MLFLOW_AUTH, PREFECT)


class TeamSettings(BaseSettings):
    """Read once at the start of a command."""

    model_config = OF_ENVIRONMENT

    home: Path = Field(
        default_factory=lambda: Settings().home / "services", validation_alias="DAGMM_SERVICES_HOME"
    )
    """Folder of databases, artifacts, logs and generated secrets; services under DAGMM_HOME unless
    set"""
    host: str = Field("127.0.0.1", validation_alias="DAGMM_SERVICES_HOST")
    """Interface of MLflow and Prefect; PostgreSQL stays on loopback"""
    mlflow_port: int = 5000
    """Port of MLflow"""
    prefect_port: int = 4200
    """Port of Prefect"""
    postgres_port: int = 5433
    """Port of PostgreSQL"""
    mlflow_workers: int = Field(2, ge=1)
    """Processes that answer MLflow's requests"""
    admin: str = Field("admin", validation_alias="MLFLOW_AUTH_ADMIN_USERNAME")
    """Name of MLflow's first user"""
    pool: str = Field("dagmm", validation_alias="DAGMM_WORK_POOL")
    """Work pool of the worker"""

    @property
    def folder(self) -> Path:
        """`home` as an absolute path."""
        return self.home.resolve()

    @property
    def artifacts(self) -> Path:
        """Where MLflow keeps what clients upload through it."""
        return self.folder / "artifacts"

    @property
    def mlflow_url(self) -> str:
        """Address for clients on this machine."""
        return f"http://{self._near}:{self.mlflow_port}"

    @property
    def prefect_api_url(self) -> str:
        """Address for clients on this machine."""
        return f"http://{self._near}:{self.prefect_port}/api"

    @property
    def _near(self) -> str:
        return "127.0.0.1" if self.host in {"0.0.0.0", "::"} else self.host  # noqa: S104

    def postgres(self, secret: dict[str, str]) -> Postgres:
        """The database server."""
        return Postgres(self.folder / "postgres", self.postgres_port, secret["POSTGRES_PASSWORD"])

    def client_environment(self, secret: dict[str, str]) -> dict[str, str]:
        """What a client of the servers has in its environment."""
        return {
            "MLFLOW_TRACKING_URI": self.mlflow_url,
            "MLFLOW_TRACKING_USERNAME": self.admin,
            "MLFLOW_TRACKING_PASSWORD": secret["MLFLOW_AUTH_ADMIN_PASSWORD"],
            "PREFECT_API_URL": self.prefect_api_url,
            "PREFECT_API_AUTH_STRING": secret["PREFECT_SERVER_API_AUTH_STRING"],
            # Verdicts lie beside MLflow's tables, which its server does not pass on.
            "DAGMM_VERDICTS_URI": self.postgres(secret).uri("psycopg", MLFLOW),
            "PGPASSWORD": secret["POSTGRES_PASSWORD"],
        }


def read_secrets(team: TeamSettings) -> dict[str, str]:
    """The secrets: from the environment, else, on loopback only, generated once and kept.

    Raises:
        UsageError: Beyond loopback, and a secret is absent, short or a known default.
    """
    given = {name: os.environ[name] for name in SECRETS if os.environ.get(name)}
    if not _is_loopback(team.host):
        _refuse_weak(team.host, given)
        return given
    file = team.folder / "secrets.env"
    kept = dict(line.split("=", 1) for line in file.read_text().split()) if file.exists() else {}
    missing = set(SECRETS) - set(given) - set(kept)
    if missing:
        new = {name: SECRETS[name].format(secrets.token_urlsafe(24)) for name in sorted(missing)}
        kept |= new
        file.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        with os.fdopen(descriptor, "a", encoding="utf-8") as stream:
            stream.writelines(f"{name}={value}\n" for name, value in new.items())
    return kept | given


def _is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _refuse_weak(host: str, given: dict[str, str]) -> None:
    faults = [f"{name} is not set" for name in SECRETS if name not in given]
    for name, value in given.items():
        password = value.partition(":")[2] if name == "PREFECT_SERVER_API_AUTH_STRING" else value
        if len(password) < MIN_LENGTH:
            faults.append(f"{name} is shorter than {MIN_LENGTH} characters")
        elif password.rstrip("0123456789").lower() in KNOWN_DEFAULTS:
            faults.append(f"{name} is a known default")
    if faults:
        raise UsageError(
            f"{host} is reachable from other machines, so every secret has to be chosen: "
            f"{'; '.join(faults)}. Set them in the environment, e.g. from "
            'python -c "import secrets; print(secrets.token_urlsafe(24))" '
            "(PREFECT_SERVER_API_AUTH_STRING is USER:PASSWORD), or use 127.0.0.1"
        )
