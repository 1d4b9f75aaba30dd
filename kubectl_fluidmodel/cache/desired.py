"""Decides the objects of a cache, from the options, the source and the cluster. Pure.

Existing values are kept unless flags change them: a second run must not move a cache because a node
has slightly less free memory today.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace
from typing import Any

from kubectl_fluidmodel.cache.options import CacheOptions
from kubectl_fluidmodel.cache.source_check import skipped_file_notes
from kubectl_fluidmodel.errors import FluidModelError, UsageError
from kubectl_fluidmodel.fluid import (
    alluxio_runtime,
    dataload,
    dataset,
    fuse,
    names,
    placement,
    worker_set,
)
from kubectl_fluidmodel.fluid.mount import MountCredentials, build_mount
from kubectl_fluidmodel.fluid.placement import Candidate, NodeRequirement, Placement
from kubectl_fluidmodel.inventory.staging_status import glob_annotations
from kubectl_fluidmodel.model import sizing
from kubectl_fluidmodel.model.files import FileListing
from kubectl_fluidmodel.model.sizing import HeapSizes, Medium
from kubectl_fluidmodel.objects.access import HOSTNAME_LABEL, Object, annotations_of, get_path
from kubectl_fluidmodel.objects.quantity import bytes_to_quantity
from kubectl_fluidmodel.output.shell import kubectl
from kubectl_fluidmodel.output.units import format_bytes
from kubectl_fluidmodel.records import dataclass

_MIN_SKIPPED_SHARE = 50
"""Junk is skipped only if it is at least one part in this many of the model's bytes."""
_HIGH_CONCURRENCY_NOTE = (
    "high concurrency: the FUSE client takes 32 and more reads at once; it needs libfuse 2 in "
    "Alluxio's image, and has no page cache, so there is no preheating"
)
_MAX_LOAD_PATHS = 40
"""Maximum number of paths that a load names."""


@dataclass(frozen=True)
class ExistingObjects:
    """The existing objects of this cache; None for those that do not exist."""

    dataset: Object | None = None
    runtime: Object | None = None
    load: Object | None = None
    worker_nodes: tuple[str, ...] = ()
    """Names of the workers' nodes, by the workers' numbers; read only if the copies do not
    match the Dataset's nodes. Empty if unknown."""

    @property
    def replicas(self) -> int | None:
        """The copies of the existing cache; None if there is none."""
        if self.runtime is None:
            return None
        return int(get_path(self.runtime, "spec", "replicas", default=1))


@dataclass(frozen=True)
class CandidateNodes:
    """The nodes, and which of them may hold the cache; None if nodes cannot be read."""

    nodes: tuple[Candidate, ...]
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Resize:
    """A different number of copies, to which Fluid can scale the running cache."""

    before: int
    after: int
    removed: tuple[str, ...]
    """Names of the nodes that lose their copies."""

    def __str__(self) -> str:
        if self.after > self.before:
            return f"copies: {self.before} → {self.after}; the running workers stay as they are"
        verb = "loses its copy" if len(self.removed) == 1 else "lose their copies"
        return f"copies: {self.before} → {self.after}; {', '.join(self.removed)} {verb}"


@dataclass(frozen=True)
class DesiredCache:
    """The objects to apply, in order, and the reasons."""

    objects: tuple[Object, ...]
    load: Object | None
    medium: Medium
    quota: int
    placement: Placement | None
    immutable_changes: tuple[str, ...]
    """Differences that Fluid cannot apply to a running cache, as `what: old → new`."""
    notes: tuple[str, ...]
    resize: Resize | None = None
    """How the running cache is scaled; None if it is not, or is recreated."""

    @property
    def dataset(self) -> Object:
        return next(obj for obj in self.objects if obj["kind"] == names.DATASETS.name)

    @property
    def runtime(self) -> Object:
        return next(obj for obj in self.objects if obj["kind"] == names.ALLUXIO_RUNTIMES.name)

    @property
    def replicas(self) -> int:
        """Nodes that each hold a complete copy."""
        return int(self.runtime["spec"]["replicas"])


