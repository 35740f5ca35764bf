"""Batch scoring: raw rows of any source to energies, verdicts and reasons, in bounded memory.

Neither Prefect nor Great Expectations is imported: their start-up would cost more than the work.
Who judges the rows, threads of this process or Spark's executors, is `flows.scoring.local` or
`flows.scoring.spark`.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa

from dagmm_model.detectors.bundle import Explained, ScoringBundle, load_bundle
from data_checks.contract.columns import Outside
from data_checks.contract.model import Contract, load_contract
from data_checks.sources.integrity import changed, file_state, shown
from flows.common import progress
from flows.common.errors import UsageError
from flows.common.settings import NO_SETTINGS, Engine, Settings
from flows.notify.event import Event
from flows.notify.tell import tell
from flows.scoring import discoveries, review
from flows.scoring.known import known_rows
from flows.scoring.output import output_for
from flows.scoring.parts import Parts, SourceMoved, open_parts
from flows.scoring.rows import REJECTED, SCORED, Judge, Judged
from flows.verdicts.standing import Standing, standing
from flows.verdicts.store import read_verdicts

TOP = 3
CAUSES = 10
FEW_ROWS = 10_000
"""Below which the time says how fast the libraries and the model load, not how fast rows score."""
PACKAGES = ("dagmm_model", "data_checks", "flows")
"""What Spark's executors run of ours."""


