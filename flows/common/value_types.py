"""Bases of the values that travel between functions, processes and files."""

import ast
import hashlib
import inspect
import json
from itertools import pairwise
from typing import Any

from pydantic import BaseModel, ConfigDict, GetJsonSchemaHandler
from pydantic_core import CoreSchema, to_jsonable_python


class Frozen(BaseModel):
    """Checked when it is made, never changed; keys of a later version are passed over."""

    model_config = ConfigDict(frozen=True)


class Strict(Frozen):
    """The same, and a key that it does not know is an error."""

    model_config = ConfigDict(extra="forbid")


class Parameters(Strict):
    """What a person sets: finite numbers, for JSON, in which they are sealed, has no others.

    What stands under a field is its description. It is read where it is shown: pydantic, which can
    do so when the class is made, takes 20 ms of every command for it.
    """

    model_config = ConfigDict(allow_inf_nan=False)

    @classmethod
    def __get_pydantic_json_schema__(
        cls, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        document = handler.resolve_ref_schema(handler(schema))
        for name, text in field_texts(cls).items():
            document["properties"][name]["description"] = text
        return document


def field_texts(model: type) -> dict[str, str]:
    """What stands under each field of a class."""
    (definition,) = ast.parse(inspect.getsource(model)).body
    assert isinstance(definition, ast.ClassDef)
    return {
        field.target.id: " ".join(text.value.value.split())
        for field, text in pairwise(definition.body)
        if isinstance(field, ast.AnnAssign) and isinstance(text, ast.Expr)
    }


def json_sha256(value: Any) -> str:
    """sha256 of the canonical JSON of a value, in which no order of keys shows."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()


def plain(value: Any) -> Any:
    """A model or a dataclass, with all that it holds, as JSON's own types; NaN stays NaN."""
    return to_jsonable_python(value, inf_nan_mode="constants")
