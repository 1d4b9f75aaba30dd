"""What each kind of runtime reports about a cache, and in which fields. Pure.

Sources: Fluid's master of July 2026 and v1.0.8, pkg/ddc/RUNTIME/{cache,status,node}.go and the
types of api/v1alpha1.
"""

from __future__ import annotations

from typing import Any

from kubectl_fluidmodel.fluid import status as fluid_status
from kubectl_fluidmodel.inventory.cache import FUSE, MASTER, WORKER, Cache
from kubectl_fluidmodel.objects.access import Object, get_list, get_path
from kubectl_fluidmodel.objects.quantity import quantity_to_int
from kubectl_fluidmodel.records import dataclass

OF_SOURCE, OF_CAPACITY, NOT_REPORTED = "source", "capacity", "nothing"
"""What a runtime's `cachedPercentage` is a percentage of."""


@dataclass(frozen=True)
class RuntimeTraits:
    """One kind of runtime."""

    percentage_of: str = OF_SOURCE
    lists_files: bool = False
    """Whether its master can list the cached files."""
    labels_nodes: bool = True
    note: str = ""
    """A caveat about its numbers."""


_TRAITS: dict[str, RuntimeTraits] = {
    "AlluxioRuntime": RuntimeTraits(lists_files=True),
    "GooseFSRuntime": RuntimeTraits(),
    "JindoRuntime": RuntimeTraits(),
    "JuiceFSRuntime": RuntimeTraits(
        note="the community edition caches in the FUSE pods and reports their mean"
    ),
    "EFCRuntime": RuntimeTraits(NOT_REPORTED, note="Fluid does not query EFC for its cache"),
    "VineyardRuntime": RuntimeTraits(
        OF_CAPACITY,
        note="Vineyard stores objects, not files: the percentage refers to its capacity",
    ),
    "ThinRuntime": RuntimeTraits(
        NOT_REPORTED,
        labels_nodes=False,
        note="a ThinRuntime reports nothing about its cache and labels no node",
    ),
    "CacheRuntime": RuntimeTraits(note="the numbers are those that its class reports"),
}


def runtime_traits(runtime: Object | None) -> RuntimeTraits:
    """Return the traits of a runtime object; common ones for an unknown kind."""
    return _TRAITS.get(str(get_path(runtime, "kind", default="")), RuntimeTraits())


def display_name(runtime: Object | None) -> str:
    """Return `Alluxio` for an AlluxioRuntime; a CacheRuntime includes its class."""
    kind = str(get_path(runtime, "kind", default="")).removesuffix("Runtime")
    runtime_class = str(get_path(runtime, "spec", "runtimeClassName", default=""))
    return f"{kind} ({runtime_class})" if kind and runtime_class else kind


@dataclass(frozen=True)
class StorageTier:
    """Where a worker stores its part; None if unknown."""

    medium: str
    """MEM, SSD, HDD; for a CacheRuntime: memory, emptyDir, hostPath."""
    path: str
    quota: int | None
    """Bytes per worker."""
    empty_dir: bool = False
    """Whether it is an emptyDir of the worker's pod."""


def storage_tiers(runtime: Object | None) -> list[StorageTier]:
    """Return the tiers of a worker, fastest first, as in the runtime's spec."""
    tiers = []
    for level in get_list(runtime, "spec", "tieredstore", "levels"):
        quota = quantity_to_int(level.get("quota"))
        quotas = [
            quantity_to_int(part) or 0 for part in str(level.get("quotaList") or "").split(",")
        ]
        path, medium = str(level.get("path") or ""), str(level.get("mediumtype") or "")
        empty = level.get("volumeType") == "emptyDir"
        tiers.append(StorageTier(medium, path, sum(quotas) or quota, empty))
    for level in get_list(runtime, "spec", "worker", "tieredStore", "levels"):
        tiers += _cache_runtime_tiers(level)
    return tiers


def _cache_runtime_tiers(level: Object) -> list[StorageTier]:
    """A level of a CacheRuntime."""
    tiers = []
    for key, medium in (("processMemory", "MEM"), ("emptyDir", "emptyDir")):
        if get_path(level, key):
            in_memory = get_path(level, key, "medium") == "Memory"
            quota = quantity_to_int(get_path(level, key, "quota"))
            empty = key == "emptyDir"
            tiers.append(StorageTier("MEM" if in_memory else medium, "", quota, empty))
    if get_path(level, "hostPath"):
        paths = get_path(level, "hostPath", "paths", default=[])
        quotas = get_path(level, "hostPath", "quotas", default=[])
        total = sum(quantity_to_int(quota) or 0 for quota in quotas if isinstance(quotas, list))
        joined = ",".join(str(path) for path in paths) if isinstance(paths, list) else ""
        tiers.append(StorageTier("hostPath", joined, total or None))
    return tiers


