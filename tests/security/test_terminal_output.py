"""What an argument or a file holds reaches the terminal of whoever types a command as text only."""

from __future__ import annotations

from pathlib import Path

import pytest

from flows.cli.commands import main


@pytest.mark.parametrize(
    "arguments",
    [
        ("contract", "{folder}/t\x1b[2J.csv"),
        ("check", "{folder}/none\x1b[31m.yaml"),
        ("contract", "{folder}/t.csv"),
        ("contract", "{folder}/t.csv", "--label", "\x1b[2J"),
        ("no\x1b[2Jcommand",),
    ],
)
def test_no_escape_sequence_comes_through(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture, arguments
) -> None:
    (tmp_path / "t.csv").write_text("a\x1b[31m,b\n" + "1,2\n" * 30)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.argv", ["dagmm", *(a.format(folder=tmp_path) for a in arguments)])
    with pytest.raises(SystemExit) as remaining:
        main()
    assert remaining.value.code in (2, 3)
    message = capsys.readouterr()
    assert "\x1b" not in message.out + message.err
    assert "\\x1b" in message.err
