"""Is the torch engine right on this machine's GPU, how fast is it, and where is it worth it?

    python benchmarks/speed/gpu_check.py --output gpu.json
    python benchmarks/speed/gpu_check.py --output gpu.json --write   # and keep the bound of `auto`

From the project's root, on a machine with PyTorch for CUDA and the libraries of `dagmm_model`; what
needs more is left out with its reason. Every section stands alone: one that fails is reported, and
the next one runs. Figures of a table's size are of KDDCUP where its file is found, else of random
rows of its shape. The exit code is 1 where a target is missed. ``--device cpu`` tries the check
itself, on few rows; its verdicts mean nothing.
"""

import argparse
import importlib.util
import json
import os
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime
from importlib.resources import files
from pathlib import Path

import numpy as np
import torch
from gpu_figures import BATCH, KDDCUP, KINDS, MEMBERS, ROWS, TARGETS, WIDTH, Check
from textbook import TextbookLoop

from dagmm_model import DAGMM, save_detector
from dagmm_model.engines.choice import multiplications
from dagmm_model.engines.numpy.engine import NumpyEngine
from dagmm_model.engines.torch.engine import TorchEngine
from dagmm_model.engines.torch.triton_step import unsupported
from dagmm_model.networks.network import initialise
from dagmm_model.networks.presets import resolve
from dagmm_model.training.epochs import Execution
from dagmm_model.training.loop import train

ROOT = Path(__file__).resolve().parents[2]
SCORE = """
import sys, numpy as np
from dagmm_model import load_detector
folder = sys.argv[1]
np.save(folder + "/energies.npy", load_detector(folder + "/d").energy(np.load(folder + "/x.npy")))
"""
START = """
import time
started = time.perf_counter()
import numpy as np
from dagmm_model.networks.presets import resolve
from dagmm_model.training.epochs import Execution
from dagmm_model.training.loop import train
x = np.random.default_rng(0).normal(size=(500, 8)).astype(np.float32)
settings = resolve("paper", 8, 500, {"epochs": 1})
train(x, settings, [0], Execution(engine=ENGINE, device=DEVICE))
print(time.perf_counter() - started)
"""


def tests(check: Check) -> None:
    """The engines' tests, with real graphs on a GPU."""
    if importlib.util.find_spec("pytest") is None:
        raise RuntimeError("pytest is not installed")
    rooms = [f"tests/dagmm_model/engines/test_{name}.py" for name in ("graph", "triton", "choice")]
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *rooms]
    if check.dry:
        command += ["-k", "window or room"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    print("   " + "\n   ".join(done.stdout.splitlines()[-12:]))
    if done.returncode > 1:
        raise RuntimeError(f"pytest ended with {done.returncode}: {done.stderr[-300:]}")
    check.note("failed tests", float(done.stdout.count("\nFAILED ")))


def steps(check: Check) -> None:
    """Time of a step, for every kind of engine, one seed and twenty."""
    x = check.table()
    for preset, members in (("paper-kddcup", 1), ("paper-kddcup", MEMBERS), ("recommended", 3)):
        settings = resolve(preset, WIDTH, ROWS)
        for kind in KINDS:
            if kind == "torch-triton" and unsupported(settings, WIDTH):
                continue
            name, started = f"{preset} x {members}, {kind}", time.perf_counter()
            engine = check.engine(kind, settings, members, x)
            check.note(f"microseconds a step: {name}", check.microseconds(engine, BATCH, members))
            passed = time.perf_counter() - started
            check.note(f"seconds to make, compile and run it: {name}", passed)
    one = [f"microseconds a step: paper-kddcup x 1, {kind}" for kind in KINDS]
    check.note("microseconds a KDDCUP step", min(check.figures[name] for name in one))


def trainings(check: Check) -> None:
    """The training loop over KDDCUP's normal rows: one seed, and twenty at once."""
    from dataclasses import replace

    x, epochs = check.table(), 1 if check.dry else 20
    settings = replace(KDDCUP, epochs=epochs)
    engine = "torch" if check.dry else "torch-triton"
    how = Execution(engine=engine, device=check.device)
    seconds = {}
    for members in (1, MEMBERS):
        train(x, replace(settings, epochs=1), range(members), how)
        started = time.perf_counter()
        train(x, settings, range(members), how)
        seconds[members] = time.perf_counter() - started
        check.note(f"seconds of {epochs} epochs, {members} seeds", seconds[members])
    check.note("seconds of 200 KDDCUP epochs", seconds[1] / epochs * 200)
    check.note("20 seeds over one", seconds[MEMBERS] / seconds[1])


def textbook(check: Check) -> None:
    """The textbook loop on the same device, a row at a time through a DataLoader."""
    loop = TextbookLoop(check.table()[: 40 * BATCH], BATCH, check.device)
    count = 3 if check.dry else 80
    for _ in range(3):
        loop.step()
    check.wait()
    started = time.perf_counter()
    for _ in range(count):
        loop.step()
    check.wait()
    duration = (time.perf_counter() - started) / count * 1e6
    check.note("microseconds a step: textbook", duration)
    check.note("textbook over a step", duration / check.figures["microseconds a KDDCUP step"])


def scoring(check: Check) -> None:
    """A model trained here, scored in a process that sees no GPU, against this one's energies."""
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(3000, 8)) @ rng.normal(size=(8, 8))
    engine = "torch" if check.dry else "torch-graph"
    detector = DAGMM(epochs=5, random_state=0, engine=engine, device=check.device).fit(rows)
    settings = resolve("paper", 8, 3000)
    x = rows.astype(np.float32)
    both = [
        TorchEngine(x, None, initialise(settings, 8, [0], x), settings, device, torch.float64)
        for device in (check.device, "cpu")
    ]
    here, there = (engine.mean_energies(x[:500], "energy") for engine in both)
    assert here is not None
    assert there is not None
    with tempfile.TemporaryDirectory() as folder:
        save_detector(detector, Path(folder) / "d")
        np.save(Path(folder) / "x.npy", rows)
        environment = {**os.environ, "CUDA_VISIBLE_DEVICES": ""}
        subprocess.run([sys.executable, "-c", SCORE, folder], cwd=ROOT, env=environment, check=True)
        apart = np.abs(np.load(Path(folder) / "energies.npy") - detector.energy(rows)).max()
    check.note("CPU's energies off by", max(float(apart), float(np.abs(here - there).max())))


