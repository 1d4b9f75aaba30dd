"""Reads what was staged in a bucket: revisions from their manifests, and unfinished uploads."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import field

from kubectl_fluidmodel.errors import FluidModelError
from kubectl_fluidmodel.objectstore.layout import (
    STATE_DIR,
    BucketPrefix,
    StagingLayout,
    layout_of_state_key,
)
from kubectl_fluidmodel.objectstore.s3 import S3Store
from kubectl_fluidmodel.prune.leftover import StoredRevision
from kubectl_fluidmodel.records import dataclass
from kubectl_fluidmodel.stage import checkpoint as checkpoints
from kubectl_fluidmodel.stage.bucket import Bucket, open_bucket
from kubectl_fluidmodel.stage.manifest import Manifest, parse_manifest
from kubectl_fluidmodel.stage.multipart import OperationUnavailableError


@dataclass(frozen=True)
class BucketContents:
    """What was staged below a prefix."""

    revisions: tuple[StoredRevision, ...]
    uploading: tuple[StagingLayout, ...]
    """The distinct models that have checkpoints of unfinished uploads."""
    notes: tuple[str, ...] = ()
    """What is damaged and therefore not changed."""


@dataclass
class _Listing:
    """The relevant keys below a prefix."""

    manifests: dict[StagingLayout, tuple[str, float]] = field(default_factory=dict)
    removals: dict[StagingLayout, tuple[str, float]] = field(default_factory=dict)
    checkpoints: dict[StagingLayout, float] = field(default_factory=dict)
    """The age of a commit's youngest checkpoint."""
    bytes_by_directory: dict[str, int] = field(default_factory=lambda: defaultdict(int))


def read_bucket(store: S3Store, prefix: BucketPrefix) -> BucketContents:
    """Find what was staged below a prefix; only our manifests count.

    Raises:
        FluidModelError: the bucket cannot be listed or read.
    """
    bucket = open_bucket(store, prefix.bucket)
    listing = _list_keys(bucket, prefix)
    revisions, notes = [], []
    for layout, (key, age) in sorted(
        {**listing.removals, **listing.manifests}.items(), key=lambda item: item[0].uri
    ):
        youngest = listing.checkpoints.get(layout)
        if youngest is not None and youngest < checkpoints.ACTIVE_FOR:
            continue  # a run is staging it now
        try:
            manifest = _read_manifest(bucket, layout, key)
        except ValueError as err:
            notes.append(
                f"s3://{prefix.bucket}/{key} is damaged ({err}): its files are not changed"
            )
            continue
        if manifest is None:
            continue  # removed in the meantime
        revisions.append(
            StoredRevision(
                store,
                layout,
                {entry.file.path: (entry.file.size, entry.etag) for entry in manifest.entries},
                listing.bytes_by_directory[layout.files_prefix],
                age,
                is_removing=layout not in listing.manifests,
            )
        )
    models = {(layout.destination, layout.repo): layout for layout in listing.checkpoints}
    return BucketContents(tuple(revisions), tuple(models.values()), tuple(notes))


def _list_keys(bucket: Bucket, prefix: BucketPrefix) -> _Listing:
    listing = _Listing()
    try:
        for entry in bucket.list_objects(f"{prefix.prefix}/" if prefix.prefix else ""):
            state_key = layout_of_state_key(prefix.bucket, entry.key)
            if state_key is None:
                for directory in _directories(entry.key):
                    listing.bytes_by_directory[directory] += entry.size
                continue
            layout, rest = state_key
            if rest == "manifest.json":
                listing.manifests[layout] = (entry.key, entry.age)
            elif rest == "removing.json":
                listing.removals[layout] = (entry.key, entry.age)
            elif rest.startswith("uploads/"):
                youngest = listing.checkpoints.get(layout, entry.age)
                listing.checkpoints[layout] = min(youngest, entry.age)
    except OperationUnavailableError as err:
        raise FluidModelError(
            f"cannot list staged models in {prefix.uri}",
            str(err),
            f"grant the credentials s3:ListBucket on {prefix.bucket}",
        ) from err
    return listing


def _directories(key: str) -> Iterator[str]:
    """Return the directories above a key that could be those of a commit."""
    end = key.find("/")
    while end >= 0 and STATE_DIR not in key[:end]:
        yield key[:end]
        end = key.find("/", end + 1)


def _read_manifest(bucket: Bucket, layout: StagingLayout, key: str) -> Manifest | None:
    """Raises: ValueError: it is not a manifest, or one of another commit."""
    text = bucket.read_object(key)
    if text is None:
        return None
    manifest = parse_manifest(text)
    if (manifest.repo, manifest.commit) != (layout.repo, layout.commit):
        raise ValueError(f"it is for {manifest.repo}@{manifest.commit}")
    return manifest
