"""What is known about a row, after everything that was said about it."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

Word = Literal["anomaly", "normal", "unsure"]
WORDS: tuple[Word, ...] = ("anomaly", "normal", "unsure")
Holds = Literal["anomaly", "normal", "unsure", "disputed"]


@dataclass(frozen=True)
class RowVerdict:
    """What somebody said of a row.

    Attributes:
        row_key: sha256 of the row's values.
        row: Its values by column, canonical JSON.
        verdict: `anomaly`, `normal` or `unsure`.
        who: Who said it.
        time: When, seconds since 1970, UTC; 0 for now, when it is added.
        note: What else was said.
        version: Version that had scored the row.
        energy: By that version.
        flagged: Whether it was an alert.
        review: The review that asked for it, or empty.
        id: Order in which verdicts were added.
    """

    row_key: str
    row: str
    verdict: Word
    who: str
    time: float
    note: str
    version: int
    energy: float
    flagged: bool
    review: str = ""
    id: int = 0


@dataclass(frozen=True)
class Standing:
    """What holds of a row.

    Attributes:
        row_key: sha256 of its values.
        row: Its values by column, canonical JSON.
        holds: What those say who are sure; `disputed` where they disagree.
        last: The newest verdict of those that count.
    """

    row_key: str
    row: str
    holds: Holds
    last: RowVerdict

    @property
    def label(self) -> int | None:
        """1 for an anomaly, 0 for a normal row, None where nobody knows."""
        return {"anomaly": 1, "normal": 0}.get(self.holds)


def standing(verdicts: Iterable[RowVerdict]) -> dict[str, Standing]:
    """What holds of each row, by its key.

    Of each person the newest verdict counts (the later added of two of the same time). Who is
    unsure has no vote. Where two who are sure disagree the row is disputed until they agree, and
    nothing is concluded from it.
    """
    newest = newest_by_person(verdicts).items()
    return {key: _of_row(key, list(people.values())) for key, people in newest}


def newest_by_person(verdicts: Iterable[RowVerdict]) -> dict[str, dict[str, RowVerdict]]:
    """By the key of a row and by person their newest verdict on it."""
    newest: dict[str, dict[str, RowVerdict]] = {}
    for each in sorted(verdicts, key=lambda v: (v.time, v.id)):
        newest.setdefault(each.row_key, {})[each.who] = each
    return newest


def _of_row(key: str, given: list[RowVerdict]) -> Standing:
    given.sort(key=lambda v: (v.time, v.id))
    sure = [each for each in given if each.verdict != "unsure"]
    words = {each.verdict for each in sure}
    last = (sure or given)[-1]
    holds: Holds = "disputed" if len(words) > 1 else last.verdict
    return Standing(key, last.row, holds, last)
