"""What inspect and doctor read: one list request for each kind, and what is held of each object.

The first wave says which caches there are; the second brings what belongs to them, and lets go of
everything else while its pages arrive. Two waves and discovery: the number of lists depends on
the kinds, never on the objects.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum

from kubectl_fluidmodel.dynamo import resources as dynamo
from kubectl_fluidmodel.fluid import names
from kubectl_fluidmodel.objects import kinds as k
from kubectl_fluidmodel.objects.access import (
    Object,
    at,
    dicts,
    labels_of,
    meta,
    name_of,
    namespace_of,
)
from kubectl_fluidmodel.objects.kinds import Kind

GRAPHS = dynamo.kind(dynamo.GRAPH, dynamo.BETA)
COMPONENTS = dynamo.kind(dynamo.COMPONENT, dynamo.BETA)
"""Their version is the one that discovery finds; resources are looked up without it."""


class Where(Enum):
    """The reach of a list request."""

    SCOPE = "scope"
    """The namespace that was asked for, or all."""
    CLUSTER = "cluster"
    """Always all: kinds without a namespace, and what may lie in any."""
    SYSTEM = "system"
    """Fluid's own namespace."""
    OWN = "own"
    """Namespaces: the one that was asked for, or all."""


@dataclass
class Known:
    """What the first wave found: what the second is about."""

    caches: set[tuple[str, str]] = field(default_factory=set)
    """(namespace, name) of every Dataset and runtime; a cache's claim bears the same name."""


Keep = Callable[[Object, Known], Object | None]


def _lean(obj: Object, _: Known) -> Object:
    meta(obj).pop("managedFields", None)
    return obj


@dataclass(frozen=True)
class Read:
    """One list request, and what is held of its objects."""

    kind: Kind
    where: Where = Where.SCOPE
    labels: str = ""
    fields: str = ""
    metadata_only: bool = False
    second: bool = False
    """Whether it needs what the first wave found."""
    keep: Keep = _lean
    every: bool = False
    """Whether `keep` leaves no object out, though it may say little of some."""
    marks: tuple[bytes, ...] = ()
    """Words of which each object that `keep` keeps has one in its JSON; empty: it says nothing."""


_CACHE_LABELS = (names.MODEL_LABEL, "release", "targetDataset", names.CACHE_RUNTIME_LABEL)
_GRAPH_LABELS = (dynamo.GRAPH_LABEL, dynamo.SELECTOR_LABEL)


def _marks(*words: str) -> tuple[bytes, ...]:
    return tuple(f'"{word}"'.encode() for word in words)


POD_MARKS = _marks(*_CACHE_LABELS, *_GRAPH_LABELS, "claimName", names.SYSTEM_NAMESPACE)
"""Of the pods that `_pod` keeps: labels, a claim, or Fluid's own namespace."""


def _labelled(obj: Object, known: Known) -> Object | None:
    """What belongs to a cache or to a staging by its labels."""
    labels = labels_of(obj)
    return _lean(obj, known) if any(mark in labels for mark in _CACHE_LABELS) else None


def _of_a_cache(obj: Object, known: Known) -> Object | None:
    """StatefulSets and DaemonSets of a cache, and those in a cache's way."""
    of = name_of(obj).rpartition("-")[0]  # a foreign `<name>-master`, where Fluid would make one
    taken = (namespace_of(obj), of) in known.caches
    return _lean(obj, known) if taken else _labelled(obj, known)


def claims_of(pod: Object) -> list[str]:
    """The names of the claims that a pod mounts or would mount."""
    return [
        str(at(volume, "persistentVolumeClaim", "claimName", default=""))
        for volume in dicts(pod, "spec", "volumes")
        if at(volume, "persistentVolumeClaim", "claimName")
    ]


