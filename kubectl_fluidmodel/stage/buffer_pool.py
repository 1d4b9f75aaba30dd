"""The memory that holds parts: bounded, and reused instead of freed."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from kubectl_fluidmodel.errors import UsageError
from kubectl_fluidmodel.model.plan import PlanFile
from kubectl_fluidmodel.stage.options import TransferOptions
from kubectl_fluidmodel.stage.parts import MAX_PARTS, MIN_PART, choose_part_size

MIB = 1 << 20
_RUNTIME_OVERHEAD = 24 * MIB
"""What threads, sockets and TLS allocate during the transfer."""
_ASSUMED_RESIDENT = 110 * MIB
"""Memory of Python with boto3, where it cannot be measured."""


def buffer_budget(memory: int) -> int:
    """Bytes for parts out of `memory` bytes for the whole process; at least one part."""
    return max(MIN_PART, memory - resident_memory() - _RUNTIME_OVERHEAD)


def require_part_fits(
    files: Sequence[PlanFile], buffer_bytes: int, options: TransferOptions
) -> None:
    """Check that a part of each file fits into `buffer_bytes`.

    Raises:
        UsageError: a part is larger.
    """
    largest = max(files, key=lambda file: file.size, default=None)
    if largest is None:
        return
    part = choose_part_size(largest.size, buffer_bytes, options.part_size)
    if part <= buffer_bytes or largest.size <= buffer_bytes:
        return
    required = -(-(options.memory - buffer_bytes + part) // (64 * MIB)) * 64
    reason = (
        f"a part of {largest.path} takes {part // MIB} MiB, and {buffer_bytes // MIB} MiB are left "
        "for it"
    )
    if part > options.part_size:
        reason += f"; S3 allows {MAX_PARTS:,} parts, so {largest.size >> 30} GiB need large ones"
    raise UsageError(
        f"--memory {options.memory // MIB}Mi is too little", reason, f"--memory {required}Mi"
    )


def resident_memory() -> int:
    """Bytes of this process that are in memory now."""
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
    except (OSError, ValueError, IndexError):
        return _ASSUMED_RESIDENT
    return pages * os.sysconf("SC_PAGE_SIZE")


class BufferPool:
    """Byte arrays within a limit. Not thread-safe: the scheduler's lock guards it."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.used = 0
        self.peak = 0
        self._free: dict[int, list[bytearray]] = {}

    def acquire(self, size: int) -> bytearray | None:
        """Get a buffer of exactly `size` bytes with arbitrary content.

        Returns:
            The buffer, or None while the limit is reached. The first buffer is always granted: a
            part that is larger than the limit must be transferable, too.
        """
        free = self._free.get(size)
        if free:
            return free.pop()
        if self.used + size > self.limit:
            self._evict(size)
        if self.used and self.used + size > self.limit:
            return None
        self.used += size
        self.peak = max(self.peak, self.used)
        return bytearray(size)

    def release(self, buffer: bytearray) -> None:
        """Return a buffer to the pool."""
        self._free.setdefault(len(buffer), []).append(buffer)

    def _evict(self, size: int) -> None:
        """Free unused buffers until `size` more bytes fit, or none is left."""
        for length in sorted(self._free):
            while self._free[length] and self.used + size > self.limit:
                self._free[length].pop()
                self.used -= length
