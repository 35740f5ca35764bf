"""Files as spreadsheets leave them; errors that name line and column."""

import time

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from flows.common.errors import UsageError
from flows.verdicts.file import column_in_file, read_lines


def lines(tmp_path, content, name="verdicts.csv"):
    file = tmp_path / name
    file.write_bytes(content if isinstance(content, bytes) else content.encode())
    return read_lines(file)[1]


@pytest.mark.parametrize(
    "content",
    [
        "verdict,note\nAnomaly , gr\xfc\xdfe\n",
        "verdict;note\r\nANOMALY;gr\xfc\xdfe\r\n\r\n".encode("utf-8-sig"),
        "verdict\tnote\nanomaly\tgr\xfc\xdfe\n".encode("utf-16"),
        'verdict,note\n"anomaly","gr\xfc\xdfe"\n'.encode("cp1252"),
    ],
)
def test_every_spreadsheets_file_is_read(tmp_path, content):
    (line,) = lines(tmp_path, content)
    assert (line.word, line.cells["note"]) == ("anomaly", "gr\xfc\xdfe")


def test_lines_are_counted_as_an_editor_counts_them(tmp_path):
    actual = lines(tmp_path, 'note,verdict\n"two\nlines",normal\n,\nc,fine\n')
    assert [line.place for line in actual] == ["verdicts.csv, line 3", "verdicts.csv, line 5"]
    with pytest.raises(UsageError, match=r"line 5, column 'verdict': 'fine' is not one of anomaly"):
        _ = actual[1].word


def test_parquet_is_read_too(tmp_path):
    pq.write_table(
        pa.table({"verdict": ["normal", None], "row_id": [3, 4]}), tmp_path / "v.parquet"
    )
    actual = read_lines(tmp_path / "v.parquet")[1]
    assert [(line.word, line.row_id()) for line in actual] == [("normal", 3), (None, 4)]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("a,b\n1,2\n", "missing column 'verdict'"),
        ("verdict,verdict\nnormal,normal\n", "named twice: verdict"),
        ("verdict,a\nnormal,1,2\n", "line 2: 3 cells for 2 columns"),
        ("", "the file is empty"),
        ("\n", "missing column 'verdict'"),
    ],
)
def test_a_file_that_is_none(tmp_path, content, message):
    with pytest.raises(UsageError, match=message):
        lines(tmp_path, content)
    with pytest.raises(UsageError, match="no such file"):
        read_lines(tmp_path / "absent.csv")
    (tmp_path / "empty.parquet").touch()
    with pytest.raises(UsageError, match="the file is empty"):
        read_lines(tmp_path / "empty.parquet")
    (tmp_path / "not.parquet").write_text("x")
    with pytest.raises(UsageError, match="not a Parquet file"):
        read_lines(tmp_path / "not.parquet")


def test_times(tmp_path):
    given = "2026-01-31T14:30+01:00", "2026-01-31T13:30", "", "yesterday", "2999-01-01"
    actual = lines(tmp_path, "verdict,when\n" + "".join(f"normal,{text}\n" for text in given))
    now = time.time()
    assert actual[0].time(now) == actual[1].time(now) == 1769866200
    assert actual[2].time(now) == 0
    for line, why in ((actual[3], "is not a time"), (actual[4], "in the future")):
        with pytest.raises(UsageError, match=rf"column 'when': .*{why}"):
            line.time(now)


@pytest.mark.parametrize("text", ["-1", "1.5", "many"])
def test_row_ids(tmp_path, text):
    (line,) = lines(tmp_path, f"verdict,row_id\nnormal,{text}\n")
    with pytest.raises(UsageError, match="line 2, column 'row_id'"):
        line.row_id()


def test_a_tables_own_column_of_a_taken_name_stands_under_another():
    assert [column_in_file(name) for name in ("energy", "size")] == ["row.energy", "size"]
