"""2xx: whether a cache shares its nodes with other caches."""

from __future__ import annotations

from collections.abc import Iterator

from kubectl_fluidmodel.doctor import cache_commands, fix_commands
from kubectl_fluidmodel.doctor.check import (
    CheckContext,
    Evidence,
    Finding,
    Fix,
    Severity,
    register_check,
)
from kubectl_fluidmodel.doctor.observations import cache_reference
from kubectl_fluidmodel.fluid import names, pod_problems
from kubectl_fluidmodel.inventory import runtimes
from kubectl_fluidmodel.inventory.cache import WORKER, Cache
from kubectl_fluidmodel.objects.access import get_path
from kubectl_fluidmodel.objects.deletion import is_terminating
from kubectl_fluidmodel.output.shell import Command, chain


@register_check("FM209", "placement lets caches share a node", severity=Severity.WARNING)
def placement_allows_sharing_nodes(context: CheckContext) -> Iterator[Finding]:
    """The cache does not share its nodes with other caches.

    With `placement: Exclusive`, Fluid's default, a worker repels the workers of all other Datasets
    in its namespace. This matters as soon as there is another cache with workers: the next one is
    not scheduled (FM302). Fluid computes the affinity once, so the cache has to be recreated.
    """
    cache = context.cache
    if not _has_workers(cache) or get_path(cache.dataset, "spec", "placement") == "Shared":
        return
    neighbors = sum(
        _has_workers(other)
        for other in context.caches
        if other.namespace == cache.namespace and other.name != cache.name
    )
    if not neighbors or context.cached(
        "placement: repelled", lambda: _worker_waits_for_free_node(context.caches)
    ):
        return
    placement = get_path(cache.dataset, "spec", "placement") or "not set, which means Exclusive"
    yield Finding(
        cache_reference(cache),
        f"this cache does not share its node, and there {_count_others(neighbors)}",
        (Evidence(cache_reference(cache), "spec.placement", str(placement)),),
        Fix(_share_nodes_command(cache)),
    )


def _share_nodes_command(cache: Cache) -> Command:
    if cache.dataset is None or cache.runtime is None or names.has_own_spec(cache.dataset):
        return cache_commands.recreate_cache(cache)  # `cache` creates it that way
    change = fix_commands.patch_object(cache.dataset, {"spec": {"placement": "Shared"}})
    return chain(change, fix_commands.recreate_runtime(cache))


def _has_workers(cache: Cache) -> bool:
    """Whether a cache has or will have workers."""
    if cache.dataset is None or cache.runtime is None or cache.refers_to is not None:
        return False
    if cache.pods.get(WORKER) or cache.workloads.get(WORKER):
        return True
    if cache.runtime.get("kind") == "ThinRuntime" or runtimes.wanted_replicas(cache.runtime) == 0:
        return False
    is_leaving = is_terminating(cache.dataset) or is_terminating(cache.runtime)
    return (
        names.is_valid_name(cache.name)
        and len(cache.name) <= names.MAX_NAME_LENGTH
        and not is_leaving
    )


def _count_others(count: int) -> str:
    return "is one other cache" if count == 1 else f"are {count} other caches"


def _worker_waits_for_free_node(caches: tuple[Cache, ...]) -> bool:
    """Whether a worker waits for a node without another cache, which FM302 reports."""
    return any(
        "anti-affinity" in text
        for cache in caches
        for pod in cache.pods.get(WORKER, [])
        for text in pod_problems.find_pod_problems(pod)
    )
