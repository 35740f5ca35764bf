"""The tables of a benchmark: checked and encoded once, then shared by the worker processes."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
from filelock import FileLock

from dagmm_model.tables.protocols import Fractions, RowSplit, duplicate_groups
from data_checks.base.scratch import scratch_folder
from data_checks.contract.model import Contract, load_contract
from flows.benchmarking.protocols import Limits, split_rows
from flows.common.errors import UsageError, Verdict
from flows.common.features import as_frame, encoder_for, labels_of, read_rows
from flows.pipeline.ingest import read_source
from flows.pipeline.validate import check_table
from flows.stages.workspace import sha256_of

NONE = Limits()


@dataclass(frozen=True)
class Prepared:
    """Valid rows of one data set, encoded; a small value that travels to the workers.

    Attributes:
        dataset: Name of the contract.
        folder: Holds `rows.npy`, float64 ``(rows, columns)``, `labels.npy`, bool, and `groups.npy`,
            int64, equal for identical rows, where a protocol may ask for them.
        columns: Number of encoded columns.
        fractions: Train, validation and test shares of the deployment protocol.
        sha256: Digest of rows, labels and fractions: everything a split is made from.
        limits: Of the rows that take part.
    """

    dataset: str
    folder: Path
    rows: int
    columns: int
    fractions: Fractions
    sha256: str
    limits: Limits = NONE

    @property
    def size(self) -> int:
        """Numbers of the rows that take part."""
        return min(self.rows, self.limits.rows or self.rows) * self.columns

    def matrix(self) -> np.ndarray:
        """The encoded rows, mapped from the file: all workers share them."""
        return np.load(self.folder / "rows.npy", mmap_mode="r")

    def take(self, rows: np.ndarray) -> np.ndarray:
        """Some of the rows, as floats, row by row in memory."""
        chosen = self.matrix()[rows]
        return chosen if np.issubdtype(chosen.dtype, np.floating) else chosen.astype(np.float64)

    def labels(self) -> np.ndarray:
        """True where a row is an anomaly."""
        return np.load(self.folder / "labels.npy")

    def split(self, protocol: str, seed: int, *, grouped: bool) -> RowSplit:
        """Which rows train, calibrate and test."""
        groups = np.load(self.folder / "groups.npy") if grouped else None
        return split_rows(protocol, self.labels(), seed, groups, self.fractions, self.limits)

    def digest_for(self, protocol: str) -> str:
        """Digest of everything that a protocol's splits are made from."""
        limits = self.limits.of(protocol)
        if limits == NONE:
            return self.sha256
        return hashlib.sha256(f"{self.sha256}{limits}".encode()).hexdigest()


def prepare_data_set(dataset: str, data_dir: Path, workspace: Path) -> Prepared:
    """Ingest, validate and encode a data set; the matrix is kept for the next time.

    Raises:
        Verdict: The table fails its contract.
        UsageError: The rows carry no labels, or one class only: nothing can be measured.
    """
    contract = load_contract(dataset)
    with scratch_folder() as scratch:
        ingested = read_source(scratch, contract, None, data_dir)
        identity = hashlib.sha256(f"{contract.digest}{ingested.sha256}".encode()).hexdigest()[:16]
        folder = workspace / "benchmark" / f"{contract.name}-{identity}"
        folder.mkdir(parents=True, exist_ok=True)
        with FileLock(folder / "lock"):
            if not (folder / "done").exists():
                checked = check_table(scratch, contract, ingested)
                if not checked.passed:
                    raise Verdict(f"data set {contract.name}: {checked.message}")
                _encode(read_rows(checked.path, contract), contract, folder)
                (folder / "done").touch()
    fractions = (contract.split.train, contract.split.validation, contract.split.test)
    return prepared(contract.name, folder, fractions)


def prepared(dataset: str, folder: Path, fractions: Fractions, limits: Limits = NONE) -> Prepared:
    """The value of a folder that holds all its files."""
    shape = np.load(folder / "rows.npy", mmap_mode="r").shape
    content = [sha256_of(folder / f"{name}.npy") for name in ("rows", "labels")]
    sha256 = hashlib.sha256(f"{content}{fractions}".encode()).hexdigest()
    return Prepared(dataset, folder, *shape, fractions, sha256, limits)


def _encode(table: pa.Table, contract: Contract, folder: Path) -> None:
    labels = labels_of(table)
    if labels is None or labels.all() or not labels.any():
        fault = "no labels" if labels is None else "rows of one class only"
        raise UsageError(
            f"data set {contract.name} has {fault}: a benchmark needs labelled normal and "
            "anomalous rows; name the column under `label` in its contract"
        )
    # Medians for imputation come from all rows, so that every split shares one matrix.
    rows = encoder_for(contract, table).encode(as_frame(table))
    for name, array in (
        ("rows", rows),
        ("labels", labels),
        ("groups", duplicate_groups(rows)),
    ):
        np.save(folder / f"{name}.npy", array)
