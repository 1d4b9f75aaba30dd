"""Counting: what is done, found, read and sent. Safe to share between threads."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence

from kubectl_fluidmodel.model.plan import PlanFile
from kubectl_fluidmodel.stage.events import Progress

_STUMBLE = 5.0
"""Seconds for which a retry is told."""


class Tally:
    """The counts of one run."""

    def __init__(self, files: Sequence[PlanFile]) -> None:
        self._lock = threading.Lock()
        self._total = sum(file.size for file in files)
        self._files = len(files)
        self._ended = 0
        self._by_path: dict[str, int] = {}
        self._found: dict[str, int] = {}
        self._arriving: dict[str, int] = {}
        self._active: dict[str, None] = {}
        self.read = 0
        self.sent = 0
        self.stumbles = 0
        self._trouble = ""
        self._trouble_at = 0.0

    def begin(self, path: str) -> None:
        with self._lock:
            self._active[path] = None

    def end(self, path: str) -> None:
        with self._lock:
            self._active.pop(path, None)
            self._arriving.pop(path, None)
            self._ended += 1

    def fail(self, path: str) -> None:
        self.restart(path)
        with self._lock:
            self._active.pop(path, None)

    def restart(self, path: str) -> None:
        with self._lock:
            for counts in (self._by_path, self._found, self._arriving):
                counts.pop(path, None)

    def add_done(self, path: str, count: int) -> None:
        with self._lock:
            self._by_path[path] = self._by_path.get(path, 0) + count
            self._arriving[path] = max(0, self._arriving.get(path, 0) - count)

    def add_found(self, path: str, count: int) -> None:
        with self._lock:
            self._by_path[path] = count
            self._found[path] = count

    def add_read(self, path: str, count: int) -> None:
        with self._lock:
            self.read += count
            self._arriving[path] = self._arriving.get(path, 0) + count

    def add_sent(self, count: int) -> None:
        with self._lock:
            self.sent += count

    def stumble(self, why: str) -> None:
        """Something is tried again."""
        with self._lock:
            self.stumbles += 1
            self._trouble, self._trouble_at = why, time.monotonic()

    def progress(self) -> Progress:
        with self._lock:
            done = sum(self._by_path.values())
            recent = time.monotonic() - self._trouble_at < _STUMBLE
            return Progress(
                done=done,
                moving=max(0, min(self._total - done, sum(self._arriving.values()))),
                total=self._total,
                files_done=self._ended,
                files=self._files,
                found=sum(self._found.values()),
                read=self.read,
                sent=self.sent,
                active=tuple(self._active)[:4],
                trouble=self._trouble if recent else "",
            )
