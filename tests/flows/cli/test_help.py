"""Help texts are shown as they are written: nothing in them is taken for markup."""

import re

import pytest
import typer
from typer.testing import CliRunner

from flows.cli.commands import app


def _commands(command, path=()):
    yield path, command
    for name, inner in getattr(command, "commands", {}).items():
        yield from _commands(inner, (*path, name))


COMMANDS = dict(_commands(typer.main.get_command(app)))


def _words(text: str) -> str:
    """Text without the frames, breaks and colours of a terminal."""
    return re.sub(r"[\s│╭╮╰╯─]+", "", re.sub(r"\x1b\[[0-9;]*m", "", text))


@pytest.mark.parametrize("path", COMMANDS, ids=" ".join)
def test_every_help_text_is_shown_whole(path):
    shown = CliRunner().invoke(app, [*path, "--help"], env={"COLUMNS": "400", "TERM": "dumb"})
    assert shown.exit_code == 0, shown.output
    output = _words(shown.output)
    for parameter in COMMANDS[path].params:
        help_ = getattr(parameter, "help", None)
        if help_ and not getattr(parameter, "hidden", False):
            assert _words(help_.replace("\\[", "[")) in output, help_
    brackets = re.findall(r"pip install '[^']*'?", shown.output)
    assert all(re.search(r"\[\w+\]", each) for each in brackets), brackets


@pytest.mark.parametrize("command", ["score", "check"])
def test_what_an_engine_needs_is_named(command):
    help_ = CliRunner().invoke(app, [command, "--help"], env={"COLUMNS": "400"}).output
    (line,) = [line for line in help_.splitlines() if "--engine" in line]
    assert "extra `spark`" in line