def quota_per_worker(runtime: Object | None) -> int | None:
    """Bytes of cache per worker over all tiers; None if a quota is not set."""
    quotas = [tier.quota for tier in storage_tiers(runtime)]
    return sum(quota or 0 for quota in quotas) if quotas and all(quotas) else None


def memory_tier_bytes(runtime: Object | None) -> int:
    """Bytes of cache per worker that are in memory."""
    return sum(tier.quota or 0 for tier in storage_tiers(runtime) if tier.medium == "MEM")


def wanted_replicas(runtime: Object | None) -> int | None:
    """Return the number of workers in the spec; None without a runtime."""
    if runtime is None:
        return None
    if runtime.get("kind") == "CacheRuntime":
        return _non_negative(get_path(runtime, "spec", "worker", "replicas", default=1))
    return _non_negative(get_path(runtime, "spec", "replicas", default=0))


def wanted_copies(runtime: Object | None) -> int:
    """Return how many workers should hold each block: configurable for Alluxio only, else 1."""
    copies = _non_negative(get_path(runtime, "spec", "data", "replicas", default=1)) or 1
    return max(1, min(copies, wanted_replicas(runtime) or 1))


def _non_negative(value: Any) -> int | None:
    return value if type(value) is int and value >= 0 else None


@dataclass(frozen=True)
class RuntimeComponent:
    """The master, the workers or the FUSE pods of a runtime; fields are None if unknown."""

    name: str
    ready: int | None
    desired: int | None
    phase: str
    """The phase that Fluid reports."""
    object: str
    """The source of the numbers: `StatefulSet demo-worker`; empty if they are Fluid's own."""
    reason: str = ""

    @property
    def is_healthy(self) -> bool | None:
        """Whether all of it is ready; None if unknown."""
        if self.ready is None or self.desired is None:
            return None
        return self.ready >= self.desired


def runtime_components(cache: Cache) -> list[RuntimeComponent]:
    """Return the components of a runtime, from its StatefulSets and DaemonSet.

    Fluid's own status is second choice: it reports every FUSE as Ready (pkg/ctrl/fuse.go), and
    keeps the last state of workers that died.
    """
    components = (_component(cache, name) for name in (MASTER, WORKER, FUSE))
    return [component for component in components if component is not None]


def _component(cache: Cache, name: str) -> RuntimeComponent | None:
    runtime, workload = cache.runtime, cache.workloads.get(name)
    component_status = get_path(runtime, "status", "client" if name == FUSE else name)
    if isinstance(component_status, dict):  # a CacheRuntime
        phase, reason = component_status.get("phase"), component_status.get("reason")
        ready, desired = (
            _non_negative(component_status.get("readyReplicas")),
            _non_negative(component_status.get("desiredReplicas")),
        )
    else:
        title = name.capitalize()
        status = get_path(runtime, "status", default={})
        phase, reason = get_path(status, f"{name}Phase"), get_path(status, f"{name}Reason")
        ready = _non_negative(get_path(status, f"{name}NumberReady"))
        desired = _non_negative(get_path(status, f"desired{title}NumberScheduled"))
    if workload is None:
        if not phase:
            return None
        # Unknown without the DaemonSet: Fluid's own status of a FUSE is not a count.
        counts = (
            (None, None)
            if name == FUSE and not isinstance(component_status, dict)
            else (ready, desired)
        )
        return RuntimeComponent(name, *counts, str(phase), "", str(reason or ""))
    status, spec = workload.get("status"), workload.get("spec")
    if workload.get("kind") == "DaemonSet":
        ready = _non_negative(get_path(status, "numberReady", default=0))
        desired = _non_negative(get_path(status, "desiredNumberScheduled", default=0))
    else:
        ready = _non_negative(get_path(status, "readyReplicas", default=0))
        desired = _non_negative(get_path(spec, "replicas", default=1))
    reference = f"{workload.get('kind')} {get_path(workload, 'metadata', 'name', default='')}"
    return RuntimeComponent(name, ready, desired, str(phase or ""), reference, str(reason or ""))


def hit_ratio(cache: Cache, key: str = "cacheHitRatio") -> str:
    """Return a ratio of the Dataset's cacheStates as Fluid writes it; empty if there is none."""
    text = str(get_path(cache.dataset, "status", "cacheStates", key, default=""))
    return text if fluid_status.parse_percent(text) is not None else ""
