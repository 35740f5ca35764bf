"""What a saved DAGMM consists of, for tests that compare it with arithmetic written out."""

from dagmm_model.scoring.inference import Scorer
from dagmm_model.tables.scaling import Scaler


def parts(detector) -> tuple[Scorer, Scaler]:
    """The scorer of scaled rows, and the scaler, from the state that goes to disk."""
    values, arrays = detector.state()
    scorer = Scorer.from_arrays(detector.settings_, values["jitter"], arrays)
    return scorer, Scaler.from_arrays(values["scaler"], arrays)
