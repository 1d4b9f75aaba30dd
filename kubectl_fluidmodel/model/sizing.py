"""Computes the size of a cache: quota per worker, heaps, and memory or disk.

All sizes are bytes. The rules, with their sources:

- Alluxio evicts above its high watermark, 0.95 of a tier by default
  (`alluxio.worker.tieredstore.level0.watermark.high.ratio`). Fluid v1.0.8 copies `high` and `low`
  of a tier into its chart's values, but no template uses them, so the default applies.
- Fluid reserves 2 GB of a worker that new blocks cannot use
  (`alluxio.user.block.avoid.eviction.policy.reserved.size.bytes`,
  pkg/ddc/alluxio/transform_optimization.go).
- A block is allocated completely before its file is written to it: one more block.
- Every cache node holds the whole model, so the quota does not depend on the number of nodes.
"""

from __future__ import annotations

from kubectl_fluidmodel.records import dataclass

KIB, MIB, GIB = 1 << 10, 1 << 20, 1 << 30

HIGH_WATERMARK_PERCENT = 95
RESERVED_BYTES = 2 * GIB
BLOCK_BYTES = 128 * MIB
"""Alluxio's block size for models: Fluid's default of 16 MiB results in ~10,000 blocks for a 70B
model, with a cost per block for each read."""

MEMORY_PATH = "/dev/shm"  # noqa: S108 - the tmpfs itself is the cache
DISK_PATH = "/var/lib/fluidmodel/cache"


MEDIUM_NAMES = {"MEM": "memory", "SSD": "SSD", "HDD": "disk"}


@dataclass(frozen=True)
class HeapSizes:
    """JVM sizes of one cache: -Xmx and -XX:MaxDirectMemorySize of its processes."""

    master: int
    worker: int
    worker_direct: int
    fuse: int
    fuse_direct: int

    @property
    def on_cache_node(self) -> int:
        """Bytes that worker and FUSE client can use beside the cache on its node."""
        return self.worker + self.worker_direct + self.fuse + self.fuse_direct


@dataclass(frozen=True)
class NodeCapacity:
    """The capacity of a node in bytes; None if unknown.

    `memory` and `disk` are allocatable minus the requests of its pods.
    """

    memory: int | None
    disk: int | None
    memory_total: int | None = None


@dataclass(frozen=True)
class Medium:
    """The selected medium and path, and why."""

    type: str
    path: str
    reason: str


def quota_for(model: int) -> int:
    """Return the quota per worker for a model of this size; a multiple of MiB or GiB."""
    required = -(-100 * model // HIGH_WATERMARK_PERCENT) + RESERVED_BYTES + BLOCK_BYTES
    unit = GIB if required > 16 * GIB else 64 * MIB
    return -(-required // unit) * unit


def max_model_bytes(quota: int) -> int:
    """Return the largest model that a quota holds without eviction; the inverse of `quota_for`."""
    return max(0, (quota - RESERVED_BYTES - BLOCK_BYTES) * HIGH_WATERMARK_PERCENT // 100)


def heap_sizes(model: int, files: int, *, web: bool = False, parallel_chunks: int = 0) -> HeapSizes:
    """Return JVM sizes for a model, instead of Fluid's 16 GiB master, 12 GiB worker and FUSE.

    A model has hundreds of large files, not millions of small ones: metadata needs little memory,
    and read buffers dominate. `web` is for WebUFS, for which Fluid uses blocks and buffers of 256
    MB instead of 32 MB. `parallel_chunks` is the bytes that many parallel reads have under way.
    """
    blocks = model // BLOCK_BYTES + files
    master = max(GIB, -(-blocks * 8 * KIB // GIB) * GIB)
    direct = max(8 * GIB if web else 4 * GIB, parallel_chunks)
    if model > 256 * MIB:
        return HeapSizes(master, 4 * GIB, direct, 4 * GIB, direct)
    return HeapSizes(GIB, GIB, GIB, GIB, GIB)


def fits_memory(
    quota: int, heaps: HeapSizes, model: int, capacity: NodeCapacity
) -> tuple[bool, str]:
    """Return whether a memory tier fits beside the engine, and why.

    The engine's share is the size of the model (it reads the weights through host memory) or a
    quarter of the node, whichever is larger.
    """
    if capacity.memory is None:
        return False, "the node's memory is not known"
    engine = max(model, (capacity.memory_total or capacity.memory) // 4)
    required = quota + heaps.on_cache_node + engine
    detail = (
        f"{_format_gib(quota)} cache + {_format_gib(heaps.on_cache_node)} JVMs + "
        f"{_format_gib(engine)} for the engine "
        f"of {_format_gib(capacity.memory)} free"
    )
    return required <= capacity.memory, detail


def choose_medium(
    requested: str,
    path: str | None,
    quota: int,
    heaps: HeapSizes,
    model: int,
    capacity: NodeCapacity | None,
) -> Medium:
    """Select the tier's medium: as requested, or for `auto` memory if it fits, else SSD."""
    if requested != "auto":
        default = MEMORY_PATH if requested == "MEM" else DISK_PATH
        return Medium(requested, path or default, f"--medium {requested}")
    if capacity is None:
        return Medium(
            "SSD", path or DISK_PATH, "no node was checked, and a disk always has enough space"
        )
    fits, detail = fits_memory(quota, heaps, model, capacity)
    if fits and (path is None or path.startswith(MEMORY_PATH)):
        return Medium("MEM", path or MEMORY_PATH, f"memory fits: {detail}")
    if path is not None:
        return Medium("SSD", path, f"--path {path} is a disk")
    return Medium("SSD", DISK_PATH, f"memory does not fit beside the engine: {detail}")


def _format_gib(count: int) -> str:
    return f"{count / GIB:.1f} GiB"
