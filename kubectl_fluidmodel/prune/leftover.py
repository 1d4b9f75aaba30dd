"""An unused object, and whether it is removed. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field
from typing import Any

from kubectl_fluidmodel.objects.access import Object
from kubectl_fluidmodel.objectstore.layout import StagingLayout
from kubectl_fluidmodel.objectstore.s3 import S3Store
from kubectl_fluidmodel.records import dataclass

REVISION, UPLOAD, CACHE = "revision", "upload", "cache"
"""Kinds of leftovers that are not single objects; others have their object's kind."""

BY_NAME = "only removed if named"
"""Why an unused cache is kept."""


@dataclass(frozen=True)
class StoredRevision:
    """A commit of a model in a bucket, as its manifest lists it."""

    store: S3Store = field(repr=False)
    layout: StagingLayout
    files: Mapping[str, tuple[int, str]]
    """Path to bytes and ETag, from the manifest."""
    stored_bytes: int
    """Of its existing objects."""
    age: float
    """Seconds since its manifest was written, by the store's clock."""
    is_removing: bool = False
    """Whether a removal was interrupted."""


@dataclass(frozen=True)
class ModelUploads:
    """The unfinished uploads of a model, for any commit."""

    store: S3Store = field(repr=False)
    layout: StagingLayout


@dataclass(frozen=True)
class Leftover:
    """Something that this plugin created and nothing uses."""

    kind: str
    name: str
    """`NAMESPACE/NAME`, or the URI in the bucket."""
    age: float
    """Seconds."""
    reason: str
    """Why it is a leftover."""
    subject: Object | StoredRevision | ModelUploads = field(repr=False)
    """What is removed; for a cache, its Dataset."""
    bytes: int | None = None
    """In the bucket or the cache; None if not applicable."""
    kept: str = ""
    """Why it is only listed; empty if it is removed."""

    @property
    def is_removed(self) -> bool:
        """Whether `prune` removes it."""
        return not self.kept


def document_item(leftover: Leftover) -> dict[str, Any]:
    """Return a leftover in the form of `-o json`."""
    return {
        "kind": leftover.kind,
        "name": leftover.name,
        "bytes": leftover.bytes,
        "ageSeconds": int(leftover.age),
        "reason": leftover.reason,
        "kept": leftover.kept or None,
    }
