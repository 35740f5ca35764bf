"""Why a request gets no verdict: a status, a code as MLflow's server gives it, one sentence."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic_core import to_json

BAD_REQUEST, INVALID, UNAUTHENTICATED = "BAD_REQUEST", "INVALID_PARAMETER_VALUE", "UNAUTHENTICATED"
FORBIDDEN = "PERMISSION_DENIED"
TOO_LARGE, UNAVAILABLE, DEFECT = "REQUEST_TOO_LARGE", "TEMPORARILY_UNAVAILABLE", "INTERNAL_ERROR"


class Refused(Exception):
    """A request that is answered with a refusal.

    Args:
        status: Of HTTP.
        code: For programs; MLflow's where it has one.
        sentence: What is wrong and what to do.
        why: One of few words, which the metrics count by.
        rejected: Reasons by row, where single rows are to blame.
        causes: How many rows were rejected for what.
    """

    def __init__(
        self,
        status: int,
        code: str,
        sentence: str,
        why: str,
        rejected: Mapping[int, str] | None = None,
        causes: Mapping[str, int] | None = None,
    ) -> None:
        super().__init__(sentence)
        self.status, self.code, self.sentence, self.why = status, code, sentence, why
        self.rejected = rejected or {}
        self.causes: Mapping[str, int] = causes or {}

    def __reduce__(self) -> tuple[type[Refused], tuple[Any, ...]]:
        """As processes hand it on: of an exception's arguments, they keep the sentence alone."""
        status, code, sentence, why = self.status, self.code, self.sentence, self.why
        return Refused, (status, code, sentence, why, self.rejected, self.causes)

    def body(self) -> bytes:
        """The answer, JSON."""
        answer: dict[str, Any] = {"error_code": self.code, "message": self.sentence}
        if self.rejected:
            answer["rejected"] = [{"row": r, "reasons": text} for r, text in self.rejected.items()]
        return to_json(answer)


def malformed(sentence: str) -> Refused:
    """The body is not what it should be."""
    return Refused(400, BAD_REQUEST, sentence, "malformed")


def too_large(what: str, limit: str, setting: str) -> Refused:
    """The request goes beyond a limit.

    Args:
        what: That is too large, as the beginning of a sentence.
        limit: How much is taken.
        setting: Option that raises it.
    """
    sentence = f"{what}, and {limit} are taken: send less at a time, or start with more {setting}"
    return Refused(413, TOO_LARGE, sentence, "too large")


def server_ending() -> Refused:
    """The server ends, and the request takes longer than it waits."""
    return Refused(503, UNAVAILABLE, "the server ends: send the request again", "ending")
