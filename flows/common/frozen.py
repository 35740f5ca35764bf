"""Bases of the values that travel between functions, processes and files."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class Frozen(BaseModel):
    """Checked when it is made, never changed; keys of a later version are passed over."""

    model_config = ConfigDict(frozen=True)


class Strict(Frozen):
    """The same, and a key that it does not know is an error."""

    model_config = ConfigDict(extra="forbid")


class Parameters(Strict):
    """What a person sets: finite numbers, for JSON, in which they are sealed, has no others."""

    model_config = ConfigDict(allow_inf_nan=False)
