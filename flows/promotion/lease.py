"""Who holds the right to move `production`, among all processes that share a tracking store.

MLflow's alias write has no compare-and-swap, but one of its writes can be won only once: the
parameters of a run are write-once, by a primary key of the database. So every model has one run,
its lease run, and lease n belongs to whoever wrote the parameter `turn/n` first. Nothing is ever
deleted, so a lease can be neither won twice nor confused with an older one.

A lease ends with the parameter `end/n`. The holder's heartbeat is a tag; a waiter that has seen no
new beat for `STALE_SECONDS` by its own clock (clocks of hosts are never compared) takes the next
lease. On the same host a dead process is known at once.
"""

import json
import os
import random
import socket
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil
from mlflow.exceptions import MlflowException
from mlflow.tracking import MlflowClient

from flows.common.errors import ServiceUnreachable
from flows.common.settings import Settings
from flows.promotion.audit import PROMOTIONS
from flows.tracking.tracking import experiment_id

LEASE_RUN_TAG = "dagmm.ledger"  # the first version's name, kept for the stores that hold it
BEAT_SECONDS, STALE_SECONDS, WAIT_SECONDS = 3.0, 30.0, 180.0
POLL_SECONDS = 0.1


class LostLease(RuntimeError):
    """Somebody else took the next lease, because this process had stopped for too long."""


@dataclass(frozen=True)
class Lease:
    """A lease that is held; later leases have larger numbers."""

    number: int
    check: Callable[[], None]
    """Raises `LostLease` when somebody else has taken the next one."""


@contextmanager
def hold(client: MlflowClient, settings: Settings, name: str, purpose: str) -> Iterator[Lease]:
    """Wait for, hold and end a lease on a model.

    Raises:
        ServiceUnreachable: One lease of others took longer than `WAIT_SECONDS`; try again.
    """
    run_id = lease_run(client, settings, name)
    number = _acquire(client, run_id, name, purpose)
    ended = threading.Event()
    beating = threading.Thread(target=_beat, args=(client, run_id, number, ended), daemon=True)
    beating.start()

    def check() -> None:
        if _last(client, run_id)[0] != number:
            raise LostLease(f"another process took over lease {number + 1} of {name!r}")

    try:
        yield Lease(number, check)
    finally:
        ended.set()
        beating.join()
        client.log_param(run_id, _key("end", number), str(time.time()))


def _key(kind: str, number: int) -> str:
    return f"{kind}/{number:06d}"


def lease_run(client: MlflowClient, settings: Settings, name: str) -> str:
    """Id of the model's lease run, one that exists once because an experiment's name does."""
    anchor = f"{PROMOTIONS} of {name}"
    experiment = client.get_experiment_by_name(anchor)
    if experiment is None:
        decisions = experiment_id(client, settings, PROMOTIONS)
        tags = {LEASE_RUN_TAG: name, "mlflow.note.content": __doc__ or ""}
        run_id = client.create_run(decisions, tags=tags, run_name=f"{name} leases").info.run_id
        client.set_terminated(run_id)
        try:
            client.create_experiment(anchor, tags={LEASE_RUN_TAG: run_id})
        except MlflowException as error:
            if error.error_code != "RESOURCE_ALREADY_EXISTS":
                raise
            client.delete_run(run_id)  # another process was first
        experiment = client.get_experiment_by_name(anchor)
    return experiment.tags[LEASE_RUN_TAG]


def _last(client: MlflowClient, run_id: str) -> tuple[int, dict[str, str], bool, str]:
    """Number, owner and end of the last lease, and its heartbeat."""
    data = client.get_run(run_id).data
    number = max((int(k[5:]) for k in data.params if k.startswith("turn/")), default=0)
    owner = json.loads(data.params.get(_key("turn", number), "{}"))
    beat = data.tags.get("beat", "")
    return number, owner, number == 0 or _key("end", number) in data.params, beat


def _acquire(client: MlflowClient, run_id: str, name: str, purpose: str) -> int:
    deadline = time.monotonic() + WAIT_SECONDS
    process = psutil.Process()
    mine = {"host": _host(), "pid": process.pid, "started": process.create_time()}
    me = json.dumps({**mine, "token": uuid.uuid4().hex, "purpose": purpose})
    seen, since = ("", 0), time.monotonic()
    while True:
        number, owner, ended, beat = _last(client, run_id)
        if number != seen[1]:  # however many are before us: each has its time
            deadline = time.monotonic() + WAIT_SECONDS
        if (beat, number) != seen:
            seen, since = (beat, number), time.monotonic()
        silent = time.monotonic() - since > STALE_SECONDS
        if (ended or silent or _dead(owner)) and claim(client, run_id, number + 1, me):
            return number + 1
        if time.monotonic() > deadline:
            raise ServiceUnreachable(
                f"{owner.get('purpose', 'another decision')} on {name!r} by process "
                f"{owner.get('pid')} on {owner.get('host')} has been running for "
                f"{WAIT_SECONDS:.0f} s; try again when it has ended"
            )
        time.sleep(POLL_SECONDS * random.uniform(0.5, 1.5))  # noqa: S311


def claim(client: MlflowClient, run_id: str, number: int, me: str) -> bool:
    """Write the lease's parameter; whoever is second finds another value there."""
    try:
        client.log_param(run_id, _key("turn", number), me, synchronous=True)
    except MlflowException:
        if _key("turn", number) not in client.get_run(run_id).data.params:
            raise
    return client.get_run(run_id).data.params[_key("turn", number)] == me


def _beat(client: MlflowClient, run_id: str, number: int, ended: threading.Event) -> None:
    beats = 0
    while not ended.wait(BEAT_SECONDS):
        beats += 1
        try:
            client.set_tag(run_id, "beat", f"{number}/{beats}")
        except (MlflowException, OSError):
            continue  # missed beats are what the waiters watch for


def _host() -> str:
    """Name of this host, told apart from containers that share it or its name."""
    space = Path("/proc/self/ns/pid")
    boot = Path("/proc/sys/kernel/random/boot_id")
    parts = [socket.gethostname(), boot.read_text().strip() if boot.exists() else ""]
    return "/".join([*parts, str(space.readlink()) if space.is_symlink() else str(os.name)])


def _dead(owner: dict[str, object]) -> bool:
    """Whether the owner is a process of this host that has ended; other hosts are never judged."""
    if owner.get("host") != _host():
        return False
    try:
        process = psutil.Process(int(str(owner["pid"])))
        same = abs(process.create_time() - float(str(owner["started"]))) < 1
        return not same or process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True
