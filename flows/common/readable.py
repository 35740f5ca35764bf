"""Moments and counts, as people read them."""

import time


def minute(seconds: float) -> str:
    """`2026-03-01 14:05 UTC`, of seconds since 1970."""
    return time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(seconds))


def plural(count: int, word: str) -> str:
    """`1 epoch`, `2 epochs`."""
    return f"{count:,} {word}" + ("" if count == 1 else "s")
