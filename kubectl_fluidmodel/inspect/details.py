"""Everything known about one cache, for the views of `inspect` that show it in depth. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import field
from typing import NamedTuple

from kubectl_fluidmodel.cache.cost_estimate import CostEstimate, estimate_cost, room_of_runtime
from kubectl_fluidmodel.fluid import names
from kubectl_fluidmodel.fluid import status as fluid_status
from kubectl_fluidmodel.fluid.dataload import load_targets
from kubectl_fluidmodel.fluid.fuse import uses_jnr_fuse
from kubectl_fluidmodel.fluid.mount import alluxio_path
from kubectl_fluidmodel.inspect.startup_estimate import StartupEstimate, estimate_startup
from kubectl_fluidmodel.inspect.summary import TERMINATING, CacheSummary, summarize_cache
from kubectl_fluidmodel.inventory import master_report, readers, runtimes
from kubectl_fluidmodel.inventory.cache import Cache, build_caches
from kubectl_fluidmodel.inventory.master_report import CachedFile
from kubectl_fluidmodel.inventory.read_rates import ReadRates, read_rates
from kubectl_fluidmodel.inventory.runtimes import RuntimeComponent
from kubectl_fluidmodel.inventory.staging_status import StagedModel, staged_model
from kubectl_fluidmodel.inventory.succession import predecessor_of, successor_of
from kubectl_fluidmodel.objects import kinds
from kubectl_fluidmodel.objects.access import get_list, get_path, name_of
from kubectl_fluidmodel.objects.deletion import is_terminating
from kubectl_fluidmodel.records import dataclass
from kubectl_fluidmodel.snapshot.snapshot import Snapshot


class Condition(NamedTuple):
    """A condition of a Dataset."""

    type: str
    status: str
    reason: str
    message: str


class DataLoadSummary(NamedTuple):
    """A DataLoad."""

    name: str
    phase: str
    message: str
    duration: str
    paths: tuple[str, ...]


class DoctorWarning(NamedTuple):
    """A warning of `doctor`."""

    code: str
    severity: str
    title: str
    about: str
    cause: str
    fix: str
    fix_kind: str
    """`command`, `yaml` or `advice`."""


class HubStatus(NamedTuple):
    """The Hub's newest commit; read only for caches of Hub models."""

    commit: str = ""
    reason: str = ""
    """Why it is unknown."""


@dataclass(frozen=True)
class CacheDetails(CacheSummary):
    """One cache in detail; fields are None if unknown."""

    hub: HubStatus | None
    replaces: str
    """The cache that `update` replaces with this one, if it still exists."""
    replaced_by: str
    """The cache with which `update` replaces this one."""
    mounts: tuple[tuple[str, str], ...]
    """(mount point, path in the cache)."""
    is_managed: bool
    is_adopted: bool
    """Whether `cache --adopt` adopted it."""
    message: str
    """Fluid's error message about the setup."""
    conditions: tuple[Condition, ...]
    runtime: str
    """`Alluxio`; empty without a runtime."""
    runtime_kinds: tuple[str, ...]
    runtime_note: str
    high_concurrency: bool
    """Whether its FUSE client is JNR-FUSE, with Fluid's settings for many parallel reads."""
    replicas: int | None
    components: tuple[RuntimeComponent, ...]
    hit_ratio: str
    local_hit_ratio: str
    remote_hit_ratio: str
    loads: tuple[DataLoadSummary, ...]
    """Newest first."""
    staging: StagedModel | None
    claim: str | None
    """The claim's phase, `Terminating` if it or its volume is being deleted; empty if it does not
    exist."""
    node_label: str
    """The key on the cache's nodes."""
    files: tuple[CachedFile, ...] | None
    files_reason: str
    graphs: tuple[str, ...]
    startup: StartupEstimate
    read_rates: ReadRates | None
    """What `bench` measured; None if it never did."""
    estimate: CostEstimate | None
    """What the cache takes; None where the size of its model is not known."""
    warnings: tuple[DoctorWarning, ...] | None
    """None if `doctor`'s checks did not run."""

    @property
    def quota(self) -> int | None:
        """Bytes per worker, over all tiers."""
        quotas = [tier.quota for tier in self.tiers if tier.quota is not None]
        return sum(quotas) if quotas else None


