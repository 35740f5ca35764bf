"""The fit of a training, with its epochs and the load of the machine in MLflow."""

from contextlib import ExitStack
from pathlib import Path

import psutil
from mlflow.system_metrics.system_metrics_monitor import SystemMetricsMonitor

from dagmm_model.detectors.file_format import load_detector
from flows.pipeline.fitting import ranks
from flows.pipeline.fitting.epochs import EpochLogger
from flows.pipeline.fitting.fit import FitWork, fit_detector
from flows.stages.records import FitRecord, JudgedRecord, SplitRecord
from flows.stages.run import TrainRun
from flows.tracking import tracking


def fit(run: TrainRun, rows: JudgedRecord, parts: SplitRecord) -> FitRecord:
    """Fit the detector of a training, by all ranks that have joined."""
    work = FitWork(
        run=run.path,
        contract=run.contract,
        config=run.config,
        rows=rows,
        parts=parts,
        checkpoint_seconds=run.settings.checkpoint_seconds,
    )
    logger = EpochLogger(tracking.connect(run.settings), run.run_id)
    with ExitStack() as stack:
        monitor = SystemMetricsMonitor(
            run.run_id,
            sampling_interval=1,
            samples_before_logging=10,  # a run of less has nothing to tell of the machine
            resume_logging=True,
            tracking_uri=run.settings.tracking_uri,
        )
        psutil.cpu_percent()  # counts from here on: MLflow's first value would be 0
        monitor.start()
        stack.callback(monitor.finish)
        record = fit_detector(work, (logger,), ranks.ours(), logger.plan)
    logger.complete(load_detector(Path(record.detector)).history_)
    return record
