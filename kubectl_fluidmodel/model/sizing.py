"""How much room a cache needs: quota per worker, heaps, and memory or disk.

All sizes are bytes. The rules, with their sources:

- Alluxio evicts above its high watermark, 0.95 of a tier by default (`alluxio.worker.
  tieredstore.level0.watermark.high.ratio`). Fluid v1.0.8 copies `high` and `low` of a tier into
  its chart's values, but no template uses them, so the default is what holds.
- Fluid keeps 2 GB of a worker free of new blocks (`alluxio.user.block.avoid.eviction.policy.
  reserved.size.bytes`, pkg/ddc/alluxio/transform_optimization.go).
- A block is allocated whole before its file is written to it: one more block of room.
- Every cache node holds the whole model, so the quota is that of the whole model whatever the
  number of nodes.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from math import ceil, floor

KIB, MIB, GIB = 1 << 10, 1 << 20, 1 << 30

HIGH_WATERMARK = Fraction(95, 100)
RESERVE = 2 * GIB
BLOCK = 128 * MIB
"""Alluxio's block size for models: Fluid's default of 16 MiB makes ~10,000 blocks of a 70B
model, each with its own bookkeeping on the way of a read."""

MEMORY_PATH = "/dev/shm"  # noqa: S108 - the tmpfs itself is the cache
DISK_PATH = "/var/lib/fluidmodel/cache"


@dataclass(frozen=True)
class Heaps:
    """JVM sizes of one cache: -Xmx and -XX:MaxDirectMemorySize of its processes."""

    master: int
    worker: int
    worker_direct: int
    fuse: int
    fuse_direct: int

    @property
    def on_cache_node(self) -> int:
        """Bytes that worker and FUSE client may take beside the cache on its node."""
        return self.worker + self.worker_direct + self.fuse + self.fuse_direct


@dataclass(frozen=True)
class Room:
    """What one node can offer, in bytes; None where it is not known.

    `memory` and `disk` are allocatable less what its pods already request.
    """

    memory: int | None
    disk: int | None
    memory_total: int | None = None


@dataclass(frozen=True)
class Medium:
    """Memory or disk, where on the node, and why."""

    type: str
    path: str
    why: str


def quota_for(model: int) -> int:
    """The quota per worker that holds a model of so many bytes; a whole number of MiB or GiB."""
    needed = ceil(model / HIGH_WATERMARK) + RESERVE + BLOCK
    unit = GIB if needed > 16 * GIB else 64 * MIB
    return -(-needed // unit) * unit


def holds(quota: int) -> int:
    """The bytes of model that a quota holds without evicting any; the inverse of `quota_for`."""
    return max(0, floor((quota - RESERVE - BLOCK) * HIGH_WATERMARK))


def heaps(model: int, files: int, *, web: bool = False) -> Heaps:
    """JVM sizes that suit a model instead of Fluid's 16 GiB master, 12 GiB worker and FUSE.

    A model is hundreds of large files, not millions of small ones: metadata needs little, and
    read buffers are what counts. `web` is for WebUFS, where Fluid makes blocks and buffers of
    256 MB instead of 32 MB.
    """
    blocks = model // BLOCK + files
    master = max(GIB, -(-blocks * 8 * KIB // GIB) * GIB)
    direct = 8 * GIB if web else 4 * GIB
    if model > 256 * MIB:
        return Heaps(master, 4 * GIB, direct, 4 * GIB, direct)
    return Heaps(GIB, GIB, GIB, GIB, GIB)


def fits_memory(quota: int, jvm: Heaps, model: int, room: Room) -> tuple[bool, str]:
    """Whether a memory tier fits beside the engine that will load the model, and why (not).

    The engine's share is the model once more (it reads the weights through host memory) or a
    quarter of the node, whichever is more.
    """
    if room.memory is None:
        return False, "the node's memory is not known"
    engine = max(model, (room.memory_total or room.memory) // 4)
    needed = quota + jvm.on_cache_node + engine
    detail = (
        f"{_gib(quota)} cache + {_gib(jvm.on_cache_node)} JVMs + {_gib(engine)} for the engine "
        f"of {_gib(room.memory)} free"
    )
    return needed <= room.memory, detail


def choose_medium(
    wanted: str, path: str | None, quota: int, jvm: Heaps, model: int, room: Room | None
) -> Medium:
    """The tier's medium: as wanted, or for `auto` memory where it fits and SSD where not."""
    if wanted != "auto":
        default = MEMORY_PATH if wanted == "MEM" else DISK_PATH
        return Medium(wanted, path or default, f"--medium {wanted}")
    if room is None:
        return Medium("SSD", path or DISK_PATH, "no node was looked at, and a disk always holds it")
    fits, detail = fits_memory(quota, jvm, model, room)
    if fits and (path is None or path.startswith(MEMORY_PATH)):
        return Medium("MEM", path or MEMORY_PATH, f"memory fits: {detail}")
    if path is not None:
        return Medium("SSD", path, f"--path {path} is a disk")
    return Medium("SSD", DISK_PATH, f"memory does not fit beside the engine: {detail}")


def _gib(count: int) -> str:
    return f"{count / GIB:.1f} GiB"
