"""A model served as it will be: a fresh process, real HTTP, the CPU only, a bounded time.

The process starts while the other gates are judged. It gets the verified copy of the model, so
what answers is what was digested, with the code that travels with it.
"""

from __future__ import annotations

import json
import shlex
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import psutil

from flows.common.policy import PromotionPolicy
from flows.common.verdicts import figure
from flows.promotion.gates.case import SAME_ENERGY, largest_difference
from flows.promotion.gates.finding import Finding, unmeasured
from flows.services import servers

GATE = "served in a fresh process"
REQUESTS = 40


class _NotServed(Exception):
    """The process ended, or did not answer in time."""


@dataclass(frozen=True)
class Server:
    """A model being served on loopback."""

    process: subprocess.Popen[bytes]
    port: int
    log: Path
    deadline: float

    def _left(self) -> float:
        left = self.deadline - time.monotonic()
        if left <= 0:
            raise _NotServed("no answer in time")
        return left

    def post(self, body: bytes) -> tuple[int, Any]:
        """Status and JSON answer of one request to ``/invocations``."""
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.port}/invocations",
            data=body,
            headers={"Content-Type": "application/json"},
        )
        try:
            with servers.OPENER.open(request, timeout=self._left()) as answer:
                return answer.status, json.load(answer)
        except urllib.error.HTTPError as error:
            return error.code, None

    def wait(self) -> None:
        """Return when the model is loaded."""
        while True:
            if self.process.poll() is not None:
                tail = servers.log_tail(self.log)
                raise _NotServed(f"the process ended with code {self.process.returncode}: {tail}")
            try:
                ping = f"http://127.0.0.1:{self.port}/ping"
                with servers.OPENER.open(ping, timeout=self._left()):
                    return
            except OSError:
                time.sleep(min(0.2, self._left()))

    def memory_mb(self) -> float:
        """Resident memory of the process and its children, MB of 10**6 bytes."""
        parent = psutil.Process(self.process.pid)
        return sum(p.memory_info().rss for p in [parent, *parent.children(recursive=True)]) / 1e6


@contextmanager
def serving(model: Path, scratch: Path, seconds: float) -> Iterator[Server]:
    """Start what `mlflow models serve` starts on a model folder; end it on leaving.

    Not that command itself: it would first import MLflow in a process that only starts another.
    """
    from mlflow.pyfunc import scoring_server

    port = servers.free_port()
    log = scratch / "serving.log"
    command, environment = scoring_server.get_cmd(str(model), port, "127.0.0.1", nworkers=1)
    environment |= {"CUDA_VISIBLE_DEVICES": "", "PYTHONDONTWRITEBYTECODE": "1"}
    process = servers.start(*shlex.split(command), environment=environment, log=log)
    try:
        yield Server(process, port, log, time.monotonic() + seconds)
    finally:
        servers.stop(process)


def judge(server: Server | None, canary: dict[str, Any], policy: PromotionPolicy) -> Finding:
    """Query a served model: the canary batch, a malformed request, latency and memory.

    Args:
        server: None when the policy switched the check off.
        canary: Columns, data and recorded energies of a few rows.
        policy: Limits of latency and memory.
    """
    if server is None:
        return unmeasured("switched off by the policy")
    try:
        server.wait()
        return _queried(server, canary, policy)
    except (_NotServed, OSError, ValueError, KeyError, TypeError, psutil.Error) as error:
        return Finding(False, f"{type(error).__name__.strip('_')}: {error}")


def _queried(server: Server, canary: dict[str, Any], policy: PromotionPolicy) -> Finding:
    columns, rows = canary["columns"], canary["data"]
    status, answer = server.post(_body(columns, rows))
    if status != 200:
        return Finding(False, f"the canary batch was answered with status {status}")
    energies = np.array([row["energy"] for row in answer["predictions"]], dtype=np.float64)
    worst = largest_difference(energies, np.array(canary["energy"]))
    malformed = _body(columns[1:], [row[1:] for row in rows])
    refused, _ = server.post(malformed)
    times = []
    one = _body(columns, rows[:1])
    for _ in range(REQUESTS):
        started = time.perf_counter()
        server.post(one)
        times.append(time.perf_counter() - started)
    latency = float(np.quantile(times, 0.95)) * 1000
    memory = server.memory_mb()
    faults = [
        text
        for failed, text in (
            (not worst <= SAME_ENERGY, "the canary batch got other energies than recorded"),
            (not 400 <= refused < 500, f"a request without {columns[0]!r} got status {refused}"),
            (latency > policy.max_latency_ms, f"slower than {policy.max_latency_ms:g} ms"),
            (memory > policy.max_memory_mb, f"larger than {policy.max_memory_mb:g} MB"),
        )
        if failed
    ]
    return Finding(
        not faults,
        "; ".join(faults),
        (
            figure("largest difference from the recorded", worst, at_most=SAME_ENERGY),
            figure("canary rows", len(rows)),
            figure("status of a malformed request", refused),
            figure("p95 in ms", round(latency), at_most=policy.max_latency_ms),
            figure("memory in MB", round(memory), at_most=policy.max_memory_mb),
        ),
    )


def _body(columns: list[str], rows: list[list[Any]]) -> bytes:
    return json.dumps({"dataframe_split": {"columns": columns, "data": rows}}).encode()
