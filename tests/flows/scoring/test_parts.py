"""Parts of a result on disk."""

import io

import pyarrow as pa
import pyarrow.csv as pacsv
import pytest

from flows.scoring.filling.parts import write_part
from flows.scoring.filling.plain import write_rows_csv
from flows.scoring.rows import SCORED, JudgedPart
from tests.flows.scoring.test_fdr import part


def nothing_scored() -> JudgedPart:
    some = part([1.0])
    return JudgedPart(some.scored.slice(0, 0), some.rejected, some.counts)


@pytest.mark.parametrize("empty", [0, 1, 2])
def test_a_slice_of_which_nothing_is_scored_leaves_the_csv_whole(tmp_path, empty):
    slices = [part([1.0, 2.0]), part([3.0])]
    slices.insert(empty, nothing_scored())
    write_part(tmp_path, 0, ".csv", slices)
    options = pacsv.ReadOptions(column_names=SCORED.names)
    actual = pacsv.read_csv(tmp_path / "part-000000-scored.csv", options)
    assert actual.column("energy").to_pylist() == [1.0, 2.0, 3.0]
    assert actual.column("reasons").to_pylist() == ["a 60%"] * 3


def test_empty_pieces_write_nothing():
    schema = pa.schema({"text": pa.string(), "number": pa.float64()})
    target = io.BytesIO()
    write_rows_csv(pa.concat_tables([schema.empty_table()] * 2), target)
    assert target.getvalue() == b""
