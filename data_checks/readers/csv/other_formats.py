"""Files that were taken for delimited text and are something else."""

import re

_SHEET = "save the sheet as CSV"
_BEGINNINGS = (
    (b"PK\x03\x04", f"a zip archive or an Excel workbook; unpack it, or {_SHEET}"),
    (b"\xd0\xcf\x11\xe0", f"an Excel workbook; {_SHEET}"),
    (b"\x1f\x8b\x08", "compressed with gzip; its name must end in .gz"),
    (b"BZh91AY", "compressed with bzip2; its name must end in .bz2"),
    (b"\x28\xb5\x2f\xfd", "compressed with zstd; its name must end in .zst"),
    (b"PAR1\x15", "a Parquet file; its name must end in .parquet, and source.kind is parquet"),
    (b"ARROW1\0\0", "an Arrow file; write it as Parquet"),
    (
        b"MATLAB 5.0 MAT-file",
        "a MATLAB file; its name must end in .mat, and source.kind is mat",
    ),
    (b"\x89HDF\r\n", "an HDF5 file; write it as Parquet or CSV"),
    (b"SQLite format 3\0", "an SQLite database; source.kind is sql, source.url names it"),
    (b"%PDF-", "a PDF; save the table as CSV"),
)
_JSON = re.compile(rb'\s*(\{\s*"[^"]*"\s*:|\[\s*[\[{])')
_MARKUP = re.compile(rb"\s*<(!doctype|html|\?xml)\b", re.IGNORECASE)


def no_delimited_text(content: bytes) -> str | None:
    """What the first bytes of a file belong to, and what to do; None for text.

    Args:
        content: the beginning, decompressed as the file's name says.
    """
    for beginning, what in _BEGINNINGS:
        if content.startswith(beginning):
            return what
    if _JSON.match(content):
        return "JSON; write the table as CSV or Parquet"
    if _MARKUP.match(content):
        return "a page of HTML or XML; download the table itself, or save it as CSV"
    return None
