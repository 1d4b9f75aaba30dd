"""How a file is cut into the parts of a multipart upload, and a plan into shards. Pure.

S3's limits: at most 10,000 parts, each but the last 5 MiB to 5 GiB.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from kubectl_fluidmodel.model.plan import PlanFile

MIB = 1 << 20
MAX_PARTS = 10_000
MIN_PART = 5 * MIB
MAX_PART = 5 << 30
DEFAULT_PART = 16 * MIB
"""Large enough that a request's overhead does not show, small enough that many fit in memory."""
PARTS_IN_FLIGHT = 8
"""Parts that should fit into memory at once, before parts are made smaller than usual."""


def choose_part_size(size: int, buffer_bytes: int, requested: int = 0) -> int:
    """Bytes of a part for a file of `size`, where `room` bytes may be in flight in all.

    A whole number of MiB, so a multiple of a hash's block; only the 10,000 parts of a very
    large file make parts larger than usual.
    """
    fitting = max(MIN_PART, min(DEFAULT_PART, buffer_bytes // PARTS_IN_FLIGHT // MIB * MIB))
    needed = -(-size // MAX_PARTS // MIB) * MIB if size else 0
    while needed * MAX_PARTS < size:
        needed += MIB
    return min(MAX_PART, max(requested or fitting, needed))


def part_count(size: int, part: int) -> int:
    """Parts of a file."""
    return max(1, -(-size // part))


def byte_range(index: int, size: int, part: int) -> tuple[int, int]:
    """The first byte of a part, and the first after it; parts count from 0."""
    return index * part, min(size, (index + 1) * part)


@dataclass(frozen=True)
class ShardAssignment:
    """What one shard stages."""

    files: tuple[PlanFile, ...]

    @property
    def bytes(self) -> int:
        return sum(file.size for file in self.files)


def assign_shards(files: Sequence[PlanFile], shards: int) -> list[ShardAssignment]:
    """Divide files among shards by bytes: the largest first, each to who has least.

    The same for everybody who has the same files: ties go by path and by the shard's number.
    """
    loads = [0] * shards
    assigned: list[list[PlanFile]] = [[] for _ in range(shards)]
    for file in sorted(files, key=lambda each: (-each.size, each.path)):
        index = min(
            range(shards), key=lambda number: (loads[number], len(assigned[number]), number)
        )
        loads[index] += file.size
        assigned[index].append(file)
    return [ShardAssignment(tuple(sorted(each))) for each in assigned]
