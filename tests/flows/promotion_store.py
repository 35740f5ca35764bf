"""A registry with as many sealed versions as a test wants, without a training for each."""

from __future__ import annotations

import json
import os
import shutil
import signal
import time
from dataclasses import dataclass
from pathlib import Path

import sqlalchemy as sa
from mlflow.tracking import MlflowClient

from flows.common.policy import PromotionPolicy
from flows.common.settings import Settings
from flows.common.value_types import json_sha256
from flows.promotion import switch
from flows.promotion.promote import promote
from flows.promotion.rollback import roll_back
from flows.promotion.version import evidence
from flows.tracking import registry, seal, tracking
from tests import disk  # noqa: F401  for the processes that are forked, too

NAME = "dagmm-wdbc"
QUICK = PromotionPolicy(serving_check=False, margin=1.0, simple_margin=1.0)


@dataclass(frozen=True)
class Parts:
    """What a trained version consists of."""

    model: Path
    files: Path
    document: dict
    tags: dict[str, str]


def take_apart(client: MlflowClient, version: int, folder: Path) -> Parts:
    """Copy a trained version out of its store."""
    actual = client.get_model_version(NAME, str(version))
    text = Path(client.download_artifacts(actual.run_id, seal.EVIDENCE, str(folder)))
    files = Path(client.download_artifacts(actual.run_id, evidence.EVALUATION, str(folder)))
    model = seal.fetch(client, actual.source, folder / "model")
    return Parts(model, files, json.loads(text.read_text()), dict(actual.tags))


def register(client: MlflowClient, parts: Parts, folder: Path, **changes: object) -> int:
    """Register the parts once more, with a run, files and a seal of their own.

    Args:
        client: Registry to register in.
        parts: From `take_apart`.
        folder: Empty folder that receives the model's and the evaluation's files.
        changes: Top-level entries of the evidence to replace before sealing.
    """
    model = Path(shutil.copytree(parts.model, folder / "model"))
    experiment = tracking.experiment_id(client, Settings(), "made for a test")
    run = client.create_run(experiment, tags={"mlflow.user": "trainer"})
    client.log_artifacts(run.info.run_id, str(parts.files), evidence.EVALUATION)
    kept = {k: v for k, v in parts.document.items() if k not in SEAL}
    text, sha256 = evidence.seal(kept | changes, model, parts.files, run.info.run_id, "none")
    client.log_text(run.info.run_id, text, seal.EVIDENCE)
    tags = {k: v for k, v in parts.tags.items() if k.endswith("_sha256")}
    tags[seal.EVIDENCE_TAG] = sha256
    if "config" in changes:
        tags["dagmm.config_sha256"] = json_sha256(changes["config"])
    return registry.register_version(client, NAME, model.as_uri(), None, run.info.run_id, tags)


SEAL = {"format", "created", "run_id", "model_id", "model_sha256", "files"}


def watch_alias(uri: str) -> None:
    """Have the database itself write down every move of `production`."""
    engine = sa.create_engine(uri)
    with engine.begin() as connection:
        for statement in POSTGRES if uri.startswith("postgresql") else SQLITE:
            connection.execute(sa.text(statement))
    engine.dispose()


def alias_moves(uri: str) -> list[int]:
    """Versions that `production` was pointed to, in the database's order."""
    engine = sa.create_engine(uri)
    with engine.connect() as connection:
        rows = connection.execute(sa.text("SELECT version FROM alias_log ORDER BY id")).all()
    engine.dispose()
    return [int(version) for (version,) in rows]


SQLITE = [
    "CREATE TABLE alias_log (id INTEGER PRIMARY KEY AUTOINCREMENT, version INTEGER)",
    *(
        f"CREATE TRIGGER log_{event} AFTER {event} ON registered_model_aliases "
        "WHEN NEW.alias = 'production' "
        "BEGIN INSERT INTO alias_log (version) VALUES (NEW.version); END"
        for event in ("INSERT", "UPDATE")
    ),
]
POSTGRES = [
    "CREATE TABLE alias_log (id SERIAL PRIMARY KEY, version INTEGER)",
    "CREATE FUNCTION log_alias() RETURNS trigger AS $$ BEGIN "
    "INSERT INTO alias_log (version) VALUES (NEW.version); RETURN NEW; END $$ LANGUAGE plpgsql",
    "CREATE TRIGGER log_alias AFTER INSERT OR UPDATE ON registered_model_aliases "
    "FOR EACH ROW WHEN (NEW.alias = 'production') EXECUTE FUNCTION log_alias()",
]


def promote_until(uri: str, home: str, version: int, step: str, command: str) -> None:
    """In a process of its own: decide, and be killed with signal 9 on reaching a step."""
    settings = settings_of(uri, home)

    def reached(now: str) -> None:
        if now == step:
            os.kill(os.getpid(), signal.SIGKILL)

    switch.reached = reached
    client = tracking.connect(settings)
    if command == "promote":
        promote(client, settings, NAME, version, by="killed", policy=QUICK)
    else:
        roll_back(client, settings, NAME, version, by="killed")


def promote_when(uri: str, home: str, versions: list[int], barrier, results) -> None:
    """In a process of its own: promote one version a round, at the same time as the others."""
    settings = settings_of(uri, home)
    client = tracking.connect(settings)
    for version in versions:
        barrier.wait(300)
        started = time.perf_counter()
        try:
            record = promote(client, settings, NAME, version, by=f"p{os.getpid()}", policy=QUICK)
            results.put((version, record.decision, time.perf_counter() - started))
        except BaseException as error:
            results.put((version, f"{type(error).__name__}: {error}", 0.0))
            raise


def settings_of(uri: str, home: str) -> Settings:
    os.environ.update(MLFLOW_TRACKING_URI=uri, DAGMM_HOME=home)
    return Settings()