def end_to_end(check: Check) -> None:
    """`dagmm train kddcup`, in a workspace of its own."""
    data = Path(os.environ.get("DAGMM_DATA_DIR", ROOT / "data"))
    for module in ("prefect", "mlflow", "great_expectations"):
        if importlib.util.find_spec(module) is None:
            raise RuntimeError(f"{module} is not installed")
    if not list(data.glob("kddcup*")):
        raise RuntimeError(f"no KDDCUP file in {data}; set DAGMM_DATA_DIR")
    with tempfile.TemporaryDirectory() as home:
        command = [sys.executable, "-m", "flows.cli", "train", "kddcup", "--json"]
        command += ["--set", "detector.preset=paper", "--device", check.device]
        started = time.perf_counter()
        done = subprocess.run(
            command,
            cwd=ROOT,
            env={**os.environ, "DAGMM_HOME": home},
            capture_output=True,
            text=True,
            check=False,
        )
    check.note("seconds of dagmm train kddcup", time.perf_counter() - started)
    check.note("failed trainings from end to end", float(done.returncode != 0))
    if done.returncode:
        print(done.stderr[-2000:])


def bound(check: Check) -> None:
    """From how many multiplications on a training is over sooner on the GPU, its start included."""
    engines = ("torch", "numpy") if check.dry else ("torch-graph", "numpy")
    starts = []
    for engine, device in zip(engines, (check.device, "cpu"), strict=True):
        code = START.replace("ENGINE", repr(engine)).replace("DEVICE", repr(device))
        seconds = [
            float(subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True,
                                 text=True, check=True).stdout.split()[-1])
            for _ in range(2)
        ]  # fmt: skip
        starts.append(min(seconds))  # the first may compile
    start = starts[0] - starts[1]
    check.note("seconds until a GPU trains, beyond a CPU's", start)
    x = check.table()
    cpu = NumpyEngine(x, None, initialise(KDDCUP, WIDTH, [0]), KDDCUP)
    on_cpu = check.microseconds(cpu, BATCH, 1)
    check.note("microseconds a step: numpy", on_cpu)
    here = check.figures[f"microseconds a step: paper-kddcup x 1, {engines[0]}"]
    saved = (on_cpu - here) * 1e-6  # by the engine that `auto` takes for a short training
    if saved <= 0 or start <= 0:
        raise RuntimeError("a step takes no less here than on the CPU: no bound")
    a_step = multiplications(KDDCUP, BATCH, WIDTH, 1) / KDDCUP.epochs
    check.note("multiplications from which on a GPU is worth it", start / saved * a_step)


def main() -> None:
    """Run all sections, write the JSON, print the verdicts."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--output", type=Path, help="where to write the JSON")
    parser.add_argument("--write", action="store_true", help="keep the bound in the package")
    parser.add_argument("--device", default="cuda", help="cuda, cuda:N, or cpu to try the check")
    parser.add_argument("--only", nargs="*", help="sections to run")
    given = parser.parse_args()
    check = Check(given.device)
    if not check.dry and not torch.cuda.is_available():
        parser.exit(3, f"PyTorch {torch.__version__} finds no GPU here\n")
    card = "none" if check.dry else torch.cuda.get_device_name(given.device)
    print(f"{card}, PyTorch {torch.__version__}, {os.cpu_count()} processors", flush=True)
    for work in (tests, steps, trainings, textbook, scoring, end_to_end, bound):
        if given.only is None or work.__name__ in given.only:
            check.section(work)
    verdicts = check.verdicts()
    today = datetime.now(UTC).date().isoformat()
    document = {
        "card": card,
        "torch": torch.__version__,
        "processors": os.cpu_count(),
        "date": today,
        "figures": check.figures,
        "troubles": check.troubles,
        "verdicts": verdicts,
    }
    if given.output:
        given.output.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(document, indent=1))
    for name, verdict in verdicts.items():
        target, how = TARGETS[name]
        value = check.figures.get(name)
        shown = "-" if value is None else f"{value:.4g}"
        print(f"{verdict:13} {name}: {shown} ({how} {target:g})".replace("none 0", "none"))
    worth = check.figures.get("multiplications from which on a GPU is worth it")
    if given.write and worth is not None and not check.dry:
        kept = {"multiplications": float(f"{worth:.2g}"), "from": f"measured on {card}, {today}"}
        path = Path(str(files("dagmm_model") / "engines" / "gpu.json"))
        path.write_text(json.dumps(kept, indent=1) + "\n", encoding="utf-8")
    sys.exit("missed" in verdicts.values())


if __name__ == "__main__":
    main()
