"""What a benchmark measures: its parameters, checked, and the cells that follow from them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from flows.benchmarking.data import Prepared
from flows.benchmarking.rows import BEST_COLUMN, Row, default_rows, rows_named, sanity_rows
from flows.benchmarking.summary import DATASETS
from flows.benchmarking.work import Job
from flows.common.assignments import dotted_keys, first_problem
from flows.common.errors import UsageError

Protocol = Literal["paper", "deployment"]


class BenchmarkConfig(BaseModel):
    """What to measure; a cell that was measured before is not measured again."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    datasets: tuple[str, ...] = Field(DATASETS, description="Shipped contracts or contract files")
    detectors: tuple[str, ...] = Field(
        (), description="NAME or NAME:PRESET; every detector of the catalogue unless given"
    )
    seeds: int = Field(20, ge=1, description="Splits: seeds 0 to this minus 1")
    budget: float | None = Field(None, gt=0, description="Minutes after which no cell is started")
    protocols: tuple[Protocol, ...] = Field(("paper",), description="How to split and measure")
    group_duplicates: bool = Field(
        False, description="Also with identical rows on one side of the split"
    )
    output: str | None = Field(
        None, description="Folder of cells, tables and plots; the workspace's unless given"
    )
    processes: int | None = Field(
        None, ge=1, description="Cells at a time; as many as the machine carries unless given"
    )

    @field_validator("detectors")
    @classmethod
    def _known(cls, texts: tuple[str, ...]) -> tuple[str, ...]:
        rows_named(texts)
        return texts

    def rows(self) -> list[Row]:
        """The rows that were asked for."""
        return rows_named(self.detectors or default_rows())

    def command(self) -> str:
        """The command that does the same."""
        parts = ["dagmm benchmark --datasets", *(Path(name).name for name in self.datasets)]
        if self.detectors:
            parts += ["--detectors", *self.detectors]
        parts += ["--seeds", str(self.seeds), "--protocols", *self.protocols]
        if self.group_duplicates:
            parts.append("--group-duplicates")
        if self.budget is not None:
            parts += ["--budget", f"{self.budget:g}"]
        return " ".join(parts)


def build_benchmark(**values: Any) -> BenchmarkConfig:
    """The parameters that were given; None leaves a default.

    Raises:
        UsageError: A value that cannot be used, by its name.
    """
    try:
        return BenchmarkConfig(**{name: v for name, v in values.items() if v is not None})
    except ValidationError as error:
        where, said, got = first_problem(error, lambda: dotted_keys(BenchmarkConfig))
        option = "--" + where.partition(".")[0].replace("_", "-")
        raise UsageError(f"{option}: {said} (got {got!r})") from None


def planned(config: BenchmarkConfig, tables: Sequence[Prepared]) -> list[Job]:
    """Every cell that was asked for, with the rows to judge the others by."""
    jobs, rows = [], config.rows()
    for data in tables:
        sanity = [extra for row in rows for extra in sanity_rows(row, data)]
        wanted = [(row, row.digest_on(data)) for row in [*rows, *sanity]]
        best = Row(BEST_COLUMN)
        for protocol in config.protocols:
            # The best column has no energies of held-out rows: there is nothing to calibrate.
            extra = [(best, best.digest_on(data))] if protocol == "paper" else []
            for grouped in (False, True)[: 1 + config.group_duplicates]:
                jobs += [
                    Job(data, protocol, grouped, seed, row, digest)
                    for seed in range(config.seeds)
                    for row, digest in [*wanted, *extra]
                ]
    return jobs