def build_desired(
    options: CacheOptions,
    namespace: str,
    *,
    credentials: MountCredentials,
    listing: FileListing | None,
    candidates: CandidateNodes | None,
    existing: ExistingObjects,
    secret: Object | None = None,
) -> DesiredCache:
    """Decide all objects.

    Raises:
        UsageError: the size of the source is unknown and there is no quota, or the quota is too
            small.
        FluidModelError: no node fits.
    """
    if existing.replicas is not None and not options.replicas_given:
        options = replace(options, replicas=existing.replicas)
    _require_known_nodes(options, candidates, existing)
    paths = load_paths(listing) if listing else ("/",)
    cached_bytes = _loaded_bytes(listing, paths) if listing else 0
    model_bytes = _model_bytes(options, listing)
    quota = _choose_quota(options, cached_bytes, existing)
    high_concurrency = _high_concurrency(options, existing)
    jvm = sizing.heap_sizes(
        model_bytes,
        len(listing.files) if listing else 0,
        web=options.is_web_source,
        parallel_chunks=fuse.MAX_BACKGROUND * fuse.CHUNK_BYTES if high_concurrency else 0,
    )
    medium, selected, notes = _choose_medium_and_nodes(
        options, model_bytes, quota, jvm, candidates, existing
    )
    if high_concurrency:
        notes.append(_HIGH_CONCURRENCY_NOTE)
    affinity, tolerations = _affinity_and_tolerations(options, selected, existing)
    source_mount = build_mount(options.source, options.name, namespace, credentials)
    annotations = source_annotations(options.recorded_uri, options.commit, listing)
    annotations |= _update_annotations(options, existing)
    if listing and listing.junk:
        notes += skipped_file_notes(listing, loaded=paths == ("/",))
    dataset_object = dataset.build_dataset(
        options.name,
        namespace,
        source_mount,
        annotations=annotations,
        node_affinity=affinity,
        tolerations=tolerations,
    )
    runtime = alluxio_runtime.build_runtime(
        options.name,
        namespace,
        source_mount,
        replicas=options.replicas,
        medium=medium,
        quota=quota,
        heaps=jvm,
        web=options.is_web_source,
    )
    if high_concurrency:
        runtime = fuse.with_high_concurrency(runtime)
    load = None
    if options.load:
        load = dataload.build_dataload(
            options.name,
            namespace,
            replicas=options.replicas,
            tolerations=tolerations,
            paths=paths,
        )
    first = (secret,) if secret else ()
    kept = _hostnames(existing.worker_nodes[: options.replicas], candidates)
    changes = tuple(immutable_changes(existing, dataset_object, runtime, kept))
    return DesiredCache(
        objects=(*first, *source_mount.objects, dataset_object, runtime),
        load=load,
        medium=medium,
        quota=quota,
        placement=selected,
        immutable_changes=changes,
        notes=tuple(notes),
        resize=None if changes else _resize(existing, options.replicas),
    )


def _require_known_nodes(
    options: CacheOptions, candidates: CandidateNodes | None, existing: ExistingObjects
) -> None:
    """Raises: FluidModelError: copies are added or removed, and it cannot be seen where."""
    before = existing.replicas
    if before is None or before == options.replicas:
        return
    message = f"cannot change the number of copies of cache {options.name} from {before}"
    if options.replicas < before and len(existing.worker_nodes) < before:
        raise FluidModelError(
            message,
            "which nodes its workers run on is unknown, so a node could lose what is read there",
            kubectl("get", "pods", "-l", worker_set.workers_selector(options.name), "-o", "wide"),
        )
    if options.replicas > before and candidates is None:
        raise FluidModelError(
            message, "nodes cannot be listed, so none can be chosen", "permission to list nodes"
        )


