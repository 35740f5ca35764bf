"""Whatever becomes of `production`, every answer is one version's, and the version's it names."""

import json
import shutil
import threading
import urllib.request
from pathlib import Path

import numpy as np
import pytest

from flows.api import follower as following
from flows.api.app import SMALL_BYTES
from flows.api.run import ASKING
from flows.common.settings import Settings
from flows.promotion import audit
from flows.promotion.promote import promote
from flows.promotion.rollback import roll_back
from flows.tracking import seal
from tests.flows import promotion_store as made
from tests.flows.api.conftest import NAME, bundle_file, listening, make, split
from tests.flows.notify.conftest import http  # noqa: F401  a fixture
from tests.flows.promotion.conftest import flip


def asking(url: str, body: bytes, answers: list, ended: threading.Event) -> None:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    request = urllib.request.Request(
        f"{url}/score", data=body, headers={"Content-Type": "application/json"}
    )
    while not ended.is_set():
        try:
            with opener.open(request, timeout=30) as answer:
                answers.append((answer.status, json.load(answer)))
        except Exception as error:
            answers.append((0, repr(error)))
        ended.wait(0.005)  # the promotions need the interpreter, too


@pytest.mark.parametrize(
    ("rounds", "processes"), [(1, 0), pytest.param(10, 2, marks=pytest.mark.slow)]
)
def test_switches_under_load_lose_nothing_and_mix_nothing(api, rounds, processes):
    """Each round a rollback and a promotion, so twenty switches in all of the long one.

    The requests are of many rows, so that they go to threads, and processes where there are some.
    """
    ready = make(api.settings, processes=processes)
    ready.follower.step()
    canary = ready.canary(2)
    recorded = {2: canary["energy"] * 5}
    body = split(canary["columns"], canary["data"] * 5)
    assert len(body) > SMALL_BYTES
    ready.client.set_registered_model_alias(NAME, "production", "1")
    ready.follower.step()
    message = ready.http.post("/score", content=body, headers={"Content-Type": "application/json"})
    recorded[1] = [row["energy"] for row in message.json()["rows"]]
    assert not np.allclose(recorded[1], recorded[2], rtol=1e-3)
    ready.client.set_registered_model_alias(NAME, "production", "2")
    ready.follower.step()
    before = ready.follower.standing.switches

    answers, ended = [], threading.Event()
    with listening(ready, 0.02) as url:
        clients = [
            threading.Thread(target=asking, args=(url, body, answers, ended)) for _ in range(2)
        ]
        for client in clients:
            client.start()
        try:
            for turn in range(rounds):
                back = roll_back(ready.client, ready.settings, NAME, 1, by="t", keep_held=False)
                assert back.decision == "rolled back"
                seen(ready, 1)
                record = promote(ready.client, ready.settings, NAME, 2, by="t", policy=made.QUICK)
                assert record.decision == "promoted", (turn, record.reasons)
                seen(ready, 2)
        finally:
            ended.set()
            for client in clients:
                client.join()
    assert ready.follower.standing.switches == before + 2 * rounds
    assert ready.metric("dagmm_scoring_processes") == processes
    assert ready.metric("dagmm_lost_processes_total") == 0
    ready.workers.end()
    assert {status for status, _ in answers} == {200}
    assert {answer["version"] for _, answer in answers} == {1, 2}
    for _, answer in answers:
        energies = [row["energy"] for row in answer["rows"]]
        np.testing.assert_allclose(energies, recorded[answer["version"]], rtol=1e-6)
        assert answer["model"] == f"models:/{NAME}/{answer['version']}"


def seen(api, version: int) -> None:
    """Wait until the follower, in its thread, has taken a version."""
    ended = threading.Event()
    for _ in range(3000):
        if api.follower.current.number == version:
            return
        ended.wait(0.01)
    raise AssertionError(api.follower.standing)


def verdict(api, rows=None):
    return api.http.post("/score", json=rows or api.rows()[:1])


def refusals(api) -> list:
    return [d for d in audit.history(api.client, NAME) if d.decision == "not served"]


