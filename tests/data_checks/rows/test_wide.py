"""Tables of many thousand columns: nothing may compare every column with every other."""

from __future__ import annotations

import pytest

from data_checks.base.errors import SourceError
from data_checks.contract.column_names import Columns
from data_checks.contract.columns import Column
from data_checks.contract.model import Contract

WIDTH = 3_000


class Name(str):
    """A text that counts how often it is compared with another."""

    compared = 0

    def __eq__(self, other: object) -> bool:
        Name.compared += 1
        return str.__eq__(self, other)

    __hash__ = str.__hash__


def test_column_names_are_not_compared_pair_by_pair() -> None:
    names = [Name(f"c{i}") for i in range(WIDTH)]
    columns = tuple(Column.model_construct(name=name, type="numeric") for name in names)
    plain = Contract.model_validate(
        {"name": "wide", "source": {"kind": "csv"}, "columns": [{"name": "x", "type": "numeric"}]}
    )
    contract = plain.model_copy(update={"columns": columns})
    Name.compared = 0
    contract.consistent()
    Columns(names, names).refuse_extra("t.csv", names)
    assert Name.compared < 20 * WIDTH
    with pytest.raises(SourceError, match="'other' is not in the contract"):
        Columns(names, names).refuse_extra("t.csv", [*names, "other"])
    twice = contract.model_copy(update={"columns": (*columns, columns[7])})
    with pytest.raises(ValueError, match="column named twice: c7"):
        twice.consistent()
    assert Name.compared < 40 * WIDTH
