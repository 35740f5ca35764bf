"""Signatures of evidence: who can write files and tags, but has no key, cannot seal anything again.

The seal compares two stores, so whoever writes both can change a model and seal it again. With keys
the evidence is signed where a version is made, and every use of it asks for a signature by one of
the keys that are trusted. The evidence names the digests of all files, so one signature covers them
all. The format is that of `model-signing` (sigstore), with keys of one's own and no network.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from data_checks.base.scratch import scratch_folder
from flows.common.errors import UsageError
from flows.common.settings import Settings

if TYPE_CHECKING:
    from mlflow.entities.model_registry import ModelVersion
    from mlflow.tracking import MlflowClient

EVIDENCE, SIGNATURE = "evidence.json", "evidence.sig"
PASSWORD = "DAGMM_SIGNING_PASSWORD"  # noqa: S105  its name
UNUSABLE = (OSError, ValueError, TypeError, AttributeError)


def check_settings(settings: Settings) -> None:
    """Say before anything is computed that keys cannot be used.

    Raises:
        UsageError: A key file is missing or holds no key; or the extra is not installed.
    """
    if settings.signing_key is not None:
        _signer(settings.signing_key)
    for key in settings.trusted_keys:
        _verifier(key)


def sign(client: MlflowClient, name: str, run_id: str, text: str, *, must: bool = False) -> str:
    """Sign the evidence of a run if there is a key to sign with; gives `key_of` the signature.

    It is for the named model only, and of the text of ``evidence.json`` exactly as it is kept.

    Raises:
        UsageError: The key cannot be used, or has to be there and is not.
    """
    key = Settings().signing_key
    if key is None and must:
        raise UsageError("set DAGMM_SIGNING_KEY to the private key that is to sign")
    if key is None:
        return ""
    from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository

    with scratch_folder() as scratch:
        signed = _signed_folder(scratch, name, text.encode())
        signature = scratch / SIGNATURE
        _signer(key).sign(signed, signature)
        # Not by the client, which remembers where a run's files were: a home may have moved since.
        get_artifact_repository(client.get_run(run_id).info.artifact_uri).log_artifact(
            str(signature)
        )
        return key_of(signature.read_bytes())


def key_of(signature: bytes) -> str:
    """The key that a signature names: sha256 of the public half, as openssl writes it in PEM.

    Empty where it names none. Whether it is by that key is another question: see `problem`.
    """
    try:
        return str(json.loads(signature)["verificationMaterial"]["publicKey"]["hint"])
    except (ValueError, LookupError, TypeError, RecursionError):
        return ""


def problem(version: ModelVersion, text: bytes, signature: bytes | None) -> str:
    """What is wrong with the signature of a version's evidence; empty where none is asked for.

    Raises:
        UsageError: A trusted key cannot be read.
    """
    keys = Settings().trusted_keys
    if not keys:
        return ""
    if signature is None:
        return (
            "its evidence is not signed (`dagmm sign "
            f"{version.name}/{version.version}` signs what is as registered)"
        )
    if not _is_signed(version.name, text, signature, keys):
        named = key_of(signature)
        return "no key in DAGMM_TRUSTED_KEYS signed its evidence for this model" + (
            f"; the signature names the key {named[:16]}" if named else ""
        )
    return ""


def is_asked_for() -> bool:
    """Whether versions are used only with a signature."""
    return bool(Settings().trusted_keys)


def _is_signed(name: str, text: bytes, signature: bytes, keys: Sequence[Path]) -> bool:
    with scratch_folder() as scratch:
        signed, file = _signed_folder(scratch, name, text), scratch / SIGNATURE
        file.write_bytes(signature)
        for key in keys:
            verifier = _verifier(key)
            try:
                verifier.verify(signed, file)
            except Exception:  # noqa: S112  of many kinds, and all mean: not by this key
                continue
            return True
    return False


def _signed_folder(scratch: Path, name: str, text: bytes) -> Path:
    """What a signature is of: a folder with the evidence, and the model that it is about.

    With the name, a signed version of one model cannot be passed off as one of another.
    """
    folder = scratch / "signed"
    folder.mkdir()
    (folder / EVIDENCE).write_bytes(text)
    (folder / "model").write_text(name, encoding="utf-8")
    return folder


def _signer(key: Path):  # type: ignore[no-untyped-def]
    password = os.environ.get(PASSWORD)
    try:
        from model_signing.signing import Config

        return Config().use_elliptic_key_signer(
            private_key=key, password=password.encode() if password else None
        )
    except UNUSABLE as error:
        raise UsageError(
            f"DAGMM_SIGNING_KEY {key}: no private EC key that can be used ({_why(error)}); the "
            f"password of an encrypted one belongs in {PASSWORD}"
        ) from None


def _verifier(key: Path):  # type: ignore[no-untyped-def]
    try:
        from model_signing.verifying import Config

        return Config().use_elliptic_key_verifier(public_key=key)
    except UNUSABLE as error:
        raise UsageError(
            f"DAGMM_TRUSTED_KEYS {key}: no public EC key that can be used ({_why(error)})"
        ) from None


def _why(error: Exception) -> str:
    """Why a key cannot be used; the library looks for the curve of one that has none."""
    return "it is of another kind" if isinstance(error, AttributeError) else str(error)
