from __future__ import annotations

import gzip
import hashlib
import os
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any, ClassVar

import fsspec
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from scipy.io import savemat

from data_checks.base import locations
from data_checks.base.errors import ChecksumError, MissingDataError, SourceError, UnreachableError
from data_checks.contract.model import Contract, load_contract
from data_checks.drafting.drafting import draft_contract
from data_checks.sources.integrity import download, file_sha256
from data_checks.sources.reading import locate, read_batches
from data_checks.sources.sources import ingest
from tests.data_checks.conftest import small_contract, small_frame


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def rows_of(path: str | Path) -> pd.DataFrame:
    return pq.read_table(path).to_pandas()


def test_a_bundled_table_needs_no_file(tmp_path: Path) -> None:
    record = ingest(load_contract("wdbc"), tmp_path / "t.parquet", data_dir=tmp_path)
    table = rows_of(record.path)
    assert (record.rows, record.columns) == (569, 30)
    assert table["__anomaly__"].sum() == (table["diagnosis"] == "malignant").sum() == 212
    assert table["row_id"].tolist() == list(range(569))
    assert record.sha256 == file_sha256(tmp_path / "t.parquet")


@pytest.mark.parametrize(
    ("name", "rows", "anomalies"),
    [
        ("thyroid", 3772, 93),
        ("arrhythmia", 452, 66),
        ("kddcup", 494_021, 97_278),
        ("kddcup_rev", 121_597, 24_319),
    ],
)
def test_the_published_files_give_the_papers_counts(
    tmp_path: Path, data_dir: Path, name: str, rows: int, anomalies: int
) -> None:
    record = ingest(load_contract(name), tmp_path / "t.parquet", data_dir=data_dir)
    flags = pq.read_table(record.path, columns=["__anomaly__", "__unparsed__"])
    assert record.rows == rows
    assert int(np.sum(flags.column(0).to_numpy())) == anomalies
    assert flags.column(1).null_count == rows


def test_sampling_keeps_the_other_class_whole_and_is_seeded(
    tmp_path: Path, write_csv: Callable
) -> None:
    write_csv(small_frame(100))
    records = []
    for seed, name in ((0, "a"), (0, "b"), (1, "c")):
        contract = small_contract(sample={"of": "normal", "rows": 20, "seed": seed})
        records.append(ingest(contract, tmp_path / f"{name}.parquet", data_dir=tmp_path))
    tables = [rows_of(record.path) for record in records]
    bad = [i for i in range(100) if i % 7 == 3]
    for table in tables:
        assert table.loc[table["__anomaly__"] == 1, "row_id"].tolist() == bad
        assert (table["__anomaly__"] == 0).sum() == 20
        assert table["row_id"].is_monotonic_increasing
    assert records[0].sha256 == records[1].sha256 != records[2].sha256


@pytest.mark.parametrize("ending", ["csv", "csv.gz", "csv.bz2", "csv.zst"])
def test_compressed_text_gives_the_same_rows(tmp_path: Path, ending: str) -> None:
    text = small_frame().to_csv(index=False).encode()
    codec = {"gz": "gzip", "bz2": "bz2", "zst": "zstd"}.get(ending.split(".")[-1])
    path = tmp_path / f"x.{ending}"
    with pa.output_stream(str(path), compression=codec) as stream:
        stream.write(text)
    plain = tmp_path / "plain.csv"
    plain.write_bytes(text)
    for name, source in (("a", path), ("b", plain)):
        ingest(small_contract(), tmp_path / f"{name}.parquet", data=source, data_dir=tmp_path)
    pd.testing.assert_frame_equal(rows_of(tmp_path / "a.parquet"), rows_of(tmp_path / "b.parquet"))


@pytest.mark.parametrize(
    ("source", "options", "encoding"),
    [
        ({"delimiter": ";"}, {"sep": ";"}, "utf-8"),
        ({"delimiter": "\t", "quote": "'"}, {"sep": "\t", "quotechar": "'", "quoting": 1}, "utf-8"),
        ({"encoding": "latin-1"}, {}, "latin-1"),
        ({"header": False}, {"header": False}, "utf-8"),
        ({}, {}, "utf-8-sig"),
    ],
)
def test_dialects(tmp_path: Path, source: dict, options: dict, encoding: str) -> None:
    frame = small_frame()
    frame.loc[0, "id"] = "größe, breite; höhe"
    (tmp_path / "small.csv").write_bytes(frame.to_csv(index=False, **options).encode(encoding))
    contract = small_contract(source={"kind": "csv", "file": "small.csv", **source})
    actual = rows_of(ingest(contract, tmp_path / "t.parquet", data_dir=tmp_path).path)
    assert actual["id"].tolist() == frame["id"].tolist()
    assert actual["amount"].tolist() == frame["amount"].tolist()


