"""8xx: whether the model fits where it is cached."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from kubectl_fluidmodel.doctor import fix_commands, observations
from kubectl_fluidmodel.doctor.check import (
    CheckContext,
    Evidence,
    Finding,
    Fix,
    Severity,
    object_reference,
    register_check,
)
from kubectl_fluidmodel.doctor.consequences import NOT_COMPLETE
from kubectl_fluidmodel.fluid import alluxio_runtime, names
from kubectl_fluidmodel.inventory import runtimes
from kubectl_fluidmodel.inventory.cache import Cache
from kubectl_fluidmodel.inventory.usage import cache_usage
from kubectl_fluidmodel.model.sizing import HIGH_WATERMARK, quota_for
from kubectl_fluidmodel.objects import kinds
from kubectl_fluidmodel.objects.access import get_path
from kubectl_fluidmodel.objects.quantity import bytes_to_quantity, quantity_to_int
from kubectl_fluidmodel.output.units import format_bytes

DEFAULT_HEAPS = {
    part: alluxio_runtime.jvm_option_bytes({}, part, "-Xmx") for part in ("worker", "fuse")
}
"""Bytes of the heaps of a cache's node where the runtime has no jvmOptions."""
MAX_HEAP_FRACTION_DIVISOR = 4
"""The engine needs the node's memory: from a quarter of it on, heaps are too large."""


def quota_per_worker(cache: Cache) -> int | None:
    """Bytes of cache per worker over all tiers; None where it is not said."""
    found = [tier.quota for tier in runtimes.storage_tiers(cache.runtime)]
    return sum(quota or 0 for quota in found) if found and all(found) else None


def memory_tier_bytes(cache: Cache) -> int:
    """Bytes of cache per worker that lie in memory."""
    return sum(t.quota or 0 for t in runtimes.storage_tiers(cache.runtime) if t.medium == "MEM")


def _quota_evidence(cache: Cache) -> tuple[Evidence, ...]:
    runtime = cache.runtime or {}
    place = ("spec", "tieredstore", "levels", 0)
    key = "quotaList" if get_path(runtime, *place, "quotaList") else "quota"
    return (
        observations.field_evidence(runtime, *place, key),
        observations.field_evidence(runtime, "spec", "replicas"),
        observations.field_evidence(runtime, "spec", "data", "replicas"),
    )


def _larger_quota_fix(cache: Cache, total: int) -> Fix:
    return Fix(fix_commands.rebuild_cache(cache, "--quota", bytes_to_quantity(quota_for(total))))


@register_check(
    "FM801", "the quota is larger than the model", explains=("FM322", "FM604", *NOT_COMPLETE)
)
def quota_holds_the_model(context: CheckContext) -> Iterator[Finding]:
    """All workers together have less room than the copies of the model take, so the cache can never
    be whole: while one file is loaded another is evicted, and readers wait for the store. The quota
    is per worker, and each of `data.replicas` copies counts.
    """
    cache, found = context.cache, cache_usage(context.cache)
    quota, workers = quota_per_worker(cache), runtimes.wanted_replicas(cache.runtime)
    if found.source_bytes is None or quota is None or not workers:
        return
    room, needed = quota * workers, found.source_bytes * found.copies
    if room >= needed:
        return
    copies = f" in {found.copies} copies" if found.copies > 1 else ""
    yield Finding(
        object_reference(cache.runtime or {}),
        f"its workers have room for {format_bytes(room)}, and the model takes "
        f"{format_bytes(needed)}{copies}",
        (
            *_quota_evidence(cache),
            observations.field_evidence(cache.dataset or {}, "status", "ufsTotal"),
        ),
        _larger_quota_fix(cache, found.source_bytes),
    )


@register_check(
    "FM802",
    "the quota leaves Alluxio the room that it keeps free",
    severity=Severity.WARNING,
    explains=("FM322", *NOT_COMPLETE),
)
def quota_leaves_headroom(context: CheckContext) -> Iterator[Finding]:
    """Alluxio begins to evict when a tier is 95% full, so a quota that is hardly larger than the
    model never holds all of it. Fluid does not hand the tier's `high` and `low` on to Alluxio:
    only a larger quota helps.
    """
    cache, found = context.cache, cache_usage(context.cache)
    quota, workers = quota_per_worker(cache), runtimes.wanted_replicas(cache.runtime)
    if found.source_bytes is None or quota is None or not workers:
        return
    room, needed = quota * workers, found.source_bytes * found.copies
    if room < needed or needed <= room * HIGH_WATERMARK:
        return
    yield Finding(
        object_reference(cache.runtime or {}),
        f"the model fills {100 * needed / room:.0f}% of the quota, and Alluxio evicts above 95%",
        (
            *_quota_evidence(cache),
            observations.field_evidence(cache.dataset or {}, "status", "ufsTotal"),
        ),
        _larger_quota_fix(cache, found.source_bytes),
    )


