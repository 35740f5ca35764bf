"""Raw rows to rows of a result: checked, scored, explained."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from dagmm_model.detectors.bundle import Explained, Reasons, ScoringBundle
from data_checks.contract.columns import Outside
from data_checks.contract.model import ROW_ID, Contract
from data_checks.rows.rows import check_rows
from flows.common.features import as_columns
from flows.scoring.judged_part import KNOWN, Counts, JudgedPart, checksum
from flows.scoring.known_rows import Known

SLICE_CELLS = 4_000_000
"""Cells of the encoded matrix of one slice: what a thread holds at a time."""

SCORED = pa.schema(
    {
        ROW_ID: pa.int64(),
        "energy": pa.float64(),
        "p_value": pa.float64(),
        "is_anomaly": pa.bool_(),
        "threshold": pa.float64(),
        "reasons": pa.string(),
        "component": pa.int32(),
        "remarks": pa.string(),
        "model": pa.dictionary(pa.int8(), pa.string()),
    }
)
"""Columns of a result; `model` names the resolved version, `models:/NAME/VERSION`."""
REJECTED = pa.schema({ROW_ID: pa.int64(), "reasons": pa.string()})
PERCENT = pa.array([f" {share}%" for share in range(101)])


@dataclass(frozen=True)
class Judge:
    """Judges slices of rows; safe to use from several threads.

    Attributes:
        bundle: The model.
        contract: Of the model.
        where: Name of the source, for messages.
        model: Resolved version, `models:/NAME/VERSION`.
        explain: Which rows get reasons.
        top: How many columns a reason names.
        checksums: Whether to tell the rows by their content.
        outside: What becomes of levels and numbers outside vocabulary and range; as the contract
            has it when None.
        also: Is shown every slice once it is judged; changes nothing.
        known: Rows that were judged normal; None where there are none.
    """

    bundle: ScoringBundle
    contract: Contract
    where: str
    model: str
    explain: Explained
    top: int
    checksums: bool
    outside: Outside | None = None
    also: Callable[["Judge", int, pa.RecordBatch, JudgedPart], None] | None = None
    known: Known | None = None

    @property
    def slice_rows(self) -> int:
        """Most rows to judge at a time."""
        return max(512, SLICE_CELLS // len(self.bundle.encoder.feature_names))

    def __call__(self, first: int, raw: pa.RecordBatch | pd.DataFrame) -> JudgedPart:
        """Judge raw rows.

        Args:
            first: 0-based row of the first one in the source.
            raw: ``(n,)`` with the contract's feature columns, of any types.

        Raises:
            SourceError: A column as a whole cannot be read.
        """
        checked = check_rows(raw, self.contract, where=self.where, outside=self.outside)
        good, ids = checked.scorable, np.arange(first, first + len(raw), dtype=np.int64)
        features, remarks = checked.features, pa.array(checked.remarks, pa.string())
        rejected = REJECTED.empty_table()
        if not good.all():
            bad = pa.array(checked.reasons[~good], pa.string())
            rejected = pa.table([pa.array(ids[~good]), bad], schema=REJECTED)
            kept = pa.array(good)
            features, remarks, ids = features.filter(kept), remarks.filter(kept), ids[good]
        scored = self._scored(features, ids, remarks)
        remarked = len(ids) - remarks.null_count
        known = 0
        if self.known is not None:
            scored, known = self._marked(scored, features, self.known)
        counts = Counts(
            rows=len(raw),
            scored=len(ids),
            anomalies=scored.column("is_anomaly").to_numpy().sum().item(),
            remarked=remarked,
            unseen=dict(checked.unseen),
            causes=dict(checked.causes),
            checksum=checksum(raw) if self.checksums else 0,
            known=known,
        )
        judged = JudgedPart(scored, rejected, counts)
        if self.also is not None:
            self.also(self, first, raw, judged)
        return judged

    def _marked(self, scored: pa.Table, features: pa.Table, known: Known) -> tuple[pa.Table, int]:
        """The rows with a remark on each anomaly that is like a row judged normal."""
        flagged = np.flatnonzero(scored.column("is_anomaly").to_numpy())
        texts = known.remarks(self.bundle, features.take(pa.array(flagged)))
        if not any(texts):
            return scored, 0
        place = scored.schema.get_field_index("remarks")
        remarks = scored.column("remarks").to_pylist()
        for row, text in zip(flagged.tolist(), texts, strict=True):
            if text:
                remarks[row] = "; ".join([*filter(None, [remarks[row]]), f"{KNOWN}{text}"])
        marked = scored.set_column(place, "remarks", pa.array(remarks, pa.string()))
        return marked, sum(map(bool, texts))

    def _scored(self, features: pa.Table, ids: np.ndarray, remarks: pa.Array) -> pa.Table:
        rows = len(ids)
        if not rows:
            return SCORED.empty_table()
        scores = self.bundle.score(as_columns(features), self.explain)
        reasons, component = reasons_text(scores.reasons, self.top, rows)
        model = pa.DictionaryArray.from_arrays(pa.array(np.zeros(rows, np.int8)), [self.model])
        columns = [
            pa.array(ids),
            pa.array(scores.energy),
            pa.array(scores.p_value),
            pa.array(scores.is_anomaly),
            pa.array(np.full(rows, self.bundle.threshold.value)),
            reasons,
            component,
            remarks,
            model,
        ]
        return pa.table(columns, schema=SCORED)


def reasons_text(reasons: Reasons | None, top: int, rows: int) -> tuple[pa.Array, pa.Array]:
    """Reasons as text, `src_bytes 63%; count 12%`, and the nearest component; null without any.

    At most `top` columns are named, none below half a percent; `rows` are all, explained or not.
    """
    if reasons is None or not len(reasons.rows):
        return pa.nulls(rows, pa.string()), pa.nulls(rows, pa.int32())
    order = largest_shares(reasons.shares, min(top, reasons.shares.shape[1]))
    percent = np.rint(100 * np.take_along_axis(reasons.shares, order, axis=1)).astype(np.int64)
    names = pa.array(reasons.columns, pa.string())
    words = [
        pc.if_else(
            pa.array(percent[:, place] > 0),
            pc.binary_join_element_wise(
                "; ",
                names.take(pa.array(order[:, place])),
                PERCENT.take(pa.array(percent[:, place])),
                "",
            ),
            "",
        )
        for place in range(order.shape[1])
    ]
    # The shares descend, so the first word is there if any is; its separator goes.
    joined = pc.utf8_slice_codeunits(pc.binary_join_element_wise(*words, ""), 2)
    texts = pc.if_else(pc.equal(joined, ""), pa.scalar(None, pa.string()), joined)
    place = np.full(rows, -1, dtype=np.int64)
    place[reasons.rows] = np.arange(len(reasons.rows))
    scattered = pa.array(place, mask=place < 0)
    components = pa.array(reasons.component, pa.int32(), mask=reasons.component < 0)
    return texts.take(scattered), components.take(scattered)


def largest_shares(shares: np.ndarray, top: int) -> np.ndarray:
    """Columns of the largest shares ``(m, top)``, falling; of equal ones the first."""
    order, remaining = np.empty((len(shares), top), np.int64), shares.copy()
    for place in range(top):  # few: quicker than sorting every row
        order[:, place] = remaining.argmax(axis=1)
        np.put_along_axis(remaining, order[:, place, None], -1.0, axis=1)
    return order
