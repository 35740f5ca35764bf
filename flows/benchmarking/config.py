"""What a benchmark measures: its parameters, checked, and the cells that follow from them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, get_args

from pydantic import Field, ValidationError, field_validator, model_validator

from flows.benchmarking.data import Prepared
from flows.benchmarking.entrants import Row, default_rows, rows_named, sanity_rows
from flows.benchmarking.protocols import BEST_COLUMN, GROUPED, PROTOCOLS, SMALL, Limits
from flows.benchmarking.results.summary import DATASETS
from flows.benchmarking.work import Job
from flows.common.assignments import dotted_keys, first_problem
from flows.common.errors import UsageError
from flows.common.value_types import Parameters

Name = Literal["paper", "deployment", "goad", "dte", "dte-plain", "halves"]
assert set(get_args(Name)) == set(PROTOCOLS)

SUITE_DEFAULTS: dict[str, Any] = {
    "datasets": (),
    "seeds": 5,
    "protocols": ("dte", "dte-plain", "halves"),
}
"""What a suite is measured by unless told otherwise; all of its tables."""


class BenchmarkConfig(Parameters):
    """What to measure; a cell that was measured before is not measured again."""

    suite: str | None = None
    """Folder of .npz tables, or its name in the data directory"""
    datasets: tuple[str, ...] = DATASETS
    """Shipped contracts or contract files; tables of a suite"""
    detectors: tuple[str, ...] = ()
    """NAME or NAME:PRESET; every detector of the catalogue unless given"""
    seeds: int = Field(20, ge=1)
    """Splits: seeds 0 to this minus 1"""
    budget: float | None = Field(None, gt=0)
    """Minutes after which no cell is started"""
    protocols: tuple[Name, ...] = ("paper",)
    """How to split and measure"""
    group_duplicates: bool = False
    """Also with identical rows on one side of the split"""
    train_rows: int = Field(Limits.train, ge=2)
    """Most training rows of shuffled halves"""
    output: str | None = None
    """Folder of cells, tables and plots; the workspace's unless given"""
    processes: int | None = Field(None, ge=1)
    """Cells at a time; as many as the machine carries unless given"""

    @model_validator(mode="before")
    @classmethod
    def _of_a_suite(cls, values: dict[str, Any]) -> dict[str, Any]:
        return (SUITE_DEFAULTS if values.get("suite") else {}) | values

    @model_validator(mode="after")
    def _groups_are_known(self) -> BenchmarkConfig:
        if self.group_duplicates and (self.suite or set(self.protocols) - GROUPED):
            raise ValueError(
                "group_duplicates goes with data sets that have a contract, and with the protocols "
                f"{' and '.join(sorted(GROUPED))} only"
            )
        return self

    @field_validator("detectors")
    @classmethod
    def _known(cls, texts: tuple[str, ...]) -> tuple[str, ...]:
        rows_named(texts)
        return texts

    def rows(self) -> list[Row]:
        """The rows that were asked for."""
        return rows_named(self.detectors or default_rows(suite=self.suite is not None))

    def command(self) -> str:
        """The command that does the same."""
        parts = ["dagmm benchmark"]
        if self.suite is not None:
            parts += ["--suite", Path(self.suite).name]
        if self.datasets:
            parts += ["--datasets", *(Path(name).name for name in self.datasets)]
        if self.detectors:
            parts += ["--detectors", *self.detectors]
        parts += ["--seeds", str(self.seeds), "--protocols", *self.protocols]
        if self.group_duplicates:
            parts.append("--group-duplicates")
        if self.train_rows != Limits.train:
            parts += ["--train-rows", str(self.train_rows)]
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
        where, problem, got = first_problem(error, lambda: dotted_keys(BenchmarkConfig))
        option = "--" + where.partition(".")[0].replace("_", "-")
        raise UsageError(f"{option}: {problem} (got {got!r})") from None


def planned(config: BenchmarkConfig, tables: Sequence[Prepared]) -> list[Job]:
    """Every cell that was asked for, with the rows to judge the others by."""
    jobs, rows = [], config.rows()
    for data in tables:
        for name in config.protocols:
            if name == "dte-plain" and data.rows >= SMALL:
                continue  # nothing is drawn: its split is DTE's own
            protocol = PROTOCOLS[name]
            sanity = [x for row in rows for x in sanity_rows(row, data, protocol.judged_by)]
            best = [Row(BEST_COLUMN)] if BEST_COLUMN in protocol.judged_by else []
            wanted = [(row, row.digest_on(data)) for row in [*rows, *sanity, *best]]
            for grouped in (False, True)[: 1 + config.group_duplicates]:
                jobs += [
                    Job(data, name, grouped, seed, row, digest)
                    for seed in protocol.seeds(config.seeds)
                    for row, digest in wanted
                ]
    return jobs
