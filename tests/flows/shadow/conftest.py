"""Two versions of one small table, without a registry."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from dagmm_model.detectors.bundle import ScoringBundle
from dagmm_model.detectors.catalogue import make_detector
from dagmm_model.evaluation.threshold import calibrate
from data_checks.contract.model import Contract
from data_checks.rows.casting import cast_batch
from flows.common.features import as_frame, encoder_for
from flows.shadow.version import Version

CONTRACT = Contract.model_validate(
    {
        "name": "small",
        "source": {"kind": "csv", "file": "small.csv"},
        "columns": [
            {"name": "a", "type": "numeric", "minimum": -50, "maximum": 50},
            {"name": "b", "type": "numeric"},
            {"name": "mode", "type": "categorical", "vocabulary": ["low", "high"]},
        ],
    }
)


def table(rows: int, seed: int) -> pd.DataFrame:
    """Mostly normal rows; every tenth is far off in `a`, every fifteenth in `b`."""
    rng = np.random.default_rng(seed)
    frame = pd.DataFrame(
        {
            "a": rng.normal(0, 1, rows),
            "b": rng.normal(0, 1, rows),
            "mode": rng.choice(["low", "high"], rows),
        }
    )
    frame.loc[::10, "a"] += 20
    frame.loc[::15, "b"] += 20
    return frame


def version(number: int, detector: str, seed: int, rate: float = 0.05, contract=CONTRACT):
    rows = table(400, seed)
    typed = cast_batch(pa.Table.from_pandas(rows[(rows.a < 9) & (rows.b < 9)]), contract, 0)
    encoder = encoder_for(contract, typed)
    matrix = encoder.encode(as_frame(typed))
    settings = {"epochs": 2, "members": 1} if detector == "dagmm" else {}
    fitted = make_detector(detector, "recommended", seed, **settings).fit(matrix)
    energies = np.sort(fitted.energy(matrix))
    bundle = ScoringBundle(encoder, fitted, calibrate(energies, rate), energies).taking_new_levels()
    return Version("dagmm-small", number, f"seal{number}", bundle, contract)


@pytest.fixture(scope="session")
def first() -> Version:
    return version(1, "dagmm", 0)


@pytest.fixture(scope="session")
def candidate() -> Version:
    """Trained on other rows, with a threshold that only a few rows exceed."""
    actual = version(2, "dagmm", 1)
    limit = float(np.quantile(actual.score(table(300, 2))[1].energy, 0.97))
    threshold = replace(actual.bundle.threshold, value=limit)
    return replace(actual, bundle=replace(actual.bundle, threshold=threshold))
