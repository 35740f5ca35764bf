"""Another threshold for a detector that is there: a new version, in seconds, without any data.

The calibration energies are kept with every version, and so are the energies of its evaluation
rows. A new alert budget therefore needs no training: the new version has the detector's bytes, a
threshold for the new rate, and an evidence of its own, sealed like that of a training.
"""

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
from mlflow.entities.model_registry import ModelVersion
from mlflow.tracking import MlflowClient

from dagmm_model.detectors.file_format import load_bundle
from dagmm_model.evaluation.threshold import Threshold, calibrate, rows_needed
from dagmm_model.evaluation.what_if import WhatIf, what_if
from data_checks.base.scratch import scratch_folder
from flows.common.errors import UsageError, Verdict
from flows.common.settings import Settings
from flows.promotion import switch
from flows.promotion.lease import hold
from flows.promotion.promote import promote
from flows.promotion.version.canary import answer_probe
from flows.promotion.version.stored_version import StoredVersion, fetch_version
from flows.review.measured import Measured, measure_threshold
from flows.review.threshold.agreed import agreed
from flows.review.threshold.register import ThresholdChange, register_change
from flows.tracking import registry, seal


def change_threshold(
    client: MlflowClient,
    settings: Settings,
    reference: str,
    rate: float,
    *,
    by: str,
    rehearse: bool = False,
    confirmed: bool = False,
) -> ThresholdChange:
    """Register a version with the detector of another one and a threshold for a rate; judge it.

    Repeating it completes what a killed process began, and adds nothing to what is complete.

    Args:
        client: Registry.
        settings: Where the embedded store keeps artifacts.
        reference: Whose detector: `NAME`, `NAME@alias` or `NAME/VERSION`.
        rate: False-alarm rate to guarantee.
        by: Who asks, for the audit trail.
        rehearse: Calibrate and measure, and change nothing.
        confirmed: Whether the rows that people have judged normal have to keep to the rate, too.

    Raises:
        UsageError: There is no such version, its calibration rows cannot guarantee the rate, or
            nobody has judged rows of a review.
        Verdict: The version's files are not those that were registered.
    """
    version = registry.find_model(client, reference)
    name = version.name
    if not rehearse:  # a killed call may have moved the alias and completed nothing
        probe = answer_probe(client, name)
        with switch.settled(client, settings, name, "look at the threshold", probe):
            version = registry.find_model(client, reference)
    number = int(version.version)
    with scratch_folder() as scratch:
        stored = _fetched(client, version, scratch)
        bundle = load_bundle(stored.model / seal.BUNDLE)
        threshold = _calibrated(stored, bundle.calibration, rate)
        if confirmed:
            threshold = agreed(stored, bundle, threshold, settings)
        then, now = (_measured(stored, each.value) for each in (bundle.threshold, threshold))
        change = ThresholdChange(
            name, number, bundle.threshold, threshold, then, now, None, promotion=None
        )
        if rehearse or threshold == bundle.threshold:
            return change if rehearse else replace(change, version=number)
        with hold(client, settings, name, f"new threshold for version {number}"):
            target = register_change(client, settings, stored, change, by)
    decision = promote(client, settings, name, target, by=by)
    return replace(change, version=target, promotion=decision)


def budgets(
    client: MlflowClient, reference: str, rows: int
) -> tuple[Threshold, tuple[WhatIf, ...]]:
    """The threshold of a version, and what others would do on its kept evaluation rows.

    Raises:
        UsageError: There is no such version, or it was calibrated with test labels.
        Verdict: The version's files are not those that were registered.
    """
    version = registry.find_model(client, reference)
    with scratch_folder() as scratch:
        stored = _fetched(client, version, scratch)
        _check_deployable(stored)
        bundle = load_bundle(stored.model / seal.BUNDLE)
        energies, labels, _ = stored.recorded()
    also = [bundle.threshold.target_rate]
    return bundle.threshold, what_if(bundle.calibration, energies, labels, rows=rows, also=also)


def _fetched(client: MlflowClient, version: ModelVersion, folder: Path) -> StoredVersion:
    stored = fetch_version(client, version, folder)
    if problems := stored.problems():
        raise Verdict(
            f"version {version.version} of {version.name!r} is not as registered: {problems[0]}"
        )
    return stored


def _check_deployable(stored: StoredVersion) -> None:
    if not stored.evidence["calibrate"]["deployable"]:
        version = stored.version
        raise UsageError(
            f"version {version.version} of {version.name!r} was calibrated with test labels: no "
            "rate can be guaranteed; train with split.protocol=deployment"
        )


def _calibrated(stored: StoredVersion, energies: np.ndarray, rate: float) -> Threshold:
    name, number = stored.version.name, stored.version.version
    _check_deployable(stored)
    threshold = calibrate(energies, rate)
    if threshold.note:
        rows = len(energies)
        raise UsageError(
            f"version {number} of {name!r} has {rows:,} calibration rows, which cannot guarantee "
            f"a false-alarm rate of {rate:.3g}: {rows_needed(rate):,} rows would; the smallest "
            f"rate that {rows:,} can guarantee is {rounded_up(1 / (rows + 1)):.3g}"
        )
    return threshold


def rounded_up(rate: float) -> float:
    """To three digits: what is typed in from a message has to do."""
    unit = 10.0 ** (math.floor(math.log10(rate)) - 2)
    return math.ceil(rate / unit) * unit


def _measured(stored: StoredVersion, threshold: float) -> Measured:
    """Figures of the evaluation rows by their recorded energies, which the evidence seals."""
    energies, labels, slices = stored.recorded()
    return measure_threshold(energies, labels, slices, threshold)
