"""How a source writes its values: gaps, decimal mark, thousands separator."""

import re
from dataclasses import dataclass
from functools import cached_property, lru_cache

import pyarrow as pa
import pyarrow.compute as pc

from data_checks.contract.source_settings import MISSING_MARKERS, CsvSource, Source

_SPACES = "[ \u00a0\u202f]"
_MINUS = "\u2212"
"""The minus of typographers, which reports and some languages' programs write."""


@dataclass(frozen=True)
class Notation:
    """One rule for every reader and every type of column.

    Blanks around a text are no part of it.

    Attributes:
        missing: texts that mean "no value". One that is a number means the number, however it is
            written or typed: "-999" is -999.0, too.
        decimal: what stands before the decimals.
        thousands: what stands between groups of three digits; "" for nothing.
    """

    missing: tuple[str, ...] = MISSING_MARKERS
    decimal: str = "."
    thousands: str = ""

    @cached_property
    def markers(self) -> pa.Array:
        """The markers as they are compared: without blanks around them."""
        return pa.array([marker.strip() for marker in self.missing], pa.string())

    @cached_property
    def missing_numbers(self) -> pa.Array:
        """The numbers that mean "no value"."""
        return self.numbers(self.markers).drop_null().unique()

    def gaps(self, texts: pa.Array) -> pa.Array:
        """Which texts mean "no value", a whole number also where it is written with decimals.

        Not every number of the same value does: beside a marker "0", "000" is a code of its own.

        Args:
            texts: text (n,), without blanks around the values.

        Returns:
            boolean (n,).
        """
        if not len(self.missing_numbers):
            return pc.is_in(texts, value_set=self.markers)
        decimals = rf"^([+-]?\d+){re.escape(self.decimal)}0+$"
        short = [pc.replace_substring_regex(t, decimals, r"\1") for t in (texts, self.markers)]
        return pc.is_in(short[0], value_set=short[1])

    @property
    def plain(self) -> bool:
        """Whether numbers are written as Arrow reads them."""
        return self.decimal == "." and not self.thousands

    def numbers(self, texts: pa.Array) -> pa.Array:
        """Numbers written as text; null for what is not one.

        Args:
            texts: text (n,), without blanks around the values.

        Returns:
            float64 (n,); no NaN.
        """
        readable = pc.match_substring_regex(texts, self._pattern)
        kept = pc.if_else(readable, texts, pa.scalar(None, pa.string()))
        if self.thousands:
            kept = pc.replace_substring_regex(kept, self._separator, "")
        if self.decimal != ".":
            kept = pc.replace_substring(kept, self.decimal, ".")
        kept = pc.replace_substring(kept, _MINUS, "-")
        return pc.cast(kept, pa.float64())

    @property
    def _separator(self) -> str:
        if self.thousands == " ":
            return _SPACES
        return "['\u2019]" if self.thousands == "'" else re.escape(self.thousands)

    @cached_property
    def _pattern(self) -> str:
        mark = re.escape(self.decimal)
        whole = rf"(\d{{1,3}}({self._separator}\d{{3}})+|\d+)" if self.thousands else r"\d+"
        number = rf"({whole}({mark}\d*)?|{mark}\d+)([eE][+-]?\d+)?"
        return rf"^[+\-{_MINUS}]?({number}|[iI][nN][fF]([iI][nN][iI][tT][yY])?)$"


PLAIN = Notation()


@lru_cache(maxsize=64)
def notation_of(source: Source) -> Notation:
    """How the values of a source are written, also where they come in another file."""
    if isinstance(source, CsvSource):
        return Notation(source.missing, source.decimal, source.thousands)
    return PLAIN