@register_check(
    "FM803",
    "a node's memory holds the caches that lie in it",
    severity=Severity.WARNING,
    needs=(kinds.PODS, kinds.NODES),
    explains=("FM321", "FM812", "FM813"),
)
def node_memory_holds_its_caches(context: CheckContext) -> Iterator[Finding]:
    """Tiers in memory (/dev/shm) and the heaps of workers and FUSE clients on one node add up to
    more than the node has. It goes well until the caches fill; then the kernel kills what it likes,
    engines included. The scheduler cannot prevent it: only quotas are requested, not heaps.
    """
    cache = context.cache
    if not memory_tier_bytes(cache):
        return
    for name in cache.node_names:
        node = context.snapshot.get(kinds.NODES, name)
        have = quantity_to_int(get_path(node, "status", "allocatable", "memory"))
        beside = [each for each in context.caches if name in each.node_names]
        needed = sum(memory_tier_bytes(each) + sum(_heap_sizes(each).values()) for each in beside)
        if node is None or have is None or needed <= have:
            continue
        others = [f"{each.namespace}/{each.name}" for each in beside if each is not cache]
        what = f"this cache and {', '.join(others)}" if others else "this cache"
        yield Finding(
            object_reference(node),
            f"{what} may take {format_bytes(needed)} of its memory, and it has "
            f"{format_bytes(have)}",
            (
                observations.field_evidence(node, "status", "allocatable", "memory"),
                *_quota_evidence(cache)[:1],
            ),
            Fix(fix_commands.rebuild_cache(cache, "--medium", "SSD")),
        )


@register_check(
    "FM804",
    "the JVMs are sized for their node",
    severity=Severity.WARNING,
    needs=(kinds.PODS, kinds.NODES),
    explains=("FM321", "FM430", "FM813"),
)
def jvm_heaps_fit_the_node(context: CheckContext) -> Iterator[Finding]:
    """Where the runtime has no `jvmOptions`, Fluid gives the worker a heap of 12 GiB and the FUSE
    client one of 16 GiB, taken at once, with 32 GiB of direct memory each on top. A model is a few
    large files and needs a quarter of that; on a small node the engine lacks it.
    """
    cache = context.cache
    runtime = cache.runtime
    if runtime is None or runtime.get("kind") != names.ALLUXIO_RUNTIMES.name:
        return
    default = [part for part in DEFAULT_HEAPS if not get_path(runtime, "spec", part, "jvmOptions")]
    if not default:
        return
    for name in cache.node_names:
        node = context.snapshot.get(kinds.NODES, name)
        have = quantity_to_int(get_path(node, "status", "allocatable", "memory"))
        heap = sum(DEFAULT_HEAPS[part] for part in default)
        if node is None or have is None or heap * MAX_HEAP_FRACTION_DIVISOR <= have:
            continue
        parts = " and ".join(default)
        yield Finding(
            object_reference(node),
            f"Fluid's default heaps of {parts} take {format_bytes(heap)} of the "
            f"{format_bytes(have)} of the node",
            (
                *(
                    observations.field_evidence(runtime, "spec", part, "jvmOptions")
                    for part in default
                ),
                observations.field_evidence(node, "status", "allocatable", "memory"),
            ),
            Fix(fix_commands.recreate_cache(cache)),
        )


def _heap_sizes(cache: Cache) -> dict[str, int]:
    """The heaps of a cache on one of its nodes, by part."""
    runtime: Mapping[str, Any] = cache.runtime or {}
    if runtime.get("kind") != names.ALLUXIO_RUNTIMES.name:
        return {}
    return {part: alluxio_runtime.jvm_option_bytes(runtime, part, "-Xmx") for part in DEFAULT_HEAPS}
