"""`dagmm --version`, and what the shell is offered; neither loads more than the command line."""

import os
import subprocess
import sys
from importlib.metadata import version

import pytest

HEAVY = {"prefect", "mlflow", "great_expectations", "pandas", "torch", "sklearn", "numba"}
PROBE = """
import atexit, sys
atexit.register(lambda: print("LOADED", *sys.modules))
sys.argv = ["dagmm", *sys.argv[1:]]
from flows.cli.commands import main
main()
"""


def _asked(*arguments: str, **environment: str) -> tuple[list[str], set[str]]:
    """Lines that the command prints, and the top-level modules it loaded."""
    done = subprocess.run(
        [sys.executable, "-c", PROBE, *arguments],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=True,
    )
    message, _, loaded = done.stdout.partition("LOADED ")
    return message.split("\n"), {name.partition(".")[0] for name in loaded.split()}


def _offered(words: str) -> tuple[list[str], set[str]]:
    lines, loaded = _asked(
        _DAGMM_COMPLETE="complete_bash",
        COMP_WORDS=words,
        COMP_CWORD=str(len(words.split(" ")) - 1),
    )
    return [line for line in lines if line], loaded


def test_version_is_that_of_the_package():
    lines, loaded = _asked("--version")
    assert lines[0] == f"dagmm {version('dagmm-pipeline')}"
    assert not loaded & HEAVY


@pytest.mark.parametrize(
    ("words", "wanted"),
    [
        ("dagmm pro", {"promote"}),
        ("dagmm train kdd", {"kddcup", "kddcup_rev"}),
        ("dagmm train wdbc --detector pae", {"pae", "pae-gmm", "pae-gmm-em"}),
        ("dagmm check pumps", set()),  # the shell offers files
    ],
)
def test_the_shell_is_offered_what_fits_and_nothing_heavy_is_loaded(words, wanted):
    offered, loaded = _offered(words)
    assert set(offered) == wanted
    assert not loaded & HEAVY
