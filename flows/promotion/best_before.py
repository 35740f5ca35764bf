"""The best version that was in production under the same contract, scored now.

Comparing with production alone lets versions that are each a little worse than the last go down
step by step. What was taken out of production by a rollback is no standard for others.
"""

from collections.abc import Sequence
from dataclasses import replace
from itertools import islice

from mlflow.entities.model_registry import ModelVersion
from mlflow.tracking import MlflowClient

from flows.promotion import audit
from flows.promotion.gates.case import Case
from flows.promotion.version.stored_version import score_rows
from flows.tracking import registry, seal

COMPARED = 5
"""Versions scored again: those with the best recorded figures."""
CONTRACT = "contract_sha256"
RECORDED = "deployed/average_precision"


def with_best_before(
    client: MlflowClient, candidate: ModelVersion, case: Case, production: int | None
) -> Case:
    """The case with the energies of the best earlier version, if there is one."""
    if not case.measurable:
        return replace(case, best=None, best_version=None)
    from sklearn.metrics import average_precision_score

    best, highest, number = None, -1.0, None
    for version in _comparable(client, candidate, case.evidence.get(CONTRACT), production):
        try:
            energies = score_rows(client, version, case.frame)
            precision = float(average_precision_score(case.labels, energies))
        except Exception:  # noqa: S112  what breaks its seal or cannot be run is no standard
            continue
        if precision > highest:
            best, highest, number = energies, precision, int(version.version)
    return replace(case, best=best, best_version=number)


def _comparable(
    client: MlflowClient, candidate: ModelVersion, contract: str | None, production: int | None
) -> list[ModelVersion]:
    """Versions that were in production under that contract, the best recorded first."""
    numbers = were_good(audit.history(client, candidate.name))
    numbers = [n for n in numbers if n not in (production, int(candidate.version))]
    there = [registry.version_or_none(client, candidate.name, number) for number in numbers]
    standing = [version for version in there if version is not None]
    if len(standing) > COMPARED:
        recorded = {v.version: _recorded(client, v) for v in standing}
        standing.sort(key=lambda version: -recorded[version.version])
    same = (version for version in standing if _is_under(client, version, contract))
    return list(islice(same, COMPARED))


def _is_under(client: MlflowClient, version: ModelVersion, contract: str | None) -> bool:
    """Whether a version was registered under a contract; a tag could be changed by hand."""
    try:
        return bool(seal.sealed_evidence(client, version).get(CONTRACT) == contract)
    except seal.SealBroken:
        return False


def _recorded(client: MlflowClient, version: ModelVersion) -> float:
    return client.get_run(version.run_id).data.metrics.get(RECORDED, -1.0)


def were_good(decisions: Sequence[audit.Decision]) -> list[int]:
    """Versions that were in production and that no rollback took out of it, oldest first."""
    good: dict[int, None] = {}
    for decision in audit.switches(tuple(decisions)):
        if decision.decision == "rolled back" and decision.previous is not None:
            good.pop(decision.previous, None)
        good[decision.version] = None
    return list(good)