@dataclass(frozen=True)
class ScoreReport:
    """What a scoring run did.

    Attributes:
        model: Resolved model, `models:/NAME/VERSION`.
        rows: Rows read.
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
            lines.append(f"Remarks    {self.remarked:,} rows break a rule (column `remarks`)")
        lines += [
            f"Unseen     {rows:,} rows with a new level of {name!r}"
            for name, rows in self.unseen.items()
        ]
        lines.append(f"Result     {self.output}")
        if self.review:
            lines.append(f"Review     {self.review}: fill in the column `verdict`")
            lines.append("           or judge the rows in a browser: dagmm ui")
        if self.rejects:
            lines.append(f"Rejects    {self.rejects}")
            common = sorted(self.causes.items(), key=lambda cause: (-cause[1], cause[0]))
            lines += [f"           {rows:,} rows: {cause}" for cause, rows in common[:CAUSES]]
            if common[CAUSES:]:
                rest = sum(rows for _, rows in common[CAUSES:])
                lines.append(f"           {rest:,} rows: {len(common[CAUSES:])} other causes")
        rows = self.rows - self.resumed_rows
        if rows < FEW_ROWS:  # of which the time is that of loading the model
            return "\n".join([*lines, f"Time       {self.seconds:.1f} s"])
        rate = rows / max(self.seconds, 1e-9)
        return "\n".join([*lines, f"Speed      {rate:,.0f} rows/s ({self.seconds:.1f} s)"])


def score(
    source: str,
    output: str,
    model: str,
    settings: Settings,
    *,
    table: str | None = None,
    reasons: str = str(TOP),
    restart: bool = False,
    outside: Outside | None = None,
    engine: Engine = "local",
    spark: Mapping[str, str] = NO_SETTINGS,
    fdr: float | None = None,
    also: Callable[[Judge, int, pa.RecordBatch, Judged], None] | None = None,
    review_rows: int | None = None,
) -> ScoreReport:
    """Score a table; a killed run is taken up behind its last finished part.

    Args:
        source: File, folder, glob or URL with raw rows.
        output: Result, `.parquet`, `.csv` or `FOLDER/`, or the SQLAlchemy address of a database; it
            is replaced as a whole or not at all.
        model: `models:/NAME@ALIAS` or `models:/NAME/VERSION`, resolved once at the start; a run
            that is taken up keeps the version it began with.
        settings: Registry, data folder, and the time between two parts (`checkpoint_seconds`).
        table: Table of the database.
        reasons: Number of columns named for each anomaly; `none`, or `all` for every row.
        restart: Begin anew even where a run was interrupted.
        outside: Whether rows with a level outside its vocabulary or a number outside its range are
            scored and marked, or rejected; as the contract has it when None.
        engine: Threads of this process, or Spark; the result is the same.
        spark: Spark's own settings, e.g. ``{"spark.master": "spark://host:7077"}``.
        fdr: Share of normal rows, in expectation, among the rows of this batch that are called
            anomalies; the model's threshold decides on each row by itself unless given.
        also: Is shown every slice that is judged here; it changes nothing, and must not raise.
        review_rows: Rows to draw below the threshold for people to judge, beside the anomalies.

    Raises:
        UsageError: The output or the model cannot be used, or is in use.
        SealBroken: The model's files are not those that were registered.
        SourceError: The source cannot be read, or changed while it was read.
        EngineError: Spark is not installed, or cannot read the source.
    """
    target = output_for(output, table, settings)
    explain, top = parse_reasons(reasons)
    where = str(Path(source).resolve()) if Path(source).exists() else shown(source)
    state = file_state(source) if Path(source).is_file() else None
    wanted = {
        "source": where,
        "state": state and list(state),
        "model": model,
        "reasons": reasons,
        "engine": engine,
        **({} if fdr is None else {"fdr": fdr}),
        **({} if outside is None else {"outside": outside}),
        **({} if review_rows is None else {"review": review_rows}),
    }
    if fdr is not None:
        discoveries.check_level(fdr)
    if review_rows is not None:
        review.check_rows_asked(review_rows, settings)
    threshold: float | None = None
    to_judge: str | None = None
    with (
        open_parts(
            target.folder,
            wanted,
            target.suffix if fdr is None and review_rows is None else discoveries.SUFFIX,
            lambda: resolve(model, settings),
            restart=restart,
        ) as parts,
        version_folder(parts.header["resolved"], settings) as folder,
    ):
        resolved = parts.header["resolved"]
        if fdr is not None:
            discoveries.admit_candidates(folder, fdr)
        bundle, contract = read_bundle(folder)
        judge = Judge(
            bundle,
            contract,
            where,
            resolved,
            explain,
            top,
            checksums=state is None,
            outside=outside,
            also=also,
            known=known_rows(_standing(resolved, settings), bundle, contract),
        )
        with _filler(engine, spark, folder, settings) as fill:
            started, spent, resumed = time.perf_counter(), time.process_time(), parts.total.rows
            try:
                elsewhere = fill(parts, judge, source)
            except SourceMoved as moved:
                progress.note(f"{moved}: starting over")
                parts.clear()
                resumed = 0
                elsewhere = fill(parts, judge, source)
        if state is not None and file_state(source) != state:
            parts.clear()
            raise changed(where)
        if fdr is not None:
            threshold = discoveries.decide(
                parts, bundle.calibration, fdr, keep_reasons=explain == "all"
            )
        if review_rows is not None:
            progress.note("drawing rows for review")
            above = bundle.threshold.value if threshold is None else threshold
            to_judge = review.draw(parts, judge, source, target.name, above, review_rows, settings)
        progress.note("writing the result")
        rejects = target.publish(parts, SCORED, REJECTED)
        total = parts.total
    report = ScoreReport(
        model=resolved,
        rows=total.rows,
        scored=total.scored,
        rejected=total.rows - total.scored,
        anomalies=total.anomalies,
        remarked=total.remarked,
        unseen=total.unseen,
        output=target.name,
        rejects=rejects,
        resumed_rows=resumed,
        seconds=time.perf_counter() - started,
        processor_seconds=time.process_time() - spent + elsewhere,
        fdr=fdr,
        batch_threshold=None if threshold is None or np.isinf(threshold) else threshold,
        causes=total.causes,
        tolerance=contract.max_quarantine_share,
        known=total.known,
        review=to_judge,
    )
    if report.failure:
        tell(settings, _event(report, where))
    return report


def _event(report: ScoreReport, where: str) -> Event:
    common = sorted(report.causes.items(), key=lambda cause: (-cause[1], cause[0]))[:TOP]
    share = report.rejected / report.rows if report.rows else 0.0
    return Event(
        kind="scoring",
        subject=f"{report.model.removeprefix('models:/')} on {shown(where)}",
        reason="\n".join([report.failure, *(f"{rows:,} rows: {cause}" for cause, rows in common)]),
        figure=f"{share:.1%} of {report.rows:,} rows",
        link=report.rejects or report.output,
    )


def _standing(resolved: str, settings: Settings) -> Collection[Standing]:
    """What holds of the rows of a model that were judged."""
    name = resolved.removeprefix("models:/").rpartition("/")[0]
    return standing(read_verdicts(settings.verdicts_database, name)).values()


def parse_reasons(text: str) -> tuple[Explained, int]:
    """Which rows are explained, and by how many columns.

    Raises:
        UsageError: Neither a number nor `none` nor `all`.
    """
    if text in ("none", "all"):
        return ("none" if text == "none" else "all"), TOP
    if text.isdigit() and int(text):
        return "anomalies", int(text)
    raise UsageError(f"reasons {text!r}: give a number of columns, none, or all")


def resolve(model: str, settings: Settings) -> str:
    """`models:/NAME/VERSION` of `NAME`, `NAME@ALIAS` or `NAME/VERSION`.

    Raises:
        UsageError: The address is malformed, or there is no such model, alias or version.
    """
    from flows.tracking import registry, tracking

    version = registry.find_model(tracking.connect(settings), model)
    return f"models:/{version.name}/{version.version}"


@contextmanager
def version_folder(resolved: str, settings: Settings) -> Iterator[Path]:
    """A private copy of the bundle of a registered version, compared with its seal.

    Raises:
        UsageError: There is no such version any more.
        SealBroken: Its files are not those that were registered.
    """
    from flows.tracking import registry, seal, tracking

    client = tracking.connect(settings)
    with seal.sealed_bundle(client, registry.find_model(client, resolved)) as folder:
        yield folder


def read_bundle(folder: Path) -> tuple[ScoringBundle, Contract]:
    """A bundle, for rows checked against the contract that lies in it."""
    return load_bundle(folder).taking_new_levels(), load_contract(folder / "contract.json")


@contextmanager
def _filler(
    engine: Engine, spark: Mapping[str, str], bundle: Path, settings: Settings
) -> Iterator[Callable[[Parts, Judge, str], float]]:
    """What scores the rows that are not finished yet; gives processor seconds of others."""
    if engine == "local":
        from flows.scoring import local

        yield lambda parts, judge, source: local.fill(parts, judge, source, settings)
        return
    from data_checks.spark.session import spark_session
    from flows.scoring.spark import fill

    with spark_session(settings.spark(spark), PACKAGES, log=settings.spark_log) as session:
        yield lambda parts, judge, source: fill(session, parts, judge, bundle, source, settings)
