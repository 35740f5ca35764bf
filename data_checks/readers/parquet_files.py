"""The files of a Parquet table: a file, a folder or a glob, without what writers hide beside them.

Spark, Jupyter and others keep unfinished and old files in folders whose names begin with `_` or
`.`; no reader takes them for rows. A folder named `year=2026` says that its rows have that year.
"""

import glob
from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from urllib.parse import unquote

from data_checks.base.errors import MissingDataError
from data_checks.base.locations import is_url
from data_checks.readers.opening import store_errors, url_filesystem

_ENDINGS = (".parquet", ".pq")
_NO_VALUE = "__HIVE_DEFAULT_PARTITION__"


def files_of(location: str) -> list[str]:
    """The files in order of their names; of a remote folder or glob, their URLs.

    Raises:
        MissingDataError: there is none.
        SourceError: the store cannot be reached.
    """
    files = _remote(location) if is_url(location) else _local(location)
    if not files:
        raise MissingDataError(f"{location}: no Parquet file there.")
    return files


def partition_value(name: str, column: str) -> tuple[bool, str | None]:
    """Whether the folders of a file say what a column holds (`year=2026`), and what.

    Returns:
        Whether they do, and the value: text, or None for a gap.
    """
    for part in reversed(PurePosixPath(name).parts[:-1]):
        key, mark, value = part.partition("=")
        if mark and unquote(key) == column:
            return True, None if value == _NO_VALUE else unquote(value)
    return False, None


def partition_columns(location: str, files: Sequence[str]) -> tuple[list[str], list[str]]:
    """Columns that the folders between a table and its files name.

    Returns:
        Those that the folders of every file name, and those that only some do.
    """
    named = [_named(location, file) for file in files]
    seen = list(dict.fromkeys(column for columns in named for column in columns))
    everywhere = set(seen).intersection(*named)
    return [c for c in seen if c in everywhere], [c for c in seen if c not in everywhere]


def _named(location: str, file: str) -> list[str]:
    folder = location.rstrip("/")
    if file == location or file.startswith(f"{folder}/"):
        below = file.removeprefix(folder)
    else:
        below = _matched(location, file)
    parts = PurePosixPath(below).parts[:-1]
    return [unquote(part.partition("=")[0]) for part in parts if "=" in part]


def _local(location: str) -> list[str]:
    path = Path(location)
    if path.is_dir():
        return _within(path)
    if path.exists():
        return [location]
    names = sorted(glob.glob(location, recursive=True))  # noqa: PTH207 (may be absolute)
    shown = [name for name in names if not _hidden(_matched(location, name), location)]
    several = [_within(Path(name)) if Path(name).is_dir() else [name] for name in shown]
    return list(dict.fromkeys(name for names in several for name in names))


def _within(folder: Path) -> list[str]:
    return sorted(
        str(file)
        for file in folder.rglob("*")
        if file.name.lower().endswith(_ENDINGS)
        and not _hidden(file.relative_to(folder).as_posix())
        and file.is_file()
    )


def _remote(location: str) -> list[str]:
    filesystem, path = url_filesystem(location)
    with store_errors(location):
        if filesystem.isdir(path):
            root = path.rstrip("/")
            names = [n for n in filesystem.find(root) if n.lower().endswith(_ENDINGS)]
            kept = [n for n in names if not _hidden(n.removeprefix(root))]
        elif filesystem.exists(path):
            kept = [path]
        else:
            names = filesystem.glob(path)
            kept = [n for n in names if not _hidden(_matched(path, n), path)]
        return [filesystem.unstrip_protocol(name) for name in sorted(kept)]


def _matched(pattern: str, name: str) -> str:
    """The part of a name that a pattern's wildcards stand for, and what is below."""
    fixed = next(
        i for i, part in enumerate([*PurePosixPath(pattern).parts, "*"]) if set(part) & set("*?[")
    )
    return "/".join(PurePosixPath(name).parts[fixed:])


def _hidden(below: str, pattern: str = "") -> bool:
    """Whether a file is hidden, below a table's folder; a pattern may ask for hidden names."""
    asked = {part[0] for part in PurePosixPath(pattern).parts if part[0] in "._"}
    return any(
        part[0] == "." or (part[0] == "_" and "=" not in part)
        for part in PurePosixPath(below.lstrip("/")).parts
        if part[0] not in asked
    )
