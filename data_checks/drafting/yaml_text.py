"""Text as it stands in a drafted contract, so that YAML reads back what was in the table."""

from __future__ import annotations

import json

from data_checks.base.visible import visible


def quoted(text: str) -> str:
    """Text in double quotes; what YAML refuses, or a reader does not see, is an escape."""
    return visible(json.dumps(text, ensure_ascii=False))
