"""Conditions across columns: a small language, parsed by Python, never executed by it.

Grammar: comparisons (`<`, `<=`, `>`, `>=`, `==`, `!=`, chained; `in` / `not in` a list of
constants), `and`, `or`, `not`, `+ - * /`, numbers, quoted text, column names, `col("any name")`
for names with spaces, `abs(x)`, `is_null(x)` and `if_then(a, b)` (whenever a holds, b must).
Every other construct is refused, so that a contract from elsewhere cannot run code.
"""

from __future__ import annotations

import ast
from collections.abc import Callable
from functools import lru_cache, partial, reduce
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pyarrow as pa

Evaluator = Callable[[Any], Any]
"""From a table to the values of a part of a condition, (n,) or one for all rows."""

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
    _evaluator(tree)
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
        result = _evaluator(parse(text))(table)
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


def _evaluator(node: ast.expr) -> Evaluator:
    """What evaluates a part of a condition; one that is not of the grammar is refused."""
    match node:
        case ast.Constant(value=bool() | str() as value):
            return partial(_constant, value)
        case ast.Constant(value=int() | float() as value):
            return partial(_constant, float(value))
        case ast.BoolOp(op=op, values=values):
            join = "and_kleene" if isinstance(op, ast.And) else "or_kleene"
            return reduce(partial(_call, join), map(_evaluator, values))
        case ast.UnaryOp(op=ast.Not(), operand=operand):
            return _call("invert", _evaluator(operand))
        case ast.UnaryOp(op=ast.USub(), operand=operand):
            return _call("negate", _evaluator(operand))
        case ast.BinOp(left=left, op=op, right=right) if type(op) in _ARITHMETIC:
            return _call(_ARITHMETIC[type(op)], _evaluator(left), _evaluator(right))
        case ast.Compare(left=left, ops=ops, comparators=comparators):
            parts = zip([left, *comparators], ops, comparators, strict=False)
            return reduce(partial(_call, "and_kleene"), (_comparison(*part) for part in parts))
        case ast.Call(func=ast.Name(id=name), args=args, keywords=[]) if name in _FUNCTIONS:
            if len(args) != _FUNCTIONS[name]:
                raise ValueError(f"{name}() takes {_FUNCTIONS[name]} argument(s)")
            if name == "col":
                if not (isinstance(args[0], ast.Constant) and isinstance(args[0].value, str)):
                    raise ValueError('col() takes a quoted name, for example col("mean radius")')
                return partial(_values, args[0].value)
            parts_ = [_evaluator(argument) for argument in args]
            if name == "if_then":
                return _call("or_kleene", _call("invert", parts_[0]), parts_[1])
            return _call(name, *parts_)
        case ast.Name(id=name) if name not in _FUNCTIONS:
            return partial(_values, name)
    raise ValueError(f"'{ast.unparse(node)[:60]}' is not part of the grammar of conditions")


def _comparison(left: ast.expr, op: ast.cmpop, right: ast.expr) -> Evaluator:
    if type(op) in _COMPARISONS:
        return _call(_COMPARISONS[type(op)], _evaluator(left), _evaluator(right))
    if not isinstance(op, ast.In | ast.NotIn):
        raise ValueError(f"'{type(op).__name__}' is not a comparison of the grammar")
    items = right.elts if isinstance(right, ast.List | ast.Tuple) else []
    constants = [item.value for item in items if isinstance(item, ast.Constant)]
    if not items or len(constants) < len(items):
        raise ValueError("'in' needs a list of constants, for example flag in ['SF', 'S0']")
    among = partial(_among, _evaluator(left), constants)
    return _call("invert", among) if isinstance(op, ast.NotIn) else among


def _is_condition(node: ast.expr) -> bool:
    match node:
        case ast.Compare() | ast.UnaryOp(op=ast.Not()):
            return True
        case ast.BoolOp(values=values):
            return all(_is_condition(value) for value in values)
        case ast.Call(func=ast.Name(id="is_null" | "if_then" | "col")) | ast.Name():
            return True
    return False


def _call(function: str, *parts: Evaluator) -> Evaluator:
    """Arrow's function of that name, of what the parts give."""

    def call(table: Any) -> Any:
        import pyarrow.compute as pc

        return getattr(pc, function)(*(part(table) for part in parts))

    return call


def _constant(value: object, table: Any) -> Any:
    import pyarrow as pa

    return pa.scalar(value)


def _values(column: str, table: Any) -> Any:
    import pyarrow as pa

    values = table.column(column)
    return values.cast(pa.float64()) if pa.types.is_integer(values.type) else values


def _among(part: Evaluator, constants: list[Any], table: Any) -> Any:
    import pyarrow as pa
    import pyarrow.compute as pc

    values = part(table)
    among = pc.is_in(values, value_set=pa.array(constants, type=values.type))
    return pc.if_else(pc.is_null(values), pa.scalar(None, pa.bool_()), among)
