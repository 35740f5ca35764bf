"""Commands that decide on a version."""

from __future__ import annotations

import getpass
from typing import TYPE_CHECKING, Annotated

import typer

from flows.cli.options import Call, Model, Name, Verbose, command
from flows.common.errors import EXIT_NO, UsageError

if TYPE_CHECKING:
    from rich.console import RenderableType

    from flows.stages.decision import PromoteRecord
    from flows.tracking.seal import Signed

NOT_PROMOTED = {"rejected", "pending approval", "pending shadow", "held", "returned"}


@command
def promote(
    call: Call,
    name: Name,
    version: Annotated[int, typer.Argument(help="Version to judge and, if it passes, promote.")],
    approved_by: Annotated[
        str, typer.Option(help="Record this person's approval; needs --reason.")
    ] = "",
    rejected_by: Annotated[str, typer.Option(help="Record a rejection, which is final.")] = "",
    override: Annotated[
        list[str] | None, typer.Option(help="Gate that may fail; recorded, needs --reason.")
    ] = None,
    reason: Annotated[str, typer.Option(help="Why, for the audit trail.")] = "",
    rehearse: Annotated[
        bool, typer.Option("--rehearse", help="Judge everything and change nothing.")
    ] = False,
    release: Annotated[
        bool, typer.Option("--release", help="Free a model that a rollback holds.")
    ] = False,
    verbose: Verbose = False,
) -> None:
    """Judge a registered version and put it in production if every gate passes."""
    if (approved_by or rejected_by or override) and not reason.strip():
        raise UsageError("an approval, a rejection or an override needs --reason WHY")
    if rehearse and (approved_by or rejected_by):
        raise UsageError("a rehearsal changes nothing: leave --approved-by and --rejected-by out")
    settings = call.prepare(f"judging {name} version {version}")
    from flows.promotion import trial_server

    with trial_server.waiting():  # while this process loads its own libraries
        from flows.promotion.approval import approve
        from flows.promotion.promote import promote as work
        from flows.review.report import write_version_report
        from flows.tracking import tracking

        client = tracking.connect(settings, patient=False)
        if who := approved_by or rejected_by:
            approve(client, name, version, who, reason, approved=not rejected_by)
        record = work(
            client,
            settings,
            name,
            version,
            by=getpass.getuser(),
            rehearse=rehearse,
            overrides=dict.fromkeys(override or [], reason),
            release=release,
            reason=reason,
        )
    page = write_version_report(client, settings, record)
    _answer_decision(call, record, page, verbose)
    if record.decision in NOT_PROMOTED:
        raise typer.Exit(EXIT_NO)


def _answer_decision(call: Call, record: PromoteRecord, page: str, verbose: bool) -> None:
    from flows.common.value_types import plain
    from flows.reporting import screens

    document = {**plain(record), "report": page}
    call.answer(document, lambda: _reported(screens.decision(record, verbose=verbose), page))


def _reported(screen: RenderableType, page: str) -> RenderableType:
    """What is printed of a decision, and under it where its page is."""
    from rich.console import Group

    from flows.reporting.terminal import sheet

    return Group(screen, sheet([("Report", page)])) if page else screen


@command
def rollback(
    call: Call,
    name: Name,
    to: Annotated[
        int | None, typer.Option(help="Version to return to; the previous one by default.")
    ] = None,
    reason: Annotated[str, typer.Option(help="Why, for the audit trail.")] = "",
    no_hold: Annotated[
        bool,
        typer.Option("--no-hold", help="Let the next training that passes every gate promote."),
    ] = False,
    verbose: Verbose = False,
) -> None:
    """Put the previous version back in production; needs no data and no training."""
    settings = call.prepare(f"looking for the version of {name} to go back to")
    from flows.services.helper import SCORING, helper

    with helper(SCORING):
        from flows.promotion.rollback import roll_back
        from flows.review.report import write_version_report
        from flows.tracking import tracking

        client, by = tracking.connect(settings, patient=False), getpass.getuser()
        record = roll_back(client, settings, name, to, by=by, reason=reason, keep_held=not no_hold)
    page = write_version_report(client, settings, record)
    _answer_decision(call, record, page, verbose)
    if record.decision == "returned":
        raise typer.Exit(EXIT_NO)


@command
def sign(call: Call, model: Model) -> None:
    """Sign a version with the key in DAGMM_SIGNING_KEY, once its files match its seal."""
    settings = call.prepare(f"signing {model}")
    from flows.tracking import tracking
    from flows.tracking.seal import sign_version

    signed = sign_version(tracking.connect(settings, patient=False), model)
    name, number = signed.version.name, int(signed.version.version)
    document = {**vars(signed), "name": name, "version": number, "signed": True}
    call.answer(document, lambda: _signed(f"models:/{name}/{number}", signed))


