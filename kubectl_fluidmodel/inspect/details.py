"""Everything known about one cache, for the views of `inspect`. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from kubectl_fluidmodel.fluid import names
from kubectl_fluidmodel.fluid import status as fluid_status
from kubectl_fluidmodel.fluid.mount import alluxio_path
from kubectl_fluidmodel.inspect.startup_estimate import StartupEstimate, estimate_startup
from kubectl_fluidmodel.inventory import master_report, readers, runtimes
from kubectl_fluidmodel.inventory.cache import Cache, build_caches
from kubectl_fluidmodel.inventory.master_report import CachedFile
from kubectl_fluidmodel.inventory.nodes import NodeCache, describe_nodes
from kubectl_fluidmodel.inventory.readers import ReaderStatus
from kubectl_fluidmodel.inventory.runtimes import RuntimeComponent, StorageTier
from kubectl_fluidmodel.inventory.staging_status import StagedModel, staged_model
from kubectl_fluidmodel.inventory.usage import CacheUsage, cache_usage
from kubectl_fluidmodel.objects import kinds, time
from kubectl_fluidmodel.objects.access import (
    annotations_of,
    get_list,
    get_path,
    labels_of,
    metadata_of,
    name_of,
)
from kubectl_fluidmodel.objects.deletion import is_terminating
from kubectl_fluidmodel.snapshot.snapshot import Snapshot

TERMINATING = "Terminating"
"""As kubectl shows what is being deleted."""


@dataclass(frozen=True)
class Condition:
    """A condition of a Dataset."""

    type: str
    status: str
    reason: str
    message: str


@dataclass(frozen=True)
class DataLoadSummary:
    """A DataLoad."""

    name: str
    phase: str
    message: str
    duration: str
    paths: tuple[str, ...]


@dataclass(frozen=True)
class DoctorWarning:
    """What `doctor` would say about it."""

    code: str
    severity: str
    title: str
    about: str
    cause: str
    fix: str
    fix_kind: str
    """`command`, `yaml` or `advice`."""


@dataclass(frozen=True)
class HubStatus:
    """The Hub's newest commit; read only for caches that came from there."""

    commit: str = ""
    reason: str = ""
    """Why it is not known."""


@dataclass(frozen=True)
class CacheDetails:
    """One cache; None where something is not known."""

    namespace: str
    name: str
    uri: str
    """SOURCE, empty where no Dataset says."""
    commit: str
    hub: HubStatus | None
    mounts: tuple[tuple[str, str], ...]
    """(mount point, path in the cache)."""
    labels: Mapping[str, str]
    is_managed: bool
    phase: str
    """The Dataset's; `No Dataset` without one, `New` before Fluid saw it, `Terminating` where it
    or its runtime is being deleted."""
    message: str
    """Fluid's message about what is wrong with its setup."""
    conditions: tuple[Condition, ...]
    age: float | None
    """Seconds."""
    usage: CacheUsage
    runtime: str
    """`Alluxio`, empty without one."""
    runtime_kinds: tuple[str, ...]
    runtime_note: str
    replicas: int | None
    tiers: tuple[StorageTier, ...]
    components: tuple[RuntimeComponent, ...]
    hit_ratio: str
    local_hit_ratio: str
    remote_hit_ratio: str
    loads: tuple[DataLoadSummary, ...]
    """Newest first."""
    staging: StagedModel | None
    claim: str | None
    """The claim's phase, `Terminating` where it or its volume is being deleted; empty where it is
    not there."""
    node_label: str
    """The key on the cache's nodes."""
    nodes: tuple[NodeCache, ...] | None
    files: tuple[CachedFile, ...] | None
    files_reason: str
    readers: tuple[ReaderStatus, ...] | None
    graphs: tuple[str, ...]
    startup: StartupEstimate
    warnings: tuple[DoctorWarning, ...] | None
    """None where `doctor` was not asked."""

    @property
    def model(self) -> str:
        """The source as a table shows it: a model of the Hub by its name and short commit."""
        uri = self.uri.removeprefix("hf://")
        return f"{uri}@{self.commit[:7]}" if self.commit else uri

    @property
    def medium(self) -> str:
        return "+".join(dict.fromkeys(tier.medium for tier in self.tiers if tier.medium))

    @property
    def quota(self) -> int | None:
        """Bytes for each worker, over all tiers."""
        found = [tier.quota for tier in self.tiers if tier.quota is not None]
        return sum(found) if found else None

    @property
    def local_readers(self) -> int:
        """Readers on a node of the cache."""
        return readers.count_local(self.readers or ())


@dataclass(frozen=True)
class LiveDetails:
    """What lies outside of a Snapshot, by (namespace, name) of the caches."""

    hub: Mapping[tuple[str, str], HubStatus] = field(default_factory=dict)
    staged: Mapping[tuple[str, str], StagedModel] = field(default_factory=dict)
    """From the manifests in the buckets."""
    files_reason: str = ""
    """Why no master was asked for its files."""