def _pod(obj: Object, known: Known) -> Object | None:
    """Pods of a cache, of a staging, of a graph, of Fluid itself, and those that read a cache."""
    labels, namespace = labels_of(obj), namespace_of(obj)
    own = (
        names.MODEL_LABEL in labels
        or (namespace, labels.get("release")) in known.caches
        or (namespace, labels.get("targetDataset")) in known.caches
        or (namespace, labels.get(names.CACHE_RUNTIME_LABEL)) in known.caches
        or dynamo.GRAPH_LABEL in labels
        or dynamo.SELECTOR_LABEL in labels
        or namespace == names.SYSTEM_NAMESPACE
    )
    if own or any((namespace, claim) in known.caches for claim in claims_of(obj)):
        return _lean(obj, known)
    return None


def _claim(obj: Object, known: Known) -> Object | None:
    return _lean(obj, known) if (namespace_of(obj), name_of(obj)) in known.caches else None


def _any_claim(obj: Object, known: Known) -> Object:
    """Of claims that are no cache's only that they are there: graphs may mount any."""
    found = _claim(obj, known)
    if found is not None:
        return found
    metadata = {
        key: value
        for key, value in meta(obj).items()
        if key in ("name", "namespace", "uid", "deletionTimestamp", "creationTimestamp")
    }
    return {
        "kind": k.PVCS.name,
        "metadata": metadata,
        "status": {"phase": at(obj, "status", "phase")},
    }


def _volume(obj: Object, known: Known) -> Object | None:
    """Volumes of Fluid, and those that stand where it would make one."""
    fluid = at(obj, "spec", "csi", "driver") == names.CSI_DRIVER
    taken = any(names.volume_name(*cache) == name_of(obj) for cache in known.caches)
    return _lean(obj, known) if fluid or taken else None


def _node(obj: Object, known: Known) -> Object:
    status = obj.get("status")
    if isinstance(status, dict):
        status.pop("images", None)
    return _lean(obj, known)


FIRST: tuple[Read, ...] = (
    Read(names.DATASETS, every=True),
    *(Read(runtime) for runtime in names.RUNTIMES),
    Read(names.DATA_LOADS),
)

INSPECT: tuple[Read, ...] = (
    *FIRST,
    Read(GRAPHS),
    Read(COMPONENTS),
    Read(k.PODS, second=True, keep=_pod, marks=POD_MARKS),
    Read(k.PVCS, second=True, keep=_claim),
    Read(k.PVS, Where.CLUSTER, second=True, keep=_volume),
    # Fluid counts a node's caches in this label, so that one selector finds all cache nodes.
    Read(k.NODES, Where.CLUSTER, labels=names.CACHES_LABEL),
    # Without marks: what stands in a cache's way has none of its labels.
    Read(k.STATEFUL_SETS, second=True, keep=_of_a_cache),
    Read(k.DAEMON_SETS, second=True, keep=_of_a_cache),
    Read(names.ADVANCED_SETS, second=True, keep=_labelled, marks=_marks(*_CACHE_LABELS)),
    Read(k.JOBS, second=True, keep=_labelled, marks=_marks(*_CACHE_LABELS)),
    Read(k.EVENTS, fields="type=Warning"),
)
"""What `inspect` shows."""

DOCTOR: tuple[Read, ...] = (
    *(read for read in INSPECT if read.kind not in (k.NODES, k.EVENTS, k.PVCS)),
    Read(k.PVCS, second=True, keep=_any_claim, every=True),
    Read(k.NODES, Where.CLUSTER, keep=_node),
    Read(k.EVENTS, fields="type=Warning"),
    Read(k.PODS, Where.SYSTEM),
    Read(k.DEPLOYMENTS, Where.SYSTEM),
    Read(k.DAEMON_SETS, Where.SYSTEM),
    Read(k.EVENTS, Where.SYSTEM, fields="type=Warning"),
    Read(k.CSI_DRIVERS, Where.CLUSTER),
    Read(k.CSI_NODES, Where.CLUSTER),
    Read(k.WEBHOOKS, Where.CLUSTER),
    Read(k.NAMESPACES, Where.OWN),
)
"""What `doctor` judges."""