@dataclass(frozen=True)
class LiveDetails:
    """Data from outside a Snapshot, by (namespace, name) of the caches."""

    hub: Mapping[tuple[str, str], HubStatus] = field(default_factory=dict)
    staged: Mapping[tuple[str, str], StagedModel] = field(default_factory=dict)
    """From the manifests in the buckets."""
    files_reason: str = ""
    """Why no master was queried for its files."""


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
        warnings: `doctor`'s warnings, by (namespace, name); None if its checks did not run.
        live: Data from the Hub and the buckets, if it was read.
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
    summary = summarize_cache(snapshot, cache)
    listed = master_report.listed_files(snapshot, cache.namespace, cache.name)
    traits = runtimes.runtime_traits(runtime)
    graphs = tuple(readers.graph_names(cache))
    claim = str(get_path(cache.claim, "status", "phase", default="")) if cache.claim else ""
    if any(is_terminating(obj) for obj in (cache.claim, cache.volume)):
        claim = TERMINATING
    return CacheDetails(
        **vars(summary),
        hub=live.hub.get(key),
        replaces=predecessor_of(dataset or {}, snapshot.of_kind(names.DATASETS)),
        replaced_by=successor_of(dataset or {}, snapshot.of_kind(names.DATASETS)),
        mounts=tuple(
            (str(mount.get("mountPoint", "")), alluxio_path(mount))
            for mount in get_list(dataset, "spec", "mounts")
        ),
        is_managed=names.is_managed(dataset or runtime or {}),
        is_adopted=names.is_adopted(dataset or runtime or {}),
        message=fluid_status.setup_error(dataset) if dataset else "",
        conditions=tuple(
            Condition(*(str(condition.get(name) or "") for name in Condition._fields))
            for condition in get_list(dataset, "status", "conditions")
        ),
        runtime=runtimes.display_name(runtime),
        runtime_kinds=tuple(str(obj.get("kind", "")) for obj in cache.runtimes),
        runtime_note=traits.note if runtime is not None and cache.origin is None else "",
        high_concurrency=uses_jnr_fuse(cache.fuse_runtime),
        replicas=runtimes.wanted_replicas(runtime),
        components=tuple(runtimes.runtime_components(cache)),
        hit_ratio=runtimes.hit_ratio(cache),
        local_hit_ratio=runtimes.hit_ratio(cache, "localHitRatio"),
        remote_hit_ratio=runtimes.hit_ratio(cache, "remoteHitRatio"),
        loads=tuple(_describe_load(load) for load in reversed(cache.loads)),
        staging=live.staged.get(key) or staged_model(cache),
        claim=claim if snapshot.was_read(kinds.PVCS, cache.namespace) else None,
        node_label=cache.node_label,
        files=listed,
        files_reason=live.files_reason if listed is None else "",
        graphs=graphs,
        startup=estimate_startup(
            cache.name,
            cache.namespace,
            summary.usage.is_complete,
            summary.nodes,
            summary.readers,
            graphs,
            readers.worker_pods(cache),
        ),
        read_rates=read_rates(dataset),
        # A reference loads nothing and takes no room.
        estimate=None
        if cache.refers_to
        else estimate_cost(
            summary.usage.source_bytes or 0,
            summary.usage.files or 0,
            copies=runtimes.wanted_copies(runtime) or 1,
            from_hub=names.source_uri(dataset or {}).startswith("hf://"),
            room=room_of_runtime(runtime),
            rates=read_rates(dataset),
        ),
        warnings=warnings,
    )


def _describe_load(load: Mapping[str, object]) -> DataLoadSummary:
    status = fluid_status.parse_dataload(load)
    paths = tuple(target.path for target in load_targets(load))
    duration = str(get_path(load, "status", "duration", default=""))
    phase = TERMINATING if is_terminating(load) else status.phase
    return DataLoadSummary(name_of(load), phase, status.message, duration, paths)