@pytest.fixture
def damaged(ready) -> Path:
    """A file of version 1, with one bit of it changed."""
    file = bundle_file(ready.client, 1)
    kept = file.read_bytes()
    flip(file)
    yield file
    file.write_bytes(kept)


def test_a_damaged_version_is_not_served_and_the_one_before_stays(ready, damaged, capsys):
    ready.client.set_registered_model_alias(NAME, "production", "1")
    for _ in range(3):
        ready.follower.step()
    assert verdict(ready).json()["version"] == 2
    assert ready.metric("dagmm_version_refused") == 1
    assert ready.metric("dagmm_wanted_version") == 1
    assert ready.metric("dagmm_model_version") == 2
    message = ready.http.get("/ready")
    assert message.status_code == 200
    assert "not those that were registered" in message.json()["trouble"]
    (decision,) = refusals(ready)
    assert (decision.version, decision.previous, decision.complete) == (1, 2, True)
    assert f"models:/{NAME}/1 is not used: its files are not those that" in decision.reasons
    assert "SealBroken" not in decision.reasons
    assert "goes on answering" in decision.reasons
    events = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [e["event"] for e in events] == ["refused"]
    assert events[0]["serving"] == f"models:/{NAME}/2"


def test_of_a_version_that_is_not_served_somebody_is_told_once(
    ready,
    damaged,
    http,  # noqa: F811
    monkeypatch,
):
    monkeypatch.setenv("HOOK", http.url)
    targets = [{"name": "ours", "kind": "webhook", "url": "HOOK"}]
    file = ready.settings.home / "notify.yaml"
    file.write_text(json.dumps({"notify": {"targets": targets}}))
    ready.client.set_registered_model_alias(NAME, "production", "1")
    for _ in range(3):
        monkeypatch.setattr(ready.follower, "_again", 0.0)
        ready.follower.step()
    (told,) = http.bodies
    assert (told["event"], told["subject"]) == ("not-served", f"{NAME} version 1")
    assert "not those that were registered" in told["reason"]
    assert "models:/dagmm-wdbc/2 goes on answering" in told["reason"]
    assert told["link"].endswith("/versions/1?workflowType=machine_learning")


@pytest.fixture
def pairs(tmp_path):
    """Two keys, private and public."""
    pytest.importorskip("model_signing", reason="the extra `signing` is not installed")
    from tests.security.test_signature import make_key

    return [make_key(tmp_path, name) for name in ("ours", "another")]


@pytest.fixture
def sign(ready, monkeypatch):
    """Signs a version, whatever is trusted."""

    def with_key(version: int, private: Path) -> None:
        with monkeypatch.context() as patch:
            patch.setenv("DAGMM_SIGNING_KEY", str(private))
            patch.setenv("DAGMM_TRUSTED_KEYS", "")
            seal.sign_version(ready.client, f"{NAME}/{version}")

    return with_key


@pytest.fixture
def wanted(ready, monkeypatch):
    """Has the server take a version; the one that answers then."""
    rows = ready.rows()

    def put(version: int) -> int:
        monkeypatch.setattr(ready.follower, "_again", 0.0)
        ready.client.set_registered_model_alias(NAME, "production", str(version))
        ready.follower.step()
        return ready.http.post("/score", json=rows).json()["version"]

    return put


def test_keys_are_exchanged_under_a_server_that_runs(ready, pairs, sign, wanted, monkeypatch):
    (old, old_public), (new, new_public) = pairs
    sign(2, old)
    sign(1, new)
    monkeypatch.setenv("DAGMM_TRUSTED_KEYS", f"{old_public}:{new_public}")
    assert [wanted(1), wanted(2), wanted(1)] == [1, 2, 1]
    old_public.unlink()  # and the server has not been started again
    assert wanted(2) == 1
    assert f"DAGMM_TRUSTED_KEYS {old_public}: no public EC key" in ready.http.get("/ready").text
    monkeypatch.setenv("DAGMM_TRUSTED_KEYS", str(new_public))
    assert wanted(2) == 1
    assert "no key in DAGMM_TRUSTED_KEYS signed" in ready.http.get("/ready").text
    sign(2, new)
    assert wanted(2) == 2
    assert ready.metric("dagmm_version_refused") == 0


