"""What there is in the registry, and why it is where it is."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from flows.promotion import audit
from flows.tracking import registry

if TYPE_CHECKING:
    from mlflow.entities.model_registry import ModelVersion
    from mlflow.tracking import MlflowClient

FIGURES = ("roc_auc", "average_precision", "recall", "false_alarm_rate")


@dataclass(frozen=True)
class ListedVersion:
    """One version of a registered model.

    Attributes:
        aliases: Where it stands, e.g. production.
        detector: Name in the catalogue.
        threshold_of: Version whose detector it has, if it is only another threshold of one.
        figures: Of its evaluation rows by name, as far as they were measured.
        threshold: Energy above which a row is an anomaly; None where none was logged.
        created: When it was registered, seconds since 1970, UTC.
        decision: The last one on it; of a rollback, restored or withdrawn; empty without any.
        decided: When, seconds since 1970, UTC; None where there was none.
        why: What decided, or how many gates passed.
    """

    name: str
    version: int
    aliases: tuple[str, ...]
    detector: str
    threshold_of: int | None
    figures: Mapping[str, float]
    threshold: float | None
    created: float
    decision: str = ""
    decided: float | None = None
    by: str = ""
    why: str = ""


def list_versions(client: MlflowClient, name: str | None = None) -> list[ListedVersion]:
    """Versions of a model, or of all; of each model the newest first.

    Raises:
        UsageError: There is no model of that name.
    """
    names = registry.names(client) if name is None else [name]
    return [listed for each in names for listed in _of_model(client, each)]


def _of_model(client: MlflowClient, name: str) -> Iterator[ListedVersion]:
    last = _last_words(audit.history(client, name))
    aliases: dict[int, list[str]] = {}
    for alias, number in client.get_registered_model(name).aliases.items():
        aliases.setdefault(int(number), []).append(alias)
    for version in registry.versions(client, name):
        number = int(version.version)
        listed = _listed(client, version, tuple(sorted(aliases.get(number, []))))
        if number in last:
            word, decision = last[number]
            listed = replace(
                listed,
                decision=word if decision.complete else f"{word} (open)",
                decided=decision.time,
                by=decision.by,
                why=_why(decision),
            )
        yield listed


def _last_words(decisions: Iterable[audit.Decision]) -> dict[int, tuple[str, audit.Decision]]:
    """What was decided last on each version: a rollback restores one and withdraws another."""
    last = {}
    for decision in decisions:
        if decision.decision == "rolled back":
            last[decision.version] = ("restored", decision)
            if decision.previous is not None:
                last[decision.previous] = ("withdrawn", decision)
        else:
            last[decision.version] = (decision.decision, decision)
    return last


def _listed(client: MlflowClient, version: ModelVersion, aliases: tuple[str, ...]) -> ListedVersion:
    data = client.get_run(version.run_id).data if version.run_id else None
    measured = data.metrics if data else {}
    source = data.tags.get("dagmm.threshold_of") if data else None  # NAME/VERSION
    return ListedVersion(
        name=version.name,
        version=int(version.version),
        aliases=aliases,
        detector=version.tags.get("dagmm.detector", ""),
        threshold_of=int(source.rpartition("/")[2]) if source else None,
        figures={k: measured[f"deployed/{k}"] for k in FIGURES if f"deployed/{k}" in measured},
        threshold=measured.get("threshold"),
        created=version.creation_timestamp / 1000,
    )


def _why(decision: audit.Decision) -> str:
    """The gates that held it back or were overridden; else what was said, or how many passed."""
    telling = [g for g in decision.gates if not g.passed]
    if telling:
        return "; ".join(f"{gate.title} {gate.word}" for gate in telling)
    if decision.gates:
        passed = sum(gate.verdict == "passed" for gate in decision.gates)
        return f"{passed} gates passed"
    lines = decision.reasons.splitlines()  # of the first version, which wrote sentences only
    return decision.remark or (lines[0] if len(lines) == 1 else f"{len(lines)} gates judged")