def test_the_order_of_named_columns_does_not_matter(tmp_path: Path, write_csv: Callable) -> None:
    frame = small_frame()
    write_csv(frame[sorted(frame.columns, reverse=True)])
    actual = rows_of(ingest(small_contract(), tmp_path / "t.parquet", data_dir=tmp_path).path)
    assert actual.columns[:6].tolist() == frame.columns[:6].tolist()
    assert actual["fee"].tolist() == frame["fee"].tolist()


def test_parquet_file_folder_and_glob_agree(tmp_path: Path) -> None:
    frame = small_frame(40)
    folder = tmp_path / "parts"
    folder.mkdir()
    for i in range(4):
        frame.iloc[10 * i : 10 * i + 10].to_parquet(folder / f"p{i}.parquet", index=False)
    frame.assign(more=1).to_parquet(tmp_path / "one.parquet", index=False)
    contract = small_contract(source={"kind": "parquet"}, extra_columns="ignore")
    tables = [
        rows_of(ingest(contract, tmp_path / "t" / "t.parquet", data=data, data_dir=tmp_path).path)
        for data in (tmp_path / "one.parquet", folder, f"{folder}/p*.parquet", f"file://{folder}")
    ]
    for table in tables[1:]:
        pd.testing.assert_frame_equal(table, tables[0])


def test_files_of_an_object_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(locations.STORES, "memory", None)
    content = gzip.compress(small_frame().to_csv(index=False).encode())
    with fsspec.open("memory://bucket/small.csv.gz", "wb") as file:
        file.write(content)
    data = "memory://bucket/small.csv.gz"
    assert ingest(small_contract(), tmp_path / "t.parquet", data=data, data_dir=tmp_path).rows == 30
    for digest, right in ((hashlib.sha256(content).hexdigest(), True), ("0" * 64, False)):
        contract = small_contract(source={"kind": "csv", "file": data, "sha256": digest})
        if right:
            assert ingest(contract, tmp_path / "t.parquet", data_dir=tmp_path).rows == 30
        else:
            with pytest.raises(ChecksumError, match="memory://bucket"):
                ingest(contract, tmp_path / "v.parquet", data_dir=tmp_path)
    with pytest.raises(MissingDataError, match=r"memory://bucket/none\.csv"):
        ingest(
            small_contract(),
            tmp_path / "u.parquet",
            data="memory://bucket/none.csv",
            data_dir=tmp_path,
        )


def test_a_contract_may_name_its_file_by_an_address(tmp_path: Path, write_csv: Callable) -> None:
    path = write_csv(small_frame(), "a b.csv")
    for file in (f"file://{path}", path.as_uri(), f"FILE://localhost{path}"):
        contract = small_contract(source={"kind": "csv", "file": file})
        assert locate(contract, None, tmp_path) == str(path)


def test_a_database_of_a_contract_without_a_query_is_told_what_it_needs(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"postgresql://.*source\.kind: sql and source\.query"):
        locate(small_contract(), "postgresql://localhost/plant", tmp_path)


