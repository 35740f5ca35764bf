"""A model of the first release: small, sealed, and scored with as ever."""

from pathlib import Path

from tests.flows import promotion_store as made

FIRST = Path(__file__).parents[1] / "data" / "first_version"
"""Its files, without the code that travelled with it."""
QUICK = made.QUICK.model_copy(update={"min_roc_auc": 0.5, "max_evidence_days": 1e6})
