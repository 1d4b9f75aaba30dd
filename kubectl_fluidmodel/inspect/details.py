"""All that is known of one cache: what every view of `inspect` shows a part of. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from kubectl_fluidmodel.fluid import names, pod_problems
from kubectl_fluidmodel.fluid import status as fluid_status
from kubectl_fluidmodel.fluid.mount import alluxio_path
from kubectl_fluidmodel.inspect.startup_estimate import Verdict, verdict
from kubectl_fluidmodel.inventory import master_report, readers, runtimes
from kubectl_fluidmodel.inventory.cache import Cached, link
from kubectl_fluidmodel.inventory.master_report import CachedFile
from kubectl_fluidmodel.inventory.nodes import NodeCache, nodes
from kubectl_fluidmodel.inventory.readers import ReaderRow
from kubectl_fluidmodel.inventory.runtimes import Part, Tier
from kubectl_fluidmodel.inventory.staging_status import Staging, staging
from kubectl_fluidmodel.inventory.usage import Amount, amount
from kubectl_fluidmodel.objects import kinds
from kubectl_fluidmodel.objects.access import annotations_of, at, dicts, labels_of, meta, name_of
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
class Load:
    """A DataLoad."""

    name: str
    phase: str
    message: str
    duration: str
    paths: tuple[str, ...]


@dataclass(frozen=True)
class Warned:
    """What `doctor` would say about it."""

    code: str
    severity: str
    title: str
    about: str
    cause: str
    fix: str
    fix_how: str
    """`command`, `yaml` or `advice`."""


@dataclass(frozen=True)
class Hub:
    """Where the Hub stands; asked only where a cache came from there."""

    commit: str = ""
    why: str = ""
    """Why it is not known."""


@dataclass(frozen=True)
class Inspection:
    """One cache; None where nobody says."""

    namespace: str
    name: str
    uri: str
    """SOURCE, empty where no Dataset says."""
    commit: str
    hub: Hub | None
    mounts: tuple[tuple[str, str], ...]
    """(mount point, path in the cache)."""
    labels: Mapping[str, str]
    ours: bool
    phase: str
    """The Dataset's; `No Dataset` without one, `New` before Fluid saw it, `Terminating` where it
    or its runtime is being deleted."""
    message: str
    """Fluid's own word on what is wrong with its set-up."""
    conditions: tuple[Condition, ...]
    age: float | None
    """Seconds."""
    amount: Amount
    runtime: str
    """`Alluxio`, empty without one."""
    runtime_kinds: tuple[str, ...]
    remark: str
    replicas: int | None
    tiers: tuple[Tier, ...]
    parts: tuple[Part, ...]
    hit: str
    hit_local: str
    hit_remote: str
    loads: tuple[Load, ...]
    """Newest first."""
    staging: Staging | None
    claim: str | None
    """The claim's phase, `Terminating` where it or its volume is being deleted; empty where it is
    not there."""
    label: str
    """The key on the cache's nodes."""
    nodes: tuple[NodeCache, ...] | None
    files: tuple[CachedFile, ...] | None
    files_why: str
    readers: tuple[ReaderRow, ...] | None
    graphs: tuple[str, ...]
    verdict: Verdict
    warnings: tuple[Warned, ...] | None
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
    def near(self) -> int:
        """Readers on a node of the cache."""
        return readers.near(self.readers or ())


def inspect(
    snapshot: Snapshot,
    *,
    warned: Mapping[tuple[str, str], Sequence[Warned]] | None = None,
    hub: Mapping[tuple[str, str], Hub] | None = None,
    staged: Mapping[tuple[str, str], Staging] | None = None,
    files_why: str = "",
    caches: Sequence[Cached] | None = None,
) -> list[Inspection]:
    """Every cache of a snapshot, by namespace and name.

    `warned`, `hub` and `staged` are what others found out, by (namespace, name); `files_why` says
    why no master was asked for its files.
    """
    return [
        _one(
            snapshot,
            cache,
            None if warned is None else tuple(warned.get((cache.namespace, cache.name), ())),
            (hub or {}).get((cache.namespace, cache.name)),
            (staged or {}).get((cache.namespace, cache.name)),
            files_why,
        )
        for cache in (link(snapshot) if caches is None else caches)
    ]


