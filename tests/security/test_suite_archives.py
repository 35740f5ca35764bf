"""Archives of a benchmark suite that are no tables: they end in one message, and fill no disk."""

import io
import zipfile

import numpy as np
import pytest

from flows.benchmarking import suite
from flows.benchmarking.protocols import Limits
from flows.benchmarking.suite import prepare_table
from flows.common.errors import UsageError

LIMITS = Limits(50)


def npy(array) -> bytes:
    out = io.BytesIO()
    np.save(out, array, allow_pickle=True)
    return out.getvalue()


GOOD = {"X.npy": npy(np.ones((4, 2))), "y.npy": npy(np.array([0, 0, 0, 1]))}


def write(path, members: dict[str, bytes], method=zipfile.ZIP_DEFLATED):
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return path


def refused(file, tmp_path) -> str:
    with pytest.raises(UsageError, match=file.name) as message:
        prepare_table(file, tmp_path / "work", LIMITS)
    assert "\n" not in str(message.value)
    return str(message.value)


def test_an_archive_that_unpacks_to_more_than_the_disk_holds_is_not_unpacked(tmp_path, monkeypatch):
    rows = npy(np.zeros((250_000, 8)))  # 16 MB, of 16 kB
    file = write(tmp_path / "bomb.npz", {**GOOD, "X.npy": rows})
    assert file.stat().st_size < 50_000
    usage = suite.shutil.disk_usage(tmp_path)
    monkeypatch.setattr(suite.shutil, "disk_usage", lambda _: usage._replace(free=100_000_000))
    assert "unpacked it takes" in refused(file, tmp_path)
    remaining = sum(path.stat().st_size for path in (tmp_path / "work").rglob("*"))
    assert remaining < 1_000_000


def test_an_archive_gives_no_more_than_it_announces(tmp_path, monkeypatch):
    """The size in the directory of an archive is a claim of whoever made it."""
    file = write(tmp_path / "lie.npz", {**GOOD, "X.npy": npy(np.zeros((250_000, 8)))})
    honest = zipfile.ZipFile.getinfo

    def lying(self, name):
        info = honest(self, name)
        info.file_size = min(info.file_size, 200)
        return info

    monkeypatch.setattr(zipfile.ZipFile, "getinfo", lying)
    refused(file, tmp_path)
    remaining = sum(path.stat().st_size for path in (tmp_path / "work").rglob("*"))
    assert remaining < 1_000_000


@pytest.mark.parametrize(
    "members",
    [
        {**GOOD, "X.npy": npy(np.array([[{}]], dtype=object))},  # a pickle
        {**GOOD, "y.npy": npy(np.array([print], dtype=object))},
        {**GOOD, "y.npy": npy(np.zeros(3_000_000, np.int8))},
        {**GOOD, "X.npy": b"\x93NUMPY\x01\x00v\x00{'descr': '<f8', 'shape': (9**9, 9)}"},
        {**GOOD, "X.npy": b"no array"},
        {"../X.npy": GOOD["X.npy"], "y.npy": GOOD["y.npy"]},
        {"/etc/X.npy": GOOD["X.npy"], "y.npy": GOOD["y.npy"]},
    ],
)
def test_what_is_no_table_is_refused(tmp_path, members):
    refused(write(tmp_path / "odd.npz", members), tmp_path)


def test_damaged_and_encrypted_archives_are_refused(tmp_path):
    rows = np.random.default_rng(0).random((300, 3))
    file = write(tmp_path / "damaged.npz", {**GOOD, "X.npy": npy(rows)})
    content = bytearray(file.read_bytes())
    for place in range(80, 2000, 7):
        content[place] ^= 255
    file.write_bytes(content)
    refused(file, tmp_path)
    content = bytearray(write(tmp_path / "shut.npz", GOOD).read_bytes())
    for mark, at in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):  # "encrypted"
        place = content.find(mark)
        while place >= 0:
            content[place + at] |= 1
            place = content.find(mark, place + 1)
    (tmp_path / "shut.npz").write_bytes(content)
    assert "encrypted" in refused(tmp_path / "shut.npz", tmp_path)
