"""Words and numbers as a terminal shows them."""

from __future__ import annotations

import os
import sys
from typing import IO

_UNITS = ("B", "KiB", "MiB", "GiB", "TiB", "PiB")


def escape_control(text: str) -> str:
    """Text from a server with its control characters escaped, so that it cannot drive a terminal.

    Line feeds and tabs stay.
    """
    return "".join(
        char if char in "\n\t" or char.isprintable() else f"\\x{ord(char):02x}" for char in text
    )


def one_line(text: str, limit: int = 200) -> str:
    """Text from a server on one line of at most `limit` characters."""
    escaped = escape_control(" ".join(text.split()))
    return escaped if len(escaped) <= limit else escaped[: limit - 1] + "…"


def format_bytes(count: int | float | None) -> str:
    """Bytes for people: `0 B`, `131.4 GiB`; `unknown` for None."""
    if count is None:
        return "unknown"
    value = float(count)
    for unit in _UNITS:
        if abs(value) < 1024 or unit == _UNITS[-1]:
            return f"{int(value)} B" if unit == "B" else f"{value:.1f} {unit}"
        value /= 1024
    raise AssertionError("unreachable")


def format_duration(seconds: float) -> str:
    """Seconds for people, at most two units: `4s`, `3m20s`, `2h5m`."""
    rounded = max(0, round(seconds))
    if rounded < 60:
        return f"{rounded}s"
    if rounded < 3600:
        return f"{rounded // 60}m{rounded % 60}s" if rounded % 60 else f"{rounded // 60}m"
    if rounded < 86400:
        return (
            f"{rounded // 3600}h{rounded % 3600 // 60}m"
            if rounded % 3600 >= 60
            else f"{rounded // 3600}h"
        )
    return (
        f"{rounded // 86400}d{rounded % 86400 // 3600}h"
        if rounded % 86400 >= 3600
        else f"{rounded // 86400}d"
    )


def pluralize(count: int, noun: str) -> str:
    """`1 file`, `3 files`."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def wants_color(stream: IO[str], choice: str = "auto") -> bool:
    """Whether to colour what goes to a stream: the flag, then NO_COLOR, TERM and the terminal."""
    if choice != "auto":
        return choice == "always"
    if os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb":
        return False
    return stream.isatty()


def print_note(text: str) -> None:
    """One line of progress or advice, on stderr."""
    sys.stderr.write(escape_control(text) + "\n")
    sys.stderr.flush()


def print_warning(text: str) -> None:
    """One warning line, on stderr."""
    print_note(f"warning: {text}")
