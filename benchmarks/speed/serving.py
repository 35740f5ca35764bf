r"""`dagmm api` beside `mlflow models serve`: the same version, the same requests, one run.

One row at a time by one client (median and 99th percentile of the time to the answer), then
requests of 1,000 rows by one client (median), then by two at once (rows a second). The servers take
turns, so that whatever else the machine does falls on both.

    DAGMM_HOME=mlruns python benchmarks/speed/serving.py dagmm-wdbc --json
"""

import argparse
import http.client
import itertools
import json
import os
import sysconfig
import tempfile
import time
import timeit
from collections import defaultdict
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import psutil
from mlflow.entities.model_registry import ModelVersion
from mlflow.tracking import MlflowClient

from flows.common.settings import Settings
from flows.promotion.version.canary import sealed_canary
from flows.services import servers
from flows.tracking import registry, tracking

SERVE = ("models", "serve", "--env-manager", "local")
DAGMM, MLFLOW = "dagmm api", "mlflow models serve"
WARM_SECONDS = 8.0
"""Of requests like those that are measured: each server starts and compiles what they need."""
WITH_REASONS = "dagmm api, /score"
"""The same server, asked for more: reasons and remarks of every anomaly."""


@contextmanager
def started(
    module: str, *arguments: str, health: str, scratch: Path
) -> Iterator[tuple[int, psutil.Process]]:
    """A server on a free port; its port and process."""
    port = servers.free_port()
    log = scratch / f"{module}.log"
    # MLflow's finds its uvicorn by the path.
    path = os.pathsep.join([sysconfig.get_path("scripts"), os.environ.get("PATH", "")])
    command = ("-m", module, *arguments, "--port", str(port))
    process = servers.start(*command, environment={"PATH": path}, log=log)
    try:
        servers.wait_for(f"http://127.0.0.1:{port}{health}", process, log)
        yield port, psutil.Process(process.pid)
    finally:
        servers.stop(process)


def client(port: int, body: bytes, path: str) -> Callable[[], None]:
    """Sends the body over a connection that stays open, and reads the answer."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=120)

    def ask() -> None:
        connection.request("POST", path, body, {"Content-Type": "application/json"})
        answer = connection.getresponse()
        content = answer.read()
        if answer.status != 200:
            raise RuntimeError(content.decode())

    return ask


def times(ask: Callable[[], None], requests: int) -> list[float]:
    """Seconds of each request."""
    return timeit.repeat(ask, repeat=requests, number=1)


def rate(port: int, path: str, body: bytes, rows: int, clients: int, requests: int) -> float:
    """Rows a second of several clients at once."""
    asks = [client(port, body, path) for _ in range(clients)]
    started = time.perf_counter()
    with ThreadPoolExecutor(clients) as pool:
        list(pool.map(lambda ask: times(ask, requests), asks))
    return clients * requests * rows / (time.perf_counter() - started)


def processor(process: psutil.Process) -> float:
    """Processor seconds of a server and what it started."""
    every = [process, *process.children(recursive=True)]
    return sum(sum(each.cpu_times()[:2]) for each in every)


def registered(reference: str) -> tuple[MlflowClient, ModelVersion, dict[str, Any]]:
    """The registry, a version of it, and the rows that are sealed with this version."""
    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
    client = tracking.connect(Settings())
    version = registry.find_model(client, reference)
    return client, version, sealed_canary(client, version)


def body_of(canary: dict[str, Any], rows: int) -> bytes:
    """A request of so many rows, in a form that both servers take."""
    data = list(itertools.islice(itertools.cycle(canary["data"]), rows))
    return json.dumps({"dataframe_split": {"columns": canary["columns"], "data": data}}).encode()


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", help="NAME, NAME@alias or NAME/VERSION")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--one", type=int, default=100, help="one-row requests a round")
    parser.add_argument("--many", type=int, default=5, help="1,000-row requests a client and round")
    parser.add_argument("--clients", type=int, default=2)
    parser.add_argument("--json", action="store_true")
    asked = parser.parse_args()
    _, version, canary = registered(asked.model)
    one, many = body_of(canary, 1), body_of(canary, 1000)
    os.environ["MLFLOW_TRACKING_URI"] = Settings().tracking_uri
    reference = f"models:/{version.name}/{version.version}"
    local, same = ("--host", "127.0.0.1"), "/invocations"
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        scratch = Path(folder)
        commands = {
            DAGMM: ("/ready", "flows.cli", "api", reference, *local),
            MLFLOW: ("/ping", "mlflow", *SERVE, "-m", reference, *local),
        }
        running = {
            name: (*stack.enter_context(started(*command, health=health, scratch=scratch)), same)
            for name, (health, *command) in commands.items()
        }
        running[WITH_REASONS] = (*running[DAGMM][:2], "/score")
        results: dict[str, dict[str, list[float]]] = {name: defaultdict(list) for name in running}
        for port, _, path in running.values():
            times(client(port, one, path), 20)
            warm = time.monotonic() + WARM_SECONDS
            while time.monotonic() < warm:
                rate(port, path, many, 1000, asked.clients, 2)
        for _ in range(asked.rounds):
            for name, (port, process, path) in running.items():
                got, before = results[name], processor(process)
                got["one"] += times(client(port, one, path), asked.one)
                between = processor(process)
                got["many"] += times(client(port, many, path), asked.many)
                got["rows"].append(rate(port, path, many, 1000, asked.clients, asked.many))
                got["one cpu"].append((between - before) / asked.one)
                requests = (1 + asked.clients) * asked.many
                got["many cpu"].append((processor(process) - between) / requests)
    table = {
        name: {
            "one_row_p50_ms": float(np.median(got["one"])) * 1000,
            "one_row_p99_ms": float(np.quantile(got["one"], 0.99)) * 1000,
            "1000_rows_p50_ms": float(np.median(got["many"])) * 1000,
            "rows_per_second": float(np.median(got["rows"])),
            "cpu_ms_per_one_row": float(np.median(got["one cpu"])) * 1000,
            "cpu_ms_per_1000_rows": float(np.median(got["many cpu"])) * 1000,
        }
        for name, got in results.items()
    }
    if asked.json:
        print(json.dumps({"model": reference, "clients": asked.clients, **table}, indent=2))
        return
    shown = pd.DataFrame(table)
    for name in (DAGMM, WITH_REASONS):
        shown[f"{name} / MLflow"] = shown[name] / shown[MLFLOW]
    print(f"{reference}, {len(canary['columns'])} columns, {asked.clients} clients")
    print(shown.round(2).to_string())


if __name__ == "__main__":
    main()