def _signed(uri: str, signed: Signed) -> RenderableType:
    from flows.reporting.terminal import sheet

    rows = [("Signed", uri), ("Key", f"{signed.key[:16]} (sha256 of its public half)")]
    if signed.replaced is not None:
        wrong = f", which does not hold: {signed.problem}" if signed.problem else ""
        rows.append(("Replaced", f"a signature by the key {signed.replaced[:16] or '?'}{wrong}"))
    if signed.untrusted:
        rows.append(
            (
                "Look at",
                f"it will not be used where the same keys are trusted as here: {signed.untrusted}",
            )
        )
    return sheet(rows)


@command
def threshold(
    call: Call,
    model: Model,
    false_alarm_rate: Annotated[
        float | None, typer.Option(help="Share of normal rows that may raise an alert.")
    ] = None,
    alerts: Annotated[
        float | None, typer.Option(help="Or false alarms that can be looked at …")
    ] = None,
    per: Annotated[str, typer.Option(help="… in this time, e.g. 1h, 1d or 1w.")] = "1d",
    rows_per: Annotated[
        tuple[str, float] | None,
        typer.Option(help="Rows that come: a time and a number, e.g. 1d 20000."),
    ] = None,
    confirmed: Annotated[
        bool,
        typer.Option(
            "--confirmed-normals",
            help="Rows that people have judged normal have to keep to the rate, too.",
        ),
    ] = False,
    rehearse: Annotated[
        bool, typer.Option("--rehearse", help="Calibrate and measure; change nothing.")
    ] = False,
    verbose: Verbose = False,
) -> None:
    """Change the alert budget: a new version with the same detector; no data, no training.

    Without a budget: the table of what there is to choose from.
    """
    from flows.review.threshold.budget import false_alarm_rate as rate_of
    from flows.review.threshold.budget import whole_rows

    chosen = false_alarm_rate is not None or alerts is not None
    rate = rate_of(false_alarm_rate, alerts, per, rows_per) if chosen else None
    settings = call.prepare(f"reading {model}")
    from flows.review import screens
    from flows.review.report import write_version_report
    from flows.review.threshold import change as work
    from flows.tracking import tracking

    client, by = tracking.connect(settings, patient=False), getpass.getuser()
    if rate is None and confirmed:
        raise UsageError("--confirmed-normals goes with a budget, e.g. --false-alarm-rate 0.01")
    if rate is None:
        from dagmm_model.evaluation.what_if import ROWS

        period, rows = rows_per or (per, ROWS)
        current, lines = work.budgets(client, model, whole_rows(period, rows))
        call.answer(lines, lambda: screens.budgets_screen(model, current, lines, period))
        return
    change = work.change_threshold(
        client, settings, model, rate, by=by, rehearse=rehearse, confirmed=confirmed
    )
    page = write_version_report(client, settings, change.promotion) if change.promotion else ""
    call.answer(
        {**vars(change), "report": page},
        lambda: _reported(screens.threshold(change, verbose=verbose), page),
    )
    if change.promotion and change.promotion.decision in NOT_PROMOTED:
        raise typer.Exit(EXIT_NO)


@command
def evaluate(
    call: Call,
    model: Model,
    data: Annotated[str, typer.Option(help="Labelled rows: file, folder or URL.")],
    floor: Annotated[
        list[str] | None, typer.Option(help="Figure to reach, e.g. roc_auc=.9; else exit code 1.")
    ] = None,
    ceiling: Annotated[
        list[str] | None, typer.Option(help="Figure not to exceed, e.g. false_alarm_rate=.05.")
    ] = None,
) -> None:
    """Measure a version, as deployed, on labelled rows; exit 1 below a floor."""
    settings = call.prepare(f"evaluating {model} on {data}")
    from flows.review import evaluation, screens
    from flows.tracking import tracking

    limits = evaluation.bounds(floor or [], ceiling or [])
    result = evaluation.evaluate(
        tracking.connect(settings, patient=False), settings, model, data, limits
    )
    call.answer(result, lambda: screens.evaluation(result))
    if result.failed:
        raise typer.Exit(EXIT_NO)


@command
def compare(
    call: Call,
    first: Model,
    second: Model,
    data: Annotated[
        str | None, typer.Option(help="Rows to compare on; else the kept test rows of the first.")
    ] = None,
) -> None:
    """Score the same rows with two versions: the paired interval, and where they disagree."""
    settings = call.prepare(f"comparing {first} with {second}")
    from flows.review import comparison, screens
    from flows.tracking import tracking

    result = comparison.compare(
        tracking.connect(settings, patient=False), settings, first, second, data
    )
    call.answer(result, lambda: screens.comparison(result))
