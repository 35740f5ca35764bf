"""Verdicts of a whole batch: few of the rows called anomalies are normal, in expectation.

The rows are scored first, with reasons for whatever may become a discovery; the finished parts then
get their verdicts. What a killed run has given a verdict already, it gives the same again.
"""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from dagmm_model.detectors.file_format import exchange_threshold, load_bundle
from dagmm_model.evaluation.threshold import Discoveries, calibrate, exceeds, rows_needed
from flows.common.errors import UsageError
from flows.scoring.filling.parts import Parts
from flows.scoring.judged_part import KNOWN

SUFFIX = ".parquet"
"""Of the parts, which are read again, whatever the result's own format."""


def check_level(level: float) -> None:
    """Refuse anything but a rate.

    Raises:
        UsageError: It does not lie between 0 and 1.
    """
    if not 0 < level < 1:
        raise UsageError(f"--fdr {level:g}: a share between 0 and 1, e.g. 0.1")


def admit_candidates(bundle: Path, level: float) -> None:
    """Lower the threshold of a private copy of a bundle to what may become a discovery.

    No row with a p-value above the level ever becomes one, so that the rest needs no reasons.

    Raises:
        UsageError: There are too few calibration rows for a p-value as small as the level.
    """
    energies = load_bundle(bundle).calibration
    threshold = calibrate(energies, level)
    if threshold.note:
        raise UsageError(
            f"--fdr {level:g}: with {len(energies):,} calibration rows no p-value is below "
            f"{1 / (len(energies) + 1):.3g}; {rows_needed(level):,} rows would do"
        )
    exchange_threshold(bundle, threshold)


def decide(parts: Parts, calibration: np.ndarray, level: float, *, keep_reasons: bool) -> float:
    """Give every row of the finished parts its verdict.

    Args:
        parts: All parts of the batch, in Parquet.
        calibration: Energies of the held-out normal rows, ascending.
        level: False discovery rate.
        keep_reasons: Whether rows that are not discoveries keep their reasons.

    Returns:
        Energy above which rows are discoveries; infinite when there are none.
    """
    discoveries = Discoveries(calibration)
    for file in parts.files("scored"):
        discoveries.add(pq.read_table(file, columns=["energy"]).column(0).to_numpy())
    limit = discoveries.threshold(level)
    threshold = np.inf if limit is None else limit

    def judged(table: pa.Table) -> pa.Table:
        flags = pa.array(exceeds(table.column("energy").to_numpy(), threshold))
        columns = {"is_anomaly": flags, "threshold": pa.array(np.full(len(table), threshold))}
        remarks = table.column("remarks")
        without = pc.replace_substring_regex(remarks, f"(; )?{KNOWN}.*$", "")
        without = pc.if_else(pc.equal(without, ""), pa.scalar(None, pa.string()), without)
        columns["remarks"] = pc.if_else(flags, remarks, without)
        if not keep_reasons:
            for name in ("reasons", "component"):
                nothing = pa.scalar(None, table.schema.field(name).type)
                columns[name] = pc.if_else(flags, table.column(name), nothing)
        for name, values in columns.items():
            place = table.schema.get_field_index(name)
            table = table.set_column(place, table.schema.field(place), values)
        return table

    parts.rewrite(judged)
    return threshold