def source_annotations(uri: str, commit: str, listing: FileListing | None) -> dict[str, str]:
    """What a Dataset records of its source.

    Args:
        uri: The canonical SOURCE.
        commit: Of a model of the Hub; else empty.
        listing: The files; None where the source was not listed.
    """
    found = {names.SOURCE_ANNOTATION: uri}
    if commit:
        found[names.COMMIT_ANNOTATION] = commit
    if listing:
        found[names.BYTES_ANNOTATION] = str(listing.bytes)
        found[names.FILES_ANNOTATION] = str(len(listing.files))
        if listing.junk:
            skipped = sum(file.size for file in listing.junk)
            found[names.EXCLUDED_BYTES_ANNOTATION] = str(skipped)
    return found


def _update_annotations(options: CacheOptions, existing: ExistingObjects) -> dict[str, str]:
    """What a Dataset records for later runs and `update`.

    What it replaces stays when `cache` runs again.
    """
    recorded = annotations_of(existing.dataset or {}).get(names.REPLACES_ANNOTATION, "")
    found = {
        names.REVISION_ANNOTATION: options.revision,
        names.REPLACES_ANNOTATION: options.replaces or recorded,
    }
    if options.staging is not None:
        found |= glob_annotations(options.staging.hub.include, options.staging.hub.exclude)
    return {key: value for key, value in found.items() if value}


def _high_concurrency(options: CacheOptions, existing: ExistingObjects) -> bool:
    """Return whether the FUSE client is for many parallel reads; without a flag, as it is."""
    if options.high_concurrency is None:
        return fuse.uses_jnr_fuse(existing.runtime)
    return options.high_concurrency


def _model_bytes(options: CacheOptions, listing: FileListing | None) -> int:
    if listing is not None:
        return listing.bytes
    if options.quota is None:
        raise UsageError(
            f"the size of {options.source.uri} is unknown",
            "it cannot be determined from this machine",
            "--quota SIZE, a little more than the model's bytes",
        )
    return sizing.max_model_bytes(options.quota)


def load_paths(listing: FileListing) -> tuple[str, ...]:
    """Return the paths of a DataLoad: everything, or only the model's files if junk is large.

    Each path is a run of Alluxio's shell that takes some seconds, so several are worthwhile only if
    they save much.
    """
    skipped = sum(file.size for file in listing.junk)
    entries = sorted({file.path.partition("/")[0] for file in listing.files})
    worth_it = skipped * _MIN_SKIPPED_SHARE >= listing.bytes
    if (
        not skipped
        or not worth_it
        or len(entries) > _MAX_LOAD_PATHS
        or any(set(":* ") & set(e) for e in entries)
    ):
        return ("/",)
    return tuple(f"/{entry}" for entry in entries)


def _loaded_bytes(listing: FileListing, paths: Sequence[str]) -> int:
    """Return the bytes that a load of the paths transfers."""
    skipped = listing.junk
    if "/" not in paths:
        skipped = tuple(f for f in skipped if f"/{f.path.partition('/')[0]}" in paths)
    return listing.bytes + sum(file.size for file in skipped)


def _choose_quota(options: CacheOptions, cached_bytes: int, existing: ExistingObjects) -> int:
    """Return the quota; `cached_bytes` is 0 if unknown."""
    required = sizing.quota_for(cached_bytes) if cached_bytes else 0
    if options.quota is not None:
        if cached_bytes and sizing.max_model_bytes(options.quota) < cached_bytes:
            raise UsageError(
                f"--quota {bytes_to_quantity(options.quota)} is too small",
                f"the model has {format_bytes(cached_bytes)}, and Alluxio evicts at 95% of the "
                "quota and reserves 2 GiB",
                f"--quota {bytes_to_quantity(required)}",
            )
        return options.quota
    if existing.runtime is not None:
        current = alluxio_runtime.parse_tier(existing.runtime)[2]
        if current is not None and current >= required:
            return current
    return required


