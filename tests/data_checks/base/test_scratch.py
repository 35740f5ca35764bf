"""Folders for a moment: private, gone at the end, and of a killed process with the next."""

import signal
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from data_checks.base.scratch import scratch_folder

HOLD = """
import sys, time
from pathlib import Path
from data_checks.base.scratch import scratch_folder
with scratch_folder(Path(sys.argv[1])) as folder:
    (folder / "model").mkdir()
    (folder / "model" / "weights").write_bytes(b"secret")
    print(folder, flush=True)
    time.sleep(600)
"""


@pytest.fixture
def root(tmp_path):
    return tmp_path / "root"


@pytest.fixture
def holder(root):
    """A process that holds a folder, and that folder."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, root], stdout=subprocess.PIPE, text=True
    )
    yield process, Path(process.stdout.readline().strip())
    process.kill()
    process.wait()


def test_it_is_this_users_alone_and_gone_at_the_end(root):
    with scratch_folder(root) as folder:
        (folder / "file").write_text("x")
        assert stat.S_IMODE(folder.stat().st_mode) == stat.S_IMODE(root.stat().st_mode) == 0o700
    assert list(root.iterdir()) == []


def test_what_a_killed_process_left_goes_with_the_next(root, holder):
    process, left = holder
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert (left / "model" / "weights").exists()
    with scratch_folder(root) as folder:
        assert list(root.iterdir()) == [folder]


def test_folders_in_use_stay_whoever_uses_them(root, holder):
    _, theirs = holder
    with scratch_folder(root) as first, scratch_folder(root) as second:
        assert set(root.iterdir()) == {theirs, first, second}
    assert (theirs / "model" / "weights").exists()


def test_a_root_that_somebody_else_made_is_left_alone(root, tmp_path):
    elsewhere = tmp_path / "elsewhere"
    (elsewhere / "precious").mkdir(parents=True)
    root.symlink_to(elsewhere)
    with scratch_folder(root) as folder:
        assert folder.is_dir()
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert [each.name for each in elsewhere.iterdir()] == ["precious"]
    assert not folder.exists()


def test_a_file_in_its_place_is_left_alone(root):
    root.write_text("somebody's")
    with scratch_folder(root) as folder:
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
        assert root not in folder.parents
    assert root.read_text() == "somebody's"
