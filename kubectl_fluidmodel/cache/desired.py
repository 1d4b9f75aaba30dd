"""Decides the objects of a cache, from the options, the source and the cluster. Pure.

Start at `build_desired`; `node_choice.py` decides the medium and the nodes. Existing values stay
unless flags change them: a second run must not move a cache because a node has slightly less free
memory today.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from kubectl_fluidmodel.cache.existing import (
    ExistingObjects,
    Resize,
    immutable_changes,
    resize_to,
)
from kubectl_fluidmodel.cache.node_choice import (
    CandidateNodes,
    affinity_and_tolerations,
    choose_medium_and_nodes,
)
from kubectl_fluidmodel.cache.options import CacheOptions
from kubectl_fluidmodel.cache.source_check import skipped_file_notes
from kubectl_fluidmodel.errors import FluidModelError, UsageError
from kubectl_fluidmodel.fluid import alluxio_runtime, dataload, dataset, fuse, names, worker_set
from kubectl_fluidmodel.fluid.mount import MountCredentials, build_mount
from kubectl_fluidmodel.fluid.placement import Placement
from kubectl_fluidmodel.inventory.staging_status import glob_annotations
from kubectl_fluidmodel.model import sizing
from kubectl_fluidmodel.model.files import FileListing
from kubectl_fluidmodel.model.sizing import Medium
from kubectl_fluidmodel.objects.access import Object, annotations_of
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
    def objects_and_load(self) -> tuple[Object, ...]:
        return (*self.objects, *([self.load] if self.load else []))

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
    medium, selected, notes = choose_medium_and_nodes(
        options, model_bytes, quota, jvm, candidates, existing
    )
    if high_concurrency:
        notes.append(_HIGH_CONCURRENCY_NOTE)
    affinity, tolerations = affinity_and_tolerations(options, selected, existing)
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
    kept_hosts = _hostnames(existing.worker_nodes[: options.replicas], candidates)
    changes = immutable_changes(existing, dataset_object, runtime, kept_hosts)
    return DesiredCache(
        objects=(*first, *source_mount.objects, dataset_object, runtime),
        load=load,
        medium=medium,
        quota=quota,
        placement=selected,
        immutable_changes=changes,
        notes=tuple(notes),
        resize=None if changes else resize_to(existing, options.replicas),
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
    annotations = {names.SOURCE_ANNOTATION: uri}
    if commit:
        annotations[names.COMMIT_ANNOTATION] = commit
    if listing:
        annotations[names.BYTES_ANNOTATION] = str(listing.bytes)
        annotations[names.FILES_ANNOTATION] = str(len(listing.files))
        if listing.junk:
            skipped = sum(file.size for file in listing.junk)
            annotations[names.EXCLUDED_BYTES_ANNOTATION] = str(skipped)
    return annotations


def _update_annotations(options: CacheOptions, existing: ExistingObjects) -> dict[str, str]:
    """What a Dataset records for later runs and `update`; what it replaces stays recorded."""
    recorded = annotations_of(existing.dataset or {}).get(names.REPLACES_ANNOTATION, "")
    annotations = {
        names.REVISION_ANNOTATION: options.revision,
        names.REPLACES_ANNOTATION: options.replaces or recorded,
    }
    if options.staging is not None:
        annotations |= glob_annotations(options.staging.hub.include, options.staging.hub.exclude)
    return {key: value for key, value in annotations.items() if value}


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
    worth_it = skipped and skipped * _MIN_SKIPPED_SHARE >= listing.bytes
    if not worth_it or len(entries) > _MAX_LOAD_PATHS or set(":* ") & set("".join(entries)):
        return ("/",)
    return tuple(f"/{entry}" for entry in entries)


def _loaded_bytes(listing: FileListing, paths: Sequence[str]) -> int:
    """Return the bytes that a load of the paths transfers."""
    skipped = listing.junk
    if "/" not in paths:
        skipped = tuple(file for file in skipped if f"/{file.path.partition('/')[0]}" in paths)
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


def _hostnames(nodes: Sequence[str], candidates: CandidateNodes | None) -> list[str]:
    """Return the host names of nodes by their names; a node that is not listed keeps its name."""
    hostnames = {node.name: node.hostname for node in candidates.nodes} if candidates else {}
    return [hostnames.get(node, node) for node in nodes]
