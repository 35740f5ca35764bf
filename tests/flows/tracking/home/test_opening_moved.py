"""A home may be moved or copied: it keeps its own artifacts."""

import shutil
from pathlib import Path

import pytest

from flows.common.errors import UsageError
from flows.common.settings import Settings
from flows.tracking import tracking


@pytest.fixture
def run_in(empty_store, monkeypatch, tmp_path):
    """Log an artifact into a home; gives the run and its artifact's file."""
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)

    def settings_of(home: Path) -> Settings:
        monkeypatch.setenv("DAGMM_HOME", str(home))
        return Settings()

    def log(home: Path, text: str) -> tuple[str, Path]:
        home.mkdir(exist_ok=True)
        if not (home / "mlflow.db").exists():
            shutil.copy(empty_store, home / "mlflow.db")
        settings = settings_of(home)
        client = tracking.connect(settings)
        run = client.create_run(tracking.experiment_id(client, settings, "dagmm-wdbc"))
        client.log_text(run.info.run_id, text, "note.txt")
        (file,) = home.rglob(f"{run.info.run_id}/artifacts/note.txt")
        return run.info.run_id, file

    log.settings_of = settings_of
    return log


def read(settings: Settings, run_id: str, folder: Path) -> str:
    client = tracking.connect(settings)
    return Path(client.download_artifacts(run_id, "note.txt", str(folder))).read_text()


@pytest.mark.parametrize("name", ["there", "a ho'me of %d ümlauts"])
def test_a_copied_home_uses_its_own_artifacts(run_in, tmp_path, name):
    run_id, first = run_in(tmp_path / "here", "first")
    copy = Path(shutil.copytree(tmp_path / "here", tmp_path / name))
    first.write_text("changed in the old home")
    assert read(run_in.settings_of(copy), run_id, tmp_path) == "first"
    _, file = run_in(copy, "second")
    assert file.is_relative_to(copy)
    assert read(run_in.settings_of(tmp_path / "here"), run_id, tmp_path).startswith("changed")


def test_a_moved_home_goes_on(run_in, tmp_path):
    run_id, _ = run_in(tmp_path / "here", "first")
    (tmp_path / "here").rename(tmp_path / "there")
    (tmp_path / "there").rename(tmp_path / "elsewhere")
    assert read(run_in.settings_of(tmp_path / "elsewhere"), run_id, tmp_path) == "first"


def test_a_copy_without_artifacts_is_refused_and_named(run_in, tmp_path):
    run_in(tmp_path / "here", "first")
    (tmp_path / "there").mkdir()
    shutil.copy(tmp_path / "here" / "mlflow.db", tmp_path / "there")
    with pytest.raises(UsageError, match=r"there: .*copied from .*here without.*dagmm-wdbc"):
        tracking.connect(run_in.settings_of(tmp_path / "there"))


def test_a_moved_home_without_any_artifact_goes_on(run_in, tmp_path):
    """A training that is killed early has set up the experiment, and stored nothing in it."""
    _, file = run_in(tmp_path / "here", "first")
    shutil.rmtree(tmp_path / "here" / "artifacts")
    (tmp_path / "here").rename(tmp_path / "there")
    run_id, file = run_in(tmp_path / "there", "second")
    assert file.is_relative_to(tmp_path / "there")
    assert read(run_in.settings_of(tmp_path / "there"), run_id, tmp_path) == "second"


def test_a_moved_home_whose_models_stayed_is_refused(run_in, tmp_path):
    run_in(tmp_path / "here", "first")
    client = tracking.connect(run_in.settings_of(tmp_path / "here"))
    client.create_logged_model(client.get_experiment_by_name("dagmm-wdbc").experiment_id)
    shutil.rmtree(tmp_path / "here" / "artifacts")
    (tmp_path / "here").rename(tmp_path / "there")
    with pytest.raises(UsageError, match=r"there: .*copied from .*here without.*dagmm-wdbc"):
        tracking.connect(run_in.settings_of(tmp_path / "there"))


def test_a_home_that_stayed_is_not_touched(run_in, tmp_path):
    run_in(tmp_path / "here", "first")
    store = tmp_path / "here" / "mlflow.db"
    before = store.read_bytes()
    tracking.connect(run_in.settings_of(tmp_path / "here"))
    assert store.read_bytes() == before
