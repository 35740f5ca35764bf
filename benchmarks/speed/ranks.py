"""Time of a training step that ranks share: the same batch over one, two, ... of them.

    python benchmarks/speed/ranks.py --ranks 1 2 --preset recommended

Random rows of KDDCUP's width; the batch of all ranks stays the same, so that `ms_per_step` of two
ranks over that of one says what a second one brings. The best of several rounds counts: on a busy
machine it is the one least disturbed. torchrun starts the ranks on this machine.
"""

import argparse
import json
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

from dagmm_model.base.distributed import launched_ranks
from dagmm_model.engines.choice import device_for, make_engine, multiplications
from dagmm_model.networks.network import initialise, streams
from dagmm_model.networks.presets import resolve
from dagmm_model.training.feed import MemoryFeed
from dagmm_model.training.records import Progress

WIDTH, STEPS = 120, 40
TIMEOUT = 300.0


def worker(preset: str, batch: int, engine: str, rounds: int) -> None:
    """One rank's part; the first one prints the record."""
    rows = batch * STEPS
    settings = resolve(preset, WIDTH, rows, {"batch_size": batch})
    seeds = list(range(settings.members))
    x = np.random.default_rng(0).normal(size=(rows, WIDTH)).astype(np.float32)
    start = initialise(settings, WIDTH, seeds, x)
    with launched_ranks(TIMEOUT) as ranks:
        chosen = device_for(engine, "auto", multiplications(settings, *x.shape, len(seeds)))
        runner = make_engine(engine, chosen, x, None, start, settings, ranks)
        progress = Progress(runner, settings, seeds)
        dropout = [streams(seed)[2] for seed in seeds]
        wall, processor = [], []
        for number in range(rounds + 1):
            (piece,) = MemoryFeed([rows] * len(seeds), batch, ranks).pieces(progress)
            ranks.sum(np.zeros(1))  # all begin together
            started, spent = time.perf_counter(), time.process_time()
            runner.run(piece.order, 1e-4, dropout, piece.part)
            spent = float(ranks.sum(np.array([time.process_time() - spent]))[0])
            if number:  # the first one is for warming up
                wall.append(1e3 * (time.perf_counter() - started) / STEPS)
                processor.append(1e3 * spent / STEPS)
        if ranks.first:
            record = {
                "ranks": ranks.size,
                "engine": type(runner).__name__,
                "preset": preset,
                "members": settings.members,
                "batch": batch,
                "ms_per_step": min(wall),
                "processor_ms_per_step": min(processor),
            }
            print(json.dumps(record), flush=True)


def main() -> None:
    """Print a JSON document a line."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--ranks", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--preset", default="recommended")
    parser.add_argument("--batch", type=int, default=1024)
    parser.add_argument("--engine", default="auto", choices=("auto", "numpy", "torch"))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--worker", type=json.loads, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.worker:
        worker(*given.worker)
        return
    options = json.dumps([given.preset, given.batch, given.engine, given.rounds])
    torchrun = str(Path(sys.executable).with_name("torchrun"))
    for ranks in given.ranks:
        command = [torchrun, "--standalone", "--nproc-per-node", str(ranks), __file__]
        subprocess.run([*command, "--worker", options], check=True)


if __name__ == "__main__":
    main()
