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


def test_the_extra_of_an_engine_is_named():
    for path in (("score",), ("check",)):
        help_ = CliRunner().invoke(app, [*path, "--help"], env={"COLUMNS": "400"}).output
        assert "dagmm-pipeline[spark]" in help_
