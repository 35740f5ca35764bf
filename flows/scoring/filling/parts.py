"""What a scoring run has finished so far: parts on disk, each with a record written after it.

A killed run leaves its folder, and the same command goes on behind its last part, with the model
version it began with. Whether the source is still the same table is known by the file's size and
time; a source without these (a query, a folder, an object store) is known by a checksum of the
rows themselves, compared while the finished ones are skipped.
"""

import json
import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, replace
from functools import reduce
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from data_checks.base.atomic import explaining_write_errors, replacing
from flows.common import progress
from flows.scoring.filling.plain import write_rows_csv
from flows.scoring.judged_part import KNOWN, Counts, JudgedPart, checksum
from flows.stages.workspace import alone, write_atomic

HEADER = "run.json"
TEXTS = ("model", "reasons", "remarks", "threshold")
"""Columns with few values, which Parquet stores best as a dictionary; energies have none."""


class SourceMoved(RuntimeError):
    """The source does not begin with the rows that were scored before."""


class Parts:
    """The finished parts in a folder, by number; each number's rows stand behind the last one's."""

    def __init__(self, folder: Path, header: dict[str, Any], suffix: str) -> None:
        self.folder, self.header, self.suffix = folder, header, suffix
        self.records: dict[int, Counts] = {}
        self.reload()

    def reload(self) -> None:
        """Read the records again: other processes may have added parts."""
        self.records = {
            int(path.stem.removeprefix("part-")): Counts(**json.loads(path.read_text("utf-8")))
            for path in sorted(self.folder.glob("part-*.json"))
        }

    @property
    def total(self) -> Counts:
        """Counts of all parts."""
        return reduce(Counts.plus, self.records.values(), Counts())

    def files(self, kind: str) -> list[Path]:
        """Files of the parts, in order: `scored` or `rejected`; a part may have none rejected."""
        names = [_name(self.folder, number, kind, self.suffix) for number in self.records]
        return [path for path in names if path.exists()]

    def add(self, slices: Sequence[JudgedPart]) -> None:
        """Finish the next part."""
        number = len(self.records)
        self.records[number] = write_part(self.folder, number, self.suffix, slices)

    def skip_finished(
        self, slices: Iterator[tuple[int, pa.RecordBatch]]
    ) -> Iterator[tuple[int, pa.RecordBatch]]:
        """The slices behind the finished rows.

        Raises:
            SourceMoved: The finished rows are not those of the source.
        """
        rows = 0
        for part in self.records.values():
            counts, until = Counts(), rows + part.rows
            while rows < until:
                _, raw = next(slices, (rows, None))
                if raw is None or rows + raw.num_rows > until:
                    raise SourceMoved("the source has changed since the run was interrupted")
                rows += raw.num_rows
                if part.checksum:
                    counts = counts.plus(Counts(checksum=checksum(raw)))
            if counts.checksum != part.checksum:
                raise SourceMoved("the source's rows have changed since the run was interrupted")
        return slices

    def rewrite(self, change: Callable[[pa.Table], pa.Table]) -> None:
        """Exchange the scored rows of each part, which is in Parquet; a part appears whole."""
        for number, counts in self.records.items():
            path = _name(self.folder, number, "scored", self.suffix)
            changed = change(pq.read_table(path))
            write_file(changed, path)
            anomalies = int(pc.sum(changed.column("is_anomaly")).as_py() or 0)
            known = int(pc.sum(pc.match_substring(changed.column("remarks"), KNOWN)).as_py() or 0)
            self.records[number] = replace(counts, anomalies=anomalies, known=known)

    def clear(self) -> None:
        """Forget every part; the model version stays."""
        for path in self.folder.glob("part-*"):
            path.unlink()
        self.records = {}


def write_part(folder: Path, number: int, suffix: str, slices: Sequence[JudgedPart]) -> Counts:
    """Finish a part: its files, then the record that says that they are whole.

    Names say which rows a part holds and nothing of who wrote it, and each file appears whole: a
    part that two processes write is there once.
    """
    counts = reduce(Counts.plus, (each.counts for each in slices), Counts())
    rejected = pa.concat_tables([each.rejected for each in slices])
    with explaining_write_errors(folder):
        scored = pa.concat_tables([each.scored for each in slices])
        write_file(scored, _name(folder, number, "scored", suffix))
        path = _name(folder, number, "rejected", suffix)
        if rejected.num_rows:
            write_file(rejected, path)
        else:
            path.unlink(missing_ok=True)  # of an attempt on other rows that died before its record
        with _whole(_name(folder, number, "record", suffix)) as record:
            record.write_text(json.dumps(asdict(counts)), encoding="utf-8")
    return counts


def _name(folder: Path, number: int, kind: str, suffix: str) -> Path:
    stem = f"part-{number:06d}"
    if kind == "record":
        return folder / f"{stem}.json"
    return folder / f"{stem}-{kind}{suffix if kind == 'scored' else '.parquet'}"


@contextmanager
def open_parts(
    folder: Path,
    wanted: dict[str, Any],
    suffix: str,
    resolve: Callable[[], str],
    *,
    restart: bool,
) -> Iterator[Parts]:
    """The parts of the interrupted run of the same command, or of a new one; locked meanwhile.

    Args:
        folder: Where they are kept; removed when the block ends well, or nothing was finished.
        wanted: What was asked for, JSON-able; an interrupted run of anything else is discarded.
        suffix: Format of the parts, `.parquet` or `.csv`.
        resolve: Gives the model version of a new run.
        restart: Discard an interrupted run.

    Raises:
        UsageError: Another process is writing the same output.
    """
    with explaining_write_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
    busy = f"another process is scoring into the same output ({folder}); wait for it to end"
    with alone(folder / "lock", busy):
        header, path = None, folder / HEADER
        if path.exists() and not restart:
            header = json.loads(path.read_text(encoding="utf-8"))
            if header["wanted"] != wanted:
                progress.note("an interrupted run of other rows or another model is discarded")
                header = None
        if header is None:
            for stale in folder.glob("part-*"):
                stale.unlink()
        try:
            if header is None:
                header = {"wanted": wanted, "resolved": resolve()}
                write_atomic(path, json.dumps(header))
            parts = Parts(folder, header, suffix)
            if parts.records:
                done = parts.total.rows
                progress.note(f"resuming behind row {done:,}, with {header['resolved']}")
            yield parts
            shutil.rmtree(folder)
        except BaseException:
            if not list(folder.glob("part-*.json")):
                shutil.rmtree(folder, ignore_errors=True)
            raise


def write_file(table: pa.Table, path: Path) -> None:
    """Rows as a part's file, which appears whole."""
    texts = [name for name in TEXTS if name in table.column_names]
    with _whole(path) as part:
        if path.suffix == ".csv":
            with part.open("wb") as target:
                write_rows_csv(table, target)
        else:
            pq.write_table(table, part, use_dictionary=texts)


@contextmanager
def _whole(path: Path) -> Iterator[Path]:
    """A file of a part appears once it has reached the disk; files before it have, then, too."""
    with replacing(path) as part:
        yield part
        descriptor = os.open(part, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
