"""What all commands share: options, a quiet environment, JSON on stdout, list options, signals."""

from __future__ import annotations

import inspect
import json
import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial, wraps
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer
from typer.core import TyperCommand

from data_checks.base.visible import visible

if TYPE_CHECKING:
    from flows.common.settings import Engine, Settings

Data = Annotated[
    str | None, typer.Option("--data", help="Table to read instead of the contract's source.")
]


def complete_dataset(incomplete: str) -> list[str]:
    """Shipped contracts that begin so; where none does, the shell offers files."""
    from data_checks.contract.model import shipped_contracts

    return [name for name in shipped_contracts() if name.startswith(incomplete)]


def complete_detector(incomplete: str) -> list[tuple[str, str]]:
    """Detectors that begin so, each with its line of the catalogue."""
    from dagmm_model.detectors.catalogue import CATALOGUE

    return [(name, e.about) for name, e in CATALOGUE.items() if name.startswith(incomplete)]


Dataset = Annotated[
    str,
    typer.Argument(
        help="Shipped contract (wdbc, thyroid, …) or contract file.",
        autocompletion=complete_dataset,
    ),
]
Name = Annotated[str, typer.Argument(help="Registered model, e.g. dagmm-wdbc.")]
Model = Annotated[
    str,
    typer.Argument(help="NAME (its version in production), NAME@alias or NAME/VERSION."),
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON document on stdout.")]
Debug = Annotated[bool, typer.Option("--debug", help="Show tracebacks and all log lines.")]
Quiet = Annotated[bool, typer.Option("--quiet", help="No progress on stderr.")]
Verbose = Annotated[bool, typer.Option("--verbose", help="List the gates that passed, too.")]
EngineName = Annotated[
    str, typer.Option("--engine", help="local, or spark (needs the extra `spark`).")
]
SparkSettings = Annotated[
    list[str] | None,
    typer.Option("--spark", help="Spark setting, e.g. spark.master=spark://host:7077."),
]
Download = Annotated[
    bool, typer.Option("--download", help="Fetch a missing file from its pinned address first.")
]


class ManyValues(TyperCommand):
    """A command whose list options take every word up to the next option: `--names a b`."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Repeat the option before each further word."""
        repeatable = {o for p in self.params if getattr(p, "multiple", False) for o in p.opts}
        spread: list[str] = []
        option = ""
        for word in args:
            if word.startswith("-"):
                name = word.partition("=")[0]
                option = name if name in repeatable else ""
            elif option and spread[-1] != option:
                spread.append(option)
            spread.append(word)
        return super().parse_args(ctx, spread)


@dataclass(frozen=True)
class Call:
    """How a command was called."""

    as_json: Json = False
    debug: Debug = False
    quiet: Quiet = False

    def begin(self, doing: str = "") -> None:
        """Print what is begun, at once, unless no progress is wanted."""
        from flows.common import progress

        if self.quiet or self.as_json:
            os.environ["DAGMM_PROGRESS"] = "off"
        if doing:
            progress.note(doing)

    def prepare(self, doing: str = "") -> Settings:
        """Settings, and an environment in which libraries speak only when they have to.

        Args:
            doing: What is begun, printed at once: loading libraries takes seconds.
        """
        from flows.common.settings import Settings, embed_services

        self.begin(doing)
        if not self.debug:
            os.environ.setdefault("PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL", "CRITICAL")
            os.environ.setdefault("MLFLOW_LOGGING_LEVEL", "CRITICAL")  # what it raises is enough
            os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
            os.environ.setdefault("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true")
        settings = Settings()
        embed_services(settings)
        return settings

    def answer(self, document: Any, page: Callable[[], Any]) -> None:
        """Print what a command found: as one JSON document, or else a page or text for people."""
        if self.as_json:
            from flows.common.value_types import plain

            typer.echo(json.dumps(plain(document), indent=2))
        elif isinstance(shown := page(), str):
            typer.echo(visible(shown))
        else:
            from flows.reporting.terminal import show

            show(shown)


def command(
    work: Callable[..., None] | None = None, *, without: tuple[str, ...] = ()
) -> Callable[..., Any]:
    """Give a command the options of every command, which it gets as a `Call` before its own.

    Args:
        work: The command.
        without: Attributes of `Call` that it has no option for.
    """
    if work is None:
        return partial(command, without=without)
    common = {n: p for n, p in _parameters(Call).items() if n not in without}

    @wraps(work)
    def run(**given: Any) -> None:
        work(Call(**{name: given.pop(name) for name in common}), **given)

    own = [parameter for name, parameter in _parameters(work).items() if name != "call"]
    parameters = [p.replace(kind=p.KEYWORD_ONLY) for p in (*own, *common.values())]
    run.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    return run


def _parameters(function: Callable[..., Any]) -> dict[str, inspect.Parameter]:
    return dict(inspect.signature(function, eval_str=True).parameters)


def engine_of(name: str, assignments: list[str] | None) -> tuple[Engine, dict[str, str]]:
    """The engine of a command line, and Spark's settings.

    Raises:
        UsageError: There is no such engine, or it takes no such settings.
    """
    from flows.common.errors import UsageError

    if name not in ("local", "spark"):
        raise UsageError(f"--engine {name}: choose local or spark")
    engine = cast("Engine", name)
    if assignments and engine == "local":
        raise UsageError("--spark goes with --engine spark")
    pairs = [text.partition("=") for text in assignments or []]
    if wrong := [key for key, _, value in pairs if not (key.startswith("spark.") and value)]:
        raise UsageError(f"--spark {wrong[0]}: write spark.NAME=VALUE")
    return engine, {key: value for key, _, value in pairs}


@contextmanager
def terminable() -> Iterator[list[int]]:
    """Have SIGTERM and SIGHUP end what Ctrl-C ends: what is open is closed on the way out.

    Yields:
        The signals that came.
    """
    from flows.common.signals import heeded

    came: list[int] = []

    def end(number: int, _frame: object) -> None:
        came.append(number)
        raise KeyboardInterrupt

    before = heeded()
    before.pop(signal.SIGINT, None)  # Python's own answer to it is the same
    try:
        for number in before:
            signal.signal(number, end)
        yield came
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
