"""Cells of a benchmark: one result of one detector on one split, one line of a file each.

The file only grows. A cell is done when a finished line has its key: data set, protocol, grouping,
seed, row, and the digests of the detector's settings and of the data. Of several lines for one
split the last counts, and of several settings of one row the last ones that were measured: a
change of settings or data never mixes old figures with new ones.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

FORMAT = 1
"""Version of what a cell means; cells of another one are measured again."""
FIGURES = ("f1", "roc_auc", "ap", "recall", "false_alarms")


@dataclass(frozen=True)
class Cell:
    """One result; `reason` says why there are no figures.

    Attributes:
        dataset: Name of the contract.
        protocol: paper or deployment.
        grouped: Whether identical rows were kept on one side of the split.
        seed: Of the split and of the detector.
        detector: Label of the row, e.g. ``dagmm``, ``dagmm:paper`` or ``dagmm, untrained``.
        f1: At the known anomaly ratio (paper) or at the calibrated threshold (deployment).
        roc_auc: Area under the ROC curve of the test rows.
        ap: Average precision of the test rows.
        recall: At the calibrated threshold; None in the paper's protocol.
        false_alarms: Share of normal test rows flagged; None in the paper's protocol.
        seconds: Of fitting: processor time of one thread, so that cells measured beside other
            work can be compared.
        score_seconds: Of scoring the test rows, the same.
        settings_sha256: Digest of what decides the detector; empty in the first lines.
        data_sha256: Digest of the encoded rows and labels; empty in the first lines.
        reason: Why the cell failed, or an empty string.
        time: When it was measured, ISO 8601, UTC.
        remarks: What else the detector says, e.g. its number of components.
        format: `FORMAT` at the time.
    """

    dataset: str
    protocol: str
    grouped: bool
    seed: int
    detector: str
    f1: float | None = None
    roc_auc: float | None = None
    ap: float | None = None
    recall: float | None = None
    false_alarms: float | None = None
    seconds: float | None = None
    score_seconds: float | None = None
    settings_sha256: str = ""
    data_sha256: str = ""
    reason: str = ""
    time: str = ""
    remarks: dict[str, Any] = field(default_factory=dict)
    format: int = FORMAT

    @property
    def split(self) -> tuple[str, str, bool, int, str]:
        """Place of the cell in the table."""
        return (self.dataset, self.protocol, self.grouped, self.seed, self.detector)

    @property
    def version(self) -> tuple[str, str, int]:
        """What was measured at that place."""
        return (self.settings_sha256, self.data_sha256, self.format)

    @property
    def key(self) -> tuple[Any, ...]:
        """Everything that decides the result."""
        return (*self.split, *self.version)


def read_cells(path: Path) -> list[Cell]:
    """Cells of a file in its order, none where there is no file.

    A line that a kill cut short is left out, and a key of a later version is passed over.
    """
    if not path.exists():
        return []
    cell = TypeAdapter(Cell)
    lines = path.read_text(encoding="utf-8").split("\n")
    return [cell.validate_json(line) for line in lines if line.endswith("}")]


def append_cells(path: Path, cells: Sequence[Cell]) -> None:
    """Add cells to the file, on disk when this returns; all of them or, after a kill, maybe one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("ab+") as file:
        end = file.tell()
        file.seek(max(0, end - 1))
        cut_short = end > 0 and file.read(1) != b"\n"
        # What is empty is not worth a place in the file.
        values = ({k: v for k, v in asdict(c).items() if v not in (None, "", {})} for c in cells)
        text = "".join(f"{json.dumps(each)}\n" for each in values)
        file.write(("\n" * cut_short + text).encode())
        file.flush()
        os.fsync(file.fileno())


def current(cells: Iterable[Cell]) -> list[Cell]:
    """One cell for each place: the last, of the version of its row that was measured last."""
    rows: dict[tuple[str, str, bool, str], list[Cell]] = {}
    for cell in cells:
        rows.setdefault((cell.dataset, cell.protocol, cell.grouped, cell.detector), []).append(cell)
    chosen: list[Cell] = []
    for row in rows.values():
        kept = {cell.seed: cell for cell in row if cell.version == row[-1].version}
        chosen += [kept[seed] for seed in sorted(kept)]
    return chosen


def done(cells: Iterable[Cell]) -> set[tuple[Any, ...]]:
    """Keys that need not be measured again; a failed cell is tried again."""
    return {cell.key for cell in cells if not cell.reason}
