"""What a scoring run did: its figures, as lines and as an event."""

from dataclasses import asdict, dataclass
from pathlib import Path

from data_checks.sources.integrity import shown
from flows.common.readable import plural
from flows.notify.event import Event

FEW_ROWS = 10_000
"""Below which the time says how fast the libraries and the model load, not how fast rows score."""
CAUSES, TOLD = 10, 3
"""Causes of rejects that are listed, and told to who is notified."""


@dataclass(frozen=True)
class ScoreReport:
    """What a scoring run did.

    Attributes:
        model: Resolved model, `models:/NAME/VERSION`.
        scored: Rows that got an energy.
        rejected: Rows that could not be scored; they are in `rejects`, with reasons.
        anomalies: Rows above the threshold.
        remarked: Rows that were scored although a value lies outside its declared range or rule.
        unseen: For each categorical column, scored rows whose level training never declared.
        output: Result file, or database and table.
        rejects: File or table of the rejected rows, or None.
        resumed_rows: Rows that an interrupted attempt had finished.
        seconds: Wall time after start-up.
        processor_seconds: Processor time after start-up, of all threads.
        fdr: False discovery rate that the anomalies of the batch keep to, if one was asked for.
        batch_threshold: Energy that they exceed; None without a rate, or where there are none.
        causes: Rejected rows by what was wrong with them; a row may have several causes.
        tolerance: Largest share of rejected rows that the contract accepts.
        known: Anomalies that are like rows judged normal; their remark says so.
        review: File with rows for people to judge, if one was asked for.
    """

    model: str
    rows: int
    scored: int
    rejected: int
    anomalies: int
    remarked: int
    unseen: dict[str, int]
    output: str
    rejects: str | None
    resumed_rows: int
    seconds: float
    processor_seconds: float
    causes: dict[str, int]
    tolerance: float
    fdr: float | None = None
    batch_threshold: float | None = None
    known: int = 0
    review: str | None = None

    @property
    def failure(self) -> str:
        """Why the run is no success, or an empty string: what its exit code says."""
        if not self.rows:
            return "the input holds no rows"
        if not self.scored:
            return f"none of the {self.rows:,} rows could be scored"
        share = self.rejected / self.rows
        if share > self.tolerance:
            return (
                f"{self.rejected:,} of {self.rows:,} rows ({share:.1%}) could not be scored; the "
                f"contract tolerates {self.tolerance:.1%} (max_quarantine_share)"
            )
        return ""

    def document(self) -> dict[str, object]:
        """JSON-able form."""
        return {**asdict(self), "passed": not self.failure, "failure": self.failure}

    def text(self) -> str:
        """The lines that end `dagmm score`."""
        lines = [
            f"Model      {self.model}",
            f"Rows       {self.rows:,} in, {self.scored:,} scored, {self.rejected:,} rejected",
            f"Anomalies  {self.anomalies:,}",
        ]
        if self.fdr is not None:
            limit = self.batch_threshold
            above = "" if limit is None else f"energy above {limit:.4g}; "
            lines.append(f"           {above}at most {self.fdr:.3g} of them false in expectation")
        if self.known:
            lines.append(f"Known      {self.known:,} of them like rows judged normal (`remarks`)")
        if self.remarked:
            lines.append(
                f"Remarks    {self.remarked:,} scored with a rule broken (column `remarks`)"
            )
        lines += [
            f"Unseen     {rows:,} scored with a new level of {name!r}"
            for name, rows in self.unseen.items()
        ]
        lines.append(f"Result     {self.output}")
        if self.review:
            lines.append(f"Review     {self.review}: fill in the column `verdict`")
            lines.append("           or judge the rows in a browser: dagmm ui")
        if self.rejects:
            lines.append(f"Rejects    {self.rejects}")
            common = sorted(self.causes.items(), key=lambda cause: (-cause[1], cause[0]))
            lines += [
                f"           {plural(rows, 'row')}: {cause}" for cause, rows in common[:CAUSES]
            ]
            if common[CAUSES:]:
                rest = sum(rows for _, rows in common[CAUSES:])
                lines.append(
                    f"           {plural(rest, 'row')}: {len(common[CAUSES:])} other causes"
                )
        rows = self.rows - self.resumed_rows
        if rows < FEW_ROWS:  # of which the time is that of loading the model
            return "\n".join([*lines, f"Time       {self.seconds:.1f} s"])
        rate = rows / max(self.seconds, 1e-9)
        return "\n".join([*lines, f"Speed      {rate:,.0f} rows/s ({self.seconds:.1f} s)"])


def event_of(report: ScoreReport, where: str) -> Event:
    """What people are told of a run that did not succeed."""
    common = sorted(report.causes.items(), key=lambda cause: (-cause[1], cause[0]))[:TOLD]
    share = report.rejected / report.rows if report.rows else 0.0
    place = report.rejects or report.output
    return Event(
        kind="scoring",
        subject=f"{report.model.removeprefix('models:/')} on {shown(where)}",
        reason="\n".join([report.failure, *(f"{rows:,} rows: {cause}" for cause, rows in common)]),
        figure=f"{share:.1%} of {report.rows:,} rows",
        link=place if "://" in place else str(Path(place).resolve()),  # read from elsewhere
    )
