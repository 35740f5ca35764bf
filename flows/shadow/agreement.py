"""How far two versions agree on the same rows, added up slice by slice in bounded memory."""

import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Self

import numpy as np
import pyarrow as pa

from flows.common.features import row_hashes
from flows.scoring.rows import largest_shares
from flows.shadow.version import Rows, Version

SAMPLE = 20_000
"""Most pairs of energies kept for the rank correlation."""
NO_REASON = "(no reason)"
"""Of a detector that gives none."""


@dataclass
class Agreement:
    """What was found on the rows so far.

    Attributes:
        rows: That both versions scored.
        refused: That only the candidate's contract refuses.
        both: Alerts that both raise.
        only_first: Alerts of the version that answers only.
        only_second: Alerts of the candidate only.
        reasons_first: The column with the largest share, by how many of `only_first`.
        reasons_second: The same of `only_second`.
        began: When the first rows came, seconds since 1970; 0 before.
        ended: When the last rows came.
        content: Sum of the hashes of these rows, the same in any order and in any slices; None
            where it is not wanted.
    """

    rows: int = 0
    refused: int = 0
    both: int = 0
    only_first: int = 0
    only_second: int = 0
    reasons_first: Counter[str] = field(default_factory=Counter)
    reasons_second: Counter[str] = field(default_factory=Counter)
    began: float = 0.0
    ended: float = 0.0
    content: int | None = None
    _kept: np.ndarray = field(default_factory=lambda: np.empty((3, 0)))

    @property
    def disagreement(self) -> float:
        """Share of rows on which only one of the two raises an alert; NaN before the first row."""
        return (self.only_first + self.only_second) / self.rows if self.rows else float("nan")

    @property
    def rank_correlation(self) -> float:
        """Spearman's, of a uniform sample of the rows; NaN where nothing varies."""
        from scipy.stats import spearmanr

        _, first, second = self._kept
        if len(first) < 3 or np.ptp(first) == 0 or np.ptp(second) == 0:
            return float("nan")
        return float(spearmanr(first, second).statistic)

    @property
    def sample(self) -> np.ndarray:
        """Energies of sampled rows by both, of shape ``(2, n)``."""
        return self._kept[1:]

    def add(
        self, first: Version, second: Version, rows: Rows, energy: np.ndarray, good: np.ndarray
    ) -> None:
        """Have the candidate score rows that were scored, and compare.

        Args:
            first: Version that answered.
            second: Candidate.
            rows: ``(n,)`` raw rows.
            energy: ``(m,)`` what the first one gave for those that it scored.
            good: ``(n,)`` which it scored.

        Raises:
            SourceError: The candidate needs a column that is not there.
        """
        checked, scores = second.score(rows)
        refused = good & ~checked.scorable
        common = np.flatnonzero(good & checked.scorable)
        of_first, of_second = np.full((2, len(good)), np.nan)
        of_first[good] = energy
        if scores is not None:
            of_second[checked.scorable] = scores.energy
        mine = of_first[common] > first.bundle.threshold.bound
        other = of_second[common] > second.bundle.threshold.bound
        alone_first, alone_second = common[mine & ~other], common[other & ~mine]
        reasons_first = _top_columns(first, rows, alone_first)
        reasons_second = _top_columns(second, rows, alone_second)
        # Nothing was counted before this line: rows on which a version fails count nowhere.
        self.rows += len(common)
        self.refused += int(refused.sum())
        self.both += int((mine & other).sum())
        self.only_first += len(alone_first)
        self.only_second += len(alone_second)
        self.reasons_first += reasons_first
        self.reasons_second += reasons_second
        if self.content is not None:
            self.content = (self.content + _content(checked.features, common)) % 2**64
        self.ended = time.time()
        self.began = self.began or self.ended
        keys = np.random.default_rng().random(len(common))
        self.keep(np.stack([keys, of_first[common], of_second[common]]))

    def merge(self, other: Self) -> None:
        """Add what was found on other rows."""
        for name in ("rows", "refused", "both", "only_first", "only_second"):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        self.reasons_first += other.reasons_first
        self.reasons_second += other.reasons_second
        if self.content is not None and other.content is not None:
            self.content = (self.content + other.content) % 2**64
        began = [each.began for each in (self, other) if each.began]
        self.began, self.ended = min(began, default=0.0), max(self.ended, other.ended)
        self.keep(other._kept)

    def keep(self, new: np.ndarray) -> None:
        """A uniform sample: of random keys, which stand first, the smallest stay."""
        kept = np.concatenate([self._kept, new], axis=1)
        if kept.shape[1] > SAMPLE:
            kept = kept[:, np.argpartition(kept[0], SAMPLE)[:SAMPLE]]
        self._kept = kept

    def document(self) -> dict[str, Any]:
        """JSON-able form."""
        ranks = self.rank_correlation
        return {
            "rows": self.rows,
            "refused_by_candidate": self.refused,
            "alerts_of_both": self.both,
            "alerts_of_first_only": self.only_first,
            "alerts_of_candidate_only": self.only_second,
            "disagreement": self.disagreement if self.rows else None,
            "rank_correlation": None if np.isnan(ranks) else ranks,
            "reasons_of_first_only": dict(self.reasons_first.most_common()),
            "reasons_of_candidate_only": dict(self.reasons_second.most_common()),
            "began": self.began,
            "ended": self.ended,
        }


def _content(features: pa.Table, places: np.ndarray) -> int:
    """Sum of the hashes of some rows, modulo 2**64."""
    return int(row_hashes(features.take(pa.array(places))).sum(dtype=np.uint64))


def _top_columns(version: Version, rows: Rows, places: np.ndarray) -> Counter[str]:
    """By column, how many of some rows have it as their first reason."""
    if not len(places):
        return Counter()
    if isinstance(rows, Mapping):
        few: Rows = {name: [values[i] for i in places] for name, values in rows.items()}
    else:
        few = rows.take(pa.array(places))
    reasons = version.score(few, "all")[1].reasons  # type: ignore[union-attr]
    if reasons is None:
        return Counter({NO_REASON: len(places)})
    top = largest_shares(reasons.shares, 1)[:, 0]
    return Counter(reasons.columns[place] for place in top.tolist())
