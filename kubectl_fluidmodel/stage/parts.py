"""Division of a file into the parts of a multipart upload, and of a plan into shards. Pure.

S3's limits: at most 10,000 parts, each but the last 5 MiB to 5 GiB.
"""

from __future__ import annotations

from collections.abc import Sequence

from kubectl_fluidmodel.model.plan import PlanFile
from kubectl_fluidmodel.records import dataclass

MIB = 1 << 20
MAX_PARTS = 10_000
MIN_PART = 5 * MIB
MAX_PART = 5 << 30
DEFAULT_PART = 16 * MIB
"""Large enough to hide the overhead of a request, small enough that many fit in memory."""
PARTS_IN_FLIGHT = 8
"""Parts that have to fit into memory at once; else parts become smaller than the default."""


def choose_part_size(size: int, buffer_bytes: int, requested: int = 0) -> int:
    """Choose the part size for a file.

    Only the limit of 10,000 parts makes the parts of a very large file larger than the default.

    Args:
        size: bytes of the file.
        buffer_bytes: bytes of all parts in flight.
        requested: the user's choice in bytes; 0 for none.

    Returns:
        Bytes of a part: a whole number of MiB, so a multiple of the hash's block size.
    """
    fitting = max(MIN_PART, min(DEFAULT_PART, buffer_bytes // PARTS_IN_FLIGHT // MIB * MIB))
    min_size = -(-size // MAX_PARTS // MIB) * MIB if size else 0
    while min_size * MAX_PARTS < size:
        min_size += MIB
    return min(MAX_PART, max(requested or fitting, min_size))


def part_count(size: int, part_size: int) -> int:
    """Number of parts of a file; at least 1."""
    return max(1, -(-size // part_size))


def byte_range(index: int, size: int, part_size: int) -> tuple[int, int]:
    """Start and end (exclusive) of a part; parts count from 0."""
    return index * part_size, min(size, (index + 1) * part_size)


@dataclass(frozen=True)
class ShardAssignment:
    """The files that one shard stages."""

    files: tuple[PlanFile, ...]

    @property
    def bytes(self) -> int:
        return sum(file.size for file in self.files)


def assign_shards(files: Sequence[PlanFile], shards: int) -> list[ShardAssignment]:
    """Distribute files over shards: the largest first, each to the shard with the fewest bytes.

    Deterministic, so that every shard computes the same assignment: ties are broken by path and
    by shard number.
    """
    loads = [0] * shards
    assigned: list[list[PlanFile]] = [[] for _ in range(shards)]
    for file in sorted(files, key=lambda file: (-file.size, file.path)):
        index = min(
            range(shards), key=lambda number: (loads[number], len(assigned[number]), number)
        )
        loads[index] += file.size
        assigned[index].append(file)
    return [ShardAssignment(tuple(sorted(shard_files))) for shard_files in assigned]
