"""What is sent: a kind, the figure, the reason and where to look."""

from dataclasses import dataclass
from typing import Literal

from flows.notify.config import Kind

LONGEST = 600
TITLES: dict[Kind | Literal["test"], str] = {
    "test": "nothing is wrong",
    "drift": "drift",
    "promoted": "promoted",
    "rejected": "rejected",
    "pending": "waits",
    "held": "held back",
    "returned": "promotion undone",
    "rolled-back": "rolled back",
    "not-served": "not taken into service",
    "scoring": "scoring beyond tolerance",
    "run-failed": "scheduled run failed",
    "run-missed": "scheduled run missed",
    "service-down": "service down",
}
GOOD = frozenset({"promoted", "test"})


@dataclass(frozen=True)
class Event:
    """Something that somebody wants to know.

    Attributes:
        kind: Which of the events it is.
        subject: What it is about, e.g. `dagmm-wdbc version 7`.
        reason: Why, in a sentence or two, with the figure that decided.
        figure: That figure by itself, or empty.
        link: Where to look: a page, or a file.
        same: What makes two events the same news, within `subject` and `kind`.
    """

    kind: Kind | Literal["test"]
    subject: str
    reason: str
    figure: str = ""
    link: str = ""
    same: str = ""

    @property
    def key(self) -> str:
        """The same for events of which one message is enough."""
        return "\n".join([self.kind, self.subject, self.same])

    @property
    def title(self) -> str:
        """`dagmm-wdbc version 7: rejected`."""
        return f"{_line(self.subject)}: {TITLES[self.kind]}"

    def text(self, before: int = 0) -> str:
        """The message under the title."""
        lines = [_short(self.reason), self.link]
        if before:
            lines.append(f"(and {before:,} times before, since the last message)")
        return "\n".join(filter(None, lines))


def _line(text: str) -> str:
    return " ".join(text.split())


def _short(text: str) -> str:
    lines = [_line(line) for line in text.splitlines() if line.strip()]
    whole = "\n".join(lines)
    return whole if len(whole) <= LONGEST else whole[: LONGEST - 1] + "…"
