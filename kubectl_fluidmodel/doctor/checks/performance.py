"""8xx: what works, but slower or at higher cost than necessary. All are warnings.

The times are from the Dynamo project's write-up for Llama-3.3-70B: about 80 s from a complete
cache on the worker's own node, 10 minutes from one spread over nodes, 18 from another node.
"""

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
from kubectl_fluidmodel.fluid import names, status
from kubectl_fluidmodel.fluid.fuse import avoids_short_circuit, slow_mount_options
from kubectl_fluidmodel.inventory import runtimes
from kubectl_fluidmodel.inventory.cache import FUSE, Cache
from kubectl_fluidmodel.inventory.page_cache import (
    PREHEATING,
    WELL_PREHEATED,
    PageCache,
    is_read_again,
    page_caches,
)
from kubectl_fluidmodel.inventory.readers import graph_names
from kubectl_fluidmodel.inventory.usage import cache_usage
from kubectl_fluidmodel.objects import kinds
from kubectl_fluidmodel.objects.access import get_path
from kubectl_fluidmodel.output.units import format_bytes, format_duration, pluralize

MIN_HIT_RATIO = 90.0
"""Percent of reads that a complete cache should serve; the rest are metadata and retries."""
MAX_REMOTE_RATIO = 20.0
"""Percent of reads that may come from a worker on another node."""
RATIO_DELAY = 180.0
"""Seconds after a load in which Fluid's ratios may still count its reads.

Workers report to the master every 10 s. Fluid asks it once a minute, when it updates the runtime,
every 20 s, and compares with the minute before (`GetCacheHitStates`, pkg/ddc/alluxio/cache.go).
"""
DAY = 86_400.0
UNUSED_AFTER = 7 * DAY
"""Seconds after which an unused cache is reported."""


@register_check("FM820", "every cache node holds the whole model", severity=Severity.WARNING)
def cache_nodes_hold_the_whole_model(context: CheckContext) -> Iterator[Finding]:
    """Each node holds only a part of the model.

    Alluxio keeps each block on one worker unless the runtime's `data.replicas` says more. With
    several workers each node holds a part, and an engine reads the rest over the network: 10 to 18
    minutes instead of 80 s for a model of 140 GB. Use one worker, or as many copies as workers.
    """
    cache = context.cache
    runtime = cache.runtime
    if not names.is_alluxio_runtime(runtime):
        return
    workers, copies = runtimes.wanted_replicas(runtime) or 0, cache_usage(cache).copies
    if workers < 2 or copies >= workers:
        return
    shared = "one copy" if copies == 1 else f"{copies} copies"
    yield Finding(
        object_reference(runtime),
        f"{pluralize(workers, 'worker')} share {shared} of the model, so each node holds a part "
        "of it",
        (
            observations.field_evidence(runtime, "spec", "replicas"),
            observations.field_evidence(runtime, "spec", "data", "replicas"),
        ),
        Fix(cache_commands.recreate_cache(cache, flags=("--replicas", str(workers)))),
    )


@register_check("FM821", "readers read the cache's files directly", severity=Severity.WARNING)
def readers_use_short_circuit_reads(context: CheckContext) -> Iterator[Finding]:
    """The FUSE client reads from the worker on its own node through a socket.

    By default, it reads the worker's files itself (a short-circuit read). It cannot see them if the
    cache is in an emptyDir, for which Fluid turns off these reads, and which is also lost with the
    pod. It does not read them if a property turns these reads off, or if it has a domain socket:
    that read at 0.1 to 0.3 of the rate (docs/performance.md). The fix creates the cache again with
    a hostPath, the default, and without the property.
    """
    cache = context.cache
    if cache.runtime is not None and (avoided := avoids_short_circuit(cache.runtime)):
        field, clause = avoided
        yield Finding(
            object_reference(cache.runtime),
            f"{clause}, so readers on its node read through a socket",
            (observations.field_evidence(cache.runtime, *field),),
            Fix(cache_commands.recreate_cache(cache)),
        )
    for number, level in enumerate(
        get_path(cache.runtime, "spec", "tieredstore", "levels", default=[])
    ):
        if get_path(level, "volumeType") == "emptyDir" and cache.runtime is not None:
            path = ("spec", "tieredstore", "levels", number, "volumeType")
            yield Finding(
                object_reference(cache.runtime),
                "its tier is an emptyDir, so readers on its node use the network",
                (observations.field_evidence(cache.runtime, *path),),
                Fix(cache_commands.recreate_cache(cache)),
            )


