"""Notes and warnings on stderr, and terminal capabilities."""

from __future__ import annotations

import os
import sys
from typing import IO

from kubectl_fluidmodel.output.escaping import escape_control


def wants_color(stream: IO[str], choice: str = "auto") -> bool:
    """Return whether to color a stream, by the flag, then NO_COLOR, TERM and the terminal."""
    if choice != "auto":
        return choice == "always"
    if os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb":
        return False
    return stream.isatty()


def can_redraw(stream: IO[str]) -> bool:
    """Return whether a stream is a terminal with a movable cursor."""
    return stream.isatty() and os.environ.get("TERM") not in ("dumb", "unknown")


def terminal_width() -> int | None:
    """Return the columns of the terminal on stdout; None if stdout is not a terminal."""
    if not sys.stdout.isatty():
        return None
    import shutil

    return shutil.get_terminal_size().columns


def print_note(text: str) -> None:
    """Print one line of progress or advice on stderr."""
    sys.stderr.write(escape_control(text) + "\n")
    sys.stderr.flush()


def print_warning(text: str) -> None:
    """Print one warning line on stderr."""
    print_note(f"warning: {text}")
