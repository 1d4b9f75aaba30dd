"""Files that other commits of the same model have in the bucket, for copies within it.

A revision often changes a few files only. A file is taken over if an earlier run verified the same
content and recorded it in its manifest. The store copies the object only while it has the ETag
that was recorded then, so a copy is as good as a download.
"""

from __future__ import annotations

import threading

from kubectl_fluidmodel.model.plan import PlanFile
from kubectl_fluidmodel.objectstore.layout import STATE_DIR, StagingLayout
from kubectl_fluidmodel.records import dataclass
from kubectl_fluidmodel.stage.bucket import Bucket
from kubectl_fluidmodel.stage.manifest import Manifest, parse_manifest
from kubectl_fluidmodel.stage.multipart import OperationUnavailableError

_MAX_COMMITS = 4
"""Manifests to read, newest first: what older commits share with the new one, these mostly have."""


@dataclass(frozen=True)
class ReusableObject:
    """An object of another commit."""

    key: str
    etag: str
    """Its ETag when its content was verified."""


class ReusableFiles:
    """The verified files of a model's other commits, read when first needed."""

    def __init__(self, bucket: Bucket, layout: StagingLayout) -> None:
        self._bucket, self._layout = bucket, layout
        self._objects: dict[tuple[str, int], ReusableObject] | None = None
        self._lock = threading.Lock()

    def find(self, file: PlanFile) -> ReusableObject | None:
        """Return an object with the content of a file; None if no other commit has one."""
        with self._lock:
            if self._objects is None:
                self._objects = self._read_manifests()
            return self._objects.get((file.identity, file.size))

    def forget(self, file: PlanFile) -> None:
        """Do not offer an object again that could not be copied."""
        with self._lock:
            if self._objects is not None:
                self._objects.pop((file.identity, file.size), None)

    def _read_manifests(self) -> dict[tuple[str, int], ReusableObject]:
        objects: dict[tuple[str, int], ReusableObject] = {}
        for manifest in self._manifests():
            layout = StagingLayout(self._layout.destination, manifest.repo, manifest.commit)
            for entry in manifest.entries:
                key = layout.object_key(entry.file.path)
                identity = (entry.file.identity, entry.file.size)
                objects.setdefault(identity, ReusableObject(key, entry.etag))
        return objects

    def _manifests(self) -> list[Manifest]:
        """The manifests of the model's newest other commits; none if they may not be listed."""
        prefix = f"{self._layout.model_prefix}/{STATE_DIR}/"
        try:
            listed = sorted(self._bucket.list_objects(prefix), key=lambda entry: entry.age)
        except OperationUnavailableError:
            return []
        keys = [
            entry.key
            for entry in listed
            if entry.key.endswith("/manifest.json") and entry.key != self._layout.manifest_key
        ]
        manifests = []
        for key in keys[:_MAX_COMMITS]:
            text = self._bucket.read_object(key, missing_if_denied=True)
            try:
                manifest = parse_manifest(text) if text else None
            except ValueError:
                continue
            if manifest is not None and manifest.repo == self._layout.repo:
                manifests.append(manifest)
        return manifests
