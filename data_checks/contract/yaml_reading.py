"""YAML as contracts need it: plain data, every key once, and the line each key stands on."""

from pathlib import Path
from typing import Any

import yaml

from data_checks.base.errors import ContractError

MAX_BYTES = 2_000_000
MAX_DEPTH = 16

Key = tuple[str | int, ...]
_Loader: type[Any] = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def read_yaml(path: Path) -> tuple[dict[str, Any], dict[Key, int]]:
    """Read one YAML mapping together with the line of each of its keys.

    Aliases are refused, because nested aliases expand to gigabytes from a few lines; so are
    custom tags, a second document, and keys given twice (PyYAML would keep the last one silently).

    Returns:
        The mapping as plain Python data, and 1-based line numbers by key path, for example
        `("columns", 3, "minimum") -> 41`.

    Raises:
        ContractError: the file is missing, unreadable, too large, or not such a mapping.
    """
    text = _text(path)
    try:
        _check_events(path, text)
        node = yaml.compose(text, Loader=_Loader)
    except yaml.YAMLError as error:
        raise ContractError(_yaml_message(path, error)) from error
    if not isinstance(node, yaml.MappingNode):
        raise ContractError(f"{path}: a contract is a mapping of keys to values; this file is not.")
    lines: dict[Key, int] = {}
    return _construct(path, node, (), lines), lines


def _text(path: Path) -> str:
    try:
        if path.stat().st_size > MAX_BYTES:
            raise ContractError(f"{path}: larger than {MAX_BYTES:,} bytes; not a contract.")
        return path.read_text(encoding="utf-8-sig")
    except FileNotFoundError as error:
        raise ContractError(f"{path}: no such file.") from error
    except UnicodeDecodeError as error:
        raise ContractError(
            f"{path}: byte {error.start} is not UTF-8; save the contract as UTF-8."
        ) from error
    except OSError as error:
        raise ContractError(f"{path}: cannot be read: {error.strerror}.") from error


def _check_events(path: Path, text: str) -> None:
    # Walking events is iterative, so depth and aliases are judged before anything recursive runs.
    depth = documents = 0
    for event in yaml.parse(text, Loader=_Loader):
        line = event.start_mark.line + 1 if event.start_mark else 1
        if isinstance(event, yaml.AliasEvent):
            raise ContractError(
                f"{path}, line {line}: alias '*{event.anchor}': aliases are not allowed in a "
                "contract; write the value out."
            )
        tag = getattr(event, "tag", None)
        if tag is not None:
            raise ContractError(f"{path}, line {line}: tag {tag!r}: tags are not allowed.")
        if isinstance(event, yaml.DocumentStartEvent):
            documents += 1
            if documents > 1:
                raise ContractError(f"{path}, line {line}: a second document; keep one per file.")
        if isinstance(event, yaml.MappingStartEvent | yaml.SequenceStartEvent):
            depth += 1
            if depth > MAX_DEPTH:
                raise ContractError(
                    f"{path}, line {line}: nested deeper than {MAX_DEPTH} levels; not a contract."
                )
        elif isinstance(event, yaml.MappingEndEvent | yaml.SequenceEndEvent):
            depth -= 1


def _construct(path: Path, node: yaml.Node, key: Key, lines: dict[Key, int]) -> Any:
    lines[key] = node.start_mark.line + 1
    if isinstance(node, yaml.MappingNode):
        mapping: dict[str, Any] = {}
        for key_node, value_node in node.value:
            line = key_node.start_mark.line + 1
            name = _construct(path, key_node, (*key, "?"), {})
            if not isinstance(name, str):
                raise ContractError(
                    f"{path}, line {line}: key {name!r} under '{dotted(key)}' is not text; "
                    "put it in quotes."
                )
            if name in mapping:
                raise ContractError(
                    f"{path}, line {line}: key '{dotted((*key, name))}' is given twice; "
                    f"first on line {lines[(*key, name)]}."
                )
            mapping[name] = _construct(path, value_node, (*key, name), lines)
            lines[(*key, name)] = line
        return mapping
    if isinstance(node, yaml.SequenceNode):
        return [_construct(path, item, (*key, i), lines) for i, item in enumerate(node.value)]
    constructor = yaml.constructor.SafeConstructor()
    try:
        return constructor.construct_object(node)
    except (yaml.YAMLError, ValueError, OverflowError) as error:
        shown = f"key '{dotted(key)}': value {str(node.value)[:40]!r}"
        raise ContractError(f"{path}, line {lines[key]}: {shown} cannot be read.") from error


def dotted(key: Key) -> str:
    """Write a key path the way messages show it: `columns[3].minimum`."""
    text = ""
    for part in key:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else part
    return text or "(top level)"


def _yaml_message(path: Path, error: yaml.YAMLError) -> str:
    if isinstance(error, yaml.MarkedYAMLError) and error.problem_mark is not None:
        mark = error.problem_mark
        return f"{path}, line {mark.line + 1}, column {mark.column + 1}: {error.problem}."
    return f"{path}: not YAML: {' '.join(str(error).split())}"
