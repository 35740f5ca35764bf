"""Servers start however Python and its libraries were installed."""

import multiprocessing
import os
from pathlib import Path

from flows.services.servers import UI_FOLDER, pages_of_prefect

NOBODY = 65534


def _as_nobody(folder: Path, package: Path, answer) -> None:
    if os.getuid() == 0:
        os.setuid(NOBODY)
    answer.put(pages_of_prefect(folder, package))


def test_pages_are_unpacked_into_the_home_where_the_package_is_another_users(tmp_path, monkeypatch):
    monkeypatch.delenv(UI_FOLDER, raising=False)
    package = tmp_path / "server"
    package.mkdir()
    assert pages_of_prefect(tmp_path, package) == {}
    package.chmod(0o555)
    forked = multiprocessing.get_context("fork")
    answer = forked.SimpleQueue()
    process = forked.Process(target=_as_nobody, args=(tmp_path, package, answer))
    process.start()
    assert answer.get() == {UI_FOLDER: str(tmp_path / "pages")}
    process.join()


def test_a_folder_that_was_asked_for_stays(tmp_path, monkeypatch):
    monkeypatch.setenv(UI_FOLDER, "/elsewhere")
    assert pages_of_prefect(tmp_path, tmp_path / "absent") == {}
