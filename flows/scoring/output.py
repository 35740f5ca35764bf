"""Finished parts to the output: a file or a folder that appears whole; `database` has the table."""

from __future__ import annotations

import shutil
from abc import abstractmethod
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path
from typing import Protocol

import pyarrow as pa
import pyarrow.parquet as pq

from data_checks.base.atomic import replacing, replacing_folder
from data_checks.base.locations import is_url, names_files
from data_checks.contract.model import ROW_ID
from data_checks.contract.source_settings import has_credentials
from data_checks.readers.database.sql import safe_name
from flows.common.errors import UsageError
from flows.common.settings import Settings
from flows.scoring.database import SqlOutput
from flows.scoring.filling.parts import TEXTS, Parts, without_formulas, write_rows_csv

FORMATS = (".parquet", ".csv")
FOLDER_FILES = "part-*.parquet"


class Output(Protocol):
    """Where a result goes.

    Attributes:
        name: For people; without credentials.
        suffix: Format of the parts.
        folder: Where the parts are kept until all are there.
    """

    @property
    def name(self) -> str: ...

    @property
    def suffix(self) -> str: ...

    @property
    def folder(self) -> Path: ...

    @abstractmethod
    def publish(self, parts: Parts, scored: pa.Schema, rejected: pa.Schema) -> str | None:
        """Replace the output by the parts; says where the rejected rows are, if there are any."""


def output_for(output: str, table: str | None, settings: Settings) -> Output:
    """The output that a command line names.

    Raises:
        UsageError: The format is unknown, the table's name is missing or superfluous, or the
            address holds a password.
    """
    if is_url(output):
        if names_files(output):
            raise UsageError(
                f"output {safe_name(output)}: results are written to local files and folders and "
                "to databases; name a path, and copy the file to the store"
            )
        if table is None:
            raise UsageError(f"output {safe_name(output)}: name the table with --table")
        if has_credentials(output):
            raise UsageError(
                f"output {safe_name(output)}: the address holds a password, which would be seen in "
                "the list of processes; use the driver's own variables (PGPASSWORD and the like)"
            )
        return SqlOutput(output, table, settings.workspace)
    path = Path(output)
    if table is not None:
        raise UsageError(f"output {path} is a file; --table goes with a database's address")
    if output.endswith("/") or path.is_dir():
        strange = (f for f in sorted(path.glob("*")) if not _is_part(f))
        if (first := next(strange, None)) is not None:
            raise UsageError(
                f"output {path}/ holds something else than a result ({first.name}); name another"
            )
        return FolderOutput(path)
    if path.suffix not in FORMATS:
        raise UsageError(
            f"output {path}: the name must end in {', '.join(FORMATS)} or / (a folder of Parquet "
            "files), or be a database's SQLAlchemy address with --table"
        )
    if path.exists() and not _is_result(path):
        raise UsageError(
            f"output {path} is there already and is no result; name another, or remove it"
        )
    return FileOutput(path)


def _is_part(path: Path) -> bool:
    return fnmatch(path.name, FOLDER_FILES) and _is_result(path)


def _is_result(path: Path) -> bool:
    """Whether a file is an earlier result, or empty; a table of somebody's is not written over."""
    if not path.is_file() or not path.stat().st_size:
        return path.is_file()
    if path.suffix == ".csv":
        with path.open("rb") as file:
            names = file.readline(200).decode("utf-8", "replace").replace('"', "").split(",")
    else:
        try:
            names = pq.read_schema(path).names
        except (pa.ArrowInvalid, OSError):
            return False
    return names[:2] == [ROW_ID, "energy"]


def rejects_of(path: Path) -> Path:
    """The file of the rejected rows of a result that is a file or a folder."""
    return path.with_name(f"{path.stem}.rejected.parquet")


@dataclass(frozen=True)
class FileOutput:
    """A Parquet or CSV file, and beside it a Parquet file with the rejected rows."""

    path: Path

    @property
    def name(self) -> str:
        """The path."""
        return str(self.path)

    @property
    def suffix(self) -> str:
        """As the file's."""
        return self.path.suffix

    @property
    def folder(self) -> Path:
        """Beside the file, on the same disk."""
        return self.path.with_name(f".{self.path.name}.parts")

    def publish(self, parts: Parts, scored: pa.Schema, rejected: pa.Schema) -> str | None:
        """See `Output.publish`."""
        rejects = _publish_rejects(parts, self.path, rejected)
        with replacing(self.path) as whole:
            if self.suffix == ".csv":
                _join_csv(parts.files("scored"), whole, scored)
            else:
                _join_parquet(parts.files("scored"), whole, scored)
        return rejects


@dataclass(frozen=True)
class FolderOutput:
    """A folder of Parquet files in the order of the rows, and beside it the rejected rows."""

    path: Path

    @property
    def name(self) -> str:
        """The path."""
        return f"{self.path}/"

    @property
    def suffix(self) -> str:
        """Of the parts."""
        return ".parquet"

    @property
    def folder(self) -> Path:
        """Beside the folder, on the same disk."""
        return self.path.with_name(f".{self.path.name}.parts")

    def publish(self, parts: Parts, scored: pa.Schema, rejected: pa.Schema) -> str | None:
        """See `Output.publish`."""
        rejects = _publish_rejects(parts, self.path, rejected)
        with replacing_folder(self.path) as whole:
            files = parts.files("scored")
            for number, file in enumerate(files):
                _link(file, whole / f"part-{number:06d}.parquet")
            if not files:
                pq.write_table(scored.empty_table(), whole / "part-000000.parquet")
        return rejects


def _publish_rejects(parts: Parts, result: Path, schema: pa.Schema) -> str | None:
    rejects, files = rejects_of(result), parts.files("rejected")
    if not files:
        rejects.unlink(missing_ok=True)  # of an earlier run
        return None
    with replacing(rejects) as whole:
        _join_parquet(files, whole, schema)
    return str(rejects)


def _link(file: Path, place: Path) -> None:
    """The same file under a second name; a copy where the disk has no such thing."""
    try:
        place.hardlink_to(file)
    except OSError:
        shutil.copyfile(file, place)


def _join_parquet(files: list[Path], whole: Path, schema: pa.Schema) -> None:
    texts = [name for name in TEXTS if name in schema.names]
    with pq.ParquetWriter(whole, schema, use_dictionary=texts) as writer:
        for file in files:
            writer.write_table(pq.read_table(file, schema=schema))


def _join_csv(files: list[Path], whole: Path, schema: pa.Schema) -> None:
    with whole.open("wb") as target:
        names = without_formulas(pa.table({"name": pa.array(schema.names)})).column(0).to_pylist()
        quoted = (name.replace('"', '""') for name in names)
        target.write((",".join(f'"{name}"' for name in quoted) + "\n").encode())
        for file in files:
            if file.suffix == ".parquet":
                write_rows_csv(pq.read_table(file, schema=schema), target)
                continue
            with file.open("rb") as source:
                shutil.copyfileobj(source, target, 1 << 20)
