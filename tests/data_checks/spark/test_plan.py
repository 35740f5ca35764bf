"""A table divided into tasks: every row once, under the number that a reader in order gives it."""

from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data_checks.base.errors import EngineError, SourceError
from data_checks.sources.reading import read_batches
from data_checks.spark import plan as planning
from data_checks.spark.plan import plan_tasks, read_task, rows_of
from tests.data_checks.conftest import small_contract, small_frame

CONTRACT = small_contract()


def write(folder: Path, frames: list[pd.DataFrame], group: int = 7) -> Path:
    folder.mkdir(exist_ok=True)
    for number, frame in enumerate(frames):
        frame.to_parquet(folder / f"{number:02d}.parquet", row_group_size=group, index=False)
    return folder


def read(plan, size=5):
    pieces = [piece for task in plan.tasks for piece in read_task(task, plan.columns, size)]
    rows = np.concatenate([np.arange(first, first + raw.num_rows) for first, raw in pieces])
    return rows, pa.Table.from_batches([raw for _, raw in pieces])


@settings(max_examples=25)
@given(
    sizes=st.lists(st.integers(0, 40), min_size=1, max_size=4).filter(any),
    group=st.integers(1, 50),
    cores=st.integers(1, 8),
    smallest=st.integers(1, 30),
)
def test_all_rows_once_and_in_order(tmp_path_factory, sizes, group, cores, smallest):
    folder = tmp_path_factory.mktemp("table")
    write(folder, [small_frame(40, seed).head(rows) for seed, rows in enumerate(sizes)], group)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(planning, "SMALLEST_TASK_ROWS", smallest)
        plan = plan_tasks(CONTRACT, str(folder), cores)
    rows, table = read(plan)
    assert rows.tolist() == list(range(sum(sizes)))
    assert table.equals(pa.Table.from_batches(list(read_batches(CONTRACT, str(folder)))))
    most = max(smallest, -(-sum(sizes) // (planning.TASKS_A_CORE * cores)))
    assert all(0 < rows_of(task) <= most for task in plan.tasks)


def test_a_plan_tells_when_a_file_changed(tmp_path):
    folder = write(tmp_path / "table", [small_frame(20, 0), small_frame(20, 1)])
    plan = plan_tasks(CONTRACT, str(folder), 2)
    plan.check_unchanged()
    assert plan.digest == plan_tasks(CONTRACT, str(folder), 2).digest
    small_frame(20, 2).to_parquet(folder / "01.parquet", index=False)
    assert plan.digest != plan_tasks(CONTRACT, str(folder), 2).digest
    with pytest.raises(SourceError, match=r"01\.parquet: the file changed"):
        plan.check_unchanged()


def test_a_file_that_shrank_is_not_taken_for_a_shorter_table(tmp_path):
    folder = write(tmp_path / "table", [small_frame(20, 0)])
    plan = plan_tasks(CONTRACT, str(folder), 1)
    small_frame(12).to_parquet(folder / "00.parquet", index=False)
    with pytest.raises(SourceError, match="rows are missing"):
        read(plan)


def test_a_truncated_part_is_named_before_anything_runs(tmp_path):
    folder = write(tmp_path / "table", [small_frame(20, seed) for seed in range(3)])
    whole = (folder / "01.parquet").read_bytes()
    (folder / "01.parquet").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(SourceError, match=r"01\.parquet: not a readable Parquet file"):
        plan_tasks(CONTRACT, str(folder), 2)


def test_a_damaged_page_is_named_by_the_task_that_meets_it(tmp_path):
    folder = write(tmp_path / "table", [small_frame(2_000, seed) for seed in range(2)], 1_000)
    file = folder / "01.parquet"
    whole = bytearray(file.read_bytes())
    whole[4:2_000] = bytes(1_996)
    file.write_bytes(whole)
    plan = plan_tasks(CONTRACT, str(folder), 2)
    with pytest.raises(SourceError, match=r"01\.parquet: not a readable Parquet file"):
        read(plan)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda f: f.astype({"amount": str}), "column 'amount' is .*, in a file before it is"),
        (lambda f: f.drop(columns="fee"), "missing column 'fee'"),
        (lambda f: f.assign(more=1), "column 'more' is not in the contract"),
    ],
    ids=["type", "missing", "extra"],
)
def test_parts_with_different_schemas_are_refused(tmp_path, change, message):
    folder = write(tmp_path / "table", [small_frame(20, 0), change(small_frame(20, 1))])
    with pytest.raises(SourceError, match=rf"01\.parquet: {message}"):
        plan_tasks(CONTRACT, str(folder), 2)


def test_what_is_not_parquet_is_refused(tmp_path):
    small_frame().to_csv(tmp_path / "small.csv", index=False)
    with pytest.raises(EngineError, match=r"divides Parquet .* this is csv"):
        plan_tasks(CONTRACT, str(tmp_path / "small.csv"), 2)


def test_no_rows_are_no_tasks(tmp_path):
    folder = write(tmp_path / "table", [small_frame(20).iloc[:0]])
    assert pq.read_metadata(folder / "00.parquet").num_rows == 0
    assert plan_tasks(CONTRACT, str(folder), 2).tasks == ()
