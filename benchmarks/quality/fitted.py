"""A detector fitted on a part of a table's normal rows, as a bundle that scores the others."""

import tempfile
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from dagmm_model import DAGMM
from dagmm_model.detectors.bundle import ScoringBundle
from dagmm_model.evaluation.threshold import calibrate
from data_checks.base.locations import default_data_dir
from data_checks.contract.model import ANOMALY_COLUMN, Contract
from data_checks.sources.sources import ingest
from flows.common.features import as_frame, encoder_for


def rows_of(contract: Contract) -> tuple[pa.Table, pa.Table]:
    """Normal and anomalous rows, feature columns only."""
    with tempfile.TemporaryDirectory() as scratch:
        path = Path(scratch) / "rows.parquet"
        ingest(contract, path, data_dir=default_data_dir())
        table = pq.read_table(path)
    names = [column.name for column in contract.feature_columns]
    flags = table.column(ANOMALY_COLUMN)
    return tuple(table.filter(pc.equal(flags, kind)).select(names) for kind in (0, 1))


def fitted(
    contract: Contract, normal: pa.Table, most: int, tenths: tuple[int, int], detector: DAGMM
) -> tuple[ScoringBundle, pa.Table, pa.Table]:
    """A bundle, the rows that it was trained on, and the rows that it has not seen.

    Args:
        contract: Of the table.
        normal: Its normal rows.
        most: How many of them are used.
        tenths: Where, in a random order by the detector's seed, training and calibration end.
        detector: Not fitted yet.
    """
    order = np.random.default_rng(detector.random_state).permutation(normal.num_rows)[:most]
    cuts = [len(order) * tenth // 10 for tenth in tenths]
    train, held, rest = (normal.take(pa.array(part)) for part in np.split(order, cuts))
    encoder = encoder_for(contract, train)
    detector.fit(encoder.encode(as_frame(train)))
    energies = np.sort(detector.energy(encoder.encode(as_frame(held))))
    return ScoringBundle(encoder, detector, calibrate(energies, 0.05), energies), train, rest
