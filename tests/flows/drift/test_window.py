"""A window of raw rows with gaps, new levels and a time of its own; no server, no registry."""

import numpy as np
import pandas as pd
import pytest

from dagmm_model.detectors.bundle import ScoringBundle
from dagmm_model.detectors.catalogue import make_detector
from dagmm_model.evaluation.threshold import calibrate
from data_checks.base.errors import SourceError
from data_checks.drift import drift_reference
from data_checks.rows.casting import cast_batch
from flows.common.features import as_frame, encoder_for
from flows.drift.window import read_window
from tests.data_checks.conftest import small_contract, small_frame

CONTRACT = small_contract()


@pytest.fixture(scope="module")
def trained():
    import pyarrow as pa

    rows = cast_batch(pa.Table.from_pandas(small_frame(400)), CONTRACT, 0)
    encoder = encoder_for(CONTRACT, rows)
    matrix = encoder.encode(as_frame(rows))
    detector = make_detector("mahalanobis").fit(matrix[:200])
    energies = np.sort(detector.energy(matrix[200:]))
    bundle = ScoringBundle(encoder, detector, calibrate(energies), energies)
    return bundle, drift_reference(rows, CONTRACT)


def test_rows_are_scored_counted_and_dated(trained, tmp_path):
    bundle, reference = trained
    frame = small_frame(120, seed=1).astype(object)
    frame.loc[5, "fee"] = "much"
    frame.loc[7, "kind"] = "pink"
    frame.sample(frac=1, random_state=0).to_csv(tmp_path / "rows.csv", index=False)
    window = read_window(
        bundle.taking_new_levels(), CONTRACT, reference, str(tmp_path / "rows.csv"), tmp_path
    )
    assert window.rejected == 1  # a level that training never saw is scored, and counted as such
    assert len(window.energies) == 119
    assert all(counts.sum() == 119 for counts in window.counts.values())
    newest = pd.Timestamp(frame["when"].iloc[-1], tz="UTC").timestamp()
    assert window.newest == newest


def test_a_window_without_the_time_column_is_refused_by_name(trained, tmp_path):
    bundle, reference = trained
    small_frame(50).drop(columns="when").to_csv(tmp_path / "rows.csv", index=False)
    with pytest.raises(SourceError, match="'when'"):
        read_window(bundle, CONTRACT, reference, str(tmp_path / "rows.csv"), tmp_path)


def test_no_usable_row_is_an_empty_window(trained, tmp_path):
    bundle, reference = trained
    small_frame(30).assign(amount="none").to_csv(tmp_path / "rows.csv", index=False)
    window = read_window(bundle, CONTRACT, reference, str(tmp_path / "rows.csv"), tmp_path)
    assert (len(window.energies), window.rejected) == (0, 30)
