"""Settings of any detector: frozen dataclasses that check themselves, and errors that name them."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Mapping
from dataclasses import fields, replace
from typing import Any, NoReturn, TypeVar

import numpy as np

S = TypeVar("S")


class SettingsError(ValueError):
    """A setting that cannot be used; the message names it and the remedy."""


def refuse(name: str, value: object, wanted: str) -> NoReturn:
    """Raise the error for a value that cannot be used.

    Raises:
        SettingsError: always.
    """
    raise SettingsError(f"setting {name}={value!r} cannot be used; give {wanted}")


def is_count(value: object) -> bool:
    """Whether a value is an integer of at least 1."""
    return isinstance(value, int) and not isinstance(value, bool) and value >= 1


def unknown(what: str, name: object, known: Collection[str]) -> SettingsError:
    """The error for a name that does not exist, with the nearest one that does."""
    close = difflib.get_close_matches(str(name), known, n=1)
    hint = f"did you mean {close[0]!r}? " if close else ""
    return SettingsError(f"unknown {what} {name!r}; {hint}known: {', '.join(sorted(known))}")


def replaced(settings: S, values: Mapping[str, Any]) -> S:
    """Settings with some values replaced.

    Args:
        settings: a frozen dataclass that checks its values when it is made.
        values: by name; None leaves the setting as it is. Lists (as JSON and YAML give them) and
            arrays become tuples, NumPy's scalars (as ``np.arange`` gives them) Python's.

    Raises:
        SettingsError: unknown name (the nearest is named), or a value that cannot be used.
    """
    known = {field.name for field in fields(settings)}  # type: ignore[arg-type]
    for name in values:
        if name not in known:
            raise unknown("setting", name, known)
    given = {name: plain(value) for name, value in values.items() if value is not None}
    try:
        return replace(settings, **given)  # type: ignore[type-var]
    except TypeError:
        for name, value in given.items():  # which one it was
            try:
                replace(settings, **{name: value})  # type: ignore[type-var]
            except TypeError:
                raise SettingsError(f"setting {name}={value!r} has the wrong type") from None
        raise


def plain(value: Any) -> Any:
    """A value of Python, tuples in place of lists and arrays, all the way down."""
    if isinstance(value, np.generic | np.ndarray):
        value = value.tolist()
    return tuple(plain(part) for part in value) if isinstance(value, list | tuple) else value


def from_json(settings_type: type[S], values: Mapping[str, Any]) -> S:
    """Settings from their JSON form, in which tuples are lists."""
    return settings_type(**{k: tuple(v) if isinstance(v, list) else v for k, v in values.items()})