@register_check("FM822", "the cache is on a fast disk", severity=Severity.WARNING)
def cache_medium_is_fast(context: CheckContext) -> Iterator[Finding]:
    """The cache is on a hard disk.

    At 200 MB/s it takes 12 minutes to read a model of 140 GB, whatever else you change. Use a local
    NVMe disk (`--medium SSD --path DIR`), or memory.
    """
    cache = context.cache
    for tier in runtimes.storage_tiers(cache.runtime):
        if tier.medium == "HDD" and cache.runtime is not None:
            path = ("spec", "tieredstore", "levels", 0, "mediumtype")
            yield Finding(
                object_reference(cache.runtime),
                f"its tier at {tier.path} is a hard disk",
                (observations.field_evidence(cache.runtime, *path, text="HDD"),),
                Fix(cache_commands.rebuild_cache(cache, "--medium", "auto")),
            )
            return


def _ratios_are_meaningful(context: CheckContext) -> bool:
    """Whether Fluid's hit ratios are about engines, not about a load that has just ended."""
    for load in context.cache.loads:
        seconds = observations.seconds_since(
            context, get_path(load, "status", "conditions", 0, "lastTransitionTime")
        )
        is_recent = seconds is not None and seconds < RATIO_DELAY
        if is_recent or get_path(load, "status", "phase") == "Executing":
            return False
    return cache_usage(context.cache).is_complete is True


@register_check("FM823", "reads are answered by the cache", severity=Severity.WARNING)
def reads_hit_the_cache(context: CheckContext) -> Iterator[Finding]:
    """Many reads go to the store although the cache is complete.

    Fluid reports the reads of the last minute. Either files are read that were not loaded, or
    blocks are evicted and fetched again, as in a cache that is too small for what it holds besides
    the model.
    """
    cache = context.cache
    ratio = status.parse_percent(get_path(cache.dataset, "status", "cacheStates", "cacheHitRatio"))
    if (
        cache.dataset is None
        or not ratio
        or ratio >= MIN_HIT_RATIO
        or not _ratios_are_meaningful(context)
    ):
        return
    yield Finding(
        object_reference(cache.dataset),
        f"{100 - ratio:.0f}% of the reads of the last minute went to the store",
        (
            observations.field_evidence(cache.dataset, "status", "cacheStates", "cacheHitRatio"),
            observations.field_evidence(cache.dataset, "status", "cacheStates", "cachedPercentage"),
        ),
        Fix(cache_commands.load_command(cache), "advice"),
    )


@register_check("FM824", "reads stay on their node", severity=Severity.WARNING)
def reads_stay_on_their_node(context: CheckContext) -> Iterator[Finding]:
    """Many reads of the last minute came from a worker on another node.

    Engines run next to the cache's nodes and not on them, or each node holds only a part of the
    model. Pin the graph to the cache's nodes.
    """
    cache = context.cache
    ratio = status.parse_percent(get_path(cache.dataset, "status", "cacheStates", "remoteHitRatio"))
    if (
        cache.dataset is None
        or ratio is None
        or ratio <= MAX_REMOTE_RATIO
        or not _ratios_are_meaningful(context)
    ):
        return
    off = [reader for reader in cache.readers if reader.is_local is False]
    reading = {reader.graph for reader in off}
    pinned = [graph for graph in graph_names(cache) if graph.removeprefix("dcd/") in reading]
    yield Finding(
        object_reference(cache.dataset),
        f"{ratio:.0f}% of the reads of the last minute came from another node's worker",
        (
            observations.field_evidence(cache.dataset, "status", "cacheStates", "remoteHitRatio"),
            *(observations.field_evidence(reader.pod, "spec", "nodeName") for reader in off[:3]),
        ),
        Fix(cache_commands.pin_graphs(cache, *(pinned or ["GRAPH"])), "advice"),
    )


@register_check(
    "FM825", "every copy of the model is read", severity=Severity.WARNING, needs=(kinds.PODS,)
)
def every_copy_is_read(context: CheckContext) -> Iterator[Finding]:
    """Nobody reads one of the cache's copies.

    Several nodes have held the whole model for more than a day, and on one of them no pod mounts
    it. That copy takes memory or disk for nothing; one node is enough for engines that fit on it.
    """
    cache = context.cache
    if cache_usage(cache).copies < 2 or context.age(cache.runtime or {}) < DAY or not cache.readers:
        return
    read = {reader.node for reader in cache.readers}
    idle = [name for name in cache.node_names if name not in read]
    if not idle or any(not reader.node for reader in cache.readers):
        return
    min_readers = max(1, len(cache.node_names) - len(idle))
    yield Finding(
        object_reference(cache.runtime or {}),
        f"nothing reads the copy on {', '.join(idle)}",
        (
            observations.field_evidence(cache.runtime or {}, "spec", "replicas"),
            *(
                observations.field_evidence(reader.pod, "spec", "nodeName")
                for reader in cache.readers[:3]
            ),
        ),
        Fix(cache_commands.recreate_cache(cache, flags=("--replicas", str(min_readers)))),
    )


