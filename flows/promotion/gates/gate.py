"""A gate: a name, what it needs, whether it can be overridden and blocks; and what it finds out."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Literal

from flows.common.gate_results import Figure, GateResult
from flows.promotion.gates.case import Material

Needs = Literal["registry", "energies", "served model"]
"""What a gate looks at: only what the registry says; the candidate's files and energies, which are
opened when they are those of the evidence; or the model being served."""


@dataclass(frozen=True)
class GateFinding:
    """What a gate found out; its name is the gate's affair. See `GateResult` for the fields."""

    passed: bool
    note: str = ""
    figures: tuple[Figure, ...] = ()
    measured: bool = True
    part: str = ""
    waits: bool = False


def unmeasured(note: str, *figures: Figure) -> GateFinding:
    """There was nothing to measure."""
    return GateFinding(True, note, figures, measured=False)


def case_only(material: Material) -> tuple[Any, ...]:
    """What most judges are given: the case."""
    return (material.case,)


def everything(material: Material) -> tuple[Any, ...]:
    """All there is."""
    return (material,)


@dataclass(frozen=True)
class Gate:
    """One condition of promotion.

    Attributes:
        name: Stable: in the registry, in the audit, and what `--override` takes.
        judge: Finds out; one finding, or one for each part. Its docstring begins with what it asks
            for.
        given: What of the material the judge is called with.
        needs: What it looks at.
        overridable: Whether a person may promote although it failed.
        blocks: Whether it can hold a version back; else it informs.
        relative: Whether its answer depends on which version is in production.
        of_detector: Whether another threshold of the same detector cannot change its answer.
    """

    name: str
    judge: Callable[..., GateFinding | Iterable[GateFinding]]
    given: Callable[[Material], tuple[Any, ...]] = case_only
    needs: Needs = "energies"
    overridable: bool = True
    blocks: bool = True
    relative: bool = False
    of_detector: bool = False

    @property
    def about(self) -> str:
        """What it asks for, in one sentence."""
        first = (self.judge.__doc__ or "").partition("\n\n")[0]
        return " ".join(first.split()).removesuffix(".")

    def carried(self, note: str) -> GateResult:
        """Met without being judged."""
        return GateResult(
            gate=self.name, passed=True, measured=False, informs=not self.blocks, note=note
        )

    def results(self, material: Material) -> tuple[GateResult, ...]:
        """Judge; a gate that cannot be computed fails with the reason, under its own name."""
        try:
            judgement = self.judge(*self.given(material))
            findings = (judgement,) if isinstance(judgement, GateFinding) else tuple(judgement)
        except Exception as error:  # whatever it is: the other gates are still judged
            note = f"cannot be judged: {type(error).__name__}: {error}"
            findings = (GateFinding(not self.blocks, note, measured=False),)
        own = {"gate": self.name, "informs": not self.blocks}
        return tuple(
            GateResult(**{**vars(each), **own, "passed": each.passed or not self.blocks})
            for each in findings
        )
