"""The columns of a source, and those that the contract names."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from data_checks.base.errors import SourceError


@dataclass(frozen=True)
class Columns:
    """What is asked of a source.

    Attributes:
        expected: all column names of the contract, in order.
        wanted: those to read.
        extra: "refuse" or "ignore" columns that are not expected.
    """

    expected: Sequence[str]
    wanted: Sequence[str]
    extra: str = "refuse"

    def refuse_extra(self, location: str, names: Sequence[str]) -> None:
        """Refuse columns that the contract does not name, unless it ignores them.

        Raises:
            SourceError: naming them.
        """
        known = set(self.expected)
        unknown = [name for name in names if name not in known]
        if unknown and self.extra == "refuse":
            raise SourceError(
                f"{location}: column {listed(unknown)} is not in the contract; list it there with "
                "type: ignored, or set extra_columns: ignore."
            )


def check_names(place: str, names: Sequence[str], required: Sequence[str], remedy: str) -> None:
    """Refuse columns that are named twice, and a table without those that are required.

    Raises:
        SourceError: naming them; the remedy follows the names of absent ones.
    """
    counts = Counter(names)
    if twice := sorted(name for name, count in counts.items() if count > 1):
        raise SourceError(f"{place}: column named twice: {listed(twice)}; rename one.")
    if absent := [name for name in required if name not in counts]:
        raise SourceError(f"{place}: missing column {listed(absent)}{remedy}")


def listed(names: Sequence[str]) -> str:
    """The first names, for messages."""
    shown = ", ".join(f"'{name}'" for name in names[:5])
    return shown if len(names) <= 5 else f"{shown} and {len(names) - 5} more"