def _choose_medium_and_nodes(
    options: CacheOptions,
    model_bytes: int,
    quota: int,
    jvm: HeapSizes,
    candidates: CandidateNodes | None,
    existing: ExistingObjects,
) -> tuple[Medium, Placement | None, list[str]]:
    """Select the medium and the nodes, which depend on each other."""
    current = _current_medium(options, existing)
    if candidates is None:
        medium = current or sizing.choose_medium(
            options.medium, options.path, quota, jvm, model_bytes, None
        )
        return medium, None, []
    notes = list(candidates.notes)
    keep = [] if options.placement_given else _current_nodes(existing, candidates.nodes)
    if existing.worker_nodes and not options.placement_given:
        keep = list(existing.worker_nodes[: options.replicas])  # Fluid removes the last ones
    if current:
        media = [current]
    elif options.medium != "auto":
        media = [sizing.choose_medium(options.medium, options.path, quota, jvm, model_bytes, None)]
    else:
        media = _auto_media(options, model_bytes, quota, jvm, candidates.nodes)
    medium = media[0]
    eligible = candidates.nodes
    if medium.type == "MEM" and not current and options.medium == "auto":
        # The memory tier was selected for these nodes only, because it fits beside the engine
        # there.
        eligible = tuple(
            node
            for node in eligible
            if sizing.fits_memory(quota, jvm, model_bytes, node.capacity)[0]
        )
    selected = placement.select_nodes(
        eligible, _node_requirement(medium, quota, jvm), options.replicas, current=keep
    )
    if medium.type != "MEM" and medium.path != sizing.DISK_PATH:
        notes.append(_unknown_disk_note(medium.path, quota, selected))
    return medium, selected, notes


def _unknown_disk_note(path: str, quota: int, selected: Placement) -> str:
    """Return a note that the free space of a separate disk is unknown."""
    shares = [
        f"{format_bytes(node.disk_used_by_caches(path))} on {node.name}"
        for node in selected.nodes
        if node.disk_used_by_caches(path)
    ]
    usage = f"; other caches on that disk may take {', '.join(shares)}" if shares else ""
    return f"the API does not show whether {path} has {format_bytes(quota)} free{usage}"


def _auto_media(
    options: CacheOptions,
    model_bytes: int,
    quota: int,
    jvm: HeapSizes,
    candidates: Sequence[Candidate],
) -> list[Medium]:
    """Select the medium for `--medium auto`: memory if enough nodes have it, else SSD."""
    ready = [node for node in candidates if node.is_eligible]
    media = [
        sizing.choose_medium("auto", options.path, quota, jvm, model_bytes, node.capacity)
        for node in sorted(ready, key=lambda node: -(node.capacity.memory or 0))
    ]
    in_memory = [medium for medium in media if medium.type == "MEM"]
    if len(in_memory) >= options.replicas:
        return in_memory
    return [medium for medium in media if medium.type != "MEM"] or [
        sizing.choose_medium("SSD", options.path, quota, jvm, model_bytes, None)
    ]


def _node_requirement(medium: Medium, quota: int, jvm: HeapSizes) -> NodeRequirement:
    in_memory = medium.type == "MEM"
    on_root_disk = not in_memory and medium.path == sizing.DISK_PATH
    return NodeRequirement(
        memory=jvm.on_cache_node + (quota if in_memory else 0), disk=quota if on_root_disk else 0
    )


def _current_medium(options: CacheOptions, existing: ExistingObjects) -> Medium | None:
    if existing.runtime is None or options.medium != "auto" or options.path is not None:
        return None
    kind, path, _ = alluxio_runtime.parse_tier(existing.runtime)
    return Medium(kind, path, "unchanged") if kind else None


def _current_nodes(existing: ExistingObjects, candidates: Sequence[Candidate]) -> list[str]:
    hosts = placement.bound_hostnames(existing.dataset) if existing.dataset else []
    return [node.name for node in candidates if node.hostname in hosts]


