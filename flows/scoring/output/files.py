"""Finished parts to a file or a folder, which appears whole."""

import shutil
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from data_checks.base.atomic import replacing, replacing_folder
from flows.scoring.filling.parts import TEXTS, Parts
from flows.scoring.filling.plain import without_formulas, write_rows_csv


def rejects_of(path: Path) -> Path:
    """The file of the rejected rows of a result that is a file or a folder."""
    return path.with_name(f"{path.stem}.rejected.parquet")


@dataclass(frozen=True)
class FileOutput:
    """A Parquet or CSV file, and beside it a Parquet file with the rejected rows."""

    path: Path

    @property
    def name(self) -> str:
        """For people."""
        return str(self.path)

    @property
    def suffix(self) -> str:
        """Format of the parts."""
        return self.path.suffix

    @property
    def folder(self) -> Path:
        """Where the parts are kept until all are there: on the same disk."""
        return self.path.with_name(f".{self.path.name}.parts")

    def publish(self, parts: Parts, scored: pa.Schema, rejected: pa.Schema) -> str | None:
        """Replace the output by the parts; says where the rejected rows are, if there are any."""
        rejects = _publish_rejects(parts, self.path, rejected)
        with replacing(self.path) as whole:
            if self.suffix == ".csv":
                _join_csv(parts.files("scored"), whole, scored)
            else:
                _join_parquet(parts.files("scored"), whole, scored)
        return rejects


@dataclass(frozen=True)
class FolderOutput(FileOutput):
    """A folder of Parquet files in the order of the rows, and beside it the rejected rows."""

    suffix = ".parquet"

    @property
    def name(self) -> str:
        return f"{self.path}/"

    def publish(self, parts: Parts, scored: pa.Schema, rejected: pa.Schema) -> str | None:
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
