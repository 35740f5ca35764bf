"""Finished parts to a table of a database, all at once."""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from data_checks.readers.database.sql import database_errors, safe_name
from flows.common.errors import UsageError
from flows.scoring.filling.parts import Parts
from flows.scoring.filling.plain import without_dictionaries

INSERTED_ROWS = 20_000


@dataclass(frozen=True)
class SqlOutput:
    """A table of a database, and `<table>_rejected`; both replaced in one transaction.

    The tables are made where they are missing. The rows are deleted and inserted, not the tables
    dropped and made: not every database can undo the latter.
    """

    url: str
    table: str
    workspace: Path

    suffix = ".parquet"

    @property
    def name(self) -> str:
        return f"{safe_name(self.url)}, table {self.table}"

    @property
    def folder(self) -> Path:
        """In the workspace: a database has no folder of its own."""
        key = hashlib.sha256(f"{self.url}\n{self.table}".encode()).hexdigest()[:16]
        return self.workspace / "scoring" / key

    def publish(self, parts: Parts, scored: pa.Schema, rejected: pa.Schema) -> str | None:
        import sqlalchemy as sa

        files = parts.files("rejected")
        with database_errors(self.url):
            engine = sa.create_engine(self.url)
            try:
                metadata = sa.MetaData()
                filled = [
                    (_table(metadata, self.table, scored), parts.files("scored")),
                    (_table(metadata, f"{self.table}_rejected", rejected), files),
                ]
                for table, _ in filled:
                    self._refuse_other(sa.inspect(engine), table)
                metadata.create_all(engine)
                with engine.begin() as connection:
                    for table, contents in filled:
                        connection.execute(table.delete())
                        for rows in _rows(contents):
                            connection.execute(table.insert(), rows)
            finally:
                engine.dispose()
        return f"{self.name}_rejected" if files else None

    def _refuse_other(self, inspector: Any, table: Any) -> None:
        """A table that is not a result is not emptied."""
        if not inspector.has_table(table.name):
            return
        there = {column["name"] for column in inspector.get_columns(table.name)}
        if there != {column.name for column in table.columns}:
            raise UsageError(
                f"{safe_name(self.url)}: table {table.name} already exists and holds something "
                f"else (columns {', '.join(sorted(there))}); name another with --table"
            )


def _table(metadata: Any, name: str, schema: pa.Schema) -> Any:
    import sqlalchemy as sa

    kinds = {
        pa.int64(): sa.BigInteger,
        pa.int32(): sa.Integer,
        pa.float64(): sa.Double,
        pa.bool_(): sa.Boolean,
    }
    columns = [
        sa.Column(field.name, kinds.get(field.type, sa.Text), primary_key=field.name == "row_id",
                  autoincrement=False)
        for field in schema
    ]  # fmt: skip
    return sa.Table(name, metadata, *columns)


def _rows(files: list[Path]) -> Iterator[list[dict[str, Any]]]:
    for file in files:
        with pq.ParquetFile(file) as opened:
            for batch in opened.iter_batches(INSERTED_ROWS):
                columns = without_dictionaries(pa.Table.from_batches([batch]))
                values = [column.to_pylist() for column in columns.columns]
                names = columns.column_names
                yield [dict(zip(names, row, strict=True)) for row in zip(*values, strict=True)]
