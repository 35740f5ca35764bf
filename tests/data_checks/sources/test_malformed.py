from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pyarrow.parquet as pq
import pytest

import data_checks.sources.sources as sources
from data_checks.base.errors import ContractError, SourceError
from data_checks.contract.model import load_contract
from data_checks.sources.sources import ingest
from data_checks.validation.validation import validate
from tests.data_checks.conftest import small_contract, small_frame
from tests.data_checks.malformed import CASES, Case, csv_bytes


def everything_in(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


def test_there_are_enough_cases() -> None:
    assert len({case.name for case in CASES}) == len(CASES) >= 40


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_malformed_input(tmp_path: Path, case: Case) -> None:
    folder, out = tmp_path / "data", tmp_path / "out"
    folder.mkdir()
    path = case.write(folder)
    if case.outcome == "error":
        with pytest.raises((SourceError, ContractError)) as caught:
            ingest(load_contract(path), out / "table.parquet", data_dir=folder)
        message = str(caught.value)
        assert "\n" not in message
        assert len(message) < 600
        assert everything_in(out) == []
    else:
        contract = load_contract(path)
        record = ingest(contract, out / "table.parquet", data_dir=folder)
        report = validate(Path(record.path), contract, out, data_docs=False)
        assert report.passed is (case.outcome != "failed")
        expected = {"result.json", "table.parquet", "valid.parquet"}
        message = report.message
        if case.outcome == "quarantined":
            assert report.quarantine_path is not None
            bad = pq.read_table(report.quarantine_path).to_pandas()
            assert tuple(bad["row_id"]) == case.rows
            message = "; ".join("; ".join(reasons) for reasons in bad["reasons"])
        if report.rows_quarantined:
            expected.add("quarantine.parquet")
        assert set(everything_in(out)) == expected
    for word in case.words:
        assert word in message


def test_a_file_that_changes_while_it_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "small.csv"
    path.write_bytes(csv_bytes())
    honest = sources.cast_batch

    def meanwhile(*args: object, **options: object) -> object:
        with path.open("ab") as file:
            file.write(b"\n")
        return honest(*args, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(sources, "cast_batch", meanwhile)
    with pytest.raises(SourceError, match="changed while it was being read"):
        ingest(small_contract(), tmp_path / "out" / "t.parquet", data_dir=tmp_path)
    assert everything_in(tmp_path / "out") == []


INGEST = """
import sys
from pathlib import Path
from data_checks.contract.model import load_contract
from data_checks.base.errors import SourceError
from data_checks.sources.sources import ingest
folder, out = Path(sys.argv[1]), Path(sys.argv[2])
contract = load_contract(folder / "contract.yaml")
{before}
try:
    ingest(contract, out / "t.parquet", data_dir=folder)
except SourceError as error:
    print(error)
    sys.exit(2)
"""


def run_ingest(folder: Path, out: Path, before: str = "") -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", INGEST.format(before=before), str(folder), str(out)]
    root = Path(sources.__file__).parents[2]
    return subprocess.run(command, capture_output=True, text=True, cwd=root, timeout=600)


def test_a_disk_that_is_full(tmp_path: Path) -> None:
    small = Case(
        "",
        lambda folder: small_frame(20_000).to_csv(folder / "small.csv", index=False),
        "error",
        (),
    )
    small.write(tmp_path)
    limit = (
        "import resource, signal; signal.signal(signal.SIGXFSZ, signal.SIG_IGN);"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, 50_000))"
    )
    done = run_ingest(tmp_path, tmp_path / "out", limit)
    assert done.returncode == 2, done.stderr
    assert "cannot be written" in done.stdout
    assert everything_in(tmp_path / "out") == []
    assert run_ingest(tmp_path, tmp_path / "out").returncode == 0


def test_a_file_that_may_not_be_read(tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("denied")
    Case("", lambda f: (f / "small.csv").write_bytes(csv_bytes()) and None, "error", ()).write(
        folder
    )
    (folder / "small.csv").chmod(0)
    before = ""
    if os.geteuid() == 0:  # root may read everything, so the process becomes nobody
        before = "import os; os.setuid(65534)"
        for parent in (folder, *folder.parents[:-2]):
            parent.chmod(parent.stat().st_mode | 0o055)
    done = run_ingest(folder, folder / "out", before)
    assert done.returncode == 2, done.stderr
    assert "small.csv" in done.stdout
    assert "ermission denied" in done.stdout
