"""`dagmm api`: a socket, a version, uvicorn, and a thread that follows the alias."""

import os
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial

import uvicorn
from mlflow.tracking import MlflowClient

from flows.api.app import make_app
from flows.api.follower import Follower
from flows.api.guard import LOOPBACK, guard_for
from flows.api.server import Server
from flows.api.telemetry.log_lines import Events, make_candidate, make_follower
from flows.api.workers import scoring
from flows.common import progress
from flows.common.errors import ServiceUnreachable, UsageError
from flows.common.settings import Settings
from flows.shadow.worker import ShadowWorker
from flows.tracking import registry, signing, tracking

MEGABYTE = 1_000_000
DRAIN_SECONDS = 10
"""What requests under way may still take after the server was told to end."""
CONNECTIONS, BACKLOG = 500, 128
ASKING = {
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "10",
    "MLFLOW_SQLALCHEMYSTORE_POOLCLASS": "NullPool",
}
"""How the registry is asked, again and again. MLflow would wait minutes for one that is away, and
would read on in a database file that was replaced, e.g. by its back-up."""


@dataclass(frozen=True)
class ServerOptions:
    """How a server is run.

    Attributes:
        host: Name or address to listen at.
        port: 0 for any that is free.
        poll_seconds: Time between two looks at the alias.
        max_rows: Most rows of a request.
        max_megabytes: Longest body, in 10**6 bytes.
        processes: Most processes that score beside the server; None for one a processor.
        shadow: Alias or number of a version that scores what was answered, or empty.
        wait: Start although there is no version yet, and refuse requests until there is one.
    """

    host: str = "127.0.0.1"
    port: int = 8000
    poll_seconds: float = 5.0
    max_rows: int = 10_000
    max_megabytes: float = 16.0
    processes: int | None = None
    shadow: str = ""
    wait: bool = False


def serve(reference: str, settings: Settings, options: ServerOptions, tell: Events) -> None:
    """Serve the version behind an alias until Ctrl-C or SIGTERM.

    Raises:
        UsageError: There is no such model or version, the server needs a token, or a key cannot be
            used.
        SealBroken: The version's files are not those that were registered.
        ServiceUnreachable: The registry does not answer, or the port is taken.
    """
    guard = guard_for(options.host, int(options.max_megabytes * MEGABYTE), os.environ.get)
    signing.check_settings(settings)  # else every version would be refused, and blamed for it
    for name, value in ASKING.items():
        os.environ.setdefault(name, value)
    with (
        listening_at(options.host, options.port) as listening,
        scoring(options.processes) as workers,
    ):
        address = address_of(listening, options.host)
        progress.note("reading the registry")
        client = (tracking.client_of if options.wait else tracking.connect)(settings)
        follower = make_follower(client, settings, reference, tell)
        _first(client, follower, reference, wait=options.wait)
        with (
            _shadowing(client, settings, reference, options, tell) as shadow,
            _in_thread(follower, options.poll_seconds),
        ):
            app = make_app(
                follower,
                guard,
                reference=reference,
                max_rows=options.max_rows,
                workers=workers,
                shadow=shadow,
            )
            config = uvicorn.Config(
                app,
                log_level="warning",
                access_log=False,
                lifespan="off",
                server_header=False,
                limit_concurrency=CONNECTIONS,
                timeout_graceful_shutdown=DRAIN_SECONDS,
            )
            announce = partial(_announce, follower, reference, address, options, tell)
            server = Server(config, announce)
            with suppress(KeyboardInterrupt):  # raised again by uvicorn once all is answered
                server.run(sockets=[listening])
    outcome = "requests under way were answered"
    if server.cut_off:
        outcome = (
            f"requests under way for more than {DRAIN_SECONDS} s were refused: {server.cut_off}"
        )
    tell("stopped", outcome)


@contextmanager
def _in_thread(follower: Follower, seconds: float) -> Iterator[None]:
    """Follow beside the block."""
    threading.Thread(target=follower.run, args=(seconds,), daemon=True).start()
    try:
        yield
    finally:
        follower.stop()


@contextmanager
def _shadowing(
    client: MlflowClient, settings: Settings, reference: str, options: ServerOptions, tell: Events
) -> Iterator[ShadowWorker | None]:
    """A candidate in the shadow, where one is asked for; what was found is written at the end."""
    if not options.shadow:
        yield None
        return
    candidate = make_candidate(client, settings, registry.name_of(reference), options.shadow, tell)
    candidate.step()
    if candidate.current is None and not candidate.standing.refusal:
        why = candidate.standing.registry_error
        tell("shadow", f"waits for a candidate: {why}", why=why)

    worker = ShadowWorker(client, settings, lambda: candidate.serving)
    worker.start()
    try:
        with _in_thread(candidate, options.poll_seconds):
            yield worker
    finally:
        worker.stop()


@contextmanager
def listening_at(host: str, port: int) -> Iterator[socket.socket]:
    """A bound socket, closed with the block; port 0 for any that is free.

    Raises:
        UsageError: There is no such host.
        ServiceUnreachable: The port is taken, or not this user's to take.
    """
    try:
        address, *_ = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )
    except OSError as error:
        raise UsageError(f"--host {host}: {error.strerror or error}") from None
    # With its protocol named, so that asyncio sends small answers at once.
    with socket.socket(*address[:3]) as listening:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listening.bind(address[4])
            # At once: until then another could still take the port. Who connects early waits.
            listening.listen(BACKLOG)
        except OSError as error:
            where = f"port {port} of {host}"
            raise ServiceUnreachable(
                f"{where} cannot be used ({error.strerror}): end what listens there, or choose "
                "another with --port"
            ) from None
        yield listening


def address_of(listening: socket.socket, host: str) -> str:
    """How clients reach it."""
    shown = f"[{host}]" if ":" in host else host
    return f"http://{shown}:{listening.getsockname()[1]}"


def _first(client: MlflowClient, follower: Follower, reference: str, *, wait: bool) -> None:
    """Load the first version; without one, say why, unless the server is to wait for it."""
    if not wait:
        registry.find_model(client, reference)  # says what is wrong with the name
    follower.step()
    if follower.current is None and not wait:
        standing = follower.standing
        if standing.refusal:
            raise UsageError(standing.refusal)
        raise ServiceUnreachable(standing.registry_error)


def _announce(
    follower: Follower, reference: str, address: str, options: ServerOptions, tell: Events
) -> None:
    model, every = follower.current, f"every {options.poll_seconds:g} s"
    facts = {"url": address, "follows": reference, "poll_seconds": options.poll_seconds}
    if model is None:
        text = f"at {address} for a version of {reference}: {follower.standing.trouble}"
        tell("waiting", text, **facts, why=follower.standing.trouble)
    else:
        tell("serving", f"{model.uri} at {address}", **facts, model=model.uri)
    if not tell.as_json:
        tell("follows", f"{reference}, {every}")
        local = options.host in LOOPBACK
        tell("describes", f"{address}/openapi.json" + ("" if local else " (with the token)"))
        tell("stop", "with Ctrl-C")
