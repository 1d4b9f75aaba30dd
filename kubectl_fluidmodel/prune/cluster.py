"""Finds unused objects of this plugin in a cluster. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import field

from kubectl_fluidmodel.fluid import names
from kubectl_fluidmodel.inventory.cache import Cache
from kubectl_fluidmodel.inventory.readers import graph_names
from kubectl_fluidmodel.inventory.usage import cache_usage
from kubectl_fluidmodel.objects import kinds
from kubectl_fluidmodel.objects.access import (
    Object,
    full_name,
    get_list,
    get_path,
    labels_of,
    metadata_of,
    name_of,
    namespace_of,
)
from kubectl_fluidmodel.objects.deletion import is_terminating
from kubectl_fluidmodel.objects.jobs import end_condition
from kubectl_fluidmodel.objects.time import parse_time
from kubectl_fluidmodel.output.units import summarize
from kubectl_fluidmodel.prune.leftover import BY_NAME, CACHE, Leftover
from kubectl_fluidmodel.records import dataclass

PARTS_OF_CACHE = (
    names.DATA_LOADS,
    names.ALLUXIO_RUNTIMES,
    kinds.SECRETS,
    kinds.PVCS,
    kinds.PVS,
)
"""What `cache` creates in addition to a Dataset and a Job, in deletion order."""


@dataclass(frozen=True)
class ObjectUsers:
    """Users of Secrets and claims, by (kind, namespace, name): `Pod llama-0`."""

    by_object: Mapping[tuple[str, str, str], Sequence[str]] = field(default_factory=dict)
    unread_namespaces: frozenset[str] = frozenset()
    """Namespaces whose pods could not be listed."""

    def of(self, obj: Object) -> Sequence[str]:
        return self.by_object.get((str(obj["kind"]), _namespace(obj), name_of(obj)), ())


@dataclass(frozen=True)
class ClusterState:
    """The state of a cluster."""

    caches: Sequence[Cache]
    owned: Sequence[Object]
    """Objects with our labels, except Datasets."""
    users: ObjectUsers
    now: float
    """Unix time in seconds."""
    unread_readers: frozenset[str] = frozenset()
    """Namespaces whose pods or graphs could not be listed."""


def find_cluster_leftovers(
    state: ClusterState, min_age: float, named: Iterable[str] = ()
) -> list[Leftover]:
    """Return the unused objects.

    Args:
        state: The state of the cluster.
        min_age: Seconds; younger objects are excluded.
        named: The caches that are removed, too, because the user named them.
    """
    leftovers = [*_finished_jobs(state), *_parts_without_cache(state)]
    leftovers += _unread_caches(state, frozenset(named))
    return [leftover for leftover in leftovers if leftover.age >= min_age]


def job_end(job: Object) -> float:
    """Return when a Job ended, in Unix time; 0 while it is running."""
    condition = end_condition(job)
    return (parse_time(condition.get("lastTransitionTime")) or _born(job)) if condition else 0.0


def _finished_jobs(state: ClusterState) -> Iterator[Leftover]:
    for job in state.owned:
        ended_at = job_end(job) if job["kind"] == kinds.JOBS.name else 0.0
        if ended_at and not is_terminating(job):
            yield Leftover("Job", full_name(job), state.now - ended_at, "it has finished", job)


def _parts_without_cache(state: ClusterState) -> Iterator[Leftover]:
    """Find parts of a cache without a Dataset that no active Job is about to use."""
    datasets = {
        (cache.namespace, cache.name) for cache in state.caches if cache.dataset is not None
    }
    staging = {
        (namespace_of(job), _cache_name(job))
        for job in state.owned
        if job["kind"] == kinds.JOBS.name and not job_end(job)
    }
    order = [kind.name for kind in PARTS_OF_CACHE]
    parts = [obj for obj in state.owned if obj["kind"] in order]
    for obj in sorted(parts, key=lambda obj: order.index(str(obj["kind"]))):
        key = (_namespace(obj), _cache_name(obj))
        if key in datasets or key in staging or not key[1]:
            continue
        if is_terminating(obj) or not names.has_own_spec(obj):
            continue
        yield Leftover(
            str(obj["kind"]),
            full_name(obj),
            state.now - _born(obj),
            f"its cache {key[1]} does not exist",
            obj,
            kept=_kept_for_users(state, obj),
        )


def _kept_for_users(state: ClusterState, obj: Object) -> str:
    users = state.users.of(obj)
    if users:
        return f"used by {summarize(users)}"
    is_shared = obj["kind"] in (kinds.SECRETS.name, kinds.PVCS.name)
    if is_shared and _namespace(obj) in state.users.unread_namespaces:
        return "whether pods use it cannot be checked (list pods)"
    return ""


def _unread_caches(state: ClusterState, named: frozenset[str]) -> Iterator[Leftover]:
    """Find our caches that no pod reads and no graph mounts; they are removed only if named."""
    for cache in state.caches:
        dataset = cache.dataset
        if dataset is None or not names.has_own_spec(dataset) or is_terminating(dataset):
            continue
        if cache.readers or graph_names(cache):
            continue
        last_use = max(_born(dataset), *(_load_end(load) for load in (*cache.loads, {})))
        kept = "" if cache.name in named else BY_NAME
        if cache.namespace in state.unread_readers:
            kept = "whether pods or graphs use it cannot be checked (docs/rbac.md)"
        yield Leftover(
            CACHE,
            f"{cache.namespace}/{cache.name}",
            state.now - last_use,
            "no pod reads it and no graph mounts it",
            dataset,
            bytes=cache_usage(cache).cached_bytes,
            kept=kept,
        )


def _load_end(load: Object) -> float:
    conditions = get_list(load, "status", "conditions")
    return max(
        (parse_time(condition.get("lastTransitionTime")) for condition in conditions), default=0.0
    )


def _born(obj: Object) -> float:
    return parse_time(metadata_of(obj).get("creationTimestamp"))


def _cache_name(obj: Object) -> str:
    return labels_of(obj).get(names.MODEL_LABEL, "")


def _namespace(obj: Object) -> str:
    """Return the namespace of an object; for a volume, that of its claim."""
    return namespace_of(obj) or str(get_path(obj, "spec", "claimRef", "namespace", default=""))
