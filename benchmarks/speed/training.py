"""Time of a training step: our engines, a textbook PyTorch loop, the floor of the arithmetic.

All in one process, in turns; the median of the rounds is reported. Processor time is given as well:
it is steadier on a busy machine. The floor is the step's 29 matrix products alone, in the BLAS that
the fast engine uses, at their real shapes and with the same number of threads. ``numpy_20`` trains
twenty seeds as one model; its times are those of one step of one seed. `gpu_check.py` measures the
engines of a GPU.

    python benchmarks/speed/training.py --threads 1 2 --json
"""

import argparse
import json
from collections.abc import Callable
from itertools import pairwise

import numpy as np
import pandas as pd
import torch
from measuring import in_turns
from textbook import TextbookLoop
from threadpoolctl import ThreadpoolController

from dagmm_model.engines.numpy.engine import NumpyEngine
from dagmm_model.engines.torch.engine import TorchEngine
from dagmm_model.networks.network import initialise, streams
from dagmm_model.networks.presets import PAPER

BATCH, WIDTH, ROWS = 1024, 120, 40 * 1024
MEMBERS = 20
SETTINGS = PAPER["paper-kddcup"]
PAUSE = 0.25
"""Seconds after which the libraries' threads of the variant before no longer spin."""


def floor() -> Callable[[], None]:
    """The matrix products of one step: forward, by the weights, by the inputs."""
    rng = np.random.default_rng(0)
    autoencoder = (WIDTH, *SETTINGS.encoder_widths)
    networks = [
        (*autoencoder, *autoencoder[-2::-1]),
        (3, *SETTINGS.estimation_widths, SETTINGS.n_components),
    ]
    work = []
    for widths in networks:
        for i, (inner, outer) in enumerate(pairwise(widths)):
            w, x, d = (
                rng.normal(size=shape).astype(np.float32)
                for shape in ((outer, inner), (inner, BATCH), (outer, BATCH))
            )
            first = widths is networks[0] and i == 0  # the data needs no gradient
            work.append((w, x, d, np.empty_like(d), np.empty_like(w), np.empty_like(x), first))

    def step() -> None:
        for w, x, d, out, by_weight, by_input, first in work:
            np.matmul(w, x, out=out)
            np.matmul(d, x.T, out=by_weight)
            if not first:
                np.matmul(w.T, d, out=by_input)

    return step


def measure(threads: int, rounds: int, steps: int) -> pd.DataFrame:
    """Milliseconds of a step, median over the rounds, a row for each variant."""
    torch.set_num_threads(threads)
    x = np.random.default_rng(0).random((ROWS, WIDTH), dtype=np.float32)
    order = np.random.default_rng(1).permutation(ROWS).reshape(1, -1, BATCH)
    order = np.tile(order, (1, -(-steps // order.shape[1]), 1))[:, :steps]
    start = initialise(SETTINGS, WIDTH, [0])
    dropout = [streams(0)[2]]
    numpy_engine = NumpyEngine(x, None, start, SETTINGS)
    torch_engine = TorchEngine(x, None, start, SETTINGS)

    def repeat(step: Callable[[], object]) -> Callable[[], object]:
        return lambda: [step() for _ in range(steps)]

    seeds = range(MEMBERS)
    many = NumpyEngine(x, None, initialise(SETTINGS, WIDTH, seeds), SETTINGS)
    many_steps = max(1, steps // MEMBERS)
    many_order = np.repeat(order[:, :many_steps], MEMBERS, axis=0)
    many_dropout = [streams(seed)[2] for seed in seeds]
    variants: dict[str, Callable[[], object]] = {
        "floor": repeat(floor()),
        "numpy": lambda: numpy_engine.run(order, 1e-4, dropout),
        # per member: comparable with a single run
        f"numpy_{MEMBERS}": lambda: many.run(many_order, 1e-4, many_dropout),
        "torch": lambda: torch_engine.run(order, 1e-4, dropout),
        "textbook": repeat(TextbookLoop(x, BATCH).step),
    }
    done = pd.Series(steps, index=variants)
    done[f"numpy_{MEMBERS}"] = many_steps * MEMBERS
    spent = in_turns(variants, rounds, PAUSE).groupby(level=0, sort=False)
    median, best = (seconds.mul(1e3 / done, axis=0) for seconds in (spent.median(), spent.min()))
    wall = median["wall"]
    return pd.DataFrame(
        {
            "ms_per_step": wall.round(3),
            "best_ms_per_step": best["wall"].round(3),
            "cpu_ms_per_step": median["processor"].round(3),
            "rows_per_second": (BATCH / wall * 1e3).round().astype(int),
            "times_floor": (wall / wall["floor"]).round(2),
            "times_faster_than_textbook": (wall["textbook"] / wall).round(2),
        }
    )


def main() -> None:
    """Print a table, or JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--steps", type=int, default=30)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    result = {}
    for threads in arguments.threads:
        with ThreadpoolController().select(user_api="blas").limit(limits=threads):
            result[str(threads)] = measure(threads, arguments.rounds, arguments.steps)
    if arguments.json:
        by_threads = {threads: table.to_dict("index") for threads, table in result.items()}
        print(json.dumps({"batch": BATCH, "width": WIDTH, "threads": by_threads}, indent=1))
        return
    for threads, table in result.items():
        print(f"{threads} thread(s)", table.to_string(), sep="\n")


if __name__ == "__main__":
    main()
