"""The list requests of inspect and doctor, and which objects and fields they keep.

The first wave finds the caches. The second reads what belongs to them, and drops everything else
while its pages arrive. The number of requests depends on the kinds, never on the objects.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum

from kubectl_fluidmodel.dynamo import resources as dynamo
from kubectl_fluidmodel.fluid import names
from kubectl_fluidmodel.objects import kinds as k
from kubectl_fluidmodel.objects.access import (
    Object,
    get_path,
    labels_of,
    metadata_of,
    name_of,
    namespace_of,
)
from kubectl_fluidmodel.objects.kinds import Kind
from kubectl_fluidmodel.objects.pods import claim_names
from kubectl_fluidmodel.records import dataclass

GRAPHS = dynamo.kind_for(dynamo.GRAPH, dynamo.V1BETA1)
COMPONENTS = dynamo.kind_for(dynamo.COMPONENT, dynamo.V1BETA1)
"""Discovery replaces their version; lookups by resource ignore it."""


class ListScope(Enum):
    """The scope of a list request."""

    NAMESPACE = "scope"
    """The requested namespace, or all."""
    CLUSTER = "cluster"
    """Always cluster-wide: cluster-scoped kinds, and objects that may be in any namespace."""
    FLUID_NAMESPACE = "system"
    """Fluid's own namespace."""
    NAMESPACE_OBJECT = "own"
    """Namespace objects: the requested one, or all."""


CacheKeys = set[tuple[str, str]]
"""(namespace, name) of every Dataset and runtime that the first wave found; a cache's claim has the
same name."""
Transform = Callable[[Object, CacheKeys], Object | None]
"""Returns what is kept of an object; None if nothing is."""


def _strip_managed_fields(obj: Object, _: CacheKeys) -> Object:
    metadata_of(obj).pop("managedFields", None)
    return obj


@dataclass(frozen=True)
class ListQuery:
    """One list request, and which objects it keeps."""

    kind: Kind
    scope: ListScope = ListScope.NAMESPACE
    labels: str = ""
    fields: str = ""
    metadata_only: bool = False
    needs_caches: bool = False
    """Whether it belongs to the second wave."""
    transform: Transform = _strip_managed_fields
    keeps_all: bool = False
    """Whether `transform` keeps every object, possibly reduced."""
    prefilter: tuple[bytes, ...] = ()
    """Every kept object has one of these strings in its JSON; empty if there is no such string."""


_CACHE_NAME_LABELS = ("release", "targetDataset", names.CACHE_RUNTIME_LABEL)
"""Labels whose value is a cache's name."""
CACHE_LABELS = (names.MODEL_LABEL, *_CACHE_NAME_LABELS)
GRAPH_LABELS = (dynamo.GRAPH_LABEL, dynamo.SELECTOR_LABEL)


def _prefilter(*words: str) -> tuple[bytes, ...]:
    return tuple(f'"{word}"'.encode() for word in words)


POD_PREFILTER = _prefilter(*CACHE_LABELS, *GRAPH_LABELS, "claimName", names.SYSTEM_NAMESPACE)
"""For the pods that `_keep_pod` keeps: a label, a claim, or Fluid's namespace."""


def _keep_labelled(obj: Object, caches: CacheKeys) -> Object | None:
    """Keep objects whose labels show that they belong to a cache or a staging Job."""
    labels = labels_of(obj)
    is_own = any(label in labels for label in CACHE_LABELS)
    return _strip_managed_fields(obj, caches) if is_own else None


def _keep_workload(obj: Object, caches: CacheKeys) -> Object | None:
    """Keep StatefulSets and DaemonSets of a cache, and others with such a name."""
    # A foreign `<name>-master` has the name that Fluid would use.
    cache_name = name_of(obj).rpartition("-")[0]
    is_known = (namespace_of(obj), cache_name) in caches
    return _strip_managed_fields(obj, caches) if is_known else _keep_labelled(obj, caches)


def _keep_pod(obj: Object, caches: CacheKeys) -> Object | None:
    """Keep pods of a cache, a staging Job, a graph or Fluid, and pods that read a cache."""
    labels, namespace = labels_of(obj), namespace_of(obj)
    cache_names = {labels.get(label) for label in _CACHE_NAME_LABELS}
    is_own = (
        any(label in labels for label in (names.MODEL_LABEL, *GRAPH_LABELS))
        or namespace == names.SYSTEM_NAMESPACE
        or any((namespace, name) in caches for name in (*cache_names, *claim_names(obj)))
    )
    return _strip_managed_fields(obj, caches) if is_own else None


