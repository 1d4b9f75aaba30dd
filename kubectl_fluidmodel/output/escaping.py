"""Makes text from servers safe for a terminal."""

from __future__ import annotations


def escape_control(text: str) -> str:
    """Escape control characters, so the text cannot control a terminal.

    Line feeds and tabs stay.
    """
    return "".join(
        char if char in "\n\t" or char.isprintable() else f"\\x{ord(char):02x}" for char in text
    )


def one_line(text: str, limit: int = 200) -> str:
    """Return escaped text on one line of at most `limit` characters."""
    escaped = escape_control(" ".join(text.split()))
    return escaped if len(escaped) <= limit else escaped[: limit - 1] + "…"
