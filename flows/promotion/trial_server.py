"""A model in a process of its own: started before there is a model, ended in any case.

The process is told of the verified copy of the model, so what answers is what was digested, with
the code that travels with it.
"""

import json
import shutil
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from data_checks.base.scratch import scratch_folder
from flows.services import model_app, servers

CACHES = ("__pycache__",)


class NotServedError(Exception):
    """The process ended, or did not answer in time."""


@dataclass(frozen=True)
class ServingProcess:
    """A model being served on loopback."""

    process: subprocess.Popen[bytes]
    port: int
    log: Path
    deadline: float

    def _remaining(self) -> float:
        remaining = self.deadline - time.monotonic()
        if remaining <= 0:
            raise NotServedError("no answer in time")
        return remaining

    def post(self, body: bytes) -> tuple[int, Any]:
        """Status and JSON answer of one request to ``/invocations``."""
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.port}/invocations",
            data=body,
            headers={"Content-Type": "application/json"},
        )
        try:
            with servers.OPENER.open(request, timeout=self._remaining()) as answer:
                return answer.status, json.load(answer)
        except urllib.error.HTTPError as error:
            return error.code, None

    def wait(self) -> None:
        """Return when the model is loaded."""
        while True:
            if self.process.poll() is not None:
                tail = servers.log_tail(self.log)
                raise NotServedError(
                    f"the process ended with code {self.process.returncode}: {tail}"
                )
            try:
                ping = f"http://127.0.0.1:{self.port}/ping"
                with servers.OPENER.open(ping, timeout=self._remaining()):
                    return
            except OSError:
                time.sleep(min(0.05, self._remaining()))

    def memory_mb(self) -> float:
        """Resident memory of the process and its children, MB of 10**6 bytes."""
        import psutil

        parent = psutil.Process(self.process.pid)
        return sum(p.memory_info().rss for p in [parent, *parent.children(recursive=True)]) / 1e6


@dataclass(frozen=True)
class _Waiting:
    process: subprocess.Popen[bytes]
    order: Path
    log: Path


_WAITING: list[_Waiting] = []
"""Processes without a model yet; whoever takes one out serves with it."""


@contextmanager
def waiting() -> Iterator[None]:
    """Have a process load its libraries now, for the first `serving` in the block."""
    with scratch_folder() as folder:
        mine = _started(folder)
        _WAITING.append(mine)
        try:
            yield
        finally:
            if mine in _WAITING:
                _WAITING.remove(mine)
            servers.stop(mine.process, seconds=0)


@contextmanager
def serving(model: Path, scratch: Path, seconds: float) -> Iterator[ServingProcess]:
    """Serve a model folder as `mlflow models serve` does; end it on leaving.

    Args:
        model: The verified copy.
        scratch: Folder for the log, unless a process is waiting, which has its own.
        seconds: In which everything must be answered, from now on.
    """
    ready = _WAITING.pop() if _WAITING else None
    if ready is None or ready.process.poll() is not None:
        ready = _started(scratch)
    try:
        port = servers.free_port()
        _give_compiled(model)
        model_app.order(ready.order, model, port)
        yield ServingProcess(ready.process, port, ready.log, time.monotonic() + seconds)
    finally:
        servers.stop(ready.process, seconds=0)


def _started(folder: Path) -> _Waiting:
    order, log = folder / "order.json", folder / "serving.log"
    # On the CPU, whatever this process trains on; and nothing is compiled into the model's folder.
    environment = {"CUDA_VISIBLE_DEVICES": "", "PYTHONDONTWRITEBYTECODE": "1"}
    environment |= {"NUMBA_CACHE_DIR": ""}  # compiled loops are kept beside the model's, and go
    command = ("-m", "flows.services.model_app", str(order))
    process = servers.start(*command, environment=environment, log=log)
    return _Waiting(process, order, log)


def _give_compiled(model: Path) -> None:
    """Spare a model whose loops are those that are installed here the seconds of compiling them.

    Other loops are compiled: Numba looks at a loop's own file only, we at all of them.
    """
    from dagmm_model.base.integrity import sha256_of
    from dagmm_model.kernels import arithmetic

    ours = Path(arithmetic.__file__).parent
    theirs = model / "code" / ours.parent.name / ours.name
    kept = arithmetic.evidence.stats.cache_path  # type: ignore[attr-defined]
    if kept and theirs.is_dir() and sha256_of(theirs, CACHES) == sha256_of(ours, CACHES):
        (theirs / "__pycache__").mkdir(exist_ok=True)
        for file in Path(kept).glob("*.nb[ci]"):
            shutil.copy(file, theirs / "__pycache__")