def _keep_claim(obj: Object, caches: CacheKeys) -> Object | None:
    is_own = (namespace_of(obj), name_of(obj)) in caches
    return _strip_managed_fields(obj, caches) if is_own else None


def _strip_other_claims(obj: Object, caches: CacheKeys) -> Object:
    """Keep claims; for those of no cache only their existence, because graphs may mount them."""
    own_claim = _keep_claim(obj, caches)
    if own_claim is not None:
        return own_claim
    metadata = {
        key: value
        for key, value in metadata_of(obj).items()
        if key in ("name", "namespace", "uid", "deletionTimestamp", "creationTimestamp")
    }
    return {
        "kind": k.PVCS.name,
        "metadata": metadata,
        "status": {"phase": get_path(obj, "status", "phase")},
    }


def _keep_volume(obj: Object, caches: CacheKeys) -> Object | None:
    """Keep Fluid's volumes, and those with a name that Fluid would use."""
    is_own = get_path(obj, "spec", "csi", "driver") == names.CSI_DRIVER or any(
        names.volume_name(*cache) == name_of(obj) for cache in caches
    )
    return _strip_managed_fields(obj, caches) if is_own else None


def _strip_node(obj: Object, caches: CacheKeys) -> Object:
    status = obj.get("status")
    if isinstance(status, dict):
        status.pop("images", None)
    return _strip_managed_fields(obj, caches)


CACHE_QUERIES: tuple[ListQuery, ...] = (
    ListQuery(names.DATASETS, keeps_all=True),
    *(ListQuery(runtime) for runtime in names.RUNTIME_KINDS),
    ListQuery(names.DATA_LOADS),
)

_READER_QUERIES: tuple[ListQuery, ...] = (
    ListQuery(GRAPHS),
    ListQuery(COMPONENTS),
    ListQuery(k.PODS, needs_caches=True, transform=_keep_pod, prefilter=POD_PREFILTER),
)

PRUNE_QUERIES: tuple[ListQuery, ...] = (
    ListQuery(names.DATASETS, keeps_all=True),
    ListQuery(names.ALLUXIO_RUNTIMES),
    ListQuery(names.DATA_LOADS),
    *_READER_QUERIES,
)
"""The queries of `prune`: the caches that it may have created, and what reads them."""

INSPECT_QUERIES: tuple[ListQuery, ...] = (
    *CACHE_QUERIES,
    *_READER_QUERIES,
    ListQuery(k.PVCS, needs_caches=True, transform=_keep_claim),
    ListQuery(k.PVS, ListScope.CLUSTER, needs_caches=True, transform=_keep_volume),
    # Fluid counts a node's caches in this label, so that one selector finds all cache nodes.
    ListQuery(k.NODES, ListScope.CLUSTER, labels=names.CACHE_COUNT_LABEL),
    # Without a prefilter: a workload that only has a cache's name has none of its labels.
    ListQuery(k.STATEFUL_SETS, needs_caches=True, transform=_keep_workload),
    ListQuery(k.DAEMON_SETS, needs_caches=True, transform=_keep_workload),
    ListQuery(
        names.ADVANCED_SETS,
        needs_caches=True,
        transform=_keep_labelled,
        prefilter=_prefilter(*CACHE_LABELS),
    ),
    ListQuery(
        k.JOBS, needs_caches=True, transform=_keep_labelled, prefilter=_prefilter(*CACHE_LABELS)
    ),
    ListQuery(k.EVENTS, fields="type=Warning"),
    ListQuery(k.AUTOSCALERS),
)
"""The queries of `inspect`."""

DOCTOR_QUERIES: tuple[ListQuery, ...] = (
    *(read for read in INSPECT_QUERIES if read.kind not in (k.NODES, k.EVENTS, k.PVCS)),
    ListQuery(k.PVCS, needs_caches=True, transform=_strip_other_claims, keeps_all=True),
    ListQuery(k.NODES, ListScope.CLUSTER, transform=_strip_node),
    ListQuery(k.EVENTS, fields="type=Warning"),
    ListQuery(k.PODS, ListScope.FLUID_NAMESPACE),
    ListQuery(k.DEPLOYMENTS, ListScope.FLUID_NAMESPACE),
    ListQuery(k.DAEMON_SETS, ListScope.FLUID_NAMESPACE),
    ListQuery(k.EVENTS, ListScope.FLUID_NAMESPACE, fields="type=Warning"),
    ListQuery(k.CSI_DRIVERS, ListScope.CLUSTER),
    ListQuery(k.CSI_NODES, ListScope.CLUSTER),
    ListQuery(k.WEBHOOKS, ListScope.CLUSTER),
    ListQuery(k.NAMESPACES, ListScope.NAMESPACE_OBJECT),
)
"""The queries of `doctor`."""
