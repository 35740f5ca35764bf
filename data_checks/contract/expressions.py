"""Conditions across columns: a small language, parsed by Python, never executed by it.

Grammar: comparisons (`<`, `<=`, `>`, `>=`, `==`, `!=`, chained; `in` / `not in` a list of
constants), `and`, `or`, `not`, `+ - * /`, numbers, quoted text, column names, `col("any name")`
for names with spaces, `abs(x)`, `is_null(x)` and `if_then(a, b)` (whenever a holds, b must).
Every other construct is refused, so that a contract from elsewhere cannot run code.
"""

from __future__ import annotations

import ast
from collections.abc import Callable
from functools import lru_cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pyarrow as pa

MAX_LENGTH = 1000
_MAX_NODES = 200

_ARITHMETIC: dict[type[ast.operator], str] = {
    ast.Add: "add",
    ast.Sub: "subtract",
    ast.Mult: "multiply",
    ast.Div: "divide",
}
_COMPARISONS: dict[type[ast.cmpop], str] = {
    ast.Lt: "less",
    ast.LtE: "less_equal",
    ast.Gt: "greater",
    ast.GtE: "greater_equal",
    ast.Eq: "equal",
    ast.NotEq: "not_equal",
}
_FUNCTIONS = {"col": 1, "abs": 1, "is_null": 1, "if_then": 2}


