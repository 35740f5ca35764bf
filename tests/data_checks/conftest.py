from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from data_checks.contract.model import Contract

COLUMNS: list[dict[str, Any]] = [
    {"name": "id", "type": "identifier"},
    {"name": "amount", "type": "numeric", "unit": "EUR", "minimum": 0, "maximum": 1000},
    {"name": "kind", "type": "categorical", "vocabulary": ["red", "green", "blue"]},
    {"name": "when", "type": "timestamp"},
    {"name": "ok", "type": "boolean"},
    {"name": "fee", "type": "numeric", "minimum": 0},
]


def small_contract(**changes: Any) -> Contract:
    settings: dict[str, Any] = {
        "name": "small",
        "source": {"kind": "csv", "file": "small.csv"},
        "columns": COLUMNS,
        "label": {"column": "label", "normal": ["good"], "anomalous": ["bad"]},
        "rules": [{"name": "fee is part of the amount", "check": "fee <= amount"}],
        "max_quarantine_share": 0.2,
    }
    return Contract.model_validate({**settings, **changes})


def small_frame(rows: int = 30, seed: int = 0) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    amount = rng.uniform(1, 999, rows).round(2)
    return pd.DataFrame(
        {
            "id": [f"r{i}" for i in range(rows)],
            "amount": amount,
            "kind": rng.choice(["red", "green", "blue"], rows),
            "when": pd.date_range("2026-01-01", periods=rows, freq="h").strftime("%Y-%m-%d %H:%M"),
            "ok": rng.choice(["true", "false"], rows),
            "fee": (amount * 0.1).round(2),
            "label": ["bad" if i % 7 == 3 else "good" for i in range(rows)],
        }
    )


@pytest.fixture
def write_csv(tmp_path: Path) -> Callable[..., Path]:
    def write(frame: pd.DataFrame, name: str = "small.csv", **options: Any) -> Path:
        path = tmp_path / name
        frame.to_csv(path, index=False, **options)
        return path

    return write


@pytest.fixture(scope="session")
def data_dir() -> Path:
    folder = os.environ.get("DAGMM_DATA_DIR")
    if not folder:
        pytest.skip("DAGMM_DATA_DIR is not set: the published data files are not here")
    return Path(folder)
