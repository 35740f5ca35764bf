"""The public command: its families of commands, and the one place where errors become messages.

The commands parse, call and print; nothing is computed here. Every heavy import stands inside the
command that needs it, so that `dagmm --help` answers at once.
"""

import sys
import traceback
from collections.abc import Callable
from contextlib import suppress
from typing import Annotated, Any

import typer

from data_checks.base.visible import visible
from flows.cli import judge, look, score, search, services, serving, train
from flows.cli.options import ManyValues, terminable
from flows.common.errors import (
    EXIT_DEFECT,
    EXIT_INTERRUPTED,
    EXIT_NO,
    exit_code,
    message_of,
    remedy,
)
from flows.common.progress import folded

app = typer.Typer(
    name="dagmm",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)


def _print_version(asked: bool) -> None:
    if asked:
        from importlib.metadata import version

        typer.echo(f"dagmm {version('dagmm-pipeline')}")
        raise typer.Exit


@app.callback()
def common(
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_print_version, is_eager=True, help="Print the version and exit."
        ),
    ] = False,
) -> None:
    """Find anomalies in tables with a DAGMM that you can schedule, compare and promote."""


FAMILIES: dict[str, tuple[Callable[..., Any], ...]] = {
    "Train": (
        train.contract,
        train.check,
        train.train,
        train.detectors,
        search.tune,
        search.benchmark,
    ),
    "Judge": (
        judge.promote,
        judge.rollback,
        judge.threshold,
        judge.evaluate,
        judge.compare,
        judge.sign,
        score.verdicts,
    ),
    "Run": (score.score, serving.api, score.monitor, serving.deploy, serving.serve, serving.notify),
    "Look": (look.models, look.history, look.ui),
}
"""The commands as `dagmm --help` groups them."""

for family, commands in FAMILIES.items():
    for command in commands:
        many = ManyValues if command is search.benchmark else None  # the only one without arguments
        app.command(cls=many, rich_help_panel=family)(command)
app.add_typer(services.app, name="services", rich_help_panel="Run")


def main() -> None:
    """Entry point: one readable message for any error, and an exit code that means something."""
    with terminable() as terminated:
        _run(terminated)


def _run(terminated: list[int]) -> None:
    try:
        code = app(standalone_mode=False)  # of typer.Exit or, for Ctrl-C, Typer's own; else None
    except (typer.Abort, KeyboardInterrupt):
        code = EXIT_INTERRUPTED
    except Exception as error:  # the one place where every error becomes a message
        if hasattr(error, "format_message"):  # click's own usage errors
            typer.echo(folded(f"Error: {visible(error.format_message())}", 2), err=True)
            sys.exit(getattr(error, "exit_code", 2))
        code = exit_code(error)
        if code == EXIT_DEFECT or "--debug" in sys.argv:
            traceback.print_exc()
        prefix = "No" if code == EXIT_NO else "Error"
        message = message_of(error)
        if code == EXIT_DEFECT:
            message = f"{type(error).__name__}: {message} (a defect of dagmm; please report it)"
        if help_ := remedy(error):
            message = message.removesuffix(".") + help_
        typer.echo(folded(visible(f"{prefix}: {message}"), 2), err=True)
    if code == EXIT_INTERRUPTED:
        with suppress(OSError):  # of a terminal that is gone
            typer.echo("interrupted; the same command resumes what is unfinished", err=True)
        code = 128 + terminated[0] if terminated else EXIT_INTERRUPTED
    sys.exit(code)
