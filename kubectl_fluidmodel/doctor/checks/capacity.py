"""8xx: whether the model fits into the cache, and the cache onto its node."""

from __future__ import annotations

from collections.abc import Iterator

from kubectl_fluidmodel.doctor import cache_commands, observations
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
from kubectl_fluidmodel.model.sizing import HIGH_WATERMARK_PERCENT, quota_for
from kubectl_fluidmodel.objects import kinds
from kubectl_fluidmodel.objects.access import Object, get_path, name_of
from kubectl_fluidmodel.objects.quantity import bytes_to_quantity, quantity_to_int
from kubectl_fluidmodel.output.units import format_bytes

DEFAULT_HEAPS = {
    part: alluxio_runtime.jvm_option_bytes({}, part, "-Xmx") for part in ("worker", "fuse")
}
"""Bytes of Fluid's default heaps, for runtimes without `jvmOptions`."""
MAX_HEAP_FRACTION_DIVISOR = 4
"""Heaps may take at most 1/4 of a node's memory; the engine needs the rest."""


def _quota_evidence(cache: Cache) -> tuple[Evidence, ...]:
    runtime = cache.runtime or {}
    path = ("spec", "tieredstore", "levels", 0)
    key = "quotaList" if get_path(runtime, *path, "quotaList") else "quota"
    return (
        observations.field_evidence(runtime, *path, key),
        observations.field_evidence(runtime, "spec", "replicas"),
        observations.field_evidence(runtime, "spec", "data", "replicas"),
    )


def _capacity_and_need(cache: Cache) -> tuple[int, int]:
    """Bytes that the workers can hold, and that the model's copies need; (0, 0) if unknown."""
    usage = cache_usage(cache)
    quota = runtimes.quota_per_worker(cache.runtime)
    workers = runtimes.wanted_replicas(cache.runtime)
    if usage.source_bytes is None or quota is None or not workers:
        return 0, 0
    return quota * workers, usage.source_bytes * usage.copies


def _quota_finding(cache: Cache, cause: str) -> Finding:
    larger = bytes_to_quantity(quota_for(cache_usage(cache).source_bytes or 0))
    return Finding(
        object_reference(cache.runtime or {}),
        cause,
        (
            *_quota_evidence(cache),
            observations.field_evidence(cache.dataset or {}, "status", "ufsTotal"),
        ),
        Fix(cache_commands.rebuild_cache(cache, "--quota", larger)),
    )


@register_check(
    "FM801", "the quota is large enough for the model", explains=("FM322", "FM604", *NOT_COMPLETE)
)
def quota_holds_the_model(context: CheckContext) -> Iterator[Finding]:
    """The workers together have less capacity than the model's copies need.

    The cache can never be complete: loading one file evicts another, and readers wait for the
    store. The quota is per worker, and each of the `data.replicas` copies counts.
    """
    capacity, needed = _capacity_and_need(context.cache)
    if capacity < needed:
        count = cache_usage(context.cache).copies
        copies = f" in {count} copies" if count > 1 else ""
        yield _quota_finding(
            context.cache,
            f"its workers have a capacity of {format_bytes(capacity)}, and the model needs "
            f"{format_bytes(needed)}{copies}",
        )


@register_check(
    "FM802",
    "the quota leaves room for Alluxio's watermark",
    severity=Severity.WARNING,
    explains=("FM322", *NOT_COMPLETE),
)
def quota_leaves_headroom(context: CheckContext) -> Iterator[Finding]:
    """The quota is only slightly larger than the model.

    Alluxio starts to evict when a tier is 95% full, so it never holds the whole model. Fluid does
    not pass the tier's `high` and `low` on to Alluxio: only a larger quota helps.
    """
    capacity, needed = _capacity_and_need(context.cache)
    if capacity >= needed and 100 * needed > capacity * HIGH_WATERMARK_PERCENT:
        percent = f"{100 * needed / capacity:.0f}%"
        yield _quota_finding(
            context.cache,
            f"the model fills {percent} of the quota, and Alluxio evicts above 95%",
        )


@register_check(
    "FM803",
    "the node's memory is large enough for its caches",
    severity=Severity.WARNING,
    needs=(kinds.PODS, kinds.NODES),
    explains=("FM321", "FM812", "FM813"),
)
def node_memory_holds_its_caches(context: CheckContext) -> Iterator[Finding]:
    """The caches on a node may need more memory than it has.

    This counts the memory tiers (/dev/shm) and the heaps of the workers and FUSE clients. It works
    until the caches fill; then the kernel kills processes, engines included. The scheduler cannot
    prevent it: it knows only the quotas, not the heaps.
    """
    cache = context.cache
    if not runtimes.memory_tier_bytes(cache.runtime):
        return
    for node, have in _nodes_with_memory(context):
        caches = [other for other in context.caches if name_of(node) in other.node_names]
        required = sum(
            runtimes.memory_tier_bytes(other.runtime) + sum(_heap_sizes(other).values())
            for other in caches
        )
        if required <= have:
            continue
        neighbors = [f"{other.namespace}/{other.name}" for other in caches if other is not cache]
        caches_on_node = f"this cache and {', '.join(neighbors)}" if neighbors else "this cache"
        yield Finding(
            object_reference(node),
            f"{caches_on_node} may take {format_bytes(required)} of its memory, and it has "
            f"{format_bytes(have)}",
            (
                observations.field_evidence(node, "status", "allocatable", "memory"),
                *_quota_evidence(cache)[:1],
            ),
            Fix(cache_commands.rebuild_cache(cache, "--medium", "SSD")),
        )


@register_check(
    "FM804",
    "the JVM heaps fit the node",
    severity=Severity.WARNING,
    needs=(kinds.PODS, kinds.NODES),
    explains=("FM321", "FM430", "FM813"),
)
def jvm_heaps_fit_the_node(context: CheckContext) -> Iterator[Finding]:
    """Fluid's default heaps take a large part of the node's memory.

    If the runtime has no `jvmOptions`, Fluid gives the worker a heap of 12 GiB and the FUSE client
    16 GiB, allocated at startup, each with 32 GiB of direct memory in addition. A model consists of
    a few large files and needs a quarter of that. On a small node the engine lacks this memory.
    """
    cache = context.cache
    runtime = cache.runtime
    if not names.is_alluxio_runtime(runtime):
        return
    default = [part for part in DEFAULT_HEAPS if not get_path(runtime, "spec", part, "jvmOptions")]
    if not default:
        return
    heap = sum(DEFAULT_HEAPS[part] for part in default)
    for node, have in _nodes_with_memory(context):
        if heap * MAX_HEAP_FRACTION_DIVISOR <= have:
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
            Fix(cache_commands.recreate_cache(cache)),
        )


def _nodes_with_memory(context: CheckContext) -> Iterator[tuple[Object, int]]:
    """The cache's nodes with their allocatable bytes of memory."""
    for node in observations.visible_cache_nodes(context):
        have = quantity_to_int(get_path(node, "status", "allocatable", "memory"))
        if have is not None:
            yield node, have


def _heap_sizes(cache: Cache) -> dict[str, int]:
    """Bytes of the cache's JVM heaps on one of its nodes, by component."""
    runtime = cache.runtime
    if not names.is_alluxio_runtime(runtime):
        return {}
    return {part: alluxio_runtime.jvm_option_bytes(runtime, part, "-Xmx") for part in DEFAULT_HEAPS}
