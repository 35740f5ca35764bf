"""`make` finds a Python or says what is missing; `make resolve` tries every Python admitted."""

import subprocess
from pathlib import Path

import pytest

PROJECT = Path(__file__).parents[1]


def make(*arguments: str) -> subprocess.CompletedProcess:
    return subprocess.run(["make", *arguments], cwd=PROJECT, capture_output=True, text=True)


def test_without_a_suitable_python_make_names_the_remedy(tmp_path):
    done = make("install", "PYTHON=", f"VENV={tmp_path / 'venv'}")
    assert done.returncode == 2
    assert "set PYTHON=" in done.stderr


def test_make_takes_the_newest_python_that_there_is(tmp_path):
    """3.14 is on the path, but broken as a shim of an absent version is."""
    for version, code in (("3.11", 0), ("3.12", 0), ("3.13", 0), ("3.14", 127), ("3.15", 0)):
        program = tmp_path / f"python{version}"
        program.write_text(f"#!/bin/sh\nexit {code}\n")
        program.chmod(0o755)
    done = subprocess.run(
        ["make", "-n", "install", f"VENV={tmp_path / 'venv'}"],
        cwd=PROJECT,
        capture_output=True,
        text=True,
        env={"PATH": f"{tmp_path}:/usr/bin:/bin"},
    )
    assert f"python3.13 -m venv {tmp_path / 'venv'}" in done.stdout


@pytest.mark.parametrize("gpu", [False, True])
def test_pip_is_told_of_the_build_without_cuda_where_there_is_no_gpu(tmp_path, gpu):
    if gpu:
        (tmp_path / "nvidia-smi").write_text("#!/bin/sh\n")
        (tmp_path / "nvidia-smi").chmod(0o755)
    done = subprocess.run(
        ["make", "-n", "install", f"VENV={tmp_path / 'venv'}", "PYTHON=python3"],
        cwd=PROJECT,
        capture_output=True,
        text=True,
        env={"PATH": f"{tmp_path}:/usr/bin:/bin"},
    )
    (line,) = (each for each in done.stdout.splitlines() if "--torch-backend=auto" in each)
    assert ("--extra-index-url" in line) is not gpu
