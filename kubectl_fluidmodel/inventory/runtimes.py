"""What each kind of runtime can tell about a cache, and where it says so. Pure.

Sources: Fluid's master of July 2026 and v1.0.8, pkg/ddc/RUNTIME/{cache,status,node}.go and the
types of api/v1alpha1.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from kubectl_fluidmodel.fluid import status as fluid_status
from kubectl_fluidmodel.inventory.cache import FUSE, MASTER, WORKER, Cached
from kubectl_fluidmodel.objects.access import Object, at, dicts
from kubectl_fluidmodel.objects.quantity import to_int

SOURCE, CAPACITY, NOTHING = "source", "capacity", "nothing"
"""What a runtime's `cachedPercentage` is a share of."""


@dataclass(frozen=True)
class Traits:
    """One kind of runtime."""

    share_of: str = SOURCE
    lists_files: bool = False
    """Whether its master can be asked which files are cached."""
    labels_nodes: bool = True
    remark: str = ""
    """What a reader of its numbers has to know."""


_TRAITS: dict[str, Traits] = {
    "AlluxioRuntime": Traits(lists_files=True),
    "GooseFSRuntime": Traits(),
    "JindoRuntime": Traits(),
    "JuiceFSRuntime": Traits(
        remark="the community edition caches in the fuse pods, and tells their mean"
    ),
    "EFCRuntime": Traits(NOTHING, remark="Fluid does not ask EFC what is cached"),
    "VineyardRuntime": Traits(
        CAPACITY, remark="Vineyard keeps objects, not files: the share is one of its capacity"
    ),
    "ThinRuntime": Traits(
        NOTHING,
        labels_nodes=False,
        remark="a ThinRuntime tells nothing about its cache, and labels no node",
    ),
    "CacheRuntime": Traits(remark="the numbers are those of its class's own report"),
}


def traits(runtime: Object | None) -> Traits:
    """Of a runtime object; of one that Fluid got after this was written, the common ones."""
    return _TRAITS.get(str(at(runtime, "kind", default="")), Traits())


def short(runtime: Object | None) -> str:
    """`Alluxio` of an AlluxioRuntime, empty without one; a CacheRuntime says of which class."""
    kind = str(at(runtime, "kind", default="")).removesuffix("Runtime")
    of = str(at(runtime, "spec", "runtimeClassName", default=""))
    return f"{kind} ({of})" if kind and of else kind


@dataclass(frozen=True)
class Tier:
    """Where a worker keeps its part; None where it is not said."""

    medium: str
    """MEM, SSD, HDD; of a CacheRuntime: memory, emptyDir, hostPath."""
    path: str
    quota: int | None
    """Bytes for each worker."""
    empty_dir: bool = False
    """Whether it lies in an emptyDir of the worker's pod."""


def tiers(runtime: Object | None) -> list[Tier]:
    """The tiers of a worker, fastest first, as the runtime's spec has them."""
    found = []
    for level in dicts(runtime, "spec", "tieredstore", "levels"):
        quota = to_int(level.get("quota"))
        listed = [to_int(part) or 0 for part in str(level.get("quotaList") or "").split(",")]
        path, medium = str(level.get("path") or ""), str(level.get("mediumtype") or "")
        empty = level.get("volumeType") == "emptyDir"
        found.append(Tier(medium, path, sum(listed) or quota, empty))
    for level in dicts(runtime, "spec", "worker", "tieredStore", "levels"):
        found += _new_tiers(level)
    return found


def _new_tiers(level: Object) -> list[Tier]:
    """A level of a CacheRuntime."""
    found = []
    for key, medium in (("processMemory", "MEM"), ("emptyDir", "emptyDir")):
        if at(level, key):
            in_memory = at(level, key, "medium") == "Memory"
            quota = to_int(at(level, key, "quota"))
            empty = key == "emptyDir"
            found.append(Tier("MEM" if in_memory else medium, "", quota, empty))
    if at(level, "hostPath"):
        paths = at(level, "hostPath", "paths", default=[])
        quotas = at(level, "hostPath", "quotas", default=[])
        total = sum(to_int(each) or 0 for each in quotas if isinstance(quotas, list))
        joined = ",".join(str(path) for path in paths) if isinstance(paths, list) else ""
        found.append(Tier("hostPath", joined, total or None))
    return found


