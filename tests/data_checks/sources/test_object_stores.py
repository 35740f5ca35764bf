"""Tables behind s3:// and gs://, read from servers on loopback that speak those protocols."""

from __future__ import annotations

import io
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import gcsfs
import pandas as pd
import pytest
import s3fs
from gcp_storage_emulator.server import create_server
from moto.server import ThreadedMotoServer

from data_checks.base.errors import MissingDataError, UnreachableError
from data_checks.drafting.drafting import draft_contract
from data_checks.sources.sources import ingest
from tests.data_checks.conftest import small_contract, small_frame

Upload = Callable[[str, bytes], str]
SECRET = "not-to-be-shown"


@pytest.fixture(params=["s3", "gs"])
def store(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Upload]:
    """Puts an object into the bucket `tables` and returns its URL."""
    yield from (_s3 if request.param == "s3" else _gs)(monkeypatch)


def _s3(monkeypatch: pytest.MonkeyPatch) -> Iterator[Upload]:
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://{host}:{port}")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "someone")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
    monkeypatch.setenv("AWS_REGION", "us-east-1")
    s3fs.S3FileSystem.clear_instance_cache()
    s3fs.S3FileSystem().mkdir("tables")

    def upload(name: str, content: bytes) -> str:
        s3fs.S3FileSystem().pipe_file(f"tables/{name}", content)
        return f"s3://tables/{name}"

    yield upload
    s3fs.S3FileSystem.clear_instance_cache()
    reset = urllib.request.Request(f"http://{host}:{port}/moto-api/reset", method="POST")
    urllib.request.urlopen(reset).close()
    server.stop()


def _gs(monkeypatch: pytest.MonkeyPatch) -> Iterator[Upload]:
    server = create_server("127.0.0.1", 0, in_memory=True, default_bucket="tables")
    server.start()
    address = f"http://127.0.0.1:{server._api._httpd.server_address[1]}"
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", address)
    monkeypatch.setenv("GCSFS_EXPERIMENTAL_ZB_HNS_SUPPORT", "false")
    gcsfs.GCSFileSystem.clear_instance_cache()

    def upload(name: str, content: bytes) -> str:
        query = urllib.parse.urlencode({"uploadType": "media", "name": name})
        url = f"{address}/upload/storage/v1/b/tables/o?{query}"
        urllib.request.urlopen(urllib.request.Request(url, data=content, method="POST")).close()
        return f"gs://tables/{name}"

    yield upload
    gcsfs.GCSFileSystem.clear_instance_cache()
    server.stop()


def parquet_bytes(frame: pd.DataFrame) -> bytes:
    buffer = io.BytesIO()
    frame.to_parquet(buffer, index=False)
    return buffer.getvalue()


def test_a_remote_table_is_the_local_one(store: Upload, tmp_path: Path) -> None:
    frame = small_frame(40)
    frame.to_csv(tmp_path / "local.csv", index=False)
    csv = store("small.csv", (tmp_path / "local.csv").read_bytes())
    store("parts/a.parquet", parquet_bytes(frame.iloc[:25]))
    part = store("parts/b.parquet", parquet_bytes(frame.iloc[25:]))
    folder = part.rpartition("/")[0]

    def read(data: str, **changes: object) -> pd.DataFrame:
        contract = small_contract(**changes)
        record = ingest(contract, tmp_path / "t.parquet", data=data, data_dir=tmp_path)
        return pd.read_parquet(record.path)

    expected = read(str(tmp_path / "local.csv"))
    parquet = {"source": {"kind": "parquet"}}
    for table in (read(csv), read(folder, **parquet), read(f"{folder}/*.parquet", **parquet)):
        pd.testing.assert_frame_equal(table, expected)


def test_a_contract_is_drafted_from_a_remote_table(store: Upload, tmp_path: Path) -> None:
    url = store("small.csv", small_frame(40).to_csv(index=False).encode())
    assert "fee" in [column.name for column in draft_contract(url).contract.columns]


def test_an_absent_object_is_named(store: Upload, tmp_path: Path) -> None:
    url = store("small.csv", b"a,b\n").replace("small", "other")
    with pytest.raises(MissingDataError, match=f"{url}: no such file"):
        ingest(small_contract(), tmp_path / "t.parquet", data=url, data_dir=tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_no_server_and_no_credentials_are_one_clear_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused() -> str:
        s3fs.S3FileSystem.clear_instance_cache()
        with pytest.raises(UnreachableError, match=r"s3://tables/small\.csv: cannot") as error:
            ingest(
                small_contract(),
                tmp_path / "t.parquet",
                data="s3://tables/small.csv",
                data_dir=tmp_path,
            )
        assert SECRET not in str(error.value)
        return str(error.value)

    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    monkeypatch.delenv("AWS_ACCESS_KEY_ID", raising=False)
    assert "credentials" in refused()
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "someone")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    assert "127.0.0.1:9" in refused()
