"""One thing that is left over, and whether it is removed. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from kubectl_fluidmodel.objects.access import Object
from kubectl_fluidmodel.objectstore.layout import StagingLayout
from kubectl_fluidmodel.objectstore.s3 import S3Store

REVISION, UPLOAD, CACHE = "revision", "upload", "cache"
"""Kinds of leftovers that are no single object; others are called like their object's kind."""

BY_NAME = "only removed if it is named"
"""Why a cache that nothing reads is kept."""


@dataclass(frozen=True)
class StoredRevision:
    """A commit of a model in a bucket, as its manifest lists it."""

    store: S3Store = field(repr=False)
    layout: StagingLayout
    files: Mapping[str, tuple[int, str]]
    """Path to bytes and ETag, of the manifest."""
    stored_bytes: int
    """Of its objects that are there."""
    age: float
    """Seconds since its manifest was written, by the store's clock."""
    is_removing: bool = False
    """Whether a removal of it was interrupted."""


@dataclass(frozen=True)
class ModelUploads:
    """The unfinished uploads of a model, of any commit."""

    store: S3Store = field(repr=False)
    layout: StagingLayout


@dataclass(frozen=True)
class Leftover:
    """Something that this plugin made and nothing uses."""

    kind: str
    name: str
    """`NAMESPACE/NAME`, or the URI in the bucket."""
    age: float
    """Seconds."""
    reason: str
    """Why it is left over."""
    subject: Object | StoredRevision | ModelUploads = field(repr=False)
    """What is removed; of a cache its Dataset."""
    bytes: int | None = None
    """In the bucket or the cache; None where that does not apply."""
    kept: str = ""
    """Why it is only listed; empty where it is removed."""

    @property
    def is_removed(self) -> bool:
        """Whether `prune` removes it."""
        return not self.kept


def document_item(leftover: Leftover) -> dict[str, Any]:
    """A leftover as `-o json` has it."""
    return {
        "kind": leftover.kind,
        "name": leftover.name,
        "bytes": leftover.bytes,
        "ageSeconds": int(leftover.age),
        "reason": leftover.reason,
        "kept": leftover.kept or None,
    }
