"""A new threshold that the rows which people have judged normal agree to."""

from dataclasses import replace

from dagmm_model.detectors.bundle import ScoringBundle
from dagmm_model.evaluation.threshold import Threshold
from flows.common.errors import UsageError
from flows.common.features import as_columns
from flows.common.settings import Settings
from flows.promotion.version.stored_version import StoredVersion
from flows.scoring.review_sample import database_of
from flows.verdicts.recalibration import agreed_threshold, confirmed_normals
from flows.verdicts.rows import taken_rows
from flows.verdicts.standing import standing
from flows.verdicts.store import read_reviews, read_verdicts


def agreed(
    stored: StoredVersion, bundle: ScoringBundle, threshold: Threshold, settings: Settings
) -> Threshold:
    """The threshold raised until the confirmed normal rows of production keep to its rate.

    Raises:
        UsageError: Nobody has judged rows of a review, or no calibration energy is as large.
    """
    name, url = stored.version.name, database_of(settings)
    holds = standing(read_verdicts(url, name))
    texts, weights = confirmed_normals(*read_reviews(url, name), holds)
    good, features = taken_rows(texts, stored.contract)
    if not good.any():
        raise UsageError(
            f"nobody has judged rows of {name!r} normal that were drawn for review: score with "
            "--review 20, and send the verdicts in with `dagmm verdicts`"
        )
    energies = bundle.taking_new_levels().score(as_columns(features)).energy
    rate, calibration = threshold.target_rate, bundle.calibration
    value = agreed_threshold(calibration, threshold.value, rate, energies, weights[good])
    if value == threshold.value:  # they agree to it as it is
        return threshold
    above = int((calibration > value).sum())
    return replace(
        threshold,
        value=value,
        method=f"{threshold.method}, raised for {len(energies):,} confirmed normal rows",
        guaranteed_rate=(above + 1) / (len(calibration) + 1),
    )
