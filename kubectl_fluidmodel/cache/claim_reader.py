"""Reads every file of a cache through its claim and prints their hashes; runs in a pod.

The pod does not know what it should find: it reports path, size and hashes of each file, and
`read_verification.py` compares them.
"""

from __future__ import annotations

import hashlib
import os
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from kubectl_fluidmodel.fluid.claim_job import MOUNT_PATH
from kubectl_fluidmodel.model.page_cache import measure_residency
from kubectl_fluidmodel.output.event_log import EventLog, report_progress
from kubectl_fluidmodel.records import dataclass

_BLOCK = 16 * 1024**2
_READERS = 4
"""Number of files that are read at the same time: few, because Alluxio's FUSE has hung with 32 and
more parallel reads (fluid#5802)."""
_MAX_GIT_BYTES = 16 * 1024**2
"""The Hub lists git's blob IDs for files below 10 MB; larger ones have a SHA-256."""


@dataclass(frozen=True)
class FileRead:
    """A file that was read completely."""

    path: str
    """Relative to the claim's root."""
    size: int
    sha256: str
    git: str
    """git's blob ID: sha1("blob N\\0" + bytes); empty for large files."""


@dataclass(frozen=True)
class ReadFailed:
    """A file, or the claim itself, that cannot be read."""

    path: str
    reason: str


@dataclass(frozen=True)
class ReadProgress:
    """Bytes read so far."""

    bytes: int


@dataclass(frozen=True)
class PagesMeasured:
    """How much of the files is in the node's page cache after all of them were read."""

    bytes: int
    total_bytes: int


@dataclass(frozen=True)
class ReadFinished:
    """Every file was tried."""

    bytes: int
    seconds: float


Event = FileRead | ReadFailed | ReadProgress | PagesMeasured | ReadFinished
EVENTS: EventLog[Event] = EventLog(
    {
        "file": FileRead,
        "failed": ReadFailed,
        "progress": ReadProgress,
        "pages": PagesMeasured,
        "finished": ReadFinished,
    }
)


class _Reading:
    """Reads files in threads, and counts their bytes."""

    def __init__(self, root: Path, emit: Callable[[Event], None]) -> None:
        self.root, self.emit = root, emit
        self.bytes = 0
        self._lock = threading.Lock()

    def read(self, path: Path) -> None:
        name = path.relative_to(self.root).as_posix()
        try:
            self.emit(self._hash(path, name))
        except OSError as err:
            self.emit(ReadFailed(name, err.strerror or str(err)))

    def _hash(self, path: Path, name: str) -> FileRead:
        size = path.stat().st_size
        sha256, count = hashlib.sha256(), 0
        blob = None
        if size <= _MAX_GIT_BYTES:
            blob = hashlib.sha1(b"blob %d\0" % size, usedforsecurity=False)
        buffer = memoryview(bytearray(min(_BLOCK, max(size, 1))))
        with path.open("rb", buffering=0) as file:
            while block_bytes := file.readinto(buffer):
                sha256.update(buffer[:block_bytes])
                if blob:
                    blob.update(buffer[:block_bytes])
                count += block_bytes
                with self._lock:
                    self.bytes += block_bytes
        return FileRead(name, count, sha256.hexdigest(), blob.hexdigest() if blob else "")


def read_claim(root: Path, emit: Callable[[Event], None]) -> None:
    """Read every file below a directory.

    Args:
        root: Where the claim is mounted.
        emit: Receives the events; ReadFinished is the last.
    """
    started = time.monotonic()
    reading = _Reading(root, emit)
    with report_progress(lambda: reading.bytes, lambda count: emit(ReadProgress(count))):
        files = _list_files(root, emit)
        with ThreadPoolExecutor(_READERS) as pool:
            list(pool.map(reading.read, files))
        seconds = time.monotonic() - started
        residency = measure_residency(root)
    if residency is not None:
        emit(PagesMeasured(residency.bytes, residency.total_bytes))
    emit(ReadFinished(reading.bytes, seconds))


def _list_files(root: Path, emit: Callable[[Event], None]) -> list[Path]:
    """Return every regular file, largest first, so the last thread is not left with a large one."""
    by_size: list[tuple[int, Path]] = []

    def fail(err: OSError) -> None:
        path = Path(err.filename or root)
        emit(ReadFailed(path.relative_to(root).as_posix(), err.strerror or str(err)))

    for folder, _, files in os.walk(root, onerror=fail):
        for file in files:
            path = Path(folder, file)
            try:
                by_size.append((-path.stat().st_size, path))
            except OSError as err:
                emit(ReadFailed(path.relative_to(root).as_posix(), err.strerror or str(err)))
    return [path for _, path in sorted(by_size)]


def main() -> int:
    """Run in the pod: read the claim, print events."""
    read_claim(Path(MOUNT_PATH), EVENTS.printer())
    return 0


if __name__ == "__main__":
    sys.exit(main())
