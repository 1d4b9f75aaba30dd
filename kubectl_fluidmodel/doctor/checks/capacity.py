"""8xx: whether the model fits where it is cached."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from kubectl_fluidmodel.doctor import fix_commands, observations
from kubectl_fluidmodel.doctor.check import Case, Evidence, Finding, Fix, Severity, check, reference
from kubectl_fluidmodel.doctor.consequences import NOT_WHOLE
from kubectl_fluidmodel.fluid import alluxio, names
from kubectl_fluidmodel.inventory import runtimes
from kubectl_fluidmodel.inventory.cache import Cached
from kubectl_fluidmodel.inventory.usage import amount
from kubectl_fluidmodel.model.sizing import HIGH_WATERMARK, quota_for
from kubectl_fluidmodel.objects import kinds
from kubectl_fluidmodel.objects.access import at
from kubectl_fluidmodel.objects.quantity import from_bytes, to_int
from kubectl_fluidmodel.output.text import size

HEAPS = {part: alluxio.jvm_size({}, part, "-Xmx") for part in ("worker", "fuse")}
"""Bytes of the heaps of a cache's node where the runtime has no jvmOptions."""
SHARE = 4
"""The engine needs the node's memory: from a quarter of it on, heaps are too large."""


def quota_of(cache: Cached) -> int | None:
    """Bytes of cache per worker over all tiers; None where it is not said."""
    found = [tier.quota for tier in runtimes.tiers(cache.runtime)]
    return sum(quota or 0 for quota in found) if found and all(found) else None


def in_memory(cache: Cached) -> int:
    """Bytes of cache per worker that lie in memory."""
    return sum(t.quota or 0 for t in runtimes.tiers(cache.runtime) if t.medium == "MEM")


def _quotas(cache: Cached) -> tuple[Evidence, ...]:
    runtime = cache.runtime or {}
    place = ("spec", "tieredstore", "levels", 0)
    key = "quotaList" if at(runtime, *place, "quotaList") else "quota"
    return (
        observations.field(runtime, *place, key),
        observations.field(runtime, "spec", "replicas"),
        observations.field(runtime, "spec", "data", "replicas"),
    )


def _larger(cache: Cached, total: int) -> Fix:
    return Fix(fix_commands.remade(cache, "--quota", from_bytes(quota_for(total))))


@check("FM801", "the quota is larger than the model", explains=("FM322", "FM604", *NOT_WHOLE))
def holds(case: Case) -> Iterator[Finding]:
    """All workers together have less room than the copies of the model take, so the cache can never
    be whole: while one file is loaded another is evicted, and readers wait for the store. The quota
    is per worker, and each of `data.replicas` copies counts.
    """
    cache, found = case.own, amount(case.own)
    quota, workers = quota_of(cache), runtimes.replicas(cache.runtime)
    if found.total is None or quota is None or not workers:
        return
    room, needed = quota * workers, found.total * found.copies
    if room >= needed:
        return
    copies = f" in {found.copies} copies" if found.copies > 1 else ""
    yield Finding(
        reference(cache.runtime or {}),
        f"its workers have room for {size(room)}, and the model takes {size(needed)}{copies}",
        (*_quotas(cache), observations.field(cache.dataset or {}, "status", "ufsTotal")),
        _larger(cache, found.total),
    )


@check(
    "FM802",
    "the quota leaves Alluxio the room that it keeps free",
    severity=Severity.WARNING,
    explains=("FM322", *NOT_WHOLE),
)
def watermark(case: Case) -> Iterator[Finding]:
    """Alluxio begins to evict when a tier is 95% full, so a quota that is hardly larger than the
    model never holds all of it. Fluid does not hand the tier's `high` and `low` on to Alluxio:
    only a larger quota helps.
    """
    cache, found = case.own, amount(case.own)
    quota, workers = quota_of(cache), runtimes.replicas(cache.runtime)
    if found.total is None or quota is None or not workers:
        return
    room, needed = quota * workers, found.total * found.copies
    if room < needed or needed <= room * HIGH_WATERMARK:
        return
    yield Finding(
        reference(cache.runtime or {}),
        f"the model fills {100 * needed / room:.0f}% of the quota, and Alluxio evicts above 95%",
        (*_quotas(cache), observations.field(cache.dataset or {}, "status", "ufsTotal")),
        _larger(cache, found.total),
    )


@check(
    "FM803",
    "a node's memory holds the caches that lie in it",
    severity=Severity.WARNING,
    needs=(kinds.PODS, kinds.NODES),
    explains=("FM321", "FM812", "FM813"),
)
def memory(case: Case) -> Iterator[Finding]:
    """Tiers in memory (/dev/shm) and the heaps of workers and FUSE clients on one node add up to
    more than the node has. It goes well until the caches fill; then the kernel kills what it likes,
    engines included. The scheduler cannot prevent it: only quotas are requested, not heaps.
    """
    cache = case.own
    if not in_memory(cache):
        return
    for name in cache.node_names:
        node = case.snapshot.find(kinds.NODES, name)
        have = to_int(at(node, "status", "allocatable", "memory"))
        beside = [each for each in case.caches if name in each.node_names]
        needed = sum(in_memory(each) + sum(_heaps(each).values()) for each in beside)
        if node is None or have is None or needed <= have:
            continue
        others = [f"{each.namespace}/{each.name}" for each in beside if each is not cache]
        what = f"this cache and {', '.join(others)}" if others else "this cache"
        yield Finding(
            reference(node),
            f"{what} may take {size(needed)} of its memory, and it has {size(have)}",
            (observations.field(node, "status", "allocatable", "memory"), *_quotas(cache)[:1]),
            Fix(fix_commands.remade(cache, "--medium", "SSD")),
        )


@check(
    "FM804",
    "the JVMs are sized for their node",
    severity=Severity.WARNING,
    needs=(kinds.PODS, kinds.NODES),
    explains=("FM321", "FM430", "FM813"),
)
def heaps(case: Case) -> Iterator[Finding]:
    """Where the runtime has no `jvmOptions`, Fluid gives the worker a heap of 12 GiB and the FUSE
    client one of 16 GiB, taken at once, with 32 GiB of direct memory each on top. A model is a few
    large files and needs a quarter of that; on a small node the engine lacks it.
    """
    cache = case.own
    runtime = cache.runtime
    if runtime is None or runtime.get("kind") != names.ALLUXIO_RUNTIMES.name:
        return
    default = [part for part in HEAPS if not at(runtime, "spec", part, "jvmOptions")]
    if not default:
        return
    for name in cache.node_names:
        node = case.snapshot.find(kinds.NODES, name)
        have = to_int(at(node, "status", "allocatable", "memory"))
        heap = sum(HEAPS[part] for part in default)
        if node is None or have is None or heap * SHARE <= have:
            continue
        parts = " and ".join(default)
        yield Finding(
            reference(node),
            f"Fluid's default heaps of {parts} take {size(heap)} of the {size(have)} of the node",
            (
                *(observations.field(runtime, "spec", part, "jvmOptions") for part in default),
                observations.field(node, "status", "allocatable", "memory"),
            ),
            Fix(fix_commands.anew(cache)),
        )


def _heaps(cache: Cached) -> dict[str, int]:
    """The heaps of a cache on one of its nodes, by part."""
    runtime: Mapping[str, Any] = cache.runtime or {}
    if runtime.get("kind") != names.ALLUXIO_RUNTIMES.name:
        return {}
    return {part: alluxio.jvm_size(runtime, part, "-Xmx") for part in HEAPS}
