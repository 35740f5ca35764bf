"""The `train` flow: a table in, a promotion decision out."""

from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

from prefect import flow
from prefect.context import TagsContext
from prefect.runtime import flow_run

from data_checks.contract.model import Contract, load_contract
from flows.common.config import AUTO, DetectorConfig, TrainConfig
from flows.common.policy import contract_policy
from flows.common.settings import Settings
from flows.notify.failures import TOLD
from flows.orchestration.at_home import at_home
from flows.orchestration.tasks import TASKS, start_tracking, write_report
from flows.promotion import trial_server
from flows.stages.decision import TrainResult
from flows.stages.run import TrainRun
from flows.stages.workspace import open_run, write_atomic
from flows.tracking import tracking
from flows.tracking.ending import ending, run_of


def _run_name() -> str:
    """Readable in Prefect's list of runs: data set, detector, seed."""
    config = flow_run.parameters["config"]
    values = config if isinstance(config, dict) else config.model_dump()
    detector = values["detector"]
    dataset = Path(values["dataset"]).stem
    return f"{dataset}-{detector['name']}-{detector['preset']}-seed{values['seed']}"


@at_home
@flow(name="train", flow_run_name=_run_name, log_prints=False, **TOLD)
def train(config: TrainConfig) -> TrainResult:
    """Ingest, validate, split, fit, calibrate, evaluate, register and promote one detector."""
    settings = Settings()
    contract = load_contract(config.dataset)
    policy = contract_policy(contract.promotion, config.promotion, contract.name)
    config = config.model_copy(update={"promotion": policy})
    identity = _identity(config, contract, settings)
    with open_run(settings.workspace, identity) as folder, ExitStack() as stack:
        # The run's tags stay the run's: for each task that has any, Prefect asks its server whether
        # a tag is limited, and waits for seconds where the server is busy.
        stack.enter_context(TagsContext(current_tags=set()))
        write_atomic(folder / "contract.json", contract.model_dump_json())
        run = TASKS["ingest"](TrainRun(folder, contract, config, settings))
        client, experiment = tracking.client_of(settings), f"dagmm-{contract.name}"
        with ending(client, lambda: run_of(client, experiment, folder.name)):
            run = TASKS["validate"](start_tracking(run))
            if policy.serving_check:
                stack.enter_context(trial_server.waiting())
            for name in ("verdicts", "split"):
                run = TASKS[name](run)
            if config.detector.name == AUTO:
                run = TASKS["choose"](run)
                chosen = DetectorConfig(name=run.record("choose").detector)
                run = replace(run, config=config.model_copy(update={"detector": chosen}))
            for name in ("fit", "calibrate", "evaluate", "register", "promote"):
                run = TASKS[name](run)
            page = write_report(run)
    registered = run.record("register")
    return TrainResult(
        dataset=contract.name,
        evidence=run.evidence(),
        registration=registered,
        promotion=run.record("promote"),
        run_url=tracking.run_url(settings, registered.experiment_id, run.run_id),
        report=page,
    )


def _identity(config: TrainConfig, contract: Contract, settings: Settings) -> dict[str, str]:
    """Everything that decides the result; a run is resumed only where all of it is the same."""
    file = config.data or getattr(contract.source, "file", None)
    state = ""
    if file:
        path = Path(file) if config.data else settings.data_dir / file
        if path.exists():
            state = f"{path.stat().st_size}-{path.stat().st_mtime_ns}"
    return {
        "config": config.digest,
        "contract": contract.digest,
        "file": state,
        "tracking": settings.tracking_uri,
    }
