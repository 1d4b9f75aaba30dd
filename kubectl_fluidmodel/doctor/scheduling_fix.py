"""Fixes for cache pods that no node takes: a smaller quota or request, or tolerations."""

from __future__ import annotations

from decimal import Decimal

from kubectl_fluidmodel.doctor import cache_commands, fix_commands
from kubectl_fluidmodel.doctor.check import Fix
from kubectl_fluidmodel.doctor.unschedulable import UnschedulablePod
from kubectl_fluidmodel.fluid import names
from kubectl_fluidmodel.inventory import runtimes
from kubectl_fluidmodel.inventory.cache import WORKER, Cache
from kubectl_fluidmodel.inventory.usage import cache_usage
from kubectl_fluidmodel.model.sizing import quota_for
from kubectl_fluidmodel.objects.access import Object, get_list, get_path
from kubectl_fluidmodel.objects.quantity import bytes_to_quantity
from kubectl_fluidmodel.objects.scheduler import Filter
from kubectl_fluidmodel.output.shell import Command, chain
from kubectl_fluidmodel.output.units import format_bytes

_OVERSIZED_QUOTA_FACTOR = 4
"""A quota this many times larger than needed is a mistake; findings about room mention it."""


def _fitting_quota(cache: Cache) -> int | None:
    """A quota that fits the model, if the current one is far too large; else None."""
    quota, total = runtimes.quota_per_worker(cache.runtime), cache_usage(cache).source_bytes
    if quota is None or total is None:
        return None
    required = quota_for(total)
    return required if quota >= _OVERSIZED_QUOTA_FACTOR * required else None


def oversized_quota_hint(cache: Cache, unscheduled: UnschedulablePod) -> str:
    """The end of a sentence about a quota that is many times the model; empty if it is not."""
    total, quota = cache_usage(cache).source_bytes, runtimes.quota_per_worker(cache.runtime)
    if (
        unscheduled.component != WORKER
        or not runtimes.memory_tier_bytes(cache.runtime)
        or not total
        or not quota
        or _fitting_quota(cache) is None
        or "memory" not in unscheduled.lacking_resources()
    ):
        return ""
    return (
        f"; the quota of {format_bytes(quota)} is {quota // total:,} times the model's "
        f"{format_bytes(total)}"
    )


def give_more_room(cache: Cache, unscheduled: UnschedulablePod, requested: int) -> Fix:
    """Make a pod that lacks resources fit; `requested` is the memory in bytes that it requests."""
    part, runtime = unscheduled.component, cache.runtime or {}
    missing = unscheduled.lacking_resources()
    if part == WORKER and "memory" in missing and runtimes.memory_tier_bytes(cache.runtime):
        fitting = _fitting_quota(cache)
        if fitting is not None:
            return _change_cache(cache, quota=fitting)
        if unscheduled.gpu_tainted_nodes():
            return add_tolerations(cache, unscheduled)
        return Fix(cache_commands.rebuild_cache(cache, "--medium", "SSD"))
    is_ours = names.has_own_spec(cache.dataset or {})
    reduced = {} if is_ours else _reduced_requests(runtime, unscheduled)
    if reduced:
        return Fix(
            chain(fix_commands.patch_object(runtime, reduced), fix_commands.recreate_runtime(cache))
        )
    if part == WORKER and cache.dataset is not None:
        # Recreated, because an existing cache keeps its node, and none fits.
        return Fix(cache_commands.recreate_cache(cache))
    kind = fix_commands.kubectl_kind(runtime) or "alluxioruntime"
    field = f"{kind} {cache.namespace}/{cache.name} spec.{part}.resources.requests"
    return Fix(f"request less than {format_bytes(requested)} of memory", "advice", field)


def _reduced_requests(runtime: Object, unscheduled: UnschedulablePod) -> Object:
    """A patch that reduces requests to what the best node has free; empty if nothing helps."""
    requests = get_path(runtime, "spec", unscheduled.component, "resources", "requests", default={})
    free: dict[str, Decimal] = {}
    for against in unscheduled.obstacles.values():
        for obstacle in against:
            if obstacle.filter is Filter.ROOM:
                free[obstacle.subject] = max(
                    free.get(obstacle.subject, obstacle.free), obstacle.free
                )
    cut = {
        name: _format_quantity(name, available)
        for name, available in free.items()
        if name in requests and available > 0
    }
    return {"spec": {unscheduled.component: {"resources": {"requests": cut}}}} if cut else {}


def _format_quantity(resource: str, free: Decimal) -> str:
    """A resource quantity, rounded down."""
    if resource == "cpu":
        return f"{int(free * 1000)}m"
    return bytes_to_quantity(int(free)) if "/" not in resource else str(int(free))


def _change_cache(
    cache: Cache, quota: int | None = None, tolerations: list[dict[str, str]] | None = None
) -> Fix:
    """Recreate the cache with another quota or more tolerations."""
    if cache.dataset is None or cache.runtime is None:
        return Fix(cache_commands.recreate_cache(cache))
    if names.has_own_spec(cache.dataset):
        if tolerations:  # `cache` chooses a node and tolerates its taints
            return Fix(cache_commands.recreate_cache(cache))
        return Fix(cache_commands.rebuild_cache(cache, "--quota", bytes_to_quantity(quota or 0)))
    steps: list[Command] = []
    if tolerations:
        existing = get_list(cache.dataset, "spec", "tolerations")
        added = [toleration for toleration in tolerations if toleration not in existing]
        steps.append(
            fix_commands.patch_object(cache.dataset, {"spec": {"tolerations": existing + added}})
        )
    if quota is not None:
        steps.append(
            fix_commands.patch_object(cache.runtime, _quota_patch(cache.runtime, quota), how="json")
        )
    return Fix(chain(*steps, fix_commands.recreate_runtime(cache)))


def _quota_patch(runtime: Object, quota: int) -> list[Object]:
    """A JSON patch of the first tier's quota; it drops the memory request for the old one."""
    level = "/spec/tieredstore/levels/0"
    change: list[Object] = [
        {"op": "add", "path": f"{level}/quota", "value": bytes_to_quantity(quota)}
    ]
    if get_path(runtime, "spec", "tieredstore", "levels", 0, "quotaList"):
        change.append({"op": "remove", "path": f"{level}/quotaList"})
    if get_path(runtime, "spec", "worker", "resources", "requests", "memory"):
        change.append({"op": "remove", "path": "/spec/worker/resources/requests/memory"})
    return change


def add_tolerations(cache: Cache, unscheduled: UnschedulablePod) -> Fix:
    """Add tolerations for the nodes that need nothing else, with a quota that fits."""
    tolerations = unscheduled.tolerations()
    quota = _fitting_quota(cache) if oversized_quota_hint(cache, unscheduled) else None
    if not tolerations:
        return Fix(cache_commands.recreate_cache(cache))
    return _change_cache(cache, quota, tolerations)
