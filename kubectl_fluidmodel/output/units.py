"""Formats bytes, seconds and counts for people."""

from __future__ import annotations

from collections.abc import Sequence

_UNITS = ("B", "KiB", "MiB", "GiB", "TiB", "PiB")
_SECONDS = {"d": 86400, "h": 3600, "m": 60, "s": 1}


def format_bytes(count: int | float | None) -> str:
    """Bytes in powers of 1024: `0 B`, `131.4 GiB`; `unknown` for None."""
    if count is None:
        return "unknown"
    value = float(count)
    for unit in _UNITS[:-1]:
        if abs(value) < 1024:
            return f"{int(value)} B" if unit == "B" else f"{value:.1f} {unit}"
        value /= 1024
    return f"{value:.1f} {_UNITS[-1]}"


def format_duration(seconds: float) -> str:
    """Seconds in at most two units: `4s`, `3m20s`, `2h5m`."""
    remaining = max(0, round(seconds))
    largest = next((unit for unit, size in _SECONDS.items() if remaining >= size), "s")
    units = list(_SECONDS)
    text = ""
    for unit in units[units.index(largest) :][:2]:
        count, remaining = divmod(remaining, _SECONDS[unit])
        if count or unit == largest:
            text += f"{count}{unit}"
    return text


def pluralize(count: int, noun: str) -> str:
    """`1 file`, `3 files`."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def list_first(texts: Sequence[str], limit: int = 5) -> str:
    """The first few texts, without a count of the others: `a, b, c…`."""
    return ", ".join(texts[:limit]) + ("…" if len(texts) > limit else "")


def summarize(texts: Sequence[str], limit: int = 3, separator: str = ", ") -> str:
    """The first few texts: `a, b, c and 4 more`; of sentences, `a; b; c; and 4 more`."""
    hidden = len(texts) - limit
    note = f"{'; ' if separator == '; ' else ' '}and {hidden} more" if hidden > 0 else ""
    return separator.join(texts[:limit]) + note