def _one(
    snapshot: Snapshot,
    cache: Cached,
    warned: tuple[Warned, ...] | None,
    hub: Hub | None,
    staged: Staging | None,
    files_why: str,
) -> Inspection:
    dataset, runtime = cache.dataset, cache.runtime
    listed = master_report.files(snapshot, cache.namespace, cache.name)
    bytes_ = amount(cache)
    if listed:
        bytes_ = master_report.counted(bytes_, listed)
    bytes_ = master_report.without_lost(snapshot, cache, bytes_)
    traits = runtimes.traits(runtime)
    held = nodes(snapshot, cache, bytes_)
    read_by = readers.readers(snapshot, cache)
    graphs = tuple(readers.graph_names(cache))
    claim = str(at(cache.claim, "status", "phase", default="")) if cache.claim else ""
    if any(is_terminating(obj) for obj in (cache.claim, cache.volume)):
        claim = TERMINATING
    born = pod_problems.parse_time(meta(dataset or runtime or {}).get("creationTimestamp"))
    return Inspection(
        namespace=cache.namespace,
        name=cache.name,
        uri=names.source_of(dataset) if dataset else "",
        commit=annotations_of(dataset or {}).get(names.COMMIT_ANNOTATION, ""),
        hub=hub,
        mounts=tuple(
            (str(mount.get("mountPoint", "")), alluxio_path(mount))
            for mount in dicts(dataset, "spec", "mounts")
        ),
        labels=labels_of(dataset or runtime or {}),
        ours=names.is_ours(dataset or runtime or {}),
        phase=_phase(cache),
        message=fluid_status.setup_error(dataset) if dataset else "",
        conditions=tuple(
            Condition(
                *(str(each.get(key) or "") for key in ("type", "status", "reason", "message"))
            )
            for each in dicts(dataset, "status", "conditions")
        ),
        age=max(0.0, snapshot.taken - born) if born else None,
        amount=bytes_,
        runtime=runtimes.short(runtime),
        runtime_kinds=tuple(str(each.get("kind", "")) for each in cache.runtimes),
        remark=traits.remark if runtime is not None and cache.origin is None else "",
        replicas=runtimes.replicas(runtime),
        tiers=tuple(runtimes.tiers(runtime)),
        parts=tuple(runtimes.parts(cache)),
        hit=runtimes.ratio(cache),
        hit_local=runtimes.ratio(cache, "localHitRatio"),
        hit_remote=runtimes.ratio(cache, "remoteHitRatio"),
        loads=tuple(_load(load) for load in reversed(cache.loads)),
        staging=staged or staging(cache),
        claim=claim if snapshot.knows(kinds.PVCS, cache.namespace) else None,
        label=cache.label,
        nodes=held,
        files=listed,
        files_why=files_why if listed is None else "",
        readers=read_by,
        graphs=graphs,
        verdict=verdict(
            cache.name,
            "" if cache.namespace == "default" else f" -n {cache.namespace}",
            bytes_.whole,
            held,
            read_by,
            graphs,
        ),
        warnings=warned,
    )


def _phase(cache: Cached) -> str:
    if any(is_terminating(obj) for obj in (cache.dataset, *cache.runtimes)):
        return TERMINATING  # without its runtime a Dataset is nothing
    if cache.dataset is None:
        return "No Dataset"
    return fluid_status.dataset(cache.dataset).phase


def _load(load: Mapping[str, object]) -> Load:
    said = fluid_status.dataload(load)
    paths = tuple(str(target.get("path", "")) for target in dicts(load, "spec", "target"))
    duration = str(at(load, "status", "duration", default=""))
    phase = TERMINATING if is_terminating(load) else said.phase
    return Load(name_of(load), phase, said.message, duration, paths)
