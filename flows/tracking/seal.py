"""The seal of a version: its files are used only where they are those that were registered.

`evidence.json` carries the digest of the model's files; its own digest is a tag of the version.
The stores that hold files and the registry that holds tags are different ones, so whoever changes
a byte of a model is found out, unless they also hold the right to write tags.
"""

import hashlib
import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mlflow.entities.model_registry import ModelVersion
from mlflow.tracking import MlflowClient

from dagmm_model.base.integrity import sha256_of
from data_checks.base.scratch import scratch_folder
from flows.tracking import signing

EVIDENCE = signing.EVIDENCE
EVIDENCE_TAG = "dagmm.evidence_sha256"
FORMAT = 2
BUNDLE = Path("artifacts", "bundle")
"""Where a model keeps its scoring bundle."""
CACHE = "__pycache__"
ADDED_BY_LOADING = {"registered_model_meta", CACHE}
"""MLflow and Python write these into a model's folder when it is loaded; `fetch` drops them."""


LOST = (FileNotFoundError, IsADirectoryError, NotADirectoryError, shutil.Error)


class SealBroken(ValueError):
    """The files of a version are not those that were registered, or nobody can tell."""


def fetch(client: MlflowClient, source: str, folder: Path) -> Path:
    """Copy a model from its store, without what loading it there has added.

    `source` is ``models:/ID`` or another address, as versions have it; `folder` must not exist.
    """
    if (place := on_this_disk(_location(client, source))) is not None:
        # MLflow would resolve and copy the hundred files of a model one by one.
        return Path(shutil.copytree(place, folder, ignore=shutil.ignore_patterns(CACHE)))
    from mlflow.artifacts import download_artifacts

    folder.mkdir(parents=True)
    copy = Path(download_artifacts(source, dst_path=str(folder)))
    for cache in list(copy.rglob(CACHE)):
        shutil.rmtree(cache)  # compiled code would run in place of the source that was digested
    return copy


def stored(client: MlflowClient, source: str, folder: Path) -> Path:
    """A model to digest: where it lies, if that is on this disk, or a copy in the folder."""
    return on_this_disk(_location(client, source)) or fetch(client, source, folder)


def model_sha256(folder: Path, bundle: Path | None = None) -> str:
    """sha256 of the names and bytes of a model's files; `bundle`: where its bundle was moved."""
    return sha256_of(folder, ADDED_BY_LOADING, None if bundle is None else (BUNDLE, bundle))


def is_recorded(file: Path, sha256: str) -> bool:
    """Whether a file has the digest that an evidence names; the first version digested it twice."""
    once = sha256_of(file)
    return sha256 in {once, hashlib.sha256(bytes.fromhex(once)).hexdigest()}


@dataclass(frozen=True)
class Signed:
    """A version that was signed.

    Attributes:
        key: The key that signed it, see `signing.key_of`.
        replaced: The key that the signature before it names; None where there was none.
        problem: What was wrong with that one, by the keys that are trusted here; or empty.
        untrusted: What is wrong with the new one, by the same keys; or empty.
    """

    version: ModelVersion
    key: str
    replaced: str | None
    problem: str
    untrusted: str


def sign_version(client: MlflowClient, reference: str) -> Signed:
    """Sign the evidence of a version that exists already, once its files match the seal.

    Raises:
        UsageError: There is no such version, or no key to sign with.
        SealBroken: The files are not those that were registered.
    """
    from flows.tracking.registry import find_model

    version = find_model(client, reference)
    text = _sealed_text(client, version)
    with _compared(client, version, json.loads(text)):
        before = _kept_signature(client, version.run_id)
        key = signing.sign(client, version.name, version.run_id, text.decode(), must=True)
    untrusted = signing.problem(version, text, read_signature(client, version.run_id))
    if before is None:
        return Signed(version, key, None, "", untrusted)
    problem = signing.problem(version, text, before)
    return Signed(version, key, signing.key_of(before), problem, untrusted)


