"""Finds revisions in a bucket that no cache uses. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from kubectl_fluidmodel.inventory.cache import Cache
from kubectl_fluidmodel.inventory.mount_target import MountTarget, mount_targets
from kubectl_fluidmodel.objects import kinds
from kubectl_fluidmodel.objects.access import Object
from kubectl_fluidmodel.prune.cluster import job_end
from kubectl_fluidmodel.prune.leftover import REVISION, Leftover, StoredRevision
from kubectl_fluidmodel.records import dataclass
from kubectl_fluidmodel.stage.job_description import staged_source


@dataclass(frozen=True)
class Uses:
    """What a cluster uses of its buckets."""

    mounts: tuple[tuple[str, str], ...]
    """Bucket and path of every mount of a Dataset."""
    staging: tuple[str, ...]
    """What active Jobs are staging: `hf://org/model@COMMIT`."""
    unread: str = ""
    """Why not all Datasets of the cluster are known; empty if they are."""


def find_uses(datasets: Sequence[Object], owned: Iterable[Object], unread: str = "") -> Uses:
    """Return the uses by Datasets and staging Jobs."""
    targets: list[MountTarget] = []
    for dataset in datasets:
        targets += mount_targets(Cache("", "", dataset))
    return Uses(
        tuple((target.host, target.path) for target in targets if target.scheme in ("s3", "gs")),
        tuple(
            staged_source(obj)
            for obj in owned
            if obj["kind"] == kinds.JOBS.name and not job_end(obj)
        ),
        unread,
    )


def find_unused_revisions(
    revisions: Iterable[StoredRevision], uses: Uses, min_age: float
) -> list[Leftover]:
    """Return the revisions that no Dataset mounts and no Job is staging.

    An interrupted removal is continued regardless of its age.
    """
    unused = [revision for revision in revisions if not is_used(revision, uses)]
    return [
        Leftover(
            REVISION,
            revision.layout.uri,
            revision.age,
            "its removal was interrupted"
            if revision.is_removing
            else "no cache in this cluster uses it",
            revision,
            bytes=revision.stored_bytes,
            kept=uses.unread,
        )
        for revision in unused
        if revision.age >= min_age or revision.is_removing
    ]


def is_used(revision: StoredRevision, uses: Uses) -> bool:
    """Return whether a Dataset mounts the revision, a part of it or a directory above it."""
    layout = revision.layout
    prefix = f"{layout.files_prefix}/"
    if f"hf://{layout.repo}@{layout.commit}" in uses.staging:
        return True
    return any(
        bucket == layout.destination.bucket
        and (not path or prefix.startswith(f"{path}/") or f"{path}/".startswith(prefix))
        for bucket, path in uses.mounts
    )