def _affinity_and_tolerations(
    options: CacheOptions, selected: Placement | None, existing: ExistingObjects
) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Return the node affinity and tolerations of the Dataset."""
    if selected is not None:
        return placement.node_affinity(selected.nodes), placement.required_tolerations(
            selected.nodes
        )
    if existing.dataset is not None and not options.placement_given:
        spec = existing.dataset.get("spec") or {}
        return dict(spec.get("nodeAffinity") or {}), list(spec.get("tolerations") or [])
    if options.nodes:
        requirements = [{"key": HOSTNAME_LABEL, "operator": "In", "values": sorted(options.nodes)}]
    elif options.node_selector:
        requirements = [
            {"key": key, "operator": "In", "values": [value]}
            for key, value in options.node_selector
        ]
    else:
        requirements = [{"key": placement.GPU_PRESENT, "operator": "In", "values": ["true"]}]
    gpu = {"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"}
    return placement.required_affinity(requirements), [gpu]


def immutable_changes(
    existing: ExistingObjects,
    dataset_object: Object,
    runtime_object: Object,
    kept_hosts: Collection[str] = (),
) -> list[str]:
    """Return the differences from an existing cache that cannot be applied while it runs.

    Fluid never remounts the root and never rebuilds the tier (pkg/ddc/alluxio/ufs_internal.go).
    Nodes can be added, or lose their copies if their workers have the highest numbers.

    Args:
        existing: The existing cache.
        dataset_object: The desired Dataset.
        runtime_object: The desired runtime.
        kept_hosts: Host names of the workers that remain if copies are removed.
    """
    found = []
    if existing.dataset is not None:
        before = get_path(existing.dataset, "spec", "mounts", 0, default={})
        after = dataset_object["spec"]["mounts"][0]
        for key in ("mountPoint", "options", "encryptOptions"):
            if (before.get(key) or None) != (after.get(key) or None):
                found.append(
                    f"mount {key}: {_abbreviate(before.get(key))} → {_abbreviate(after.get(key))}"
                )
        hosts = (
            placement.bound_hostnames(existing.dataset),
            placement.bound_hostnames(dataset_object),
        )
        if all(hosts) and not _can_scale(set(hosts[0]), set(hosts[1]), set(kept_hosts)):
            found.append(f"nodes: {', '.join(hosts[0])} → {', '.join(hosts[1])}")
    if existing.runtime is not None:
        clients = [fuse.uses_jnr_fuse(each) for each in (existing.runtime, runtime_object)]
        if clients[0] != clients[1]:
            old_state, new_state = ("on" if each else "off" for each in clients)
            found.append(f"high concurrency: {old_state} → {new_state}")
        old, new = (
            alluxio_runtime.parse_tier(existing.runtime),
            alluxio_runtime.parse_tier(runtime_object),
        )
        for label, before, after in zip(("medium", "path", "quota"), old, new, strict=True):
            if before != after:
                shown = [bytes_to_quantity(v) if isinstance(v, int) else v for v in (before, after)]
                found.append(f"{label}: {shown[0]} → {shown[1]}")
    return found


def _can_scale(before: set[str], after: set[str], kept: set[str]) -> bool:
    """Whether the running workers can stay where they are."""
    return before <= after or (after < before and after == kept)


def _hostnames(nodes: Sequence[str], candidates: CandidateNodes | None) -> list[str]:
    hostnames = {node.name: node.hostname for node in candidates.nodes} if candidates else {}
    return [hostnames.get(node, node) for node in nodes]


def _resize(existing: ExistingObjects, replicas: int) -> Resize | None:
    before = existing.replicas
    if before in (None, replicas):
        return None
    return Resize(before, replicas, existing.worker_nodes[replicas:])


def _abbreviate(value: Any) -> str:
    if isinstance(value, dict):
        return ",".join(f"{key.rsplit('.', 1)[-1]}={item}" for key, item in sorted(value.items()))
    if isinstance(value, list):
        return ",".join(str(get_path(item, "valueFrom", "secretKeyRef", "name")) for item in value)
    return str(value)
