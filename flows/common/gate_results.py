"""The verdict of one gate of promotion: figures with their limits, and words only at the end."""

import math
from collections.abc import Iterable
from typing import Any, Literal

from pydantic import computed_field, model_validator

from flows.common.value_types import Strict

Verdict = Literal["passed", "not measured", "for information", "overridden", "failed"]
SWITCHES = frozenset({"promoted", "rolled back"})
"""Decisions that move `production`."""
SAID_AT_THE_END = ("verdict", "value", "limit", "message")
"""Written out with a result for whoever reads it, made from the rest of it."""


class Figure(Strict):
    """One measured figure; `None` stands for what is not a finite number.

    Attributes:
        low: Lower end of its interval, or of what was to be expected.
        high: Upper end of the same.
        at_least: Smallest value that passes.
        at_most: Largest value that passes.
    """

    name: str
    value: float | None
    low: float | None = None
    high: float | None = None
    at_least: float | None = None
    at_most: float | None = None

    @property
    def missed(self) -> bool:
        """Whether it is beyond its own limit."""
        if self.value is None:
            return True
        low = self.at_least is not None and self.value < self.at_least
        return low or (self.at_most is not None and self.value > self.at_most)

    def text(self) -> str:
        """`recall 0.91 [0.88, 0.94], at least 0.6`."""
        sentence = f"{self.name} {_number(self.value)}"
        if self.low is not None or self.high is not None:
            sentence += f" [{_number(self.low)}, {_number(self.high)}]"
        if self.at_least is not None:
            sentence += f", at least {_number(self.at_least)}"
        if self.at_most is not None:
            sentence += f", at most {_number(self.at_most)}"
        return sentence


def in_words(note: str, figures: Iterable[Figure]) -> str:
    """What was found, in one line, whatever an error's text holds."""
    words = [*([note] if note else []), *(figure.text() for figure in figures)]
    return " ".join("; ".join(words).split())


def figure(
    name: str,
    value: float,
    *,
    interval: tuple[float, float] | None = None,
    at_least: float | None = None,
    at_most: float | None = None,
) -> Figure:
    """A figure of numbers as they come out of a computation, NaN and numpy's included."""
    low, high = (None, None) if interval is None else map(_finite, interval)
    return Figure(
        name=name, value=_finite(value), low=low, high=high, at_least=at_least, at_most=at_most
    )


class GateResult(Strict):
    """One condition of promotion and how it was met.

    Attributes:
        gate: Name of the gate, as `dagmm promote --override` takes it.
        part: What of the version it is about, e.g. a slice; empty for all of it.
        passed: Whether the condition is met; a gate that had nothing to measure passes.
        measured: False where there was nothing to measure.
        informs: Told for people; it never holds a version back.
        waits: Not met because a person has yet to decide.
        figures: What was measured, the deciding figure first.
        note: What no number says.
        overridden: By whom and why a failed gate was overridden; it stays failed.
    """

    gate: str
    part: str = ""
    passed: bool
    measured: bool = True
    informs: bool = False
    waits: bool = False
    figures: tuple[Figure, ...] = ()
    note: str = ""
    overridden: str = ""

    @model_validator(mode="before")
    @classmethod
    def _as_written(cls, data: Any) -> Any:
        """Take what was written out, by this version or by the first, which wrote a sentence."""
        if not isinstance(data, dict):
            return data
        kept = {key: value for key, value in data.items() if key not in SAID_AT_THE_END}
        kept.pop("seconds", None)
        if "message" in data and "note" not in data:
            kept["note"] = data["message"]
        return kept

    @property
    def title(self) -> str:
        """Gate and part."""
        return f"{self.gate}: {self.part}" if self.part else self.gate

    @computed_field  # type: ignore[prop-decorator]
    @property
    def verdict(self) -> Verdict:
        """In one word or two."""
        if self.informs:
            return "for information"
        if not self.passed:
            return "overridden" if self.overridden else "failed"
        return "passed" if self.measured else "not measured"

    @computed_field  # type: ignore[prop-decorator]
    @property
    def value(self) -> float | None:
        """The deciding figure."""
        return self.figures[0].value if self.figures else None

    @computed_field  # type: ignore[prop-decorator]
    @property
    def limit(self) -> float | None:
        """What the deciding figure was held against."""
        if not self.figures:
            return None
        first = self.figures[0]
        return first.at_least if first.at_least is not None else first.at_most

    @computed_field  # type: ignore[prop-decorator]
    @property
    def message(self) -> str:
        """Note and figures in words."""
        return in_words(self.note, self.figures)

    @property
    def deciding(self) -> tuple[Figure, ...]:
        """The figures beyond their limits; where none is, the first."""
        return tuple(each for each in self.figures if each.missed) or self.figures[:1]

    @property
    def in_short(self) -> str:
        """Note and deciding figures in words."""
        return in_words(self.note, self.deciding)

    @property
    def holds_back(self) -> bool:
        """Whether this gate alone forbids the promotion."""
        return self.verdict == "failed"

    def compact(self, length: int) -> dict[str, Any]:
        """JSON-able form for where space is scarce: the deciding figure and a short note."""
        short = self.model_copy(update={"figures": self.deciding[:1], "note": self.note[:length]})
        return short.model_dump(mode="json", exclude_defaults=True, exclude=set(SAID_AT_THE_END))

    @property
    def word(self) -> str:
        """The verdict as people read it: what waits for somebody has not failed yet."""
        return "waits" if self.waits and self.holds_back else self.verdict

    def sentence(self) -> str:
        """The verdict in one line."""
        verdict = {
            "failed": "FAILED",
            "overridden": f"FAILED, OVERRIDDEN by {self.overridden}",
        }.get(self.word, self.word)
        return f"{self.title}: {verdict} – {self.message}"


def _finite(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None


def _number(value: float | None) -> str:
    if value is None:
        return "not a number"
    if value == int(value) and abs(value) < 1e9:
        return f"{int(value):,}"
    return f"{value:.4g}"
