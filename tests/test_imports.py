"""What may be imported when: measured in fresh interpreters."""

import subprocess
import sys

import pytest


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
import dagmm_model.detectors.bundle
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


def test_scoring_needs_neither_prefect_nor_great_expectations():
    rooms = "flows.scoring.run, flows.tracking.tracking, flows.tracking.registry"
    statement = f"import {rooms}, data_checks.rows.rows"
    assert not _loaded_after(statement) & {"prefect", "great_expectations", "torch"}


@pytest.mark.parametrize("module", ["flows.cli", "flows.common.config"])
def test_the_command_line_starts_light(module):
    heavy = {"prefect", "mlflow", "great_expectations", "pandas", "torch", "sklearn", "numba"}
    assert not _loaded_after(f"import {module}") & heavy


def test_commands_that_read_a_home_open_no_library_that_works():
    rooms = "audit, standing_hold; from flows.review import listing, screens"
    statement = f"import flows.tracking.home.reading; from flows.promotion import {rooms}"
    heavy = {"prefect", "mlflow", "great_expectations", "pandas", "torch", "sklearn", "scipy"}
    assert not _loaded_after(statement) & (heavy | {"numba", "pyarrow", "matplotlib", "sqlalchemy"})


def test_what_waits_for_a_model_has_loaded_its_libraries_and_none_of_our_code():
    """The code of a model travels with it; what is loaded already would run in its place."""
    loaded = _loaded_after("from flows.services.model_app import get_ready; get_ready()")
    assert loaded >= {"mlflow", "fastapi", "uvicorn", "pandas", "sklearn", "numba", "safetensors"}
    assert not loaded & {"dagmm_model", "data_checks", "prefect", "great_expectations", "torch"}


@pytest.mark.parametrize("module", ["flows.promotion.served", "flows.cli.judge"])
def test_the_process_that_waits_is_started_before_anything_heavy_is_loaded(module):
    heavy = {"prefect", "mlflow", "numpy", "pandas", "sklearn", "pyarrow"}
    assert not _loaded_after(f"import {module}") & heavy


def test_a_training_loads_what_validates_and_draws_beside_itself_only():
    rooms = "flows.orchestration.train_flow, flows.pipeline.validate, flows.pipeline.report"
    statement = (
        f"import {rooms}, flows.pipeline.register, flows.promotion.promote, flows.review.report"
    )
    assert not _loaded_after(statement) & {"great_expectations", "torch", "altair", "matplotlib"}


def test_drawing_the_figures_of_a_training_loads_no_library_of_the_flow():
    loaded = _loaded_after("import flows.pipeline.figures")
    assert not loaded & {"prefect", "mlflow", "numba", "sklearn", "pandas", "torch"}


def test_a_rollback_loads_what_scores_beside_itself_only():
    loaded = _loaded_after("import flows.promotion.rollback, flows.review.report")
    assert not loaded & {"prefect", "great_expectations", "torch", "sklearn", "numba", "matplotlib"}
