"""Rows of a result as CSV and databases take them: no dictionaries, and no formulas."""

from typing import BinaryIO

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pacsv

FORMULA = (
    r"^[\s\p{Z}\p{C}]*[=+\-@\x{FF1D}\x{FF0B}\x{FF0D}\x{FF20}\x{FE66}\x{FE62}\x{FE63}\x{FE6B}]"
    r"|^[\t\r\n]"
)
"""How a text begins that a spreadsheet takes for a formula: wide and small signs among them, and
behind whatever blanks and invisible characters it may drop."""


def write_rows_csv(table: pa.Table, target: BinaryIO) -> None:
    """Append rows as CSV, without a header."""
    # In one piece: behind an empty first one Arrow writes whatever lies in its memory.
    rows = without_formulas(without_dictionaries(table.combine_chunks()))
    pacsv.write_csv(rows, target, pacsv.WriteOptions(include_header=False))


def without_formulas(table: pa.Table) -> pa.Table:
    """Texts that a spreadsheet would run as a formula get an apostrophe in front.

    Column names and levels come from whoever made the table, and reasons begin with them.
    """
    for place, kind in enumerate(table.schema.types):
        if pa.types.is_string(kind):
            texts = table.column(place)
            runs = pc.fill_null(pc.match_substring_regex(texts, FORMULA), False)
            safe = pc.if_else(runs, pc.binary_join_element_wise("'", texts, ""), texts)
            table = table.set_column(place, table.column_names[place], safe)
    return table


def without_dictionaries(table: pa.Table) -> pa.Table:
    """The table without dictionary encoding, which CSV and databases do not know."""
    for place, kind in enumerate(table.schema.types):
        if pa.types.is_dictionary(kind):
            name = table.column_names[place]
            table = table.set_column(place, name, table.column(place).cast(kind.value_type))
    return table
