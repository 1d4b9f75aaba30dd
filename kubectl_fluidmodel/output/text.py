"""Words and numbers as a terminal shows them."""

from __future__ import annotations

import os
import sys
from typing import IO

_UNITS = ("B", "KiB", "MiB", "GiB", "TiB", "PiB")


def printable(text: str) -> str:
    """Text from a server with its control characters escaped, so that it cannot drive a terminal.

    Line feeds and tabs stay.
    """
    return "".join(
        char if char in "\n\t" or char.isprintable() else f"\\x{ord(char):02x}" for char in text
    )


def one_line(text: str, limit: int = 200) -> str:
    """Text from a server on one line of at most `limit` characters."""
    flat = printable(" ".join(text.split()))
    return flat if len(flat) <= limit else flat[: limit - 1] + "…"


def size(count: int | float | None) -> str:
    """Bytes for people: `0 B`, `131.4 GiB`; `unknown` for None."""
    if count is None:
        return "unknown"
    value = float(count)
    for unit in _UNITS:
        if abs(value) < 1024 or unit == _UNITS[-1]:
            return f"{int(value)} B" if unit == "B" else f"{value:.1f} {unit}"
        value /= 1024
    raise AssertionError("unreachable")


def duration(seconds: float) -> str:
    """Seconds for people, at most two units: `4s`, `3m20s`, `2h5m`."""
    whole = max(0, round(seconds))
    if whole < 60:
        return f"{whole}s"
    if whole < 3600:
        return f"{whole // 60}m{whole % 60}s" if whole % 60 else f"{whole // 60}m"
    if whole < 86400:
        return (
            f"{whole // 3600}h{whole % 3600 // 60}m" if whole % 3600 >= 60 else f"{whole // 3600}h"
        )
    return (
        f"{whole // 86400}d{whole % 86400 // 3600}h"
        if whole % 86400 >= 3600
        else f"{whole // 86400}d"
    )


def plural(count: int, noun: str) -> str:
    """`1 file`, `3 files`."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def wants_color(stream: IO[str], choice: str = "auto") -> bool:
    """Whether to colour what goes to a stream: the flag, then NO_COLOR, TERM and the terminal."""
    if choice != "auto":
        return choice == "always"
    if os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb":
        return False
    return stream.isatty()


def note(text: str) -> None:
    """One line of progress or advice, on stderr."""
    sys.stderr.write(printable(text) + "\n")
    sys.stderr.flush()


def warn(text: str) -> None:
    """One warning line, on stderr."""
    note(f"warning: {text}")
