"""Is the version better than what there is? Production, simple detectors, no training at all."""

from collections.abc import Iterator

import numpy as np

from dagmm_model.evaluation.comparison import Difference, paired_difference
from flows.common.gate_results import Figure, figure
from flows.promotion.gates.case import Case
from flows.promotion.gates.gate import GateFinding, unmeasured
from flows.promotion.gates.score_drift import compare_scores

UNMEASURED = "quality not measured: no labelled anomalies and normal rows to compare on"
UNTRAINED = ("untrained", "random weights")
"""The candidate's own network before training; nobody can train these instead."""


def not_worse_than_production(case: Case) -> Iterator[GateFinding]:
    """Average precision within `promotion.margin` of production's, both scored now.

    So in each of `promotion.required_slices`.
    """
    policy = case.policy
    if case.production_error:
        yield GateFinding(False, f"production cannot be scored: {case.production_error}")
        return
    if case.production is None:
        yield unmeasured("no production model yet")
        return
    if not case.measurable:
        yield unmeasured(UNMEASURED)
        return
    yield non_inferior(case, case.production)
    for value in policy.required_slices:
        if case.slices is None:
            yield GateFinding(False, "the evaluation rows have no slice column", part=value)
            continue
        assert case.labels is not None
        rows = ~case.labels | (case.slices == value)
        anomalies = figure(
            "anomalies", int((case.labels & rows).sum()), at_least=policy.min_anomalies
        )
        if (anomalies.value or 0) < policy.min_anomalies:
            yield GateFinding(False, "too few anomalies of that slice", (anomalies,), part=value)
        else:
            yield non_inferior(case, case.production, rows, part=value)


def not_worse_than_the_best(case: Case) -> GateFinding:
    """The same against the best version before under the same contract: the margin is spent once.

    Else versions that are each a little worse than the last could go down step by step.
    """
    if not case.measurable:
        return unmeasured(UNMEASURED)
    if case.best is None:
        return unmeasured("no other version that was in production under this contract")
    return non_inferior(case, case.best, note=f"against version {case.best_version}, scored now")


def non_inferior(
    case: Case, other: np.ndarray, rows: np.ndarray | None = None, part: str = "", note: str = ""
) -> GateFinding:
    """Whether the candidate's average precision is no lower than another's by the margin.

    `rows` are those to compare on, boolean; all when None.
    """
    assert case.labels is not None
    chosen = slice(None) if rows is None else rows
    difference = paired_difference(case.labels[chosen], case.candidate[chosen], other[chosen])
    margin = case.policy.margin
    return GateFinding(
        difference.interval.low >= -margin,
        note or f"the {difference.level:.0%} interval has to lie above {-margin:+.3f}",
        (
            _difference("difference", difference, margin),
            figure("average precision", difference.first),
            figure("against", difference.second),
            figure("rows", difference.rows),
        ),
        part=part,
    )


def _difference(name: str, difference: Difference, margin: float) -> Figure:
    interval = difference.interval
    return figure(name, interval.value, interval=(interval.low, interval.high), at_least=-margin)


def score_drift(case: Case) -> GateFinding:
    """How differently the version and production see the same rows."""
    if case.production is None:
        return unmeasured("no production model to compare with")
    drift = compare_scores(case.candidate, case.production)
    return GateFinding(
        True,
        figures=(
            figure("energies PSI", drift.psi),
            figure("Kolmogorov-Smirnov distance", drift.distance),
            figure("rank correlation", drift.ranks),
        ),
    )


def simple_detectors(case: Case) -> GateFinding:
    """No simple detector, nor itself untrained, is surely better by `promotion.simple_margin`.

    It blocks when the whole 95 % interval of the difference is past the margin.
    """
    margin = case.policy.simple_margin
    if not case.measurable:
        return unmeasured(UNMEASURED)
    if not case.baselines:
        return GateFinding(False, "the evidence carries no energies of simple detectors")
    assert case.labels is not None
    labels, ours = case.labels[case.baseline_rows], case.candidate[case.baseline_rows]
    compared = {
        name: paired_difference(labels, ours, energies, level=0.95)
        for name, energies in case.baselines.items()
    }
    by_distance = sorted(compared, key=lambda name: compared[name].interval.value)
    beaten = [name for name in by_distance if compared[name].interval.high < -margin]
    within = [n for n in by_distance if n not in beaten and compared[n].interval.high < 0]
    notes = []
    if beaten:
        notes.append(f"beaten by {', '.join(beaten)}{_instead(beaten)}")
    if within:
        tolerated = f"{margin:g}".removeprefix("0") if margin else "0"
        notes.append(
            f"beaten, within the tolerated margin of {tolerated} (`promotion.simple_margin`), by "
            + ", ".join(within)
        )
    return GateFinding(
        not beaten,
        "; ".join(notes),
        (
            *(
                _difference(f"difference from {name}", compared[name], margin)
                for name in by_distance
            ),
            figure("average precision", next(iter(compared.values())).first),
            *(figure(f"of {name}", compared[name].second) for name in by_distance),
            figure("rows", len(labels)),
        ),
    )


def _instead(beaten: list[str]) -> str:
    trainable = [name for name in beaten if name not in UNTRAINED]
    if not trainable:
        return ": training did harm"
    # Whoever now trains that one has chosen it by the rows that will judge it.
    return (
        f" (train it with --detector {trainable[0]}, which these test rows then flatter, or let "
        "--detector auto choose on labelled rows outside the test)"
    )
