"""What a person looks at in the MLflow run: figures, the mixture, data sets, final metrics."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq

from dagmm_model.detectors.file_format import load_bundle
from dagmm_model.detectors.interface import Detector, Latent, Mixed
from flows.common.features import as_frame, labels_of, read_rows
from flows.pipeline.figures import draw_figures
from flows.pipeline.split import positions
from flows.reporting import plots
from flows.reporting.budget import FIGURES, log_what_if
from flows.reporting.summary import all_figures, effect_of_training, loss_weights
from flows.services import helper
from flows.stages.decision import Evidence
from flows.stages.run import TrainRun
from flows.tracking import tracking


@contextmanager
def reported_training(run: TrainRun, evidence: Evidence) -> Iterator[None]:
    """Log everything that explains the figures; repeating it overwrites the same artifacts.

    The figures are drawn while the block does other work, and logged at its end.
    """
    client, run_id, contract = tracking.connect(run.settings), run.run_id, run.contract
    rows, parts = evidence.validation.path, evidence.split
    fitted, calibrated, evaluated = evidence.fit, evidence.calibrate, evidence.evaluate
    bundle = load_bundle(Path(calibrated.bundle))
    detector = bundle.detector
    test = read_rows(rows, contract, positions(parts, "test"))
    labels = labels_of(test)
    energies = pq.read_table(evaluated.energies).column("energy").to_numpy()
    threshold = calibrated.threshold
    lines = log_what_if(
        client,
        run_id,
        threshold,
        bundle.calibration,
        energies,
        labels,
        run.config.calibration.rows_per_day,
    )
    sample = np.sort(np.random.default_rng(0).permutation(len(energies))[: plots.MAX_POINTS])
    latent = None
    if isinstance(detector, Latent):
        latent = detector.latent(bundle.encoder.encode(as_frame(test.take(sample))))
    draw = partial(
        draw_figures,
        run.path / FIGURES,
        energies=energies,
        labels=labels,
        threshold=threshold.value,
        lines=lines,
        guaranteed_rate=threshold.guaranteed_rate,
        history=detector.history_,
        weights=loss_weights(fitted.settings),
        effect=effect_of_training(evaluated),
        latent=latent,
        latent_labels=None if labels is None else labels[sample],
    )
    with helper.work_in_helper(draw):
        _log_details(run, evidence, detector)
        yield
    client.log_artifacts(run_id, str(run.path / FIGURES), FIGURES)


def _log_details(run: TrainRun, evidence: Evidence, detector: Detector) -> None:
    """The mixture, the last figures and the data sets."""
    client, run_id, contract = tracking.connect(run.settings), run.run_id, run.contract
    parts = evidence.split
    if isinstance(detector, Mixed) and detector.mixtures_:
        mixtures = [
            {"member": i, "phi": m.phi.tolist(), "mu": m.mu.tolist(), "sigma": m.sigma.tolist()}
            for i, m in enumerate(detector.mixtures_)
        ]
        client.log_dict(run_id, {"mixtures": mixtures}, "mixture/mixture.json")
        client.log_table(run_id, _mixture_table(detector.mixtures_), "mixture/mixture_table.json")
    # What runs are compared by is logged with the model and its rows, see `register`.
    last = {
        "threshold": evidence.calibrate.threshold.value,
        "fit_seconds": round(evidence.fit.seconds, 1),
    }
    tracking.log_metrics(client, run_id, last)
    rest = all_figures(evidence.evaluate) | {"mixture": evidence.fit.health}
    client.log_dict(run_id, rest, "figures/all.json")
    for part, context in (("train", "training"), ("validation", "validation")):
        of_part = positions(parts, part)
        if len(of_part):
            digest = getattr(parts, f"{part}_sha256")
            table = read_rows(evidence.validation.path, contract, of_part)
            tracking.log_dataset(client, run_id, contract, table, digest, part, context)


def _mixture_table(mixtures: tuple) -> dict[str, list]:
    """One line for each component of each member."""
    rows = [
        (member, k, float(m.phi[k]), m.mu[k].tolist(), np.diag(m.sigma[k]).tolist())
        for member, m in enumerate(mixtures)
        for k in range(len(m.phi))
    ]
    names = ("member", "component", "phi", "mu", "sigma_diagonal")
    return {name: [row[i] for row in rows] for i, name in enumerate(names)}
