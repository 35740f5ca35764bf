"""The same malformed inputs through the command: exit code, one message, nothing registered."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.data_checks.malformed import CASES, Case

EXIT_CODES = {"error": 2, "failed": 1, "quarantined": 0, "passed": 0}


@pytest.fixture
def clean_environment() -> Iterator[None]:
    before = dict(os.environ)
    yield
    os.environ.clear()
    os.environ.update(before)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
@pytest.mark.usefixtures("clean_environment")
def test_dagmm_check(
    tmp_path: Path, case: Case, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from flows.cli.commands import main

    folder, home = tmp_path / "data", tmp_path / "home"
    folder.mkdir()
    path = case.write(folder)
    monkeypatch.setenv("DAGMM_DATA_DIR", str(folder))
    monkeypatch.setenv("DAGMM_HOME", str(home))
    monkeypatch.setattr("sys.argv", ["dagmm", "check", str(path), "--quiet"])
    with pytest.raises(SystemExit) as caught:
        main()
    printed = capsys.readouterr()
    assert (caught.value.code or 0) == EXIT_CODES[case.outcome], printed.err
    messages = [line for line in printed.err.splitlines() if line.strip()]
    if case.outcome in ("error", "failed"):
        assert len(messages) == 1
        assert messages[0].startswith(("Error: ", "No: "))
        for word in case.words:
            assert word in messages[0]
    else:
        assert messages == []
    remaining = [file.name for file in tmp_path.rglob("*") if file.is_file()]
    assert not [name for name in remaining if name.endswith((".part", ".partial", ".sample"))]
    assert "mlflow.db" not in remaining
    if case.outcome == "error":
        assert not [name for name in remaining if name in ("table.parquet", "valid.parquet")]