def test_matlab_labels_become_levels(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    savemat(tmp_path / "m.mat", {"X": rng.uniform(size=(20, 2)), "y": np.arange(20)[:, None] % 2.0})
    contract = small_contract(
        source={"kind": "mat", "file": "m.mat"},
        columns=[{"name": n, "type": "numeric"} for n in "ab"],
        label={"column": "l", "normal": ["0"], "anomalous": ["1"]},
        rules=[],
    )
    actual = rows_of(ingest(contract, tmp_path / "t.parquet", data_dir=tmp_path).path)
    assert actual["l"].tolist() == ["0", "1"] * 10
    assert actual["__anomaly__"].tolist() == [0, 1] * 10


def test_ignored_columns_are_not_read(tmp_path: Path, write_csv: Callable) -> None:
    write_csv(small_frame())
    columns = [c.model_dump() for c in small_contract().columns]
    columns[0] = {"name": "id", "type": "ignored"}
    contract = small_contract(columns=columns)
    assert "id" not in rows_of(ingest(contract, tmp_path / "t.parquet", data_dir=tmp_path).path)


def test_a_missing_file_is_named_with_its_publisher_and_place(tmp_path: Path) -> None:
    with pytest.raises(MissingDataError) as caught:
        ingest(load_contract("thyroid"), tmp_path / "t.parquet", data_dir=tmp_path)
    for word in ("thyroid.mat", "ODDS", str(tmp_path / "thyroid.mat"), "DAGMM_DATA_DIR"):
        assert word in str(caught.value)


def test_a_file_of_the_users_own_is_not_held_to_the_pinned_checksum(
    tmp_path: Path, write_csv: Callable
) -> None:
    path = write_csv(small_frame(), "other.csv")
    pinned = {"kind": "csv", "file": "small.csv", "sha256": "0" * 64}
    contract = small_contract(source=pinned)
    assert ingest(contract, tmp_path / "t.parquet", data=path, data_dir=tmp_path).rows == 30
    path.rename(tmp_path / "small.csv")
    with pytest.raises(ChecksumError, match="sha256"):
        ingest(contract, tmp_path / "t.parquet", data_dir=tmp_path)


def test_a_failed_ingest_leaves_the_older_table(tmp_path: Path, write_csv: Callable) -> None:
    write_csv(small_frame())
    out = tmp_path / "out" / "t.parquet"
    ingest(small_contract(), out, data_dir=tmp_path)
    before = file_sha256(out)
    with (tmp_path / "small.csv").open("a") as file:
        file.write("only,two\n")
    with pytest.raises(SourceError, match="row 32"):
        ingest(small_contract(), out, data_dir=tmp_path)
    assert file_sha256(out) == before
    assert names(out.parent) == ["t.parquet"]


class Files(BaseHTTPRequestHandler):
    content: ClassVar[bytes] = b""
    cut: ClassVar[int | None] = None
    ranges: ClassVar[bool] = True
    requests: ClassVar[list[str | None]] = []

    def do_GET(self) -> None:
        asked = self.headers.get("Range")
        type(self).requests.append(asked)
        if self.path == "/gone":
            self.send_error(404)
            return
        start = int(asked.removeprefix("bytes=").rstrip("-")) if asked and self.ranges else 0
        body = self.content[start:]
        self.send_response(206 if start else 200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body if self.cut is None else body[: self.cut])

    def log_message(self, *args: Any) -> None:
        return


@pytest.fixture
def server() -> Any:
    Files.content = os.urandom(3_000_000)
    Files.cut, Files.ranges, Files.requests = None, True, []
    httpd = HTTPServer(("127.0.0.1", 0), Files)
    thread = threading.Thread(target=httpd.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{httpd.server_port}/file"
    httpd.shutdown()
    httpd.server_close()


@pytest.mark.parametrize("ranges", [True, False])
def test_a_broken_download_is_continued(tmp_path: Path, server: str, ranges: bool) -> None:
    digest = hashlib.sha256(Files.content).hexdigest()
    target = tmp_path / "cache" / "file"
    Files.cut = 1_000_000
    with pytest.raises(UnreachableError, match="same command continues"):
        download(server, target, digest)
    assert not target.exists()
    Files.cut, Files.ranges = None, ranges
    assert download(server, target, digest).read_bytes() == Files.content
    assert Files.requests == [None, "bytes=1000000-"]
    download(server, target, digest)
    assert len(Files.requests) == 2
    assert names(target.parent) == ["file"]


def test_a_download_with_another_content_is_not_kept(tmp_path: Path, server: str) -> None:
    with pytest.raises(ChecksumError, match="removed"):
        download(server, tmp_path / "file", "0" * 64)
    assert names(tmp_path) == []


def test_download_failures_are_told_apart(tmp_path: Path, server: str) -> None:
    with pytest.raises(UnreachableError, match="404"):
        download(server.replace("/file", "/gone"), tmp_path / "file", "0" * 64)
    with pytest.raises(UnreachableError):
        download("http://127.0.0.1:9/file", tmp_path / "file", "0" * 64)
    with pytest.raises(SourceError, match="only http"):
        download("file:///etc/passwd", tmp_path / "file", "0" * 64)
    assert issubclass(UnreachableError, ConnectionError)


def test_a_contract_downloads_only_when_allowed(tmp_path: Path, server: str) -> None:
    Files.content = small_frame().to_csv(index=False).encode()
    digest = hashlib.sha256(Files.content).hexdigest()
    contract = small_contract(
        source={"kind": "csv", "file": "s.csv", "url": server, "sha256": digest}
    )
    with pytest.raises(MissingDataError, match="--download"):
        ingest(contract, tmp_path / "t.parquet", data_dir=tmp_path / "cache")
    assert Files.requests == []
    record = ingest(
        contract, tmp_path / "t.parquet", data_dir=tmp_path / "cache", allow_download=True
    )
    assert (record.rows, record.source_sha256) == (30, digest)


@pytest.mark.parametrize(
    ("header", "with_label"), [(True, True), (True, False), (False, True), (False, False)]
)
def test_rows_to_be_scored_may_lack_the_label(
    tmp_path: Path, header: bool, with_label: bool
) -> None:
    label = {"column": "label", "normal": ["good"], "anomalous": ["bad"], "position": 2}
    source = {"kind": "csv", "file": "small.csv", "header": header}
    contract = small_contract(source=source, label=label)
    frame = small_frame()[list(contract.source_names)]
    assert contract.source_names[2] == "label"
    if not with_label:
        frame = frame.drop(columns="label")
    frame.to_csv(tmp_path / "small.csv", index=False, header=header)
    location = str(tmp_path / "small.csv")
    actual = pa.Table.from_batches(read_batches(contract, location, with_label=False)).to_pandas()
    assert actual.columns.tolist() == [column.name for column in contract.feature_columns]
    assert actual["kind"].tolist() == frame["kind"].tolist()
    if with_label:
        table = rows_of(ingest(contract, tmp_path / "t.parquet", data_dir=tmp_path).path)
        assert table["label"].tolist() == frame["label"].tolist()


@pytest.mark.parametrize("data", ["sklearn:wine", "sklearn:nothing", "sklearn:", "sklearn:../x"])
def test_a_table_of_scikit_learn_is_read_by_its_own_contract_only(tmp_path, data):
    own = Contract.model_validate(
        {
            "name": "own",
            "source": {"kind": "sklearn", "dataset": "iris"},
            "columns": [{"name": "sepal length (cm)", "type": "numeric"}],
            "extra_columns": "ignore",
        }
    )
    for contract in (small_contract(), own):
        with pytest.raises(SourceError, match="give a file") as caught:
            ingest(contract, tmp_path / "t.parquet", data=data, data_dir=tmp_path)
        assert str(caught.value).startswith(data)
    assert ingest(own, tmp_path / "t.parquet", data="sklearn:iris", data_dir=tmp_path).rows == 150


def test_text_of_several_lines_is_a_value_and_a_swallowed_row_is_not(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    rows = [f'{i},"seen by {"ab"[i % 2]}\nat night, again",{i / 7:.3f}' for i in range(40)]
    path.write_text("\n".join(["id,note,p", *rows]))
    contract = draft_contract(path).contract
    assert ingest(contract, tmp_path / "out", data_dir=tmp_path).rows == 40
    assert contract.columns[1].vocabulary == (
        "seen by a\nat night, again",
        "seen by b\nat night, again",
    )
    swallowed = '40,"seen by a,.3\n41,seen by b",.5'
    path.write_text("\n".join(["id,note,p", *rows, swallowed]))
    with pytest.raises(SourceError, match=r"row 40 .*'note' runs over several lines.*never closed"):
        ingest(contract, tmp_path / "out", data_dir=tmp_path)


def test_numbers_of_several_widths_in_the_files_of_a_folder(tmp_path: Path) -> None:
    folder = tmp_path / "parts"
    folder.mkdir()
    levels = [f"level {i % 2}" for i in range(20)]
    pd.DataFrame({"a": range(20), "c": levels}).to_parquet(folder / "1.parquet")
    gaps = pd.DataFrame({"a": [None, *range(19)], "c": pd.Categorical(levels)})
    gaps.astype({"a": "float32"}).to_parquet(folder / "2.parquet")
    contract = draft_contract(folder).contract
    ingested = ingest(contract, tmp_path / "out", data_dir=tmp_path)
    assert ingested.rows == 40
    values = rows_of(tmp_path / "out")["a"]
    assert values.isna().sum() == 1
    assert values.sum() == 190 + 171
