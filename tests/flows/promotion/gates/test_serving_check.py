"""The model served by MLflow in a process of its own, as promotion demands."""

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import psutil
import pyarrow.parquet as pq

from flows.common.policy import PromotionPolicy
from flows.promotion import trial_server
from flows.promotion.gates import serving_check
from flows.promotion.version import evidence

LOOPS = Path("code", "dagmm_model", "kernels")
NOT_COMPILED = shutil.ignore_patterns("__pycache__")
POLICY = PromotionPolicy(max_latency_ms=20_000, max_memory_mb=8_000)


def test_what_is_served_is_queried_and_judged(parts, tmp_path):
    canary = json.loads((parts.files / evidence.CANARY).read_text())
    with trial_server.serving(parts.model, tmp_path, 240) as server:
        good = serving_check.serves_alike(server, canary, POLICY)
        assert good.passed, good.note
        figures = {each.name: each.value for each in good.figures}
        assert 400 <= figures["status of a malformed request"] < 500
        # The request of docs/scoring.md: the example that lies in every model's folder.
        example = (parts.model / "serving_input_example.json").read_bytes()
        status, answer = server.post(example)
        assert status == 200
        energies = [row["energy"] for row in answer["predictions"]]
        scored = pq.read_table(parts.files / evidence.ENERGIES).column("energy")
        np.testing.assert_allclose(energies, scored[: len(energies)].to_numpy(), rtol=1e-9)
        assert set(answer["predictions"][0]) == {"energy", "p_value", "is_anomaly", "threshold"}
        assert [row["is_anomaly"] for row in answer["predictions"]] == [
            row["energy"] > row["threshold"] for row in answer["predictions"]
        ]
        other = {**canary, "energy": [energy + 0.1 for energy in canary["energy"]]}
        assert "other energies" in serving_check.serves_alike(server, other, POLICY).note
        slow = POLICY.model_copy(update={"max_latency_ms": 0.001})
        assert "slower than" in serving_check.serves_alike(server, canary, slow).note
        large = POLICY.model_copy(update={"max_memory_mb": 1})
        actual = serving_check.serves_alike(server, canary, large)
        assert not actual.passed
        assert "larger than 1 MB" in actual.note
        members = psutil.Process(server.process.pid).children(recursive=True)
        assert members
    _, alive = psutil.wait_procs(members, timeout=300)
    assert [p for p in alive if p.status() != psutil.STATUS_ZOMBIE] == []
    assert server.process.poll() is not None


def test_a_waiting_process_serves_the_first_model_and_no_answer_in_time_fails(parts, tmp_path):
    canary = json.loads((parts.files / evidence.CANARY).read_text())
    model = Path(shutil.copytree(parts.model, tmp_path / "model", ignore=NOT_COMPILED))
    with waiting_process() as process:
        with trial_server.serving(model, tmp_path, 240) as server:
            given = compiled(model)
            assert server.process.pid == process.pid
            assert serving_check.serves_alike(server, canary, POLICY).passed
            assert given
            assert compiled(model) == given  # that process has compiled nothing itself
        with trial_server.serving(parts.model, tmp_path, 0.1) as second:
            assert second.process.pid != process.pid
            actual = serving_check.serves_alike(second, canary, POLICY)
    assert not actual.passed
    assert "no answer in time" in actual.note
    assert not process.is_running()


def test_loops_of_other_source_are_not_taken_for_those_that_are_compiled_here(parts, tmp_path):
    model = Path(shutil.copytree(parts.model, tmp_path / "model", ignore=NOT_COMPILED))
    with (model / LOOPS / "arithmetic.py").open("a") as source:
        source.write("# of another release\n")
    with waiting_process(), trial_server.serving(model, tmp_path, 240):
        assert not compiled(model)


def compiled(model: Path) -> set[str]:
    """Names of the compiled loops beside the code of a model."""
    return {file.name for file in (model / LOOPS).rglob("*.nbc")}


def test_a_waiting_process_that_nobody_needs_ends_with_its_block():
    with waiting_process() as process:
        assert process.is_running()
    assert not process.is_running()


def test_a_waiting_process_that_died_is_replaced(parts, tmp_path):
    canary = json.loads((parts.files / evidence.CANARY).read_text())
    with waiting_process() as process:
        process.kill()
        process.wait()
        with trial_server.serving(parts.model, tmp_path, 240) as server:
            assert serving_check.serves_alike(server, canary, POLICY).passed


@contextmanager
def waiting_process() -> Iterator[psutil.Process]:
    """The process of `trial_server.waiting`."""
    before = set(psutil.Process().children())
    with trial_server.waiting():
        [process] = set(psutil.Process().children()) - before
        yield process


def test_a_model_that_cannot_be_loaded_fails_with_the_reason(parts, tmp_path):
    broken = shutil.copytree(parts.model, tmp_path / "model")
    (broken / "artifacts" / "bundle" / "bundle.json").unlink()
    with trial_server.serving(broken, tmp_path, 120) as server:
        actual = serving_check.serves_alike(
            server, {"columns": [], "data": [], "energy": []}, POLICY
        )
    assert not actual.passed
    assert "the process ended" in actual.note