def sealed_evidence(client: MlflowClient, version: ModelVersion) -> dict[str, Any]:
    """The evidence of a version, as it was sealed.

    Raises:
        SealBroken: It is gone, was changed, or the version never carried any.
    """
    text = _sealed_text(client, version)
    if why := signing.problem(version, text, read_signature(client, version.run_id)):
        raise _broken(version, why)
    evidence: dict[str, Any] = json.loads(text)
    return evidence


def _sealed_text(client: MlflowClient, version: ModelVersion) -> bytes:
    """The evidence of a version, whose digest is that of its tag."""
    tag = version.tags.get(EVIDENCE_TAG)
    if tag is None or not version.run_id:
        raise _broken(version, "it carries no sealed evidence: register it through `dagmm train`")
    try:
        text = _read(client, version.run_id, EVIDENCE)
    except Exception as error:
        if not _is_gone(error):
            raise
        raise _broken(version, f"its {EVIDENCE} is gone") from None
    if hashlib.sha256(text).hexdigest() != tag:
        raise _broken(version, f"its {EVIDENCE} was changed after the registration")
    if (format_ := json.loads(text).get("format")) != FORMAT:
        raise _broken(version, f"its evidence has format {format_}: train it again")
    return text


@contextmanager
def sealed_bundle(client: MlflowClient, version: ModelVersion) -> Iterator[Path]:
    """A private copy of a version's scoring bundle, once its model was compared with the seal.

    Copied first and compared then: nobody can change it in between. It is gone when the block ends.

    Raises:
        SealBroken: The model's files are not those that were registered.
    """
    with _compared(client, version, sealed_evidence(client, version)) as bundle:
        yield bundle


@contextmanager
def _compared(
    client: MlflowClient, version: ModelVersion, evidence: dict[str, Any]
) -> Iterator[Path]:
    with scratch_folder() as scratch:
        try:
            model = stored(client, version.source, scratch / "model")
            bundle = Path(shutil.copytree(model / BUNDLE, scratch / "bundle"))
            digest = model_sha256(model, bundle)
        except Exception as error:
            if not _is_gone(error):
                raise
            raise _broken(version, f"its files are gone ({error})") from None
        if digest != evidence["model_sha256"]:
            raise _broken(version, "its files are not those that were registered")
        yield bundle


def read_signature(client: MlflowClient, run_id: str) -> bytes | None:
    """The signature of a run's evidence; None where there is none, or nobody asks for one."""
    return _kept_signature(client, run_id) if signing.is_asked_for() else None


def _kept_signature(client: MlflowClient, run_id: str) -> bytes | None:
    try:
        return _read(client, run_id, signing.SIGNATURE)
    except Exception as error:
        if not _is_gone(error):
            raise
        return None


def _read(client: MlflowClient, run_id: str, name: str) -> bytes:
    if (place := on_this_disk(client.get_run(run_id).info.artifact_uri)) is not None:
        return (place / name).read_bytes()
    with scratch_folder() as scratch:
        return Path(client.download_artifacts(run_id, name, str(scratch))).read_bytes()


def _location(client: MlflowClient, source: str) -> str:
    """Address of a model in its store."""
    if not source.startswith("models:/"):
        return source
    location: str = client.get_logged_model(source.removeprefix("models:/")).artifact_location
    return location


def on_this_disk(uri: str) -> Path | None:
    """Folder behind the address of a store; None where it is another machine's."""
    from mlflow.utils.file_utils import local_file_uri_to_path
    from mlflow.utils.uri import is_local_uri

    return Path(local_file_uri_to_path(uri)) if is_local_uri(uri) else None


def _is_gone(error: Exception) -> bool:
    """Whether a store answered that it has no such file, as opposed to not answering."""
    code = getattr(error, "error_code", "")
    return isinstance(error, LOST) or code in {
        "RESOURCE_DOES_NOT_EXIST",
        "NOT_FOUND",
    }


def _broken(version: ModelVersion, why: str) -> SealBroken:
    return SealBroken(
        f"models:/{version.name}/{version.version} is not used: {why}. Restore its files from a "
        f"backup, put another version in production (`dagmm rollback {version.name}`), or train "
        "again"
    )