@lru_cache(maxsize=1024)
def parse(text: str) -> ast.expr:
    """Parse a condition and refuse everything outside the grammar.

    Raises:
        ValueError: naming the construct that is not part of the grammar.
    """
    if len(text) > MAX_LENGTH:
        raise ValueError(f"condition longer than {MAX_LENGTH} characters")
    try:
        tree = ast.parse(text.strip(), mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise ValueError(f"condition {text!r} cannot be parsed: {error}") from error
    if sum(1 for _ in ast.walk(tree)) > _MAX_NODES:
        raise ValueError("condition has too many parts; write several rules")
    _check(tree)
    if not any(_column(node) for node in ast.walk(tree)):
        raise ValueError(f"condition {text!r} reads no column")
    if not _is_condition(tree):
        raise ValueError(f"condition {text!r} is not true or false")
    return tree


def names_in(text: str) -> set[str]:
    """The column names that a condition reads."""
    return {name for node in ast.walk(parse(text)) if (name := _column(node)) is not None}


def holds(text: str, table: pa.Table | pa.RecordBatch) -> pa.ChunkedArray | pa.Array:
    """Evaluate a condition for every row.

    Args:
        text: the condition.
        table: (n rows) with the columns the condition names.

    Returns:
        Boolean (n,); null where a missing value leaves the answer open (Kleene logic).

    Raises:
        ValueError: a column's type does not fit the operation, for example text + number.
    """
    import pyarrow as pa

    try:
        result = _evaluate(parse(text), table)
    except (pa.ArrowNotImplementedError, pa.ArrowInvalid, pa.ArrowTypeError) as error:
        raise ValueError(
            f"condition {text!r} does not fit its columns' types: {str(error).splitlines()[0]}"
        ) from error
    if not pa.types.is_boolean(result.type):
        raise ValueError(f"condition {text!r} does not fit its columns' types: not true or false")
    return result


def _column(node: ast.AST) -> str | None:
    if isinstance(node, ast.Call):
        argument = node.args[0] if node.args else None
        if isinstance(node.func, ast.Name) and node.func.id == "col":
            return argument.value if isinstance(argument, ast.Constant) else None  # type: ignore[return-value]
    if isinstance(node, ast.Name) and node.id not in _FUNCTIONS:
        return node.id
    return None


def _check(node: ast.expr) -> None:
    children: list[ast.expr]
    match node:
        case ast.BoolOp(values=values):
            children = values
        case ast.UnaryOp(op=ast.Not() | ast.USub(), operand=operand):
            children = [operand]
        case ast.BinOp(left=left, op=op, right=right) if type(op) in _ARITHMETIC:
            children = [left, right]
        case ast.Compare(left=left, ops=ops, comparators=comparators):
            children = [left]
            for comparison, other in zip(ops, comparators, strict=True):
                if isinstance(comparison, ast.In | ast.NotIn):
                    _check_list(other)
                elif type(comparison) in _COMPARISONS:
                    children.append(other)
                else:
                    name = type(comparison).__name__
                    raise ValueError(f"'{name}' is not a comparison of the grammar")
        case ast.Call(func=ast.Name(id=name), args=args, keywords=[]) if name in _FUNCTIONS:
            if len(args) != _FUNCTIONS[name]:
                raise ValueError(f"{name}() takes {_FUNCTIONS[name]} argument(s)")
            if name == "col":
                if not (isinstance(args[0], ast.Constant) and isinstance(args[0].value, str)):
                    raise ValueError('col() takes a quoted name, for example col("mean radius")')
                children = []
            else:
                children = args
        case ast.Constant(value=bool() | int() | float() | str()) | ast.Name():
            children = []
        case _:
            raise ValueError(f"'{ast.unparse(node)[:60]}' is not part of the grammar of conditions")
    for child in children:
        _check(child)


def _check_list(node: ast.expr) -> None:
    items = node.elts if isinstance(node, ast.List | ast.Tuple) else None
    if not items or not all(isinstance(item, ast.Constant) for item in items):
        raise ValueError("'in' needs a list of constants, for example flag in ['SF', 'S0']")


def _is_condition(node: ast.expr) -> bool:
    match node:
        case ast.Compare() | ast.UnaryOp(op=ast.Not()):
            return True
        case ast.BoolOp(values=values):
            return all(_is_condition(value) for value in values)
        case ast.Call(func=ast.Name(id="is_null" | "if_then" | "col")) | ast.Name():
            return True
    return False


def _evaluate(node: ast.expr, table: Any) -> Any:
    import pyarrow as pa
    import pyarrow.compute as pc

    if (name := _column(node)) is not None:
        column = table.column(name)
        return pc.cast(column, pa.float64()) if pa.types.is_integer(column.type) else column
    match node:
        case ast.Constant(value=value):
            if isinstance(value, int | float) and not isinstance(value, bool):
                return pa.scalar(float(value))
            return pa.scalar(value)
        case ast.BoolOp(op=op, values=values):
            join = pc.and_kleene if isinstance(op, ast.And) else pc.or_kleene
            return _fold(join, [_evaluate(value, table) for value in values])
        case ast.UnaryOp(op=op, operand=operand):
            call = pc.invert if isinstance(op, ast.Not) else pc.negate
            return call(_evaluate(operand, table))
        case ast.BinOp(left=left, op=op, right=right):
            function = getattr(pc, _ARITHMETIC[type(op)])
            return function(_evaluate(left, table), _evaluate(right, table))
        case ast.Compare(left=left, ops=ops, comparators=comparators):
            parts = []
            for comparison, other in zip(ops, comparators, strict=True):
                parts.append(_compare(_evaluate(left, table), comparison, other, table))
                left = other
            return _fold(pc.and_kleene, parts)
        case ast.Call(func=ast.Name(id=name), args=args):
            arguments = [_evaluate(argument, table) for argument in args]
            if name == "if_then":
                return pc.or_kleene(pc.invert(arguments[0]), arguments[1])
            return pc.abs(arguments[0]) if name == "abs" else pc.is_null(arguments[0])
    raise ValueError(f"'{ast.unparse(node)}' is not part of the grammar of conditions")


def _compare(left: Any, op: ast.cmpop, right: ast.expr, table: Any) -> Any:
    import pyarrow as pa
    import pyarrow.compute as pc

    if not isinstance(op, ast.In | ast.NotIn):
        return getattr(pc, _COMPARISONS[type(op)])(left, _evaluate(right, table))
    constants = [item.value for item in right.elts]  # type: ignore[attr-defined]
    among = pc.is_in(left, value_set=pa.array(constants, type=left.type))
    among = pc.if_else(pc.is_null(left), pa.scalar(None, pa.bool_()), among)
    return pc.invert(among) if isinstance(op, ast.NotIn) else among


def _fold(join: Callable[[Any, Any], Any], parts: list[Any]) -> Any:
    result = parts[0]
    for part in parts[1:]:
        result = join(result, part)
    return result