@register_check("FM826", "the cache is in use", severity=Severity.WARNING, needs=(kinds.PODS,))
def cache_is_in_use(context: CheckContext) -> Iterator[Finding]:
    """Nobody has used the cache for more than a week.

    No pod mounts it and no graph refers to it. If it is not kept on purpose, it takes its quota of
    memory or disk from others.
    """
    cache = context.cache
    age = context.age(cache.dataset or {})
    if cache.dataset is None or cache.readers or cache.graphs or age < UNUSED_AFTER:
        return
    cached = cache_usage(cache).cached_bytes
    yield Finding(
        object_reference(cache.dataset),
        f"nothing reads it, and it is {format_duration(age)} old and holds {format_bytes(cached)}",
        (observations.field_evidence(cache.dataset, "metadata", "creationTimestamp"),),
        Fix(cache_commands.remove_cache(cache)),
    )


@register_check(
    "FM827",
    "preheated nodes still have the model in their page cache",
    severity=Severity.WARNING,
    needs=(kinds.PODS,),
)
def preheated_nodes_keep_their_pages(context: CheckContext) -> Iterator[Finding]:
    """A node that read the model once, so that workers start from its page cache, has lost it.

    The kernel drops all pages of a mount with it: after a restart of the node's FUSE client, the
    next worker reads through the client again. If less than 90% was in the page cache right after
    preheating, the node does not have enough memory for the model: a cache on a disk leaves it the
    memory of the tier. `inspect NAME` shows the latest measurement of each node.
    """
    cache = context.cache
    for node, measured in page_caches(context.snapshot, cache).items():
        if measured.measured_by != PREHEATING:  # `bench` reads only a sample
            continue
        evidence = observations.field_evidence(
            cache.dataset or {}, "metadata", "annotations", names.PREHEATED_ANNOTATION
        )
        if measured.is_lost and not is_read_again(cache, node):
            yield Finding(
                f"node {node}",
                "what was read to preheat it is no longer in its page cache: "
                + _client_change(cache, node),
                (evidence, *_client_evidence(cache, node)),
                Fix(cache_commands.preheat_command(cache), "advice"),
            )
        elif not measured.is_lost and _is_low(measured):
            yield Finding(
                f"node {node}",
                f"only {measured.percent}% of the model stayed in its page cache when it was "
                "preheated: the node does not have enough free memory",
                (evidence,),
                Fix(cache_commands.rebuild_cache(cache, "--medium", "SSD"), "advice"),
            )


@register_check(
    "FM828",
    "the FUSE clients mount with fast options",
    severity=Severity.WARNING,
    explains=("FM827",),
)
def mount_options_are_fast(context: CheckContext) -> Iterator[Finding]:
    """The runtime's `fuse.args` have options that make reads slow.

    A read from the page cache is 2 to 3 times as fast as one through the client. With
    `direct_io` or without `kernel_cache`, the next worker does not find there what another one has
    read. With `max_background=1`, four threads read at 0.3 to 0.6 of the rate that Fluid's options
    give; only readers on other nodes than the cache's are faster with it. The fix creates the cache
    again with Fluid's options; for a Dataset that refers to another, that is the other one's cache.
    The figures are in docs/performance.md.
    """
    cache, runtime = context.cache, context.cache.fuse_runtime
    is_read_locally = not any(reader.is_local is False for reader in cache.readers)
    slow = slow_mount_options(runtime, is_read_locally=is_read_locally)
    if runtime is None or not slow:
        return
    yield Finding(
        object_reference(runtime),
        f"its mount options are slow: {'; '.join(slow)}",
        (observations.field_evidence(runtime, "spec", "fuse", "args"),),
        Fix(cache_commands.recreate_cache(cache.origin or cache)),
    )


def _is_low(measured: PageCache) -> bool:
    return measured.percent is not None and measured.percent < WELL_PREHEATED


def _client_change(cache: Cache, node: str) -> str:
    if _client_evidence(cache, node):
        return "its FUSE client is another one since"
    return "its FUSE client is gone"


def _client_evidence(cache: Cache, node: str) -> list[Evidence]:
    """When the present FUSE client of a node was started."""
    return [
        observations.field_evidence(
            pod, "status", "containerStatuses", 0, "state", "running", "startedAt"
        )
        for _, pod in observations.cache_pods(cache, FUSE)
        if get_path(pod, "spec", "nodeName") == node
    ]
