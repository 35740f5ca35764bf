"""Bases of the values that travel between functions, processes and files."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict
from pydantic_core import to_jsonable_python


class Frozen(BaseModel):
    """Checked when it is made, never changed; keys of a later version are passed over."""

    model_config = ConfigDict(frozen=True)


class Strict(Frozen):
    """The same, and a key that it does not know is an error."""

    model_config = ConfigDict(extra="forbid")


class Parameters(Strict):
    """What a person sets: finite numbers, for JSON, in which they are sealed, has no others."""

    model_config = ConfigDict(allow_inf_nan=False)


def plain(value: Any) -> Any:
    """A model or a dataclass, with all that it holds, as JSON's own types; NaN stays NaN."""
    return to_jsonable_python(value, inf_nan_mode="constants")
