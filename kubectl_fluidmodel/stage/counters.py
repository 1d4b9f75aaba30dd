"""Byte and file counters of one run. Safe to share between threads."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence

from kubectl_fluidmodel.model.plan import PlanFile
from kubectl_fluidmodel.stage.events import TransferProgress

_RETRY_SHOWN_FOR = 5.0
"""Seconds for which a retry is reported."""
_MAX_ACTIVE = 4
"""Active files that are reported by name."""


class TransferCounters:
    """Counters of one run; per file, so that a file that restarts is counted once."""

    def __init__(self, files: Sequence[PlanFile]) -> None:
        self._lock = threading.Lock()
        self._total = sum(file.size for file in files)
        self._files = len(files)
        self._files_done = 0
        self._done_by_path: dict[str, int] = {}
        self._existing_by_path: dict[str, int] = {}
        self._in_flight_by_path: dict[str, int] = {}
        self._active: dict[str, None] = {}
        self.read = 0
        self.sent = 0
        self._last_retry = ""
        self._last_retry_at = 0.0

    def file_started(self, path: str) -> None:
        with self._lock:
            self._active[path] = None

    def file_done(self, path: str) -> None:
        with self._lock:
            self._active.pop(path, None)
            self._in_flight_by_path.pop(path, None)
            self._files_done += 1

    def file_failed(self, path: str) -> None:
        self.file_restarted(path)
        with self._lock:
            self._active.pop(path, None)

    def file_restarted(self, path: str) -> None:
        with self._lock:
            for counts in (self._done_by_path, self._existing_by_path, self._in_flight_by_path):
                counts.pop(path, None)

    def add_done(self, path: str, count: int) -> None:
        """Count bytes that this run stored."""
        with self._lock:
            self._done_by_path[path] = self._done_by_path.get(path, 0) + count
            in_flight = self._in_flight_by_path.get(path, 0)
            self._in_flight_by_path[path] = max(0, in_flight - count)

    def add_existing(self, path: str, count: int) -> None:
        """Count bytes that were in the store before."""
        with self._lock:
            self._done_by_path[path] = count
            self._existing_by_path[path] = count

    def add_read(self, path: str, count: int) -> None:
        """Count bytes received from the Hub."""
        with self._lock:
            self.read += count
            self._in_flight_by_path[path] = self._in_flight_by_path.get(path, 0) + count

    def add_sent(self, count: int) -> None:
        """Count bytes sent to the store."""
        with self._lock:
            self.sent += count

    def retried(self, reason: str) -> None:
        """Report a retry."""
        with self._lock:
            self._last_retry, self._last_retry_at = reason, time.monotonic()

    def progress(self) -> TransferProgress:
        """The counters now."""
        with self._lock:
            done = sum(self._done_by_path.values())
            in_flight = sum(self._in_flight_by_path.values())
            is_recent = time.monotonic() - self._last_retry_at < _RETRY_SHOWN_FOR
            return TransferProgress(
                done=done,
                in_flight=max(0, min(self._total - done, in_flight)),
                total=self._total,
                files_done=self._files_done,
                files=self._files,
                already_present=sum(self._existing_by_path.values()),
                read=self.read,
                sent=self.sent,
                active=tuple(self._active)[:_MAX_ACTIVE],
                last_retry=self._last_retry if is_recent else "",
            )
