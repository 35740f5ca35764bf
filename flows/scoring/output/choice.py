"""The output that a command line names, unless what is there already is no result."""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from data_checks.base.locations import is_url, names_files
from data_checks.contract.model import ROW_ID
from data_checks.contract.source_settings import has_credentials
from data_checks.readers.database.sql import safe_name
from flows.common.errors import UsageError
from flows.common.settings import Settings
from flows.scoring.output.files import FileOutput, FolderOutput
from flows.scoring.output.table import SqlOutput

FORMATS = (".parquet", ".csv")
FOLDER_FILES = "part-*.parquet"


Output = FileOutput | SqlOutput


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
        for file in sorted(path.glob("*")):
            if not (file.match(FOLDER_FILES) and _is_result(file)):
                raise UsageError(
                    f"output {path}/ holds something other than a result ({file.name}); name "
                    "another"
                )
        return FolderOutput(path)
    if path.suffix not in FORMATS:
        raise UsageError(
            f"output {path}: the name must end in {', '.join(FORMATS)} or / (a folder of Parquet "
            "files), or be a database's SQLAlchemy address with --table"
        )
    if path.exists() and not _is_result(path):
        raise UsageError(
            f"output {path} already exists and is not a result; name another, or remove it"
        )
    return FileOutput(path)


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
