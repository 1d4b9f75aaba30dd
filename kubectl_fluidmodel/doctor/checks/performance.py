"""8xx: what works, and is slower or dearer than it need be. All are warnings.

The times are those of the Dynamo project's write-up for Llama-3.3-70B: about 80 s from a cache that
is whole on the worker's own node, 10 minutes where it is spread over nodes, 18 from another node.
"""

from __future__ import annotations

from collections.abc import Iterator

from kubectl_fluidmodel.doctor import fix_commands, observations
from kubectl_fluidmodel.doctor.check import Case, Finding, Fix, Severity, check, reference
from kubectl_fluidmodel.fluid import names, status
from kubectl_fluidmodel.inventory import runtimes
from kubectl_fluidmodel.inventory.cache import Cached
from kubectl_fluidmodel.inventory.usage import amount
from kubectl_fluidmodel.objects import kinds
from kubectl_fluidmodel.objects.access import at
from kubectl_fluidmodel.output.text import duration, plural, size

HITS = 90.0
"""Percent of reads that a whole cache should answer; the rest are metadata and retries."""
REMOTE = 20.0
"""Percent of reads that may come from another node's worker."""
DAY = 86_400.0
UNUSED = 7 * DAY
"""Seconds after which a cache that nobody reads is worth a word."""


@check("FM820", "every cache node holds the whole model", severity=Severity.WARNING)
def spread(case: Case) -> Iterator[Finding]:
    """Alluxio keeps each block on one worker unless the runtime's `data.replicas` says more, so
    with several workers each node holds a part, and an engine reads the rest over the network: 10
    to 18 minutes instead of 80 s for a model of 140 GB. Take one worker, or as many copies as
    there are workers.
    """
    cache = case.own
    workers, found = runtimes.replicas(cache.runtime) or 0, amount(cache)
    runtime = cache.runtime
    if runtime is None or runtime.get("kind") != names.ALLUXIO_RUNTIMES.name:
        return
    if workers < 2 or found.copies >= workers:
        return
    copies = "one copy" if found.copies == 1 else f"{found.copies} copies"
    yield Finding(
        reference(runtime),
        f"{plural(workers, 'worker')} share {copies} of the model, so each node holds a part of it",
        (
            observations.field(runtime, "spec", "replicas"),
            observations.field(runtime, "spec", "data", "replicas"),
        ),
        Fix(fix_commands.anew(cache, flags=("--replicas", str(workers)))),
    )


@check("FM821", "readers read the cache's files directly", severity=Severity.WARNING)
def direct(case: Case) -> Iterator[Finding]:
    """With a tier in an emptyDir the FUSE client cannot see the worker's files, and Fluid turns
    short-circuit reads off: every byte goes through the worker's network port. The cache is gone
    with the pod, too. Use a hostPath, the default.
    """
    cache = case.own
    for number, level in enumerate(at(cache.runtime, "spec", "tieredstore", "levels", default=[])):
        if at(level, "volumeType") == "emptyDir" and cache.runtime is not None:
            place = ("spec", "tieredstore", "levels", number, "volumeType")
            yield Finding(
                reference(cache.runtime),
                "its tier is an emptyDir, so that readers on its node go through the network",
                (observations.field(cache.runtime, *place),),
                Fix(fix_commands.anew(cache)),
            )


@check("FM822", "the cache lies on a fast disk", severity=Severity.WARNING)
def medium(case: Case) -> Iterator[Finding]:
    """The tier is said to be a hard disk. At 200 MB/s a model of 140 GB takes 12 minutes to read,
    whatever else is done. Use a local NVMe (`--medium SSD --path DIR`), or memory.
    """
    cache = case.own
    for tier in runtimes.tiers(cache.runtime):
        if tier.medium == "HDD" and cache.runtime is not None:
            place = ("spec", "tieredstore", "levels", 0, "mediumtype")
            yield Finding(
                reference(cache.runtime),
                f"its tier at {tier.path} is a hard disk",
                (observations.field(cache.runtime, *place, text="HDD"),),
                Fix(fix_commands.remade(cache, "--medium", "auto")),
            )
            return


