"""The data of one cache in a row of `inspect`'s table. Pure.

The table is the most frequent view, so this module imports nothing that only the details need.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeVar

from kubectl_fluidmodel.fluid import names
from kubectl_fluidmodel.fluid import status as fluid_status
from kubectl_fluidmodel.inspect.view import ViewContext
from kubectl_fluidmodel.inventory import master_report, readers, runtimes
from kubectl_fluidmodel.inventory.cache import Cache
from kubectl_fluidmodel.inventory.nodes import NodeCache, describe_nodes
from kubectl_fluidmodel.inventory.readers import ReaderStatus
from kubectl_fluidmodel.inventory.runtimes import StorageTier
from kubectl_fluidmodel.inventory.usage import CacheUsage, cache_usage
from kubectl_fluidmodel.objects import time
from kubectl_fluidmodel.objects.access import annotations_of, labels_of, metadata_of
from kubectl_fluidmodel.objects.deletion import is_terminating
from kubectl_fluidmodel.records import dataclass
from kubectl_fluidmodel.snapshot.snapshot import Snapshot

TERMINATING = "Terminating"
"""As kubectl shows an object that is being deleted."""


@dataclass(frozen=True)
class CacheSummary:
    """One cache; fields are None if unknown."""

    namespace: str
    name: str
    uri: str
    """SOURCE; empty if the Dataset has none."""
    commit: str
    labels: Mapping[str, str]
    usage: CacheUsage
    tiers: tuple[StorageTier, ...]
    nodes: tuple[NodeCache, ...] | None
    phase: str
    """The Dataset's phase; `No Dataset` without one, `New` before Fluid's first update,
    `Terminating` if it or its runtime is being deleted."""
    readers: tuple[ReaderStatus, ...] | None
    age: float | None
    """Seconds."""

    @property
    def model(self) -> str:
        """The source as shown in a table: a Hub model by its name and short commit."""
        uri = self.uri.removeprefix("hf://")
        return f"{uri}@{self.commit[:7]}" if self.commit else uri

    @property
    def medium(self) -> str:
        return "+".join(dict.fromkeys(tier.medium for tier in self.tiers if tier.medium))

    @property
    def local_readers(self) -> int:
        """Readers on a node of the cache."""
        return readers.count_local(self.readers or ())


Summary = TypeVar("Summary", bound=CacheSummary)

_SORT_KEYS: dict[str, Callable[[CacheSummary], Any]] = {
    "name": lambda cache: (cache.name, cache.namespace),
    "namespace": lambda cache: (cache.namespace, cache.name),
    "size": lambda cache: cache.usage.source_bytes or -1,
    "cached": lambda cache: -1.0 if cache.usage.percent is None else cache.usage.percent,
    "nodes": lambda cache: len(cache.nodes or ()),
    "phase": lambda cache: cache.phase,
    "readers": lambda cache: len(cache.readers or ()),
    "age": lambda cache: cache.age or 0.0,
}
"""The values of `--sort-by`; smallest first."""


def sort_caches(caches: Iterable[Summary], key: str | None) -> list[Summary]:
    """Sort the caches by a value of `--sort-by`; unchanged without one."""
    return sorted(caches, key=_SORT_KEYS[key]) if key else [*caches]


def summarize_caches(context: ViewContext) -> list[CacheSummary]:
    """Return the caches of a view in display order."""
    summaries = (summarize_cache(context.snapshot, cache) for cache in context.caches)
    return sort_caches(summaries, context.options.sort_by)


def summarize_cache(snapshot: Snapshot, cache: Cache) -> CacheSummary:
    """Summarize one of the caches of a snapshot."""
    dataset = cache.dataset
    owner = dataset or cache.runtime or {}
    listed = master_report.listed_files(snapshot, cache.namespace, cache.name)
    usage = cache_usage(cache)
    if listed:
        usage = master_report.refine_usage(usage, listed)
    usage = master_report.exclude_lost_workers(snapshot, cache, usage)
    created = time.parse_time(metadata_of(owner).get("creationTimestamp"))
    return CacheSummary(
        namespace=cache.namespace,
        name=cache.name,
        uri=names.source_uri(dataset) if dataset else "",
        commit=annotations_of(dataset or {}).get(names.COMMIT_ANNOTATION, ""),
        labels=labels_of(owner),
        usage=usage,
        tiers=tuple(runtimes.storage_tiers(cache.runtime)),
        nodes=describe_nodes(snapshot, cache, usage),
        phase=_phase(cache),
        readers=readers.describe_readers(snapshot, cache),
        age=max(0.0, snapshot.taken_at - created) if created else None,
    )


def _phase(cache: Cache) -> str:
    if any(is_terminating(obj) for obj in (cache.dataset, *cache.runtimes)):
        return TERMINATING  # a Dataset needs its runtime
    if cache.dataset is None:
        return "No Dataset"
    return fluid_status.parse_dataset(cache.dataset).phase
