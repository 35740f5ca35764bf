"""The page of a version, written after each decision among the artifacts of its run."""

import time
from collections.abc import Mapping

from mlflow.entities.model_registry import ModelVersion
from mlflow.tracking import MlflowClient

from data_checks.base.scratch import scratch_folder
from flows.common import progress
from flows.common.settings import Settings
from flows.promotion.version.stored_version import fetch_version
from flows.review.page import render_version
from flows.stages.decision import PromoteRecord
from flows.tracking import registry, seal, tracking

FOLDER, LATEST = "reports", "latest.html"
MARK = "\n\nReport: "


def write_version_report(
    client: MlflowClient,
    settings: Settings,
    record: PromoteRecord,
    pictures: Mapping[str, bytes] | None = None,
) -> str:
    """Write the page of a version after a decision; says where it is.

    The decision stands whether or not it can be written: what is in the way is noted, and the
    answer is empty, as it is where nothing was decided.

    `pictures` are figures that are drawn already, by name; the others are drawn here.
    """
    if record.rehearsal or record.decision == "unchanged":
        return ""
    try:
        version = registry.find_version(client, record.name, record.version)
        with scratch_folder() as scratch:
            stored = fetch_version(client, version, scratch)
            page = render_version(stored, record, pictures or {})
            pages = scratch / FOLDER
            pages.mkdir()
            stamp = time.strftime("%Y-%m-%dT%H-%M-%SZ", time.gmtime())
            name = f"{stamp}-{record.decision.replace(' ', '-')}.html"
            # Without gates there are no figures: the page of the last judgement stays the latest.
            for file in (name, *([LATEST] if record.gates else [])):
                (pages / file).write_text(page, encoding="utf-8")
            client.log_artifacts(version.run_id, str(pages), FOLDER)
        if record.gates:
            _link(client, version)
        return _address(client, settings, version.run_id, name)
    except Exception as error:  # the decision is made, and must not look as if it were not
        progress.note(f"no report could be written: {type(error).__name__}: {error}")
        return ""


def _link(client: MlflowClient, version: ModelVersion) -> None:
    """Have the pages of the run and of the version lead to the report."""
    run = client.get_run(version.run_id)
    page = tracking.run_path(run.info.experiment_id, version.run_id, f"{FOLDER}/{LATEST}")
    link = f"{MARK}[{FOLDER}/{LATEST}]({page})"
    notes = run.data.tags.get("mlflow.note.content", "").partition(MARK)[0]
    client.set_tag(version.run_id, "mlflow.note.content", f"{notes.rstrip()}{link}")
    card = (version.description or "").partition(MARK)[0]
    client.update_model_version(version.name, str(version.version), f"{card.rstrip()}{link}")


def _address(client: MlflowClient, settings: Settings, run_id: str, name: str) -> str:
    """The file, where the store is on this disk; else its run."""
    run = client.get_run(run_id).info
    if (folder := seal.on_this_disk(run.artifact_uri)) is not None:
        return str(folder / FOLDER / name)
    return tracking.run_url(settings, run.experiment_id, run_id, f"{FOLDER}/{name}")
