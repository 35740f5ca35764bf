"""Secrets of the team set-up: generated on loopback, demanded beyond it."""

import pytest

from flows.common.errors import UsageError
from flows.services.team.settings import SECRETS, TeamSettings, read_secrets

GOOD = {
    "POSTGRES_PASSWORD": "a-long-password-1",
    "MLFLOW_AUTH_ADMIN_PASSWORD": "a-long-password-2",
    "MLFLOW_FLASK_SERVER_SECRET_KEY": "a-long-password-3",
    "PREFECT_SERVER_API_AUTH_STRING": "team:a-long-password-4",
}


@pytest.fixture
def team(tmp_path, monkeypatch):
    for name in SECRETS:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("DAGMM_SERVICES_HOME", str(tmp_path / "services"))
    return lambda host: TeamSettings.model_validate({"DAGMM_SERVICES_HOST": host})


def test_on_loopback_absent_secrets_are_made_once_and_only_their_owner_reads_them(team):
    first = read_secrets(team("127.0.0.1"))
    assert set(first) == set(SECRETS)
    assert len(set(first.values())) == len(SECRETS)
    assert all(len(value) >= 32 for value in first.values())
    assert read_secrets(team("localhost")) == first
    kept = team("::1").folder / "secrets.env"
    assert kept.stat().st_mode & 0o777 == 0o600


def test_the_environment_wins_and_is_not_written_down(team, monkeypatch):
    monkeypatch.setenv("POSTGRES_PASSWORD", "from-the-environment")
    actual = read_secrets(team("127.0.0.1"))
    assert actual["POSTGRES_PASSWORD"] == "from-the-environment"
    assert "from-the-environment" not in (team("127.0.0.1").folder / "secrets.env").read_text()


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "10.1.2.3", "db.example.com"])
def test_beyond_loopback_every_absent_secret_is_named_and_nothing_is_made(team, host):
    with pytest.raises(UsageError) as caught:
        read_secrets(team(host))
    assert all(f"{name} is not set" in str(caught.value) for name in SECRETS)
    assert not team(host).folder.exists()


@pytest.mark.parametrize(
    ("name", "value", "fault"),
    [
        ("POSTGRES_PASSWORD", "2small", "shorter than 12"),
        ("MLFLOW_AUTH_ADMIN_PASSWORD", "password1234", "known default"),
        ("MLFLOW_FLASK_SERVER_SECRET_KEY", "Changeme12345", "known default"),
        ("PREFECT_SERVER_API_AUTH_STRING", "a-long-user-name:pw", "shorter than 12"),
        ("PREFECT_SERVER_API_AUTH_STRING", "no-colon-in-this-one", "shorter than 12"),
    ],
)
def test_beyond_loopback_a_weak_secret_is_refused_and_not_repeated(
    team, monkeypatch, name, value, fault
):
    for each, good in (GOOD | {name: value}).items():
        monkeypatch.setenv(each, good)
    with pytest.raises(UsageError) as caught:
        read_secrets(team("0.0.0.0"))
    assert f"{name} is " in str(caught.value)
    assert fault in str(caught.value)
    assert f": {name}" in str(caught.value)
    assert value not in str(caught.value)


def test_beyond_loopback_chosen_secrets_are_accepted(team, monkeypatch):
    for name, value in GOOD.items():
        monkeypatch.setenv(name, value)
    assert read_secrets(team("0.0.0.0")) == GOOD
