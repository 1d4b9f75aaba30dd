"""The memory that parts are held in: bounded, and used again instead of given back."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from kubectl_fluidmodel.errors import UsageError
from kubectl_fluidmodel.model.plan import PlanFile
from kubectl_fluidmodel.stage.options import Options
from kubectl_fluidmodel.stage.parts import LEAST_PART, MAX_PARTS, part_size

MIB = 1 << 20
_BESIDE = 24 * MIB
"""What threads, sockets and TLS take while it runs."""
_ASSUMED = 110 * MIB
"""What Python with boto3 takes, where it cannot be measured."""


def room(memory: int) -> int:
    """Bytes for parts, of a budget for the whole process; at least one part's worth."""
    return max(LEAST_PART, memory - resident() - _BESIDE)


def check(files: Sequence[PlanFile], room: int, options: Options) -> None:
    """See that a part of each file fits into the memory that there is for parts.

    Raises:
        UsageError: one is larger than all of it.
    """
    largest = max(files, key=lambda file: file.size, default=None)
    if largest is None:
        return
    part = part_size(largest.size, room, options.part_size)
    if part <= room or largest.size <= room:
        return
    needed = -(-(options.memory - room + part) // (64 * MIB)) * 64
    why = f"a part of {largest.path} takes {part // MIB} MiB, and {room // MIB} MiB are left for it"
    if part > options.part_size:
        why += f"; {largest.size >> 30} GiB make the {MAX_PARTS:,} parts that S3 allows so large"
    raise UsageError(
        f"--memory {options.memory // MIB}Mi is too little", why, f"--memory {needed}Mi"
    )


def resident() -> int:
    """Bytes of this process in memory now."""
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
    except (OSError, ValueError, IndexError):
        return _ASSUMED
    return pages * os.sysconf("SC_PAGE_SIZE")


class Buffers:
    """Byte arrays within a limit. Not safe by itself: the scheduler's lock guards it."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.used = 0
        self.most = 0
        self._free: dict[int, list[bytearray]] = {}

    def take(self, size: int) -> bytearray | None:
        """An array of exactly `size` bytes with anything in it, or None where there is no room.

        The first one is always given: a part that is larger than the limit must go through too.
        """
        free = self._free.get(size)
        if free:
            return free.pop()
        if self.used + size > self.limit:
            self._drop(size)
        if self.used and self.used + size > self.limit:
            return None
        self.used += size
        self.most = max(self.most, self.used)
        return bytearray(size)

    def give(self, buffer: bytearray) -> None:
        """Take an array back, to be used again."""
        self._free.setdefault(len(buffer), []).append(buffer)

    def _drop(self, size: int) -> None:
        """Let go of free arrays until `size` more bytes fit, or none is left."""
        for length in sorted(self._free):
            while self._free[length] and self.used + size > self.limit:
                self._free[length].pop()
                self.used -= length
