"""The lines of a drafted contract that describe the label, and columns that give it away."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from data_checks.base.errors import SourceError
from data_checks.base.visible import quoted
from data_checks.drafting.profile import ColumnProfile, TableProfile
from data_checks.drafting.separation import looks_like_identifier, separation

_LEAK = 0.995
_MAX_LABELS = 100


def draft_label(
    column: ColumnProfile, profile: TableProfile, position: int | None
) -> tuple[list[str], list[str]]:
    """Propose which labels are normal, and tell which columns alone separate them.

    `position` is that of the label in a file without a header.

    Returns:
        YAML, and remarks.

    Raises:
        SourceError: no column for a label.
    """
    if column.levels is None or len(column.levels) > _MAX_LABELS:
        raise SourceError(f"column '{column.name}' has too many different values for a label.")
    if not column.levels:
        raise SourceError(f"column '{column.name}' is empty and cannot be the label.")
    counts = column.levels.most_common()
    normal, anomalous = counts[0][0], [level for level, _ in counts[1:]]
    shown = ", ".join(quoted(level) for level in anomalous)
    told = ", ".join(f"{level!r} {count:,}" for level, count in counts[:10])
    lines = [
        "label:",
        f"  column: {quoted(column.name)}",
        *([] if position is None else [f"  position: {position}  # counted from 0"]),
        f"  # observed: {_one_line(told)}. Check which values are normal.",
        f"  normal: [{quoted(normal)}]",
        f"  anomalous: [{shown}]" if anomalous else "  anomalous: []  # only one value was there",
    ]
    if anomalous:
        ratio = 1 - counts[0][1] / column.present
        lines += [
            f"anomaly_ratio: {ratio:.4f}  # with the labels above; change it when you change them",
            f"ratio_tolerance: {min(1.0, max(0.02, ratio / 2)):.3f}",
        ]
    doubts = []
    if len(counts) > 2 and counts[0][1] * len(counts) < 2 * column.present:
        doubts.append(
            f"{quoted(column.name)} has {len(counts)} values, none of them in most rows; is it the "
            "label, and are all but the most frequent anomalous?"
        )
    return lines, doubts + _leaks(column, profile, normal)


def _leaks(column: ColumnProfile, profile: TableProfile, normal: str) -> list[str]:
    labels = np.array(profile.sample.column(column.name).to_pylist(), dtype=object)
    known = np.array([value is not None for value in labels])
    sample = profile.sample.filter(pa.array(known))
    anomalous = labels[known] != normal
    leaks = []
    for other in profile.columns:
        if other.name == column.name or other.present == 0:
            continue
        comparable = other.levels is not None or 2 * other.numbers > other.present
        if comparable and not looks_like_identifier(other):
            auc = separation(sample, other.name, anomalous, other.notation)
            if auc >= _LEAK:
                leaks.append(
                    f"{quoted(other.name)} alone separates the labels "
                    f"(ROC AUC {auc:.3f}); make sure it is known when scoring"
                )
    return leaks


def _one_line(text: str) -> str:
    return " ".join(text.split())
