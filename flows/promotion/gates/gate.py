"""A gate: a name, what it needs, whether it can be overridden, and whether it blocks."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Literal

from flows.common.verdicts import GateResult
from flows.promotion.gates.finding import Finding
from flows.promotion.gates.material import Material

Needs = Literal["registry", "energies", "served model"]
"""What a gate looks at: only what the registry says; the candidate's files and energies, which are
opened when they are those of the evidence; or the model being served."""


@dataclass(frozen=True)
class Gate:
    """One condition of promotion.

    Attributes:
        name: Stable: in the registry, in the audit, and what `--override` takes.
        judge: Finds out; one finding, or one for each part. Its docstring begins with what it asks
            for.
        needs: What it looks at.
        overridable: Whether a person may promote although it failed.
        blocks: Whether it can hold a version back; else it informs.
        relative: Whether its answer depends on which version is in production.
        of_detector: Whether another threshold of the same detector cannot change its answer.
    """

    name: str
    judge: Callable[[Material], Finding | Iterable[Finding]]
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
            judgement = self.judge(material)
            findings = (judgement,) if isinstance(judgement, Finding) else tuple(judgement)
        except Exception as error:  # whatever it is: the other gates are still judged
            note = f"cannot be judged: {type(error).__name__}: {error}"
            findings = (Finding(not self.blocks, note, measured=False),)
        return tuple(
            GateResult(
                gate=self.name,
                part=finding.part,
                passed=finding.passed or not self.blocks,
                measured=finding.measured,
                informs=not self.blocks,
                waits=finding.waits,
                figures=finding.figures,
                note=finding.note,
            )
            for finding in findings
        )