def test_a_version_that_no_trusted_key_signed_is_not_served(
    ready, pairs, sign, wanted, monkeypatch
):
    sign(2, pairs[0][0])
    monkeypatch.setenv("DAGMM_TRUSTED_KEYS", str(pairs[0][1]))
    assert wanted(1) == 2
    assert ready.metric("dagmm_version_refused") == 1
    assert "is not signed" in refusals(ready)[-1].reasons
    sign(1, pairs[1][0])
    assert wanted(1) == 2
    assert any(
        "no key in DAGMM_TRUSTED_KEYS signed" in decision.reasons for decision in refusals(ready)
    )
    sign(1, pairs[0][0])
    assert wanted(1) == 1
    assert ready.metric("dagmm_version_refused") == 0


def test_a_restored_version_is_taken_at_the_next_look(ready, damaged, monkeypatch):
    kept = bytearray(damaged.read_bytes())
    ready.client.set_registered_model_alias(NAME, "production", "1")
    ready.follower.step()
    assert verdict(ready).json()["version"] == 2
    kept[len(kept) // 2] ^= 1
    damaged.write_bytes(kept)
    ready.follower.step()
    assert verdict(ready).json()["version"] == 2, "it is not loaded again at every look"
    monkeypatch.setattr(ready.follower, "_again", 0.0)
    ready.follower.step()
    assert verdict(ready).json()["version"] == 1
    assert ready.metric("dagmm_version_refused") == 0
    assert len(refusals(ready)) == 1


def test_a_version_that_gives_other_energies_is_not_served(ready, parts, tmp_path):
    files = Path(shutil.copytree(parts.files, tmp_path / "files"))
    canary = json.loads((files / "canary.json").read_text())
    canary["energy"][3] += 0.5
    (files / "canary.json").write_text(json.dumps(canary))
    folder = tmp_path / "version"
    folder.mkdir()
    changed = made.Parts(parts.model, files, parts.document, parts.tags)
    version = made.register(ready.client, changed, folder)
    ready.client.set_registered_model_alias(NAME, "production", str(version))
    ready.follower.step()
    assert verdict(ready).json()["version"] == 2
    assert "differ by" in ready.follower.standing.refusal
    assert [d.version for d in refusals(ready)] == [version]


def test_a_refusal_takes_no_part_in_later_decisions(ready, damaged):
    ready.client.set_registered_model_alias(NAME, "production", "1")
    ready.follower.step()
    ready.client.set_registered_model_alias(NAME, "production", "2")
    ready.follower.step()
    assert not ready.follower.standing.trouble
    decisions = audit.history(ready.client, NAME)
    assert refusals(ready)
    assert not audit.moved_outside(ready.client, NAME, decisions)
    record = promote(ready.client, ready.settings, NAME, 2, by="t", policy=made.QUICK)
    assert record.decision == "unchanged"


def test_it_answers_while_the_store_is_down_and_follows_when_it_is_back(ready):
    rows = ready.rows()[:1]
    store = ready.settings.home / "mlflow.db"
    ready.client.set_registered_model_alias(NAME, "production", "1")
    kept = store.read_bytes()
    store.write_bytes(b"no database " * 1000)
    ready.follower.step()
    assert verdict(ready, rows).json()["version"] == 2
    assert ready.metric("dagmm_registry_up") == 0
    assert ready.http.get("/ready").json()["trouble"]
    store.write_bytes(kept)
    ready.follower.step()
    assert verdict(ready, rows).json()["version"] == 1
    assert ready.metric("dagmm_registry_up") == 1


def test_a_store_that_is_gone_or_replaced_is_noticed_and_said_once(
    two_versions, monkeypatch, capsys
):
    for name, value in ASKING.items():
        monkeypatch.setenv(name, value)
    api = make(Settings())
    store = api.settings.home / "mlflow.db"
    api.follower.step()
    rows = api.rows()[:1]
    api.client.set_registered_model_alias(NAME, "production", "1")
    shutil.copy(store, store.with_suffix(".kept"))
    api.client.set_registered_model_alias(NAME, "production", "2")
    store.rename(store.with_suffix(".away"))
    for _ in range(3):
        api.follower.step()
        assert verdict(api, rows).json()["version"] == 2
        assert api.metric("dagmm_registry_up") == 0
        assert not store.exists()
    store.with_suffix(".kept").rename(store)
    api.follower.step()
    assert verdict(api, rows).json()["version"] == 1
    assert api.metric("dagmm_registry_up") == 1
    message = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    first, *_, last = [each for each in message if each["event"] == "registry"]
    assert f"{store} is not there any more" in first["why"]
    assert (first["serving"], last["why"]) == (f"models:/{NAME}/2", "")
    assert [each["event"] for each in message].count("registry") == 2


def test_a_refusal_that_could_not_be_written_down_is_written_later(ready, damaged, monkeypatch):
    store = ready.settings.home / "mlflow.db"
    ready.client.set_registered_model_alias(NAME, "production", "1")
    kept, load = store.read_bytes(), following.load_verified

    def breaks(client, version):
        try:
            return load(client, version)
        finally:
            store.write_bytes(b"no database " * 1000)

    monkeypatch.setattr(following, "load_verified", breaks)
    ready.follower.step()
    assert ready.follower.standing.refused == 1
    assert not ready.metric("dagmm_registry_up")
    store.write_bytes(kept)
    assert not refusals(ready)
    ready.follower.step()
    assert len(refusals(ready)) == 1


def test_another_version_of_the_same_number_is_loaded(ready):
    """The registered model was deleted and trained again, which begins at version 1."""
    ready.client.set_registered_model_alias(NAME, "production", "1")
    ready.follower.step()
    rows, recorded = ready.rows(), ready.canary(2)["energy"]
    first = verdict(ready, rows).json()
    second = ready.client.get_model_version(NAME, "2")
    ready.client.delete_registered_model(NAME)
    ready.client.create_registered_model(NAME)
    ready.client.create_model_version(NAME, second.source, second.run_id, tags=second.tags)
    ready.client.set_registered_model_alias(NAME, "production", "1")
    ready.follower.step()
    answer = verdict(ready, rows).json()
    assert (first["version"], answer["version"]) == (1, 1)
    energies = [[row["energy"] for row in said["rows"]] for said in (first, answer)]
    np.testing.assert_allclose(energies[1], recorded, rtol=1e-6)
    assert not np.allclose(energies[0], recorded, rtol=1e-3)


def test_a_seal_that_is_taken_from_the_version_that_answers_is_said(ready):
    kept = ready.client.get_model_version(NAME, "2").tags[seal.EVIDENCE_TAG]
    ready.client.delete_model_version_tag(NAME, "2", seal.EVIDENCE_TAG)
    ready.follower.step()
    assert "carries no sealed evidence" in ready.http.get("/ready").json()["trouble"]
    assert verdict(ready, [ready.follower.current.example]).json()["version"] == 2
    ready.client.set_model_version_tag(NAME, "2", seal.EVIDENCE_TAG, kept)
    ready.follower.step()
    assert ready.http.get("/ready").json()["trouble"] == ""


def test_it_keeps_answering_when_the_alias_is_gone(ready):
    ready.client.delete_registered_model_alias(NAME, "production")
    ready.follower.step()
    assert verdict(ready).json()["version"] == 2
    assert ready.metric("dagmm_wanted_version") == 0
    assert ready.metric("dagmm_registry_up") == 1, "it says that there is none"
    assert "alias" in ready.http.get("/ready").json()["trouble"]


def test_nothing_is_scored_before_there_is_a_version(api):
    answer = api.http.post("/score", json=[{"a": 1}])
    assert answer.status_code == 503
    assert answer.json()["message"].startswith(f"no version of {NAME} is served yet")
    assert api.http.get("/ready").status_code == 503
    assert api.http.get("/health").status_code == 200
    assert api.http.get("/openapi.json").status_code == 200
    assert api.metric("dagmm_model_version") is None
    api.follower.step()
    assert api.http.get("/ready").status_code == 200
