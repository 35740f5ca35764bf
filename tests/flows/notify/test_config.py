"""Who is told; one clear error, which repeats no secret."""

import pytest

from flows.common.errors import UsageError
from flows.common.settings import Settings
from flows.notify.config import KINDS, read_notify

GOOD = "{name: a, kind: webhook, url: HOOK}"


@pytest.fixture
def written(tmp_path, monkeypatch):
    monkeypatch.setenv("DAGMM_HOME", str(tmp_path))
    monkeypatch.delenv("DAGMM_NOTIFY", raising=False)

    def read(text):
        (tmp_path / "notify.yaml").write_text(text)
        return read_notify(Settings())

    return read


def test_all_events_are_told_unless_some_are_named(written):
    config = written(f"notify: {{targets: [{GOOD}]}}")
    assert config.targets[0].events == KINDS
    assert config.targets[0].address == ""


def test_another_file_may_be_named(tmp_path, monkeypatch, written):
    file = tmp_path / "other.yaml"
    file.write_text(f"notify: {{targets: [{GOOD}], cool_down_hours: 1}}")
    monkeypatch.setenv("DAGMM_NOTIFY", str(file))
    assert read_notify(Settings()).cool_down_hours == 1
    file.unlink()
    with pytest.raises(UsageError, match=r"other\.yaml: cannot be read"):
        read_notify(Settings())


def test_without_a_file_nobody_is_told(tmp_path, monkeypatch):
    monkeypatch.setenv("DAGMM_HOME", str(tmp_path))
    assert read_notify(Settings()).targets == ()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("notify: {targets: [{name: a, kind: webhook, url: https://x/S3CRET}]}", "NAME of an"),
        ("notify: {targets: [{name: a, kind: pigeon, url: S3CRET}]}", r"targets\S*kind"),
        ("notify: {targets: [{name: a, kind: slack, url: [S3CRET]}]}", r"targets\S*url"),
        (f"notify: {{targets: [{GOOD}, {GOOD}]}}", "named twice: a"),
        ("notify: {targets: [{name: a, kind: slack, url: HOOK, events: [S3CRET]}]}", "events"),
        ("notify: {cooldown: S3CRET}", "cooldown"),
        ("targets: []", "expected `notify:`"),
        ("notify: [", "not YAML in line"),
        ("notify: 2026-02-30", "not YAML"),
        ("[" * 3000, "not YAML"),
        ("notify:", "expected `notify:`"),
    ],
)
def test_what_is_wrong_is_named_and_no_value_repeated(written, text, message):
    with pytest.raises(UsageError, match=message) as error:
        written(text)
    assert "S3CRET" not in str(error.value)
    assert "notify.yaml" in str(error.value)
