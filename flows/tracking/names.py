"""Names of metrics and tags from any text: columns, slices and people are called what they like."""

import hashlib
import re

LONGEST = 200
"""MLflow takes names of at most 250 characters."""


def tracking_name(text: str) -> str:
    """A name that MLflow takes, another one for every other text, the same one every time.

    MLflow takes letters, digits and ``_-./:`` and spaces, in a path that is as short as it can be:
    no empty part, no ``.`` or ``..``. A text that has to be altered gets a digest of itself.
    """
    marks = "".join(mark if mark.isalnum() or mark in "_-./ :" else "_" for mark in text)
    parts = ["_" if part in {"", ".", ".."} else part for part in marks.split("/")]
    name = "/".join(parts)
    if name == text and len(name) <= LONGEST:
        return name
    return f"{name[:LONGEST]}-{hashlib.sha256(text.encode()).hexdigest()[:10]}"


def slug(text: str) -> str:
    """A key that Prefect takes for an artifact: small letters, digits and single dashes."""
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-") or "unnamed"
