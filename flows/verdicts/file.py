"""Files with verdicts: CSV as a spreadsheet leaves it, or Parquet."""

import codecs
import csv
import io
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from flows.common.errors import UsageError
from flows.verdicts.standing import WORDS, Word

COLUMNS = (
    *("verdict", "who", "when", "note", "review"),
    *("row_id", "energy", "p_value", "is_anomaly", "threshold"),
    *("reasons", "component", "remarks", "model"),
)
"""What a column of these names means in a file of verdicts."""
DELIMITERS = ",;\t|"
TOO_LATE_SECONDS = 3_600


def column_in_file(name: str) -> str:
    """Where the value of a table's column stands: `row.model` for one whose name has a meaning."""
    return f"row.{name}" if name in COLUMNS else name


@dataclass(frozen=True)
class VerdictLine:
    """A line of a file of verdicts.

    Attributes:
        place: `verdicts.csv, line 7`.
        cells: Text by column, without blanks around it; absent where there is none.
    """

    place: str
    cells: dict[str, str]

    def refuse(self, column: str, why: str) -> UsageError:
        """The error that names this line."""
        return UsageError(f"{self.place}, column {column!r}: {why}")

    @property
    def word(self) -> Word | None:
        """The verdict; None where nobody has given one.

        Raises:
            UsageError: It is no verdict.
        """
        given = self.cells.get("verdict", "").lower()
        if not given:
            return None
        for word in WORDS:
            if given == word:
                return word
        raise self.refuse("verdict", f"{given!r} is not one of {', '.join(WORDS)}")

    def time(self, now: float) -> float:
        """When the verdict was given, seconds since 1970; 0 where that is not said.

        Raises:
            UsageError: It is no time, or lies in the future.
        """
        text = self.cells.get("when", "")
        if not text:
            return 0.0
        try:
            parsed = datetime.fromisoformat(text)
        except ValueError:
            raise self.refuse(
                "when", f"{text!r} is not a time; write 2026-01-31 or 2026-01-31T14:30+01:00"
            ) from None
        moment = (parsed if parsed.tzinfo else parsed.replace(tzinfo=UTC)).timestamp()
        if moment > now + TOO_LATE_SECONDS:
            raise self.refuse("when", f"{text!r} is in the future")
        return moment

    def number(self, column: str) -> float | None:
        """A number; None where there is none.

        Raises:
            UsageError: It is no number.
        """
        text = self.cells.get(column, "")
        if not text:
            return None
        try:
            return float(text)
        except ValueError:
            raise self.refuse(column, f"{text!r} is not a number") from None

    def row_id(self) -> int | None:
        """Number of the row in its source; None where there is none.

        Raises:
            UsageError: It is no whole number.
        """
        number = self.number("row_id")
        if number is None:
            return None
        if number < 0 or number != int(number):
            raise self.refuse("row_id", f"{self.cells['row_id']!r} is no row of a source")
        return int(number)


def read_lines(path: Path) -> tuple[list[str], list[VerdictLine]]:
    """Names of the columns, and the lines.

    Raises:
        UsageError: The file is not there, is neither CSV nor Parquet, or has no column `verdict`.
    """
    if not path.is_file():
        raise UsageError(f"--data {path}: no such file")
    if not path.stat().st_size:
        raise UsageError(f"--data {path}: the file is empty")
    names, rows = _parquet(path) if path.suffix == ".parquet" else _csv(path)
    if "verdict" not in names:
        raise UsageError(
            f"{path}: missing column 'verdict' (columns: {', '.join(names[:8])}…); it says "
            f"{', '.join(WORDS)}, or nothing where nobody has judged the row"
        )
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise UsageError(f"{path}: column named twice: {', '.join(twice)}")
    lines = []
    for number, cells in rows:
        if len(cells) > len(names):
            raise UsageError(
                f"{path.name}, line {number}: {len(cells)} cells for {len(names)} columns"
            )
        texts = (cell.strip() for cell in cells)
        filled = {name: text for name, text in zip(names, texts, strict=False) if text}
        if filled:
            lines.append(VerdictLine(f"{path.name}, line {number}", filled))
    return names, lines


def _csv(path: Path) -> tuple[list[str], list[tuple[int, list[str]]]]:
    text = _decoded(path.read_bytes())
    first = text.partition("\n")[0]
    delimiter = max(DELIMITERS, key=first.count)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)
    try:
        names = [name.strip() for name in next(reader, [])]
        return names, [(reader.line_num, cells) for cells in reader]
    except csv.Error as error:
        raise UsageError(f"{path.name}, line {reader.line_num}: {error}") from None


def _decoded(content: bytes) -> str:
    """UTF-8 or UTF-16 by its mark, else what spreadsheets on Windows write."""
    if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return content.decode("utf-16", "replace")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        return content.decode("cp1252", "replace")


def _parquet(path: Path) -> tuple[list[str], list[tuple[int, list[str]]]]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        table = pq.read_table(path)
    except (pa.ArrowException, OSError) as error:
        raise UsageError(f"{path}: not a Parquet file ({error})") from None
    rows = zip(*(column.to_pylist() for column in table.columns), strict=True)
    texts = ([_text(value) for value in row] for row in rows)
    return table.column_names, list(enumerate(texts, start=1))


def _text(value: object) -> str:
    if value is None:
        return ""
    return value.isoformat() if isinstance(value, datetime) else str(value)


def unguarded(text: str) -> str:
    """A text without the apostrophe that keeps spreadsheets from running it as a formula."""
    return re.sub(r"^'(?=\s*[=+\-@])", "", text)
