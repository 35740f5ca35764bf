"""Tables of keys, from the models and dataclasses that read them."""

import typing
from collections.abc import Iterator, Sequence
from dataclasses import MISSING, fields, is_dataclass
from pathlib import Path
from types import UnionType
from typing import Any

import docstring_parser
from pydantic import BaseModel, HttpUrl
from pydantic_core import PydanticUndefined

from flows.common.value_types import field_texts

HEAD = "| key | type | default | meaning |\n|---|---|---|---|\n"


def row(key: str, kind: str, default: str, meaning: str) -> str:
    """One line of a table of keys."""
    cells = (f"`{key}`", kind, f"`{default}`" if default else "", meaning)
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |\n"


def kind_of(annotation: Any) -> str:
    """A type as a reader of YAML knows it."""
    origin, inner = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is typing.Annotated:
        return kind_of(inner[0])
    if origin is typing.Literal:
        return " or ".join(f'`"{value}"`' if value == "" else f"`{value}`" for value in inner)
    if origin in (typing.Union, UnionType):
        return " or ".join(kind_of(part) for part in inner if part is not type(None))
    if origin in (tuple, list):
        item = kind_of(inner[0])
        return "list of " + {"integer": "integers", "number": "numbers"}.get(item, item)
    if origin is dict:
        return "mapping"
    names = {str: "text", int: "integer", float: "number", bool: "true or false", Path: "path"}
    names |= {HttpUrl: "address"}
    return names.get(annotation, "mapping")


def shown(value: Any) -> str:
    """A default as it is written in YAML; nothing where there is none."""
    if value is None or value is PydanticUndefined or value is MISSING or callable(value):
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, tuple):
        return "[" + ", ".join(str(part) or '""' for part in value) + "]"
    return str(value) if value != "" else ""


def models_in(annotation: Any) -> list[type[BaseModel]]:
    """The models that a field holds: itself, the items of a list, the members of a union."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [model for part in typing.get_args(annotation) for model in models_in(part)]


def keys(model: type[BaseModel], prefix: str = "") -> Iterator[str]:
    """One line for every key of a model, groups of keys written out."""
    texts = field_texts(model)
    for name, field in model.model_fields.items():
        inner = models_in(field.annotation)
        many = typing.get_origin(field.annotation) is tuple
        path = f"{prefix}{name}" + "[]" * (many and bool(inner))
        meaning = field.description or texts.get(name, "")
        if path == "detector.settings":  # a detector's own, written out below
            continue
        if not inner:
            yield row(path, kind_of(field.annotation), shown(field.default), meaning)
        elif len(inner) == 1:
            yield from keys(inner[0], f"{path}.")
        else:
            yield from union_rows(path, inner)


def union_rows(path: str, members: Sequence[type[BaseModel]]) -> Iterator[str]:
    """One line for every key of models that their `kind` tells apart, with the kinds it is for."""
    kinds = [typing.get_args(member.model_fields["kind"].annotation)[0] for member in members]
    firsts = [" ".join((member.__doc__ or "").partition(".\n")[0].split()) for member in members]
    pairs = zip(kinds, firsts, strict=True)
    about = " ".join(f"`{kind}`: {first.rstrip('.')}." for kind, first in pairs)
    yield row(f"{path}.kind", " or ".join(f"`{kind}`" for kind in kinds), "", about)
    lines: dict[tuple[str, ...], list[str]] = {}
    for kind, member in zip(kinds, members, strict=True):
        for name, field in member.model_fields.items():
            cells = (name, kind_of(field.annotation), shown(field.default), field.description or "")
            lines.setdefault(cells, []).append(kind)
    for (name, kind, default, meaning), having in lines.items():
        if name != "kind":
            yield row(f"{path}.{name}", kind, default, f"{meaning} ({', '.join(having)})")


def settings_rows(settings: type) -> Iterator[str]:
    """One line for every setting of a detector."""
    assert is_dataclass(settings)
    meanings: dict[str, str] = {}
    for base in reversed(settings.__mro__):
        about = docstring_parser.parse(base.__doc__ or "")
        meanings |= {
            each.arg_name: " ".join((each.description or "").split()) for each in about.params
        }
    hints = typing.get_type_hints(settings)
    for field in fields(settings):
        if field.name != "preset":
            meaning = meanings[field.name].removesuffix(".").replace("``", "`")
            yield row(field.name, kind_of(hints[field.name]), shown(field.default), meaning)
