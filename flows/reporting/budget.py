"""What other alert budgets would do, in the run of whatever sets a threshold; its figures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from dagmm_model.evaluation.metrics import Interval
from dagmm_model.evaluation.threshold import Threshold
from dagmm_model.evaluation.what_if import ROWS, WhatIf, what_if
from data_checks.base.scratch import scratch_folder
from flows.reporting import html

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from mlflow.tracking import MlflowClient

TABLE, FIGURES = "what_if/what_if.json", "figures"


def log_what_if(
    client: MlflowClient,
    run_id: str,
    threshold: Threshold,
    calibration: np.ndarray,
    energies: np.ndarray,
    labels: np.ndarray | None,
    rows_per_day: int | None,
) -> tuple[WhatIf, ...]:
    """Log the table; its lines.

    `labels` are True for anomalies among the evaluation rows; None without labels.
    """
    also, rows = [threshold.target_rate], rows_per_day or ROWS
    lines = what_if(calibration, energies, labels, rows=rows, also=also)
    client.log_table(run_id, budget_table(lines, daily=rows_per_day is not None), TABLE)
    return lines


def log_figures(client: MlflowClient, run_id: str, figures: Mapping[str, Figure]) -> None:
    """Draw figures and log them."""
    with scratch_folder() as folder:
        draw_budget(figures, folder)
        client.log_artifacts(run_id, str(folder), FIGURES)


def draw_budget(figures: Mapping[str, Figure], folder: Path) -> None:
    """Draw figures into files of their names."""
    folder.mkdir(exist_ok=True)
    for name, figure in figures.items():
        (folder / f"{name}.png").write_bytes(html.png(figure))


def budget_table(lines: Sequence[WhatIf], *, daily: bool) -> dict[str, list[float | None]]:
    """Columns of the table, intervals as two of them; `daily` if its rows are those of a day."""
    columns: dict[str, list[float | None]] = {
        "false_alarm_rate": [line.rate for line in lines],
        "guaranteed_rate": [line.guaranteed_rate for line in lines],
        "threshold": [line.threshold for line in lines],
    }
    rows = lines[0].rows
    for name, title in (
        ("alarms", "false_alarms_a_day" if daily else f"false_alarms_of_{rows}_normal_rows"),
        ("alert_rate", "alert_rate"),
        ("recall", "recall"),
        ("precision", "precision"),
    ):
        intervals: list[Interval | None] = [getattr(line, name) for line in lines]
        if any(intervals):
            columns[title] = [each and each.value for each in intervals]
            columns[f"{title}_low"] = [each and each.low for each in intervals]
            columns[f"{title}_high"] = [each and each.high for each in intervals]
    return columns