def describe_caches(
    snapshot: Snapshot,
    *,
    warnings: Mapping[tuple[str, str], Sequence[DoctorWarning]] | None = None,
    live: LiveDetails | None = None,
    caches: Sequence[Cache] | None = None,
) -> list[CacheDetails]:
    """Describe the caches of a snapshot.

    Args:
        snapshot: The cluster.
        warnings: What `doctor` finds, by (namespace, name); None where it was not asked.
        live: What the Hub and the buckets say, where they were asked.
        caches: The caches to describe; None for all of the snapshot.

    Returns:
        The caches by namespace and name.
    """
    return [
        _describe_cache(
            snapshot,
            cache,
            None if warnings is None else tuple(warnings.get((cache.namespace, cache.name), ())),
            live or LiveDetails(),
        )
        for cache in (build_caches(snapshot) if caches is None else caches)
    ]


def _describe_cache(
    snapshot: Snapshot,
    cache: Cache,
    warnings: tuple[DoctorWarning, ...] | None,
    live: LiveDetails,
) -> CacheDetails:
    key = (cache.namespace, cache.name)
    dataset, runtime = cache.dataset, cache.runtime
    listed = master_report.listed_files(snapshot, cache.namespace, cache.name)
    usage = cache_usage(cache)
    if listed:
        usage = master_report.refine_usage(usage, listed)
    usage = master_report.exclude_lost_workers(snapshot, cache, usage)
    traits = runtimes.runtime_traits(runtime)
    node_caches = describe_nodes(snapshot, cache, usage)
    readers_ = readers.describe_readers(snapshot, cache)
    graphs = tuple(readers.graph_names(cache))
    claim = str(get_path(cache.claim, "status", "phase", default="")) if cache.claim else ""
    if any(is_terminating(obj) for obj in (cache.claim, cache.volume)):
        claim = TERMINATING
    created = time.parse_time(metadata_of(dataset or runtime or {}).get("creationTimestamp"))
    return CacheDetails(
        namespace=cache.namespace,
        name=cache.name,
        uri=names.source_uri(dataset) if dataset else "",
        commit=annotations_of(dataset or {}).get(names.COMMIT_ANNOTATION, ""),
        hub=live.hub.get(key),
        mounts=tuple(
            (str(mount.get("mountPoint", "")), alluxio_path(mount))
            for mount in get_list(dataset, "spec", "mounts")
        ),
        labels=labels_of(dataset or runtime or {}),
        is_managed=names.is_managed(dataset or runtime or {}),
        phase=_phase(cache),
        message=fluid_status.setup_error(dataset) if dataset else "",
        conditions=tuple(
            Condition(
                *(str(each.get(key) or "") for key in ("type", "status", "reason", "message"))
            )
            for each in get_list(dataset, "status", "conditions")
        ),
        age=max(0.0, snapshot.taken_at - created) if created else None,
        usage=usage,
        runtime=runtimes.display_name(runtime),
        runtime_kinds=tuple(str(each.get("kind", "")) for each in cache.runtimes),
        runtime_note=traits.note if runtime is not None and cache.origin is None else "",
        replicas=runtimes.wanted_replicas(runtime),
        tiers=tuple(runtimes.storage_tiers(runtime)),
        components=tuple(runtimes.runtime_components(cache)),
        hit_ratio=runtimes.hit_ratio(cache),
        local_hit_ratio=runtimes.hit_ratio(cache, "localHitRatio"),
        remote_hit_ratio=runtimes.hit_ratio(cache, "remoteHitRatio"),
        loads=tuple(_describe_load(load) for load in reversed(cache.loads)),
        staging=live.staged.get(key) or staged_model(cache),
        claim=claim if snapshot.was_read(kinds.PVCS, cache.namespace) else None,
        node_label=cache.node_label,
        nodes=node_caches,
        files=listed,
        files_reason=live.files_reason if listed is None else "",
        readers=readers_,
        graphs=graphs,
        startup=estimate_startup(
            cache.name,
            cache.namespace,
            usage.is_complete,
            node_caches,
            readers_,
            graphs,
        ),
        warnings=warnings,
    )


def _phase(cache: Cache) -> str:
    if any(is_terminating(obj) for obj in (cache.dataset, *cache.runtimes)):
        return TERMINATING  # without its runtime a Dataset is nothing
    if cache.dataset is None:
        return "No Dataset"
    return fluid_status.parse_dataset(cache.dataset).phase


def _describe_load(load: Mapping[str, object]) -> DataLoadSummary:
    status = fluid_status.parse_dataload(load)
    paths = tuple(str(target.get("path", "")) for target in get_list(load, "spec", "target"))
    duration = str(get_path(load, "status", "duration", default=""))
    phase = TERMINATING if is_terminating(load) else status.phase
    return DataLoadSummary(name_of(load), phase, status.message, duration, paths)
