"""Settings of any detector: frozen dataclasses that check themselves, and errors that name them."""

import difflib
from collections.abc import Collection, Mapping
from dataclasses import dataclass, fields, replace
from math import inf
from typing import Any, ClassVar, NoReturn, TypeVar, get_type_hints

import numpy as np

S = TypeVar("S")


class SettingsError(ValueError):
    """A setting that cannot be used; the message names it and the remedy."""


def refuse(name: str, value: object, wanted: str) -> NoReturn:
    """Raise a `SettingsError` for a value that cannot be used."""
    raise SettingsError(f"setting {name}={value!r} cannot be used; give {wanted}")


def unknown(what: str, name: object, known: Collection[str]) -> SettingsError:
    """The error for a name that does not exist, with the nearest one that does."""
    close = difflib.get_close_matches(str(name), known, n=1)
    hint = f"did you mean {close[0]!r}? " if close else ""
    return SettingsError(f"unknown {what} {name!r}; {hint}known: {', '.join(sorted(known))}")


def replaced(settings: S, values: Mapping[str, Any]) -> S:
    """Settings, which check themselves when they are made, with some values replaced.

    None leaves a setting as it is. Lists (as JSON and YAML give them) and arrays become tuples,
    NumPy's scalars (as ``np.arange`` gives them) Python's.

    Raises:
        SettingsError: unknown name (the nearest is named), or a value that cannot be used.
    """
    known = {field.name for field in fields(settings)}  # type: ignore[arg-type]
    for name in values:
        if name not in known:
            raise unknown("setting", name, known)
    given = {name: plain_value(value) for name, value in values.items() if value is not None}
    return replace(settings, **given)  # type: ignore[type-var]


def plain_value(value: Any) -> Any:
    """A value of Python, tuples in place of lists and arrays, all the way down."""
    if isinstance(value, np.generic | np.ndarray):
        value = value.tolist()
    return tuple(plain_value(part) for part in value) if isinstance(value, list | tuple) else value


def from_json(settings_type: type[S], values: Mapping[str, Any]) -> S:
    """Settings from their JSON form, in which tuples are lists."""
    return settings_type(**{k: tuple(v) if isinstance(v, list) else v for k, v in values.items()})


@dataclass(frozen=True)
class CheckedSettings:
    """Settings that check themselves when they are made, each by its type and its limits.

    Integers are at least 1, other numbers at least 0, unless said otherwise; a tuple of integers
    holds positive ones.

    Attributes:
        choices: by the name of a setting of one word, the words that it may be.
        least: smallest value of a number.
        most: largest value.
        above: what a number must be larger than.
        below: what it must be smaller than.
    """

    choices: ClassVar[dict[str, tuple[str, ...]]] = {}
    least: ClassVar[dict[str, float]] = {}
    most: ClassVar[dict[str, float]] = {}
    above: ClassVar[dict[str, float]] = {}
    below: ClassVar[dict[str, float]] = {}

    def __post_init__(self) -> None:
        hints = get_type_hints(type(self))
        for name, value in ((field.name, getattr(self, field.name)) for field in fields(self)):
            kind = str(hints[name])
            if name in self.choices:
                if value not in self.choices[name]:
                    refuse(name, value, f"one of {', '.join(self.choices[name])}")
            elif "tuple[int" in kind:
                if not isinstance(value, tuple) or not all(_is(w, int) and w >= 1 for w in value):
                    refuse(name, value, "a tuple of positive integers")
            elif "bool" in kind:
                if not isinstance(value, bool):
                    refuse(name, value, "true or false")
            elif ("int" in kind or "float" in kind) and not (value is None and "None" in kind):
                self._check_number(name, value, int if "int" in kind else float)

    def _check_number(self, name: str, value: Any, kind: type) -> None:
        least = self.least.get(name, 1.0 if kind is int else 0.0)
        most, below = self.most.get(name, inf), self.below.get(name, inf)
        above = self.above.get(name, -inf)
        if not (_is(value, kind) and least <= value <= most and above < value < below):
            wanted = "an integer " if kind is int else "a number "
            wanted += f"above {above:g}" if name in self.above else f"of at least {least:g}"
            wanted += f" and at most {most:g}" * (name in self.most)
            refuse(name, value, wanted + f" and below {below:g}" * (name in self.below))


def _is(value: object, kind: type) -> bool:
    """Whether a value is a number of that kind; an integer is a float, too, a truth value none."""
    return isinstance(value, (int, kind)) and not isinstance(value, bool)
