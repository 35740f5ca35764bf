"""The version behind an alias, loaded beside the one that answers and exchanged in one step.

Whoever answers a request takes `Follower.current` once and stays with it, so that no answer is of
two versions. A version that cannot be fetched, is not what was registered or does not give the
recorded energies never becomes `current`: the one before stays, and it is said why.
"""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace

from mlflow.entities.model_registry import ModelVersion
from mlflow.tracking import MlflowClient

from flows.api.loading import load_verified
from flows.api.model import ServedModel
from flows.common.errors import EXIT_DEFECT, EXIT_UNREACHABLE, UsageError, exit_code, message_of
from flows.tracking import registry
from flows.tracking.seal import EVIDENCE_TAG
from flows.tracking.tracking import without_passwords

RETRY_SECONDS = 30.0
"""After which a version that was refused is looked at again: its files may have been restored."""


@dataclass(frozen=True)
class Followed:
    """What the follower knows; exchanged as a whole.

    Attributes:
        wanted: Version behind the alias when the registry last answered; None where there is none.
        asked: When the registry last answered, seconds since 1970; 0 for never.
        registry_error: Why it does not say now which version to serve, or empty.
        registry_up: Whether it answers, be it that nothing stands behind the alias.
        refused: Version that was not taken into service, and stands behind the alias still.
        refusal: Why not.
        switches: How often `current` was exchanged.
        refusals: How often a version was refused.
    """

    wanted: int | None = None
    asked: float = 0.0
    registry_error: str = ""
    registry_up: bool = True
    refused: int | None = None
    refusal: str = ""
    switches: int = 0
    refusals: int = 0

    @property
    def trouble(self) -> str:
        """Why the server does not serve what it should, or empty."""
        return self.refusal or self.registry_error


class Follower:
    """Follows an alias until it is stopped.

    Args:
        client: Registry.
        reference: `NAME`, `NAME@alias` or `NAME/VERSION`.
        switched: Is told of a version that came into service, and of the one before.
        refused: Is told of a version that did not, and why; once for each reason.
        asked: Is told, while a version answers, why the registry does not say which one should;
            and with an empty text once it does again.
        store: Raises where the registry cannot be asked.
    """

    def __init__(
        self,
        client: MlflowClient,
        reference: str,
        switched: Callable[[ServedModel, ServedModel | None], None],
        refused: Callable[[ModelVersion, str, ServedModel | None], None],
        asked: Callable[[str, ServedModel], None],
        store: Callable[[], None],
    ) -> None:
        self.current: ServedModel | None = None
        self.standing = Followed()
        self.waited = False  # whether a look has found nothing to serve
        self._client, self._reference = client, reference
        self._switched, self._refused = switched, refused
        self._asked, self._store, self._answers = asked, store, True
        self._told: set[tuple[str, str]] = set()
        self._untold: tuple[ModelVersion, str] | None = None
        self._again = 0.0
        self._stop = threading.Event()

    def step(self) -> None:
        """Look once; load and exchange when another version is wanted. Raises nothing."""
        self._look()
        self.waited |= self.current is None
        answers = not self.standing.registry_error
        if self.current is not None and answers != self._answers:
            self._answers = answers
            self._asked(self.standing.registry_error, self.current)

    def _look(self) -> None:
        try:
            self._store()
            version = registry.find_model(self._client, self._reference)
        except Exception as error:  # the server goes on, whatever the registry says
            gone = {"wanted": None, "asked": time.time()} if isinstance(error, UsageError) else {}
            self._stand(registry_error=_message(error), registry_up=bool(gone), **gone)
            return
        wanted = int(version.version)
        self._stand(wanted=wanted, asked=time.time(), registry_error="", registry_up=True)
        self._tell()
        if self._is_current(version):
            self._stand(refused=None, refusal="")
            return
        if self.standing.refused == wanted and time.monotonic() < self._again:
            return
        self._take(version)

    def _is_current(self, version: ModelVersion) -> bool:
        """By its seal as well: numbers begin anew when a registered model was deleted."""
        now = self.current
        if now is None:
            return False
        sealed = version.tags.get(EVIDENCE_TAG, "")
        return (now.number, now.sealed) == (int(version.version), sealed)

    @property
    def serving(self) -> ServedModel | None:
        """The version that was loaded, unless the alias is known to be gone."""
        return self.current if self.standing.wanted is not None else None

    def run(self, seconds: float) -> None:
        """Look every so many seconds, until `stop`."""
        while not self._stop.wait(seconds):
            self.step()

    def stop(self) -> None:
        """Have `run` return."""
        self._stop.set()

    def _take(self, version: ModelVersion) -> None:
        before = self.current
        try:
            served = load_verified(self._client, version)
        except Exception as error:
            if exit_code(error) == EXIT_UNREACHABLE:  # of the store: it says nothing of the version
                self._stand(registry_error=_message(error), registry_up=False)
                return
            why = _message(error)
            if exit_code(error) == EXIT_DEFECT:  # its text was not written for a reader
                why = f"{type(error).__name__}: {why}"
            self._again = time.monotonic() + RETRY_SECONDS
            refusals = self.standing.refusals + 1
            self._stand(refused=int(version.version), refusal=why, refusals=refusals)
            self._untold = (version, why)
            self._tell()
            return
        self.current = served
        self._stand(refused=None, refusal="", switches=self.standing.switches + 1)
        self._switched(served, before)

    def _tell(self) -> None:
        """Tell of a refusal once; later when the store could not be told."""
        if self._untold is None:
            return
        version, why = self._untold
        key = (f"{version.version} {version.tags.get(EVIDENCE_TAG)}", why)
        if key not in self._told:
            try:
                self._refused(version, why, self.current)
            except Exception as error:
                self._stand(registry_error=_message(error), registry_up=False)
                return
            self._told.add(key)
        self._untold = None

    def _stand(self, **changes: object) -> None:
        self.standing = replace(self.standing, **changes)  # type: ignore[arg-type]


def _message(error: Exception) -> str:
    """What is said of an error to whoever asks the server."""
    return without_passwords(message_of(error))
