"""Text from data, as it may stand on a terminal, in a comment or in YAML.

A level, a note or a column's name may hold escape sequences that colour, move or overwrite what a
person reads, and marks that turn the direction of a line.
"""

import json
import re

_UNSEEN = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\xad\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u2069\ufeff"
    "\ufff9-\ufffb\ud800-\udfff\U000e0000-\U000e007f]"
)


def visible(text: str) -> str:
    r"""Text with every character that a reader cannot see as an escape (`\x1b`); lines stay."""
    return _UNSEEN.sub(lambda match: _escape(match[0]), text)


def quoted(text: str) -> str:
    """Text in double quotes; what YAML refuses, or a reader does not see, is an escape."""
    return visible(json.dumps(text, ensure_ascii=False))


def _escape(character: str) -> str:
    code = ord(character)
    if code < 0x100:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"
