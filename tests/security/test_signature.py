"""Signed evidence: who can write every store, and has no key, passes no version off as sealed."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest

from flows.common.errors import UsageError, Verdict
from flows.common.settings import Settings
from flows.promotion.promote import promote
from flows.promotion.rollback import roll_back
from flows.promotion.version import evidence as bound
from flows.scoring.run import score
from flows.tracking import seal, signing
from tests.flows import promotion_store as made
from tests.security.first_version import QUICK
from tests.security.test_seal import bundle_of, model_of, raise_the_threshold

pytest.importorskip("model_signing", reason="the extra `signing` is not installed")
from cryptography.hazmat.primitives import serialization as form
from cryptography.hazmat.primitives.asymmetric import ec, ed25519


def make_key(folder: Path, name: str, password: bytes | None = None) -> tuple[Path, Path]:
    """A private key and its public half, as openssl writes them."""
    key = ec.generate_private_key(ec.SECP256R1())
    private, public = folder / f"{name}.pem", folder / f"{name}.pub"
    shut = form.BestAvailableEncryption(password) if password else form.NoEncryption()
    private.write_bytes(key.private_bytes(form.Encoding.PEM, form.PrivateFormat.PKCS8, shut))
    public.write_bytes(
        key.public_key().public_bytes(form.Encoding.PEM, form.PublicFormat.SubjectPublicKeyInfo)
    )
    return private, public


@pytest.fixture
def keys(tmp_path, monkeypatch):
    """Two pairs of keys; the first signs and is trusted."""
    pairs = [make_key(tmp_path, name) for name in ("first", "second")]
    use(monkeypatch, pairs[0][0], pairs[0][1])
    return pairs


def digest(public: Path) -> str:
    return hashlib.sha256(public.read_bytes()).hexdigest()


def use(monkeypatch, private: Path | None, *public: Path) -> None:
    monkeypatch.setenv("DAGMM_SIGNING_KEY", str(private or ""))
    monkeypatch.setenv("DAGMM_TRUSTED_KEYS", ":".join(map(str, public)))


@pytest.fixture
def signed(client, new, monkeypatch):
    """Makes a version whose evidence the present key signs."""

    def make(name: str = made.NAME) -> int:
        version = client.get_model_version(made.NAME, str(new()))
        text = evidence_of(client, version).read_text()
        signing.sign(client, name, version.run_id, text)
        client.delete_registered_model_alias(made.NAME, "production")
        return int(version.version)

    return make


def evidence_of(client, version) -> Path:
    uri = client.get_run(version.run_id).info.artifact_uri
    return Path(uri.removeprefix("file://")) / seal.EVIDENCE


def seal_again(client, number: int) -> None:
    """What somebody does who may write files and tags."""
    version = client.get_model_version(made.NAME, str(number))
    file = evidence_of(client, version)
    document = json.loads(file.read_text())
    document["model_sha256"] = seal.model_sha256(model_of(client, number))
    file.write_text(json.dumps(document, indent=2))
    digest = bound.sha256_of_text(file.read_text())
    client.set_model_version_tag(made.NAME, str(number), seal.EVIDENCE_TAG, digest)


def attempt(settings, rows, tmp_path, number: int):
    out = tmp_path / f"scored-{number}.parquet"
    return score(str(rows), str(out), f"{made.NAME}/{number}", settings, restart=True)


def test_what_is_signed_is_used_and_what_is_not_is_refused(
    settings,
    client,
    new,
    signed,
    keys,
    rows,
    tmp_path,
):
    unsigned, good = new(), signed()
    assert attempt(settings, rows, tmp_path, good).scored
    record = promote(client, settings, made.NAME, good, by="t", policy=QUICK)
    assert record.decision == "promoted", record.reasons
    with pytest.raises(seal.SealBroken, match=f"{made.NAME}/{unsigned}.*is not signed"):
        attempt(settings, rows, tmp_path, unsigned)
    record = promote(client, settings, made.NAME, unsigned, by="t", policy=QUICK)
    assert record.decision == "rejected"
    assert "its evidence is not signed" in " ".join(record.reasons)


def test_a_version_that_is_sealed_again_is_found_out(
    settings,
    client,
    signed,
    keys,
    rows,
    tmp_path,
    monkeypatch,
):
    number = signed()
    raise_the_threshold(bundle_of(client, number))
    seal_again(client, number)
    with pytest.raises(seal.SealBroken, match="no key in DAGMM_TRUSTED_KEYS signed"):
        attempt(settings, rows, tmp_path, number)
    record = promote(client, settings, made.NAME, number, by="t", policy=QUICK)
    assert record.decision == "rejected"
    use(monkeypatch, None)  # the seal alone is fooled by whoever writes both stores
    assert attempt(settings, rows, tmp_path, number).scored


def test_rollback_looks_for_the_signature_as_well(
    settings,
    client,
    signed,
    keys,
):
    first, second = signed(), signed()
    for number in (first, second):
        promote(client, settings, made.NAME, number, by="t", policy=QUICK)
    evidence = evidence_of(client, client.get_model_version(made.NAME, str(first)))
    evidence.with_name(signing.SIGNATURE).write_text("{}")
    with pytest.raises(Verdict, match="no key in DAGMM_TRUSTED_KEYS signed"):
        roll_back(client, settings, made.NAME, first, by="t")


@pytest.mark.parametrize("damage", ["", "{}", "null", "\x00", "[" * 10_000, None])
def test_a_signature_that_is_none_is_no_signature(
    settings,
    client,
    signed,
    keys,
    rows,
    tmp_path,
    damage,
):
    number = signed()
    file = evidence_of(client, client.get_model_version(made.NAME, str(number)))
    file = file.with_name(signing.SIGNATURE)
    if damage is None:
        file.unlink()
        file.mkdir()
    else:
        file.write_text(damage)
    with pytest.raises(seal.SealBroken, match="signed"):
        attempt(settings, rows, tmp_path, number)


def test_a_signed_version_of_another_model_does_not_stand_in(
    settings,
    client,
    signed,
    keys,
    rows,
    tmp_path,
):
    with pytest.raises(seal.SealBroken, match="no key in DAGMM_TRUSTED_KEYS signed"):
        attempt(settings, rows, tmp_path, signed("dagmm-valves"))


def test_keys_are_exchanged(
    settings,
    client,
    signed,
    keys,
    rows,
    tmp_path,
    monkeypatch,
):
    old = signed()
    (_, first), (private, second) = keys
    use(monkeypatch, private, first, second)  # both are trusted, the new one signs
    new_one = signed()
    for number in (old, new_one):
        assert attempt(settings, rows, tmp_path, number).scored
    use(monkeypatch, private, second)  # the old one is not trusted any more
    with pytest.raises(seal.SealBroken, match="no key in DAGMM_TRUSTED_KEYS signed"):
        attempt(settings, rows, tmp_path, old)
    made_again = seal.sign_version(client, f"{made.NAME}/{old}")
    assert made_again.version.version == old
    assert (made_again.key, made_again.replaced) == (digest(second), digest(first))
    assert f"names the key {digest(first)[:16]}" in made_again.problem, "it is not trusted any more"
    assert attempt(settings, rows, tmp_path, old).scored


def test_whoever_signs_again_hears_whose_signature_that_replaces_and_whether_it_holds(
    client, signed, keys
):
    (_, first), _ = keys
    number = signed()
    reference = f"{made.NAME}/{number}"
    again = seal.sign_version(client, reference)
    assert (again.key, again.replaced, again.problem) == (digest(first), digest(first), "")
    raise_the_threshold(bundle_of(client, number))
    seal_again(client, number)
    again = seal.sign_version(client, reference)
    assert again.replaced == digest(first)
    assert "no key in DAGMM_TRUSTED_KEYS signed" in again.problem


def test_whoever_signs_with_a_key_that_is_not_trusted_hears_it(
    client, signed, keys, dagmm, monkeypatch
):
    (private, first), (other, second) = keys
    reference = f"{made.NAME}/{signed()}"
    use(monkeypatch, other, first)
    actual = dagmm("sign", reference)
    assert actual.code == 0
    said = " ".join(actual.out.split())
    assert "not be used where the same keys are trusted" in said
    assert f"the signature names the key {digest(second)[:16]}" in said
    use(monkeypatch, private, first)
    assert "not be used" not in " ".join(dagmm("sign", reference).out.split())


def test_only_what_is_as_registered_is_signed_afterwards(client, new, keys, monkeypatch):
    number = new()
    raise_the_threshold(bundle_of(client, number))
    with pytest.raises(seal.SealBroken, match="not those that were registered"):
        seal.sign_version(client, f"{made.NAME}/{number}")
    use(monkeypatch, None)
    with pytest.raises(UsageError, match="DAGMM_SIGNING_KEY"):
        seal.sign_version(client, f"{made.NAME}/{new()}")


def test_keys_that_cannot_be_used_are_named_before_anything_is_computed(tmp_path, monkeypatch):
    private, public = make_key(tmp_path, "shut", b"s3cret")
    other = tmp_path / "other.pub"
    other.write_bytes(
        ed25519.Ed25519PrivateKey.generate()
        .public_key()
        .public_bytes(form.Encoding.PEM, form.PublicFormat.SubjectPublicKeyInfo)
    )
    for wanted, trusted, words in (
        (tmp_path / "none.pem", [public], "none.pem"),
        (public, [public], "shut.pub"),
        (private, [public], "DAGMM_SIGNING_PASSWORD"),
        (None, [private], "shut.pem"),
        (None, [other], r"other\.pub: .*it is of another kind"),
        (None, [tmp_path], str(tmp_path)),
    ):
        use(monkeypatch, wanted, *trusted)
        with pytest.raises(UsageError, match=words) as refused:
            signing.check_settings(Settings())
        assert "s3cret" not in str(refused.value)
    monkeypatch.setenv("DAGMM_SIGNING_PASSWORD", "s3cret")
    use(monkeypatch, private, public)
    signing.check_settings(Settings())


@pytest.mark.parametrize("value", [":", "::"])
def test_keys_that_are_set_and_none_let_nothing_through(monkeypatch, value):
    """`DAGMM_TRUSTED_KEYS=$OLD:$NEW` of variables that are not set."""
    monkeypatch.setenv("DAGMM_TRUSTED_KEYS", value)
    with pytest.raises(UsageError, match="names no key"):
        signing.is_asked_for()


def test_commands_sign_what_they_make(dagmm, two_versions, keys, registry, tmp_path):
    """A version from before the keys is refused, signed once, and followed by signed ones."""
    name = "dagmm-wdbc"
    refused = dagmm("threshold", name, "--false-alarm-rate", 0.1)
    assert refused.code != 0
    assert "is not signed" in refused.out + refused.err
    assert dagmm("sign", name).code == 0
    done = dagmm("threshold", name, "--false-alarm-rate", 0.1, "--json")
    assert done.out, done.err
    version = registry.get_model_version(name, str(done.json["version"]))
    text = evidence_of(registry, version).read_bytes()
    kept = evidence_of(registry, version).with_name(signing.SIGNATURE).read_bytes()
    assert signing.problem(version, text, kept) == ""
    assert seal.sealed_evidence(registry, version)["run_id"] == version.run_id
