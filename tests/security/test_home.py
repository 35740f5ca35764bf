"""What lies in a home is its owner's: models, logins, rows."""

import pytest

from flows.common.settings import own


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
    own(home)
    assert home.stat().st_mode & 0o7777 == expected
    own(home)
    assert home.stat().st_mode & 0o7777 == expected
