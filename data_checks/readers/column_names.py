"""The columns of a source, and those that the contract names."""

from __future__ import annotations

from collections.abc import Sequence

from data_checks.base.errors import SourceError


def check_extra(location: str, names: Sequence[str], expected: Sequence[str], extra: str) -> None:
    """Refuse columns that the contract does not name, unless it ignores them.

    Raises:
        SourceError: naming them.
    """
    if extra != "refuse":
        return
    known = set(expected)
    if unknown := [name for name in names if name not in known]:
        raise SourceError(
            f"{location}: column {listed(unknown)} is not in the contract; list it there with "
            "type: ignored, or set extra_columns: ignore."
        )


def listed(names: Sequence[str]) -> str:
    """The first names, for messages."""
    shown = ", ".join(f"'{name}'" for name in names[:5])
    return shown if len(names) <= 5 else f"{shown} and {len(names) - 5} more"
