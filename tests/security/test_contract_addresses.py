"""A contract, or an address on the command line, that reaches for more than its data."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import yaml

from data_checks.base.errors import ContractError, DataError, SourceError
from data_checks.contract.model import load_contract
from data_checks.drafting.drafting import draft_contract
from data_checks.readers.opening import open_url, url_filesystem
from data_checks.sources.reading import locate
from data_checks.sources.sources import ingest
from flows.common.errors import UsageError
from flows.common.settings import Settings
from flows.scoring.output.choice import output_for
from tests.data_checks.conftest import small_contract, small_frame

SECRET = "the-readers-password"


class Listener(ThreadingHTTPServer):
    """A web server that keeps what it is asked for and offers an fsspec reference file."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.asked: list[str] = []

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class Handler(BaseHTTPRequestHandler):
    server: Listener

    def do_GET(self) -> None:
        self.server.asked.append(self.path)
        secret = "{{f.__globals__[os].environ[PGPASSWORD]}}"
        table = [f"{self.server.address}/{secret}"]
        content = {"version": 1, "templates": {"f": "{{os}}"}, "refs": {"data.csv": table}}
        body = json.dumps(content).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_HEAD = do_GET

    def log_message(self, *args: object) -> None:
        return


@pytest.fixture(scope="module")
def server() -> Iterator[Listener]:
    server = Listener()
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()


@pytest.fixture
def listener(server: Listener, monkeypatch: pytest.MonkeyPatch) -> Listener:
    monkeypatch.setenv("PGPASSWORD", SECRET)
    server.asked.clear()
    return server


ADDRESSES = (
    "reference://data.csv::{web}/refs.json",
    "REFERENCE://data.csv::{web}/refs.json",
    "simplecache::{web}/t.csv",
    "blockcache::{web}/t.parquet",
    "zip://t.csv::{web}/t.zip",
    "s3://bucket/t.csv::{web}/t.csv",
    "file:///tmp/t.csv::{web}/t.csv",
    "{web}/t.csv",
    "{web}/t.parquet",
    "{web}/t.mat",
    "HTTP://127.0.0.1/t.csv",
    "jar://t.csv",
    "ftp://127.0.0.1/t.csv",
    "sftp://127.0.0.1/t.csv",
    "github://owner:repo@/t.csv",
    "memory://t.csv",
    "data://t.csv",
    "file://elsewhere/t.csv",
    "://t.csv",
)


@pytest.mark.parametrize("kind", ["csv", "parquet", "mat"])
@pytest.mark.parametrize("address", ADDRESSES)
def test_no_contract_and_no_argument_reaches_another_protocol(
    tmp_path: Path, listener: Listener, address: str, kind: str
) -> None:
    file = address.format(web=listener.address)
    path = tmp_path / "contract.yaml"
    data = small_contract().model_dump(mode="json", exclude_defaults=True)
    path.write_text(yaml.safe_dump({**data, "source": {"kind": kind, "file": file}}))
    with pytest.raises(ContractError, match=r"line \d+: 'source.*\.file'"):
        load_contract(path)
    contract = small_contract(source={"kind": kind})
    query = small_contract(source={"kind": "sql", "url": "sqlite:///t.db", "query": "SELECT 1"})
    out = tmp_path / "out" / "t.parquet"
    for reach in (
        lambda: locate(contract, file, tmp_path),
        lambda: ingest(contract, out, data=file, data_dir=tmp_path),
        lambda: ingest(query, out, data=file, data_dir=tmp_path),
        lambda: draft_contract(file),
        lambda: url_filesystem(file),
        lambda: open_url(file),
    ):
        with pytest.raises(DataError) as caught:
            reach()
        assert "\n" not in str(caught.value)
        assert SECRET not in str(caught.value)
    assert listener.asked == []
    assert not out.exists()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A data folder, and beside it a table that does not belong to it."""
    folder = tmp_path / "data"
    folder.mkdir()
    small_frame().to_csv(tmp_path / "outside.csv", index=False)
    (tmp_path / "elsewhere").mkdir()
    small_frame().to_parquet(tmp_path / "elsewhere" / "outside.parquet")
    (folder / "link.csv").symlink_to(tmp_path / "outside.csv")
    (folder / "door").symlink_to(tmp_path / "elsewhere")
    (folder / "parts").mkdir()
    (folder / "parts" / "a.parquet").symlink_to(tmp_path / "elsewhere" / "outside.parquet")
    return folder


@pytest.mark.parametrize(
    ("kind", "file"),
    [
        ("csv", "{root}/outside.csv"),
        ("csv", "../outside.csv"),
        ("csv", "file://{root}/outside.csv"),
        ("csv", "file:///../{root}/outside.csv"),
        ("csv", "FILE://{root}/outside.csv"),
        ("csv", "file://localhost{root}/outside.csv"),
        ("csv", "file://{root}/%6futside.csv"),
        ("csv", "local://{root}/outside.csv"),
        ("csv", "link.csv"),
        ("parquet", "door"),
        ("parquet", "door/outside.parquet"),
        ("parquet", "d*/outside.parquet"),
        ("parquet", "d*/*.parquet"),
        ("parquet", "**/*.parquet"),
        ("parquet", "parts"),
        ("parquet", "parts/*.parquet"),
        ("parquet", "../elsewhere"),
        ("parquet", "file://{root}/elsewhere/*.parquet"),
    ],
)
def test_a_confined_contract_does_not_leave_the_data_folder(
    folder: Path, kind: str, file: str
) -> None:
    named = file.format(root=folder.parent)
    with pytest.raises(SourceError, match="leaves the data folder"):
        locate(small_contract(source={"kind": kind, "file": named}), None, folder)
    free = small_contract(source={"kind": kind, "file": named, "confined": False})
    record = ingest(free, folder.parent / "out" / "t.parquet", data_dir=folder)
    assert record.rows % 30 == 0


@pytest.mark.parametrize("kind", ["csv", "parquet", "mat"])
def test_a_name_that_leads_nowhere_is_an_error_in_one_sentence(tmp_path: Path, kind: str) -> None:
    """A circle of links, a zero byte; a pipe, which could be waited for without an end."""
    (tmp_path / "circle").symlink_to("circle")
    os.mkfifo(tmp_path / "pipe")
    out = tmp_path / "out" / "t.parquet"
    for file in ("circle", "pipe"):
        contract = small_contract(source={"kind": kind, "file": file})
        with pytest.raises(SourceError, match=file) as caught:
            ingest(contract, out, data_dir=tmp_path)
        assert "\n" not in str(caught.value)
    for file in ("zero\0", f"file://{tmp_path}/zero%00"):
        with pytest.raises(SourceError, match="zero byte"):
            ingest(contract, out, data=file, data_dir=tmp_path)
    for pipe in ("pipe", "pipe.parquet", "pipe.mat", "pipe.csv.gz"):
        if pipe != "pipe":
            os.mkfifo(tmp_path / pipe)
        with pytest.raises(SourceError, match="not a file"):
            draft_contract(tmp_path / pipe)


@pytest.mark.parametrize("address", [a for a in ADDRESSES if "{web}" in a] + ["s3://b/out.parquet"])
def test_scores_are_not_written_to_an_address_of_files(
    tmp_path: Path, listener: Listener, address: str
) -> None:
    output = address.format(web=listener.address)
    for table in (None, "scores"):
        with pytest.raises(UsageError, match="local files"):
            output_for(output, table, Settings(DAGMM_HOME=tmp_path))
    assert listener.asked == []
