"""A model served as it will be: a fresh process, real HTTP, the CPU only, a bounded time.

The process starts while the other gates are judged, or waits already (`served.waiting`).
"""

import json
import time
from typing import Any

import numpy as np
import psutil

from flows.common.gate_results import figure
from flows.common.policy import PromotionPolicy
from flows.promotion.gates.gate import GateFinding, unmeasured
from flows.promotion.trial_server import NotServedError, ServingProcess
from flows.promotion.version.canary import SAME_ENERGY, largest_difference

GATE = "served in a fresh process"
REQUESTS = 40


def serves_alike(
    server: ServingProcess | None, canary: dict[str, Any], policy: PromotionPolicy
) -> GateFinding:
    """MLflow serves it over HTTP, with the recorded energies, in time and in memory.

    Asked are the canary batch, one row again and again, and a malformed request.

    `server` is None where the policy has switched the check off.
    """
    if server is None:
        return unmeasured("switched off by the policy")
    try:
        server.wait()
        return _queried(server, canary, policy)
    except NotServedError as error:
        return GateFinding(False, str(error))
    except (OSError, ValueError, KeyError, TypeError, psutil.Error) as error:
        return GateFinding(False, f"{type(error).__name__}: {error}")


def _queried(
    server: ServingProcess, canary: dict[str, Any], policy: PromotionPolicy
) -> GateFinding:
    columns, rows = canary["columns"], canary["data"]
    status, answer = server.post(_body(columns, rows))
    if status != 200:
        return GateFinding(False, f"the canary batch was answered with status {status}")
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
    return GateFinding(
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
