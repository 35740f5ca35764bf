"""What may be imported when: measured in fresh interpreters."""

import subprocess
import sys

import pytest


def _loaded_after(statement: str) -> set[str]:
    code = f"{statement}\nimport sys; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return {name.partition(".")[0] for name in done.stdout.split()}


def test_the_model_package_is_light():
    heavy = {"prefect", "mlflow", "great_expectations", "pandas", "torch", "sklearn", "numba"}
    assert not _loaded_after("import dagmm_model") & heavy


def test_training_and_scoring_on_a_cpu_need_no_torch_and_no_orchestration():
    # scikit-learn itself imports pandas where it is installed; import-linter keeps it out of ours.
    loaded = _loaded_after("import dagmm_model.detectors.dagmm, dagmm_model.detectors.bundle")
    assert not loaded & {"prefect", "mlflow", "great_expectations", "torch"}


def test_scoring_needs_neither_prefect_nor_great_expectations():
    rooms = "flows.scoring.run, flows.tracking.tracking, flows.tracking.registry"
    statement = f"import {rooms}, data_checks.rows.rows"
    assert not _loaded_after(statement) & {"prefect", "great_expectations", "torch"}


def test_reading_a_contract_needs_no_great_expectations():
    assert "great_expectations" not in _loaded_after("import data_checks.contract.model")


@pytest.mark.parametrize("module", ["flows.cli", "flows.common.config"])
def test_the_command_line_starts_light(module):
    heavy = {"prefect", "mlflow", "great_expectations", "pandas", "torch", "sklearn", "numba"}
    assert not _loaded_after(f"import {module}") & heavy


def test_commands_that_read_a_home_open_no_library_that_works():
    rooms = "audit, standing_hold; from flows.review import listing, screens"
    statement = f"import flows.tracking.home_store; from flows.promotion import {rooms}"
    heavy = {"prefect", "mlflow", "great_expectations", "pandas", "torch", "sklearn", "scipy"}
    assert not _loaded_after(statement) & (heavy | {"numba", "pyarrow", "matplotlib", "sqlalchemy"})
