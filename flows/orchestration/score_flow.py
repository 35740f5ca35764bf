"""Batch scoring as a flow; `flows.scoring.run` itself stays free of Prefect, to start quickly."""

from pathlib import Path
from typing import Literal

from prefect import flow
from prefect.artifacts import create_markdown_artifact
from prefect.runtime import flow_run

from flows.common.errors import Verdict
from flows.common.markdown import items
from flows.common.settings import Engine, Settings
from flows.notify.failures import TOLD
from flows.orchestration.at_home import at_home
from flows.scoring.report import ScoreReport
from flows.scoring.run import score as work
from flows.shadow.batch import BatchShadow, check_shadow
from flows.tracking.names import slug


def _run_name() -> str:
    """Readable in Prefect's list of runs: what is scored with what."""
    given = flow_run.parameters
    return f"{Path(given['source']).name} with {str(given['model']).removeprefix('models:/')}"


@at_home
@flow(name="score", flow_run_name=_run_name, **TOLD)
def score(
    source: str,
    output: str,
    model: str,
    table: str | None = None,
    reasons: str = "3",
    engine: Engine = "local",
    spark: dict[str, str] | None = None,
    outside: Literal["mark", "reject"] | None = None,
    shadow: str | None = None,
) -> ScoreReport:
    """Score raw rows with a registered model; a run that was killed is taken up.

    Args:
        source: File, folder, glob or URL with raw rows.
        output: Result, `.parquet`, `.csv` or `FOLDER/`, or the SQLAlchemy address of a database.
        model: `models:/NAME@ALIAS`, resolved once at the start.
        table: Table of the database, whose rows are replaced.
        reasons: Number of columns named for each anomaly; `none`, or `all` for every row.
        engine: `local`, or `spark` for a table that one machine does not hold.
        spark: Spark's own settings, e.g. `{"spark.master": "spark://host:7077"}`.
        outside: Whether rows with values outside vocabulary or range are scored and marked, or
            rejected; as the contract has it unless given.
        shadow: Alias or version that scores the same rows and is compared, e.g. `challenger`; with
            the engine `local`.

    Raises:
        Verdict: Nothing, or less than the contract tolerates, could be scored; the result of what
            could be is there.
    """
    settings = Settings()
    check_shadow(shadow, engine)
    candidate = None if shadow is None else BatchShadow(settings, shadow)
    report = work(
        source,
        output,
        model,
        settings,
        table=table,
        reasons=reasons,
        engine=engine,
        spark=spark or {},
        outside=outside,
        also=candidate,
    )
    text = report.text() if candidate is None else f"{report.text()}\n{candidate.finish().text()}"
    create_markdown_artifact(
        key=f"scoring-{slug(report.model.partition(':/')[2].partition('/')[0])}",
        markdown="\n".join(items(text.splitlines())),
        description=f"{report.model}: {report.anomalies:,} anomalies in {report.rows:,} rows",
    )
    if report.failure:
        raise Verdict(report.failure)
    return report
