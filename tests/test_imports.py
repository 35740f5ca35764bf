"""What may be imported when: measured in fresh interpreters."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
OURS = {"flows", "dagmm_model", "data_checks"}
SCRIPTS = sorted([*ROOT.glob("benchmarks/*/*.py"), *ROOT.glob("docs/*.py")])


def _loaded_after(statement: str) -> set[str]:
    code = f"{statement}\nimport sys; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return {name.partition(".")[0] for name in done.stdout.split()}


MODEL = """
import sys
def loaded(*names):
    print(*[name for name in names if name in sys.modules] or ["nothing"])

import dagmm_model
loaded("torch", "sklearn", "pandas", "numba", "prefect", "mlflow", "great_expectations")
import numpy as np
rows = np.random.default_rng(0).normal(size=(60, 3))
detector = dagmm_model.DAGMM(epochs=1, random_state=0).fit(rows)
detector.energy(rows)
import dagmm_model.detectors.file_format
from dagmm_model.engines import choice
choice.version = lambda name: "9.9+cpu"
choice.choose_device("auto", 1e15)
loaded("torch", "prefect", "mlflow", "great_expectations")
print(detector.device_.name)
"""


def test_the_model_is_light_and_trains_and_scores_on_a_cpu_without_torch():
    """Nor does it look for a GPU with a build of PyTorch that knows of none."""
    # scikit-learn itself imports pandas where it is installed; import-linter keeps it out of ours.
    done = subprocess.run([sys.executable, "-c", MODEL], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["nothing", "nothing", "cpu"]


def test_what_waits_for_a_model_has_loaded_its_libraries_and_none_of_our_code():
    """The code of a model travels with it; what is loaded already would run in its place."""
    loaded = _loaded_after("from flows.services.model_app import get_ready; get_ready()")
    assert loaded >= {"mlflow", "fastapi", "uvicorn", "pandas", "sklearn", "numba", "safetensors"}
    assert not loaded & {"dagmm_model", "data_checks", "prefect", "great_expectations", "torch"}


LIBRARIES = (
    *("prefect", "mlflow", "great_expectations", "pandas", "torch", "sklearn", "numba", "scipy"),
    *("numpy", "pyarrow", "matplotlib", "altair", "sqlalchemy"),
)
DOORS = {
    "what starts processes that load beside a command": (
        "flows.promotion.trial_server, flows.cli.judge, flows.services.startup",
        set(),
    ),
    "the command line": ("flows.cli, flows.common.config", {"numpy"}),
    "commands that read a home": (
        "flows.tracking.reader, flows.promotion.audit, flows.promotion.rollback_hold, "
        "flows.review.listing, flows.review.screens",
        set(),
    ),
    "a rollback, which scores beside itself": (
        "flows.promotion.rollback, flows.review.report",
        {"mlflow", "pandas", "pyarrow", "scipy", "sqlalchemy", "altair"},
    ),
    "scoring": (
        "flows.scoring.run, flows.tracking.tracking, flows.tracking.registry, "
        "data_checks.rows.rows",
        {"sklearn", "numba", "matplotlib"},
    ),
}
"""What each imports in turn, and the libraries that it may load and those before it do not."""


def test_each_door_loads_what_it_needs_only():
    """In one interpreter: whatever the doors before have loaded, they were allowed to."""
    statements = [
        f"import {rooms}; print(*[name for name in {LIBRARIES} if name in sys.modules])"
        for rooms, _ in DOORS.values()
    ]
    code = "\n".join(["import sys", *statements])
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    allowed: set[str] = set()
    for (door, (_, more)), line in zip(DOORS.items(), done.stdout.splitlines(), strict=True):
        allowed |= more
        assert set(line.split()) <= allowed, door


def test_a_training_loads_what_validates_and_draws_beside_itself_only():
    rooms = "flows.orchestration.train_flow, flows.pipeline.validate, flows.pipeline.report"
    statement = (
        f"import {rooms}, flows.pipeline.register, flows.promotion.promote, flows.review.report"
    )
    assert not _loaded_after(statement) & {"great_expectations", "torch", "altair", "matplotlib"}


def test_drawing_the_figures_of_a_training_loads_no_library_of_the_flow():
    loaded = _loaded_after("import flows.pipeline.figures")
    assert not loaded & {"prefect", "mlflow", "numba", "sklearn", "pandas", "torch"}


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda file: file.name)
def test_what_a_script_imports_from_us_is_there(script):
    """No package imports the benchmarks: a name that moved would be missed when one is run."""
    for node in ast.walk(ast.parse(script.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and str(node.module).partition(".")[0] in OURS:
            exec(ast.unparse(node), {})
