"""What lies in a home is its owner's: models, logins, rows."""

import pytest

from flows.common.errors import UsageError
from flows.common.settings import Settings, make_private


@pytest.mark.parametrize(
    ("mode", "expected"),
    [
        (None, 0o700),
        (0o755, 0o700),
        (0o777, 0o770),  # shared with a group on purpose; never with everybody
        (0o775, 0o770),
        (0o2770, 0o2770),
        (0o711, 0o711),  # passed through, not read: root's PostgreSQL
        (0o700, 0o700),
    ],
)
def test_a_home_is_not_readable_by_everybody(tmp_path, mode, expected):
    home = tmp_path / "home"
    if mode is not None:
        home.mkdir()
        home.chmod(mode)
    make_private(home)
    assert home.stat().st_mode & 0o7777 == expected
    make_private(home)
    assert home.stat().st_mode & 0o7777 == expected


@pytest.mark.parametrize("place", ["file", "link", "what?", "above?/home"])
def test_a_home_that_cannot_be_one_is_refused_before_anything_is_written(tmp_path, place):
    """Behind a ? in its path, stores would be made beside the home, where others may read them."""
    (tmp_path / "file").write_text("kept")
    (tmp_path / "link").symlink_to(tmp_path / "nowhere")
    with pytest.raises(UsageError, match=r"DAGMM_HOME .*name"):
        make_private(tmp_path / place)
    assert (tmp_path / "file").read_text() == "kept"
    assert {path.name for path in tmp_path.iterdir()} == {"file", "link"}


def test_a_home_with_odd_characters_holds_its_own_store(tmp_path, monkeypatch):
    import sqlalchemy as sa

    home = tmp_path / "h %20#&;'q \u00fc"
    monkeypatch.setenv("DAGMM_HOME", str(home))
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    make_private(home)
    sa.create_engine(Settings().tracking_uri).connect().exec_driver_sql("create table t (x)")
    assert (home / "mlflow.db").stat().st_size
    assert [path.name for path in tmp_path.iterdir()] == [home.name]