def replicas(runtime: Object | None) -> int | None:
    """Workers that the spec asks for; None without a runtime."""
    if runtime is None:
        return None
    if runtime.get("kind") == "CacheRuntime":
        return _count(at(runtime, "spec", "worker", "replicas", default=1))
    return _count(at(runtime, "spec", "replicas", default=0))


def copies(runtime: Object | None) -> int:
    """How many workers shall hold each block: only Alluxio can be told, all others keep one."""
    wanted = _count(at(runtime, "spec", "data", "replicas", default=1)) or 1
    return max(1, min(wanted, replicas(runtime) or 1))


def _count(value: Any) -> int | None:
    return value if type(value) is int and value >= 0 else None


@dataclass(frozen=True)
class Part:
    """The master, the workers or the fuse pods of a runtime; None where nobody says."""

    name: str
    ready: int | None
    desired: int | None
    phase: str
    """Fluid's word for it."""
    object: str
    """What the numbers are of: `StatefulSet demo-worker`; empty where they are Fluid's own."""
    reason: str = ""

    @property
    def well(self) -> bool | None:
        """Whether all of it is ready; None where that is not known."""
        if self.ready is None or self.desired is None:
            return None
        return self.ready >= self.desired


def parts(cache: Cached) -> list[Part]:
    """What a runtime consists of, by its StatefulSets and DaemonSet.

    Fluid's own status comes second: it calls every fuse Ready (pkg/ctrl/fuse.go), and keeps its
    last word about workers that died.
    """
    found = []
    for name in (MASTER, WORKER, FUSE):
        part = _part(cache, name)
        if part is not None:
            found.append(part)
    return found


def _part(cache: Cached, name: str) -> Part | None:
    runtime, workload = cache.runtime, cache.sets.get(name)
    own = at(runtime, "status", "client" if name == FUSE else name)
    if isinstance(own, dict):  # a CacheRuntime
        phase, reason = own.get("phase"), own.get("reason")
        ready, desired = _count(own.get("readyReplicas")), _count(own.get("desiredReplicas"))
    else:
        title = name.capitalize()
        status = at(runtime, "status", default={})
        phase, reason = at(status, f"{name}Phase"), at(status, f"{name}Reason")
        ready = _count(at(status, f"{name}NumberReady"))
        desired = _count(at(status, f"desired{title}NumberScheduled"))
    if workload is None:
        if not phase:
            return None
        # Without the DaemonSet nobody knows: what Fluid says of a fuse is no count.
        known = (None, None) if name == FUSE and not isinstance(own, dict) else (ready, desired)
        return Part(name, *known, str(phase), "", str(reason or ""))
    status, spec = workload.get("status"), workload.get("spec")
    if workload.get("kind") == "DaemonSet":
        ready = _count(at(status, "numberReady", default=0))
        desired = _count(at(status, "desiredNumberScheduled", default=0))
    else:
        ready = _count(at(status, "readyReplicas", default=0))
        desired = _count(at(spec, "replicas", default=1))
    named = f"{workload.get('kind')} {at(workload, 'metadata', 'name', default='')}"
    return Part(name, ready, desired, str(phase or ""), named, str(reason or ""))


def ratio(cache: Cached, key: str = "cacheHitRatio") -> str:
    """A ratio of the Dataset's cacheStates as Fluid writes it, empty where it says nothing."""
    text = str(at(cache.dataset, "status", "cacheStates", key, default=""))
    return text if fluid_status.percent(text) is not None else ""
