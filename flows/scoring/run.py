"""Batch scoring: raw rows of any source to energies, verdicts and reasons, in bounded memory.

Neither Prefect nor Great Expectations is imported: their start-up would cost more than the work.
Who judges the rows, threads of this process or Spark's executors, is `filling.local` or
`filling.spark`.
"""

import time
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pyarrow as pa

from dagmm_model.detectors.bundle import Explained
from data_checks.contract.columns import Outside
from data_checks.sources.integrity import changed, file_state, shown
from flows.common import progress
from flows.common.errors import UsageError
from flows.common.settings import NO_SETTINGS, Engine, Settings
from flows.notify.tell import tell
from flows.scoring import false_discoveries, review_sample
from flows.scoring.filling.parts import Parts, SourceMoved, open_parts
from flows.scoring.judged_part import JudgedPart
from flows.scoring.known_rows import known_rows
from flows.scoring.output.choice import output_for
from flows.scoring.report import ScoreReport, event_of
from flows.scoring.rows import REJECTED, SCORED, Judge
from flows.scoring.version import read_bundle, resolve_version, version_folder
from flows.verdicts.standing import Standing, standing
from flows.verdicts.store import read_verdicts

TOP = 3
PACKAGES = ("dagmm_model", "data_checks", "flows")
"""Our own packages that Spark's executors run."""


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
    also: Callable[[Judge, int, pa.RecordBatch, JudgedPart], None] | None = None,
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
        restart: Start over even where a run was interrupted.
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
        false_discoveries.check_level(fdr)
    if review_rows is not None:
        review_sample.check_rows_asked(review_rows, settings)
    threshold: float | None = None
    to_judge: str | None = None
    with (
        open_parts(
            target.folder,
            wanted,
            target.suffix if fdr is None and review_rows is None else false_discoveries.SUFFIX,
            lambda: resolve_version(model, settings),
            restart=restart,
        ) as parts,
        version_folder(parts.header["resolved"], settings) as folder,
    ):
        resolved = parts.header["resolved"]
        if fdr is not None:
            false_discoveries.admit_candidates(folder, fdr)
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
            threshold = false_discoveries.decide(
                parts, bundle.calibration, fdr, keep_reasons=explain == "all"
            )
        if review_rows is not None and parts.total.scored:  # else the report says why there is none
            progress.note("drawing rows for review")
            above = bundle.threshold.value if threshold is None else threshold
            to_judge = review_sample.draw_review(
                parts, judge, source, target.name, above, review_rows, settings
            )
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
        tell(settings, event_of(report, where))
    return report


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


@contextmanager
def _filler(
    engine: Engine, spark: Mapping[str, str], bundle: Path, settings: Settings
) -> Iterator[Callable[[Parts, Judge, str], float]]:
    """What scores the rows that are not finished yet; gives processor seconds of others."""
    if engine == "local":
        from flows.scoring.filling import local

        yield lambda parts, judge, source: local.fill_locally(parts, judge, source, settings)
        return
    from data_checks.spark.session import spark_session
    from flows.scoring.filling.spark import fill_on_spark

    with spark_session(settings.spark(spark), PACKAGES, log=settings.spark_log) as session:
        yield lambda parts, judge, source: fill_on_spark(
            session, parts, judge, bundle, source, settings
        )
