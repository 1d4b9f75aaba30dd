"""Messages of a credential plugin: on stderr for its user, or on stdout instead of JSON."""

from __future__ import annotations

import contextlib
import os
import sys
import threading
from typing import IO

_LIVE = 1.0
"""Seconds after which messages are passed on immediately: the plugin may be waiting for its user.
"""
_MAX_BYTES = 1 << 16


class PluginOutput:
    """Passes on what a plugin writes to stderr.

    Messages of a short run are passed on at its end, or are part of the error. Messages of a long
    run are passed on as they arrive, because the plugin may be waiting for a code to be entered in
    a browser.
    """

    def __init__(self, source: IO[bytes] | None, *, shown: bool) -> None:
        self._held = bytearray()
        self._live = False
        self._shown = shown
        self._lock = threading.Lock()
        self._timer = threading.Timer(_LIVE, self._go_live)
        self._timer.daemon = True
        self._thread = threading.Thread(target=self._read, args=(source,), daemon=True)
        if source is not None:
            self._timer.start()
            self._thread.start()

    def finish(self, *, failed: bool) -> str:
        """Return the pending messages if the plugin failed; otherwise pass them on."""
        self._timer.cancel()
        if self._thread.is_alive():
            self._thread.join(1.0)  # a child of the plugin may keep stderr open forever
        with self._lock:
            text = self._held.decode("utf-8", "replace")
        if failed:
            return text
        self._go_live()
        return ""

    def _read(self, source: IO[bytes]) -> None:
        with contextlib.suppress(OSError, ValueError):  # it ended, or was closed
            while data := os.read(source.fileno(), 4096):
                with self._lock:
                    self._held += data[: _MAX_BYTES - len(self._held)]
                    if self._live:
                        self._pass_on()

    def _go_live(self) -> None:
        with self._lock:
            self._live = True
            self._pass_on()

    def _pass_on(self) -> None:
        if self._shown and self._held and sys.stderr is not None:
            sys.stderr.write(self._held.decode("utf-8", "replace"))
            sys.stderr.flush()
        self._held.clear()


def first_line(printed: bytes) -> str:
    """Return the start of output that should have been JSON, without possible secrets."""
    text = printed.decode("utf-8", "replace").strip()
    if not text:
        return "nothing"
    words = text.splitlines()[0].split()
    # Truncated JSON may contain the token, and a single word may be it.
    if text[0] in "{[" or len(words) < 2:
        return "something that is not JSON"
    shown = " ".join(word if len(word) <= _PLAIN else "…" for word in words[:12])
    shown = "".join(char if char.isprintable() else " " for char in shown)
    return f"'{shown}{' …' if len(words) > 12 or len(text.splitlines()) > 1 else ''}', not JSON"


_PLAIN = 20
"""Characters of a word that cannot be a token."""
