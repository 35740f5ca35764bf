"""The table of a benchmark: checked and encoded once, then shared by the worker processes."""

from __future__ import annotations

import hashlib
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
from filelock import FileLock

from dagmm_model.tables.protocols import Split, deployment_split, duplicate_groups, paper_split
from data_checks.contract import Contract, load_contract
from flows.common.errors import UsageError, Verdict
from flows.common.features import as_frame, encoder_for, labels_of, read_rows
from flows.common.workspace import sha256_of
from flows.pipeline.ingest import ingest
from flows.pipeline.validate import validate


@dataclass(frozen=True)
class Prepared:
    """Valid rows of one data set, encoded; a small value that travels to the workers.

    Attributes:
        dataset: Name of the contract.
        folder: Holds `rows.npy`, float64 ``(rows, columns)``, `labels.npy`, bool, and `groups.npy`,
            int64, equal for identical rows.
        rows: Number of rows.
        columns: Number of encoded columns.
        fractions: Train, validation and test shares of the deployment protocol.
        sha256: Digest of rows, labels and fractions: everything a split is made from.
    """

    dataset: str
    folder: Path
    rows: int
    columns: int
    fractions: tuple[float, float, float]
    sha256: str

    @property
    def size(self) -> int:
        """Numbers in the matrix."""
        return self.rows * self.columns

    def matrix(self) -> np.ndarray:
        """The encoded rows, mapped from the file: all workers share them."""
        return np.load(self.folder / "rows.npy", mmap_mode="r")

    def labels(self) -> np.ndarray:
        """True where a row is an anomaly."""
        return np.load(self.folder / "labels.npy")

    def split(self, protocol: str, seed: int, *, grouped: bool) -> Split:
        """Which rows train, calibrate and test."""
        groups = np.load(self.folder / "groups.npy") if grouped else None
        if protocol == "paper":
            return paper_split(self.labels(), seed, groups=groups)
        return deployment_split(self.labels(), seed, groups=groups, fractions=self.fractions)


def prepare(dataset: str, data_dir: Path, workspace: Path) -> Prepared:
    """Ingest, validate and encode a data set; the matrix is kept for the next time.

    Args:
        dataset: Name or file of a contract.
        data_dir: Folder of the data files.
        workspace: Where encoded tables are kept.

    Raises:
        Verdict: The table fails its contract.
        UsageError: The rows carry no labels, or one class only: nothing can be measured.
    """
    contract = load_contract(dataset)
    with tempfile.TemporaryDirectory() as scratch:
        ingested = ingest(Path(scratch), contract, None, data_dir)
        identity = hashlib.sha256(f"{contract.digest}{ingested.sha256}".encode()).hexdigest()[:16]
        folder = workspace / "benchmark" / f"{contract.name}-{identity}"
        folder.mkdir(parents=True, exist_ok=True)
        with FileLock(folder / "lock"):
            if not (folder / "done").exists():
                checked = validate(Path(scratch), contract, ingested)
                if not checked.passed:
                    raise Verdict(f"data set {contract.name}: {checked.message}")
                _encode(read_rows(checked.path, contract), contract, folder)
                (folder / "done").touch()
    shape = np.load(folder / "rows.npy", mmap_mode="r").shape
    fractions = (contract.split.train, contract.split.validation, contract.split.test)
    content = [sha256_of(folder / f"{name}.npy") for name in ("rows", "labels")]
    sha256 = hashlib.sha256(f"{content}{fractions}".encode()).hexdigest()
    return Prepared(contract.name, folder, *shape, fractions, sha256)


def _encode(table: pa.Table, contract: Contract, folder: Path) -> None:
    labels = labels_of(table)
    if labels is None or labels.all() or not labels.any():
        found = "no labels" if labels is None else "rows of one class only"
        raise UsageError(
            f"data set {contract.name} has {found}: a benchmark needs labelled normal and "
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
