"""One check of a production model: window in, verdict out, figures and page to the tracking server.

All checks of a model go to one MLflow run, a step each, so that they can be plotted over time.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from mlflow.entities import Metric
from mlflow.entities.model_registry import ModelVersion
from mlflow.tracking import MlflowClient

from data_checks.base.scratch import scratch_folder
from data_checks.drift import DriftReference
from flows.common.errors import UsageError
from flows.common.markdown import inert, items
from flows.common.readable import minute
from flows.common.settings import Settings
from flows.common.value_types import plain
from flows.drift.comparison import DriftReport, MonitorPolicy, judge_window
from flows.drift.page import History, render_page
from flows.drift.window import read_scored, read_window
from flows.notify.event import Event
from flows.notify.tell import tell
from flows.promotion.version import evidence as bound
from flows.promotion.version.stored_version import sealed_file
from flows.scoring.version import read_version
from flows.tracking import registry, tracking
from flows.tracking.ending import opened
from flows.tracking.names import tracking_name
from flows.tracking.queries import equals

EXPERIMENT = "monitoring"
RUN_TAG = "dagmm.monitored"
PAGE = "latest.html"
REASONS = 3
"""Of a drift, that are told."""


@dataclass(frozen=True)
class Checked:
    """A check that was written down.

    Attributes:
        run_id: MLflow run of all checks of the model.
        run_url: Its page.
        page: The report's address in the run, ``artifacts`` path.
        step: Number of the check.
        page_url: The report's page in MLflow.
    """

    report: DriftReport
    run_id: str
    run_url: str
    page: str
    step: int
    page_url: str

    def text(self) -> str:
        """The lines that end `dagmm monitor`."""
        report = self.report
        lines = [
            f"Model      {report.model}",
            f"Window     {int(report.figures['rows']):,} rows of {report.source}",
            f"Verdict    {report.verdict}",
            *(f"           - {reason}" for reason in report.reasons),
        ]
        if not report.reasons:
            lines += [f"           - {finding.message}" for finding in report.findings]
        lines.append(f"Report     {self.page_url}")
        if report.drifted:
            lines.append("Next       find what has changed; if it is here to stay:")
            lines.append("           dagmm train CONTRACT --data NEWER")
        return "\n".join(lines)

    def document(self) -> dict[str, object]:
        """JSON-able form."""
        return {**vars(self), "report": report_document(self.report)}


def report_document(report: DriftReport) -> dict[str, object]:
    """JSON-able form of a report."""
    return {**plain(report), "drifted": report.drifted, "reasons": list(report.reasons)}


def monitor(
    model: str,
    settings: Settings,
    *,
    data: str | None = None,
    scored: str | None = None,
    policy: MonitorPolicy | None = None,
) -> Checked:
    """Compare a window of rows with the training profile of a version.

    Args:
        model: `NAME`, whose version in production is meant, `NAME@alias` or `NAME/VERSION`.
        settings: Registry and data folder.
        data: Raw rows, from any source of the contract; they are scored now.
        scored: Or a result of `dagmm score`, in which case no feature can be compared.
        policy: Level and tolerances.

    Raises:
        UsageError: There is no such version, it has no profile, or the window is no window.
        SourceError: The rows cannot be read.
    """
    if (data is None) == (scored is None):
        raise UsageError("name the window: either raw rows with --data or a result with --scored")
    policy = policy or MonitorPolicy()
    client = tracking.connect(settings)
    version = registry.find_model(client, model)
    name, resolved = version.name, f"models:/{version.name}/{version.version}"
    bundle, contract = read_version(client, version)
    reference = None
    if data is not None:
        reference = _reference(client, version, resolved)
        window = read_window(bundle, contract, reference, data, settings.data_dir)
    else:
        window = read_scored(Path(str(scored)), resolved)
    created = version.creation_timestamp / 1000
    report = judge_window(window, bundle, contract, reference, policy, resolved, created)
    with (
        opened(client, lambda: monitoring_run(client, settings, name)) as run_id,
        scratch_folder() as scratch,
    ):
        step = _log(client, run_id, report)
        history = read_history(client, run_id)
        page = render_page(report, window, bundle, reference, contract.drift, history)
        stamp = time.strftime("%Y-%m-%dT%H-%M-%SZ", time.gmtime(report.time))
        for file in (scratch / PAGE, scratch / f"{stamp}-{step}.html"):
            file.write_text(page, encoding="utf-8")
        client.log_artifacts(run_id, str(scratch), "reports")
        client.log_dict(run_id, report_document(report), f"reports/{stamp}-{step}.json")
    experiment = client.get_run(run_id).info.experiment_id
    url = tracking.run_url(settings, experiment, run_id)
    file = f"reports/{stamp}-{step}.html"
    link = tracking.run_path(experiment, run_id, file)
    client.set_tag(run_id, "mlflow.note.content", _note(report, link, step))
    if report.drifted:
        tell(settings, _event(name, report, url))
    address = tracking.run_url(settings, experiment, run_id, file)
    return Checked(report, run_id, url, file, step, address)


def _event(name: str, report: DriftReport, url: str) -> Event:
    more = len(report.reasons) - REASONS
    reasons = [*report.reasons[:REASONS], *([f"and {more} more"] if more > 0 else [])]
    return Event(
        kind="drift",
        subject=name,
        reason="\n".join([f"{report.verdict}, {report.model}", *reasons]),
        figure=report.reasons[0] if report.reasons else "",
        link=url,
        same=f"{report.model} {report.verdict}",  # a warning that becomes critical is news
    )


def _reference(client: MlflowClient, version: ModelVersion, resolved: str) -> DriftReference:
    """The training profile, as sealed with the version's evidence."""
    changed = (
        f"{resolved}: the training profile ({bound.REFERENCE}) was changed after the registration; "
        "restore it from a backup, or compare energies only, with --scored"
    )
    with sealed_file(client, version, bound.REFERENCE, changed) as path:
        if path is None:
            raise UsageError(
                f"{resolved} was registered without a profile of its training rows: train it "
                "again, or compare energies only, with --scored"
            )
        return DriftReference.model_validate_json(path.read_text(encoding="utf-8"))