def _reading(cache: Cached) -> bool:
    """Whether what Fluid says of hits is about engines, and not about a load."""
    loading = any(at(load, "status", "phase") == "Executing" for load in cache.loads)
    return amount(cache).whole is True and not loading


@check("FM823", "reads are answered by the cache", severity=Severity.WARNING)
def hits(case: Case) -> Iterator[Finding]:
    """Fluid counts the reads of the last minute. The model is whole, and still many go to the
    store: files are asked for that were not loaded, or blocks are evicted and fetched again, as in
    a cache that is too small for what is beside the model.
    """
    cache = case.own
    ratio = status.percent(at(cache.dataset, "status", "cacheStates", "cacheHitRatio"))
    if cache.dataset is None or not ratio or ratio >= HITS or not _reading(cache):
        return
    yield Finding(
        reference(cache.dataset),
        f"{100 - ratio:.0f}% of the reads of the last minute went to the store",
        (
            observations.field(cache.dataset, "status", "cacheStates", "cacheHitRatio"),
            observations.field(cache.dataset, "status", "cacheStates", "cachedPercentage"),
        ),
        Fix(fix_commands.cache(cache, standing=names.is_ours(cache.dataset)), "advice"),
    )


@check("FM824", "reads stay on their node", severity=Severity.WARNING)
def local(case: Case) -> Iterator[Finding]:
    """Many reads of the last minute came from a worker of another node. Engines run beside the
    cache and not on it, or each node holds a part only. Pin the graph to the cache's nodes.
    """
    cache = case.own
    ratio = status.percent(at(cache.dataset, "status", "cacheStates", "remoteHitRatio"))
    if cache.dataset is None or ratio is None or ratio <= REMOTE or not _reading(cache):
        return
    off = [reader for reader in cache.readers if reader.local is False]
    graph = next((reader.graph for reader in off if reader.graph), "GRAPH")
    yield Finding(
        reference(cache.dataset),
        f"{ratio:.0f}% of the reads of the last minute came from another node's worker",
        (
            observations.field(cache.dataset, "status", "cacheStates", "remoteHitRatio"),
            *(observations.field(reader.pod, "spec", "nodeName") for reader in off[:3]),
        ),
        Fix(fix_commands.pin(cache, graph), "advice"),
    )


@check("FM825", "every copy of the model is read", severity=Severity.WARNING, needs=(kinds.PODS,))
def idle_copies(case: Case) -> Iterator[Finding]:
    """Several nodes hold the whole model for more than a day, and on one of them no pod mounts it.
    A copy that nobody reads takes memory or disk for nothing; one node is enough for engines that
    fit on it.
    """
    cache, found = case.own, amount(case.own)
    if found.copies < 2 or case.age(cache.runtime or {}) < DAY or not cache.readers:
        return
    read = {reader.node for reader in cache.readers}
    idle = [name for name in cache.node_names if name not in read]
    if not idle or any(not reader.node for reader in cache.readers):
        return
    needed = max(1, len(cache.node_names) - len(idle))
    yield Finding(
        reference(cache.runtime or {}),
        f"nothing reads the copy on {', '.join(idle)}",
        (
            observations.field(cache.runtime or {}, "spec", "replicas"),
            *(observations.field(reader.pod, "spec", "nodeName") for reader in cache.readers[:3]),
        ),
        Fix(fix_commands.anew(cache, flags=("--replicas", str(needed)))),
    )


@check("FM826", "the cache is in use", severity=Severity.WARNING, needs=(kinds.PODS,))
def used(case: Case) -> Iterator[Finding]:
    """No pod mounts the cache and no graph names it, and it is more than a week old. It may be kept
    on purpose; otherwise it takes its quota of memory or disk from others.
    """
    cache = case.own
    age = case.age(cache.dataset or {})
    if cache.dataset is None or cache.readers or cache.graphs or age < UNUSED:
        return
    held = amount(cache).cached
    yield Finding(
        reference(cache.dataset),
        f"nothing reads it, and it is {duration(age)} old and holds {size(held)}",
        (observations.field(cache.dataset, "metadata", "creationTimestamp"),),
        Fix(fix_commands.removed(cache)),
    )
