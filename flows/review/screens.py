"""The pages that end `dagmm threshold`, `evaluate`, `models` and so on, on the terminal."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby
from typing import TYPE_CHECKING

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from dagmm_model.evaluation.metrics import DeploymentMetrics, Interval, SliceMetrics
from dagmm_model.evaluation.threshold import Threshold
from dagmm_model.evaluation.what_if import WhatIf
from flows.common.readable import minute, plural
from flows.reporting.screens import figures_table, next_commands
from flows.reporting.summary import figure_title
from flows.reporting.terminal import Entry, Prose, as_sheet, gates, grid, sheet, styled
from flows.review.listing import FIGURES, ListedVersion

if TYPE_CHECKING:
    from flows.review.comparison import Comparison, Disagreement
    from flows.review.evaluation import Evaluation
    from flows.review.threshold.register import ThresholdChange

SLICES_SHOWN = 12


@as_sheet
def threshold(change: ThresholdChange, *, verbose: bool = False) -> Iterator[Entry]:
    """The page that ends `dagmm threshold`."""
    before, now = change.before, change.threshold
    yield (
        "Model",
        f"{change.name} version {change.source}, threshold {before.value:.6g} (false-alarm rate "
        f"{before.target_rate:.3g})",
    )
    yield (
        "Threshold",
        f"{now.value:.6g}, false-alarm rate at most {now.guaranteed_rate:.3g} in expectation "
        f"(asked for {now.target_rate:.3g}; {now.calibration_rows:,} rows)",
    )
    yield "Test rows", _before_and_now(change.then.deployment, change.now.deployment)
    if change.version is None:
        yield "", "rehearsal: nothing was changed"
    elif change.promotion is None:
        yield "Unchanged", f"version {change.version} has this threshold already"
    else:
        yield "Registry", f"{change.name} version {change.version}"
        yield "Promotion", styled(change.promotion.decision)
        if change.promotion.gates:
            yield "", gates(change.promotion.gates, verbose=verbose)
        else:
            yield from (("", reason) for reason in change.promotion.reasons)
        yield from (("Next", command) for command in next_commands(change.promotion))


def budgets_screen(
    model: str, current: Threshold, lines: Sequence[WhatIf], period: str
) -> RenderableType:
    """The table of `dagmm threshold NAME` without a budget: what to choose from."""
    head = sheet(
        [
            (
                "Model",
                f"{model}, threshold {current.value:.6g} (false-alarm rate "
                f"{current.target_rate:.3g}; {current.calibration_rows:,} calibration rows)",
            )
        ]
    )
    rows = lines[0].rows
    table = Table.grid(padding=(0, 2))
    for number in range(5):  # where there is no room, an interval goes under its value
        table.add_column(justify="right", no_wrap=number < 2)
    headers = ("rate", "threshold", "false alarms", "recall", "precision")
    table.add_row(*headers, style="bold")
    for line in lines:
        table.add_row(
            f"{'* ' if line.rate == current.target_rate else ''}{_shown_rate(line.rate)}",
            f"{line.threshold:.6g}",
            f"{line.alarms.value:.1f} [{line.alarms.low:.0f}, {line.alarms.high:.0f}]",
            _value_and_ends(line.recall),
            _value_and_ends(line.precision),
        )
    note = Text(
        f"* in use. False alarms per {period} of {rows:,} normal rows; recall and precision on the "
        "kept test rows; 95 % intervals.",
        "dim",
    )
    return Group(head, "", table, "", note)


def _shown_rate(rate: float) -> str:
    """Of the smallest one, what has to be typed in for it."""
    from flows.review.threshold.change import rounded_up

    return f"{rounded_up(rate):.3g}"


def _value_and_ends(interval: Interval | None) -> str:
    return "-" if interval is None else interval.text(3)


def _before_and_now(then: DeploymentMetrics, now: DeploymentMetrics) -> Table:
    table = grid("left", "right", "right", "left")
    table.add_row("", "before", "now", "95 % interval")
    for name, (old, new) in _of_both(then, now).items():
        if name in ("precision", "recall", "f1", "false_alarm_rate"):
            table.add_row(figure_title(name), _number(old.value), _number(new.value), new.ends())
    table.add_row("alert rate", _number(then.alert_rate), _number(now.alert_rate), "")
    return table


def _of_both(
    one: DeploymentMetrics, other: DeploymentMetrics
) -> dict[str, tuple[Interval, Interval]]:
    """The figures that both have."""
    mine, theirs = one.figures(), other.figures()
    return {name: (mine[name], theirs[name]) for name in mine if name in theirs}


@as_sheet
def evaluation(result: Evaluation) -> Iterator[Entry]:
    """The page that ends `dagmm evaluate`."""
    counts, measured = result.counts, result.measured.deployment
    yield "Model", f"{result.model}, threshold {result.threshold:.6g} as deployed"
    yield (
        "Rows",
        f"{counts.rows:,} of {result.source}: {counts.rejected:,} cannot be scored, "
        f"{counts.unlabelled:,} scored without a label",
    )
    yield from (("", sentence) for sentence in counts.sentences())
    if measured.anomalies is not None:
        yield "Labelled", f"{measured.anomalies:,} anomalies, {measured.normals:,} normal rows"
    yield "Figures", figures_table(measured)
    if result.alarms is not None:
        came, low, high = result.alarms
        yield "", f"{plural(came, 'false alarm')}; the calibration lets expect {low:,} to {high:,}"
    if measured.not_reported:
        yield "", measured.not_reported
    if result.measured.slices:
        yield "Slices", _slices(result.measured.slices)
    if len(result.measured.slices) > SLICES_SHOWN:
        yield "", f"and {len(result.measured.slices) - SLICES_SHOWN} more in the run"
    yield from (("Failed", Text(sentence, "bold red")) for sentence in result.failed)
    yield "MLflow", result.run_url


def _slices(slices: Iterable[SliceMetrics]) -> Table:
    table = grid("left", "right", "right", "left", "left")
    table.add_row("", "rows", "anomalies", "recall", "false alarm rate")
    for each in list(slices)[:SLICES_SHOWN]:
        rates = (_value_and_ends(rate) for rate in (each.recall, each.false_alarm_rate))
        table.add_row(each.value, f"{each.rows:,}", f"{each.anomalies:,}", *rates)
    return table


@as_sheet
def comparison(compared: Comparison) -> Iterator[Entry]:
    """The page that ends `dagmm compare`."""
    yield "First", compared.models[0]
    yield "Second", compared.models[1]
    left_out = f"; {compared.left_out:,} cannot be scored by both" if compared.left_out else ""
    yield "Rows", f"{compared.rows:,} of {compared.source}{left_out}"
    if compared.note:
        yield "", Text(compared.note, "yellow")
    one, other = (measured.deployment for measured in compared.measured)
    table = Table.grid(padding=(0, 2))
    for number in range(5):  # where there is no room, an interval stands on two lines
        table.add_column(justify="left" if number % 2 == 0 else "right", no_wrap=number % 2 == 1)
    table.add_row("each at its own threshold", "first", "95 % interval", "second", "95 % interval")
    for name, (mine, theirs) in _of_both(one, other).items():
        ends = mine.ends(), theirs.ends()
        table.add_row(
            figure_title(name), _number(mine.value), ends[0], _number(theirs.value), ends[1]
        )
    table.add_row("alert rate", _number(one.alert_rate), "", _number(other.alert_rate), "")
    yield "Figures", table
    if compared.difference is not None:
        interval = compared.difference.interval
        better = "no difference beyond chance"
        if interval.low > 0 or interval.high < 0:
            better = f"{'the first' if interval.low > 0 else 'the second'} is better"
        yield (
            "Paired",
            f"average precision, first minus second: {interval.value:+.4f}, 95 % interval "
            f"[{interval.low:+.4f}, {interval.high:+.4f}]: {better}",
        )
    drift = compared.drift
    yield (
        "Scores",
        f"rank correlation {drift.ranks:.3f}, Kolmogorov-Smirnov distance {drift.distance:.3f}; "
        f"{plural(compared.only[0], 'row')} flagged by the first only, "
        f"{compared.only[1]:,} by the second only",
    )
    if compared.disagreements:
        yield "Disagree", _disagreements(compared.disagreements)


def _disagreements(rows: Iterable[Disagreement]) -> Table:
    table = grid("right", "left")
    head = f"{'is':<7}  {'p first':>8}  {'p second':>9}"
    table.add_row("row", Group(head, Text("reasons of the first | of the second", "dim")))
    for each in rows:
        both = zip(each.p_values, each.flagged, strict=True)
        first, second = (f"{p:.4f}{'*' if flagged else ' '}" for p, flagged in both)
        label = {1: "anomaly", 0: "normal"}.get(each.label, "-")
        reasons = Text(" | ".join(r or "-" for r in each.reasons), "dim")
        table.add_row(f"{each.row:,}", Group(f"{label:<7}  {first:>8}  {second:>9}", reasons))
    table.add_row("", Text("* flagged", "dim"))
    return table


def models(listed: Iterable[ListedVersion]) -> RenderableType:
    """The page of `dagmm models`: a table for each model."""
    tables = [_model(name, versions) for name, versions in groupby(listed, lambda v: v.name)]
    if not tables:
        return "no model is registered yet; train one with `dagmm train`"
    return Group(*tables[:1], *(part for table in tables[1:] for part in ("", table)))


def _model(name: str, listed: Iterable[ListedVersion]) -> RenderableType:
    figures = ("ROC\nAUC", "avg.\nprec.", "recall", "false\nal.")
    headers = ("", "alias", "detector", *figures)
    table = Table.grid(padding=(0, 2))
    for header in headers:
        justify = "left" if header in {"alias", "detector"} else "right"
        table.add_column(justify=justify, no_wrap=header != "detector", overflow="fold")  # type: ignore[arg-type]
    table.add_row(*(Text(header, "bold") for header in headers))
    decided = Table.grid(padding=(0, 2))
    decided.add_column(justify="right", no_wrap=True)
    decided.add_column(overflow="fold")
    for each in listed:
        detector = each.detector
        if each.threshold_of is not None:
            detector += f" of v{each.threshold_of}"
        table.add_row(
            f"v{each.version}",
            Text(", ".join(each.aliases), "green" if "production" in each.aliases else ""),
            Prose(detector, "-"),
            *(_number(each.figures.get(key)) for key in FIGURES),
        )
        decided.add_row(f"v{each.version}", _since(each))
    return Group(Text(name, "bold"), table, "", decided)


def _since(each: ListedVersion) -> Text:
    """Since when a version is where it is, and why."""
    moment = each.created if each.decided is None else each.decided
    when = minute(moment)
    if not each.decision:
        return Text.assemble(f"{when}  ", ("registered, not decided on yet", "dim"))
    return Text.assemble(f"{when}  ", styled(each.decision), f" by {each.by}: {each.why}")


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.4f}"