def monitoring_run(client: MlflowClient, settings: Settings, name: str) -> str:
    """The one run of a model's checks; of two made at the same moment the older one counts."""
    experiment = tracking.experiment_id(client, settings, EXPERIMENT)

    def oldest() -> str | None:
        runs = client.search_runs(
            [experiment], equals(f"tags.`{RUN_TAG}`", name), order_by=["attributes.start_time ASC"]
        )
        return runs[0].info.run_id if runs else None

    if (known := oldest()) is not None:
        return known
    mine = client.create_run(experiment, tags={RUN_TAG: name}, run_name=name).info.run_id
    first = oldest() or mine
    if first != mine:
        client.delete_run(mine)
    return first


def _log(client: MlflowClient, run_id: str, report: DriftReport) -> int:
    step = len(client.get_metric_history(run_id, "rows")) + 1
    now = int(report.time * 1000)
    version = float(report.model.rpartition("/")[2])
    figures = {**report.figures, "version": version, "checks": float(step)}
    metrics = [
        Metric(tracking_name(key), float(f"{value:.4g}") if value % 1 else value, now, step)
        for key, value in figures.items()
    ]
    client.log_batch(run_id, metrics=metrics)
    client.set_tag(run_id, "dagmm.verdict", str(report.verdict))
    return step


def _note(report: DriftReport, link: str, step: int) -> str:
    """Description of the run: the newest check whole, and where its page is."""
    when = minute(report.time)
    untold = [each.message for each in report.findings if not each.compared]
    reasons = [*untold, *report.reasons]
    return "\n".join(
        [
            f"**{report.verdict}** · check {step}, {when}",
            "",
            f"{int(report.figures['rows']):,} rows of {inert(report.source)} against "
            f"{report.model}: [the page of this check]({link}).",
            "",
            *items(reasons[:20]),
            *([f"- and {len(reasons) - 20} more"] if len(reasons) > 20 else []),
            "",
            "Every check is a step of the metrics. `compared` is 0 where a window had too few rows "
            "to be compared: `energy/…`, `alerts/…` and `psi/…` then are of an earlier check.",
        ]
    )


def read_history(client: MlflowClient, run_id: str) -> History:
    """What the page shows over time."""

    def values(name: str) -> Sequence[tuple[float, float]]:
        metrics = sorted(
            client.get_metric_history(run_id, name), key=lambda m: (m.step, m.timestamp)
        )
        return [(metric.timestamp / 1000, metric.value) for metric in metrics]

    return History(
        alerts=values("alerts/rate"), energy=values("energy/psi"), drifted=values("drifted")
    )
