"""How a file is cut into the parts of a multipart upload, and a plan into shards. Pure.

S3's limits: at most 10,000 parts, each but the last 5 MiB to 5 GiB.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from kubectl_fluidmodel.model.plan import PlanFile

MIB = 1 << 20
MAX_PARTS = 10_000
LEAST_PART = 5 * MIB
MOST_PART = 5 << 30
USUAL_PART = 16 * MIB
"""Large enough that a request's overhead does not show, small enough that many fit in memory."""
IN_FLIGHT = 8
"""Parts that should fit into memory at once, before parts are made smaller than usual."""


def part_size(size: int, room: int, wanted: int = 0) -> int:
    """Bytes of a part for a file of `size`, where `room` bytes may be in flight in all.

    A whole number of MiB, so a multiple of a hash's block; only the 10,000 parts of a very
    large file make parts larger than usual.
    """
    fitting = max(LEAST_PART, min(USUAL_PART, room // IN_FLIGHT // MIB * MIB))
    needed = -(-size // MAX_PARTS // MIB) * MIB if size else 0
    while needed * MAX_PARTS < size:
        needed += MIB
    return min(MOST_PART, max(wanted or fitting, needed))


def count(size: int, part: int) -> int:
    """Parts of a file."""
    return max(1, -(-size // part))


def span(index: int, size: int, part: int) -> tuple[int, int]:
    """The first byte of a part, and the first after it; parts count from 0."""
    return index * part, min(size, (index + 1) * part)


@dataclass(frozen=True)
class Share:
    """What one shard stages."""

    files: tuple[PlanFile, ...]

    @property
    def bytes(self) -> int:
        return sum(file.size for file in self.files)


def share(files: Sequence[PlanFile], shards: int) -> list[Share]:
    """Divide files among shards by bytes: the largest first, each to who has least.

    The same for everybody who has the same files: ties go by path and by the shard's number.
    """
    loads = [0] * shards
    given: list[list[PlanFile]] = [[] for _ in range(shards)]
    for file in sorted(files, key=lambda each: (-each.size, each.path)):
        index = min(range(shards), key=lambda number: (loads[number], len(given[number]), number))
        loads[index] += file.size
        given[index].append(file)
    return [Share(tuple(sorted(each))) for each in given]
