"""The files of one commit in the bucket: listed, then verified, then recorded in the manifest.

The manifest of an earlier run has each file's ETag from when it was verified.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from datetime import datetime, timezone

from kubectl_fluidmodel.errors import FluidModelError
from kubectl_fluidmodel.model.plan import PlanFile, StagingPlan
from kubectl_fluidmodel.objectstore.layout import StagingLayout
from kubectl_fluidmodel.stage.bucket import Bucket
from kubectl_fluidmodel.stage.checkpoint import UploadCheckpoint, parse_checkpoint
from kubectl_fluidmodel.stage.manifest import Manifest, ManifestEntry, parse_manifest
from kubectl_fluidmodel.stage.multipart import OperationUnavailableError

_Listing = dict[str, tuple[int, str]]
"""Size and ETag by key."""
_NOT_LISTED = (-1, "")


class StagedFiles:
    """The files of one commit in one bucket. Safe to share between threads."""

    def __init__(self, bucket: Bucket, layout: StagingLayout) -> None:
        """Start with nothing known; `refresh` reads the bucket."""
        self.bucket, self.layout = bucket, layout
        self._listed: _Listing | None = {}
        """None where the credentials may not list: each file is then looked up by its key."""
        self._checkpoint_keys: set[str] | None = set()
        self._previous_manifest: Manifest | None = None
        self._verified: dict[str, ManifestEntry] = {}
        self._lock = threading.Lock()

    def refresh(self) -> None:
        """List the commit's files and checkpoints, and read its manifest."""
        try:
            self._listed = self._list_files()
            objects = self.bucket.list_objects(self.layout.checkpoints_prefix)
            self._checkpoint_keys = {obj.key for obj in objects}
        except OperationUnavailableError:
            self._listed = self._checkpoint_keys = None
        text = self.bucket.read_object(self.layout.manifest_key, missing_if_denied=True)
        if text is not None:
            try:
                self._previous_manifest = parse_manifest(text)
            except ValueError:
                # Damaged: the objects' own metadata is checked, and the manifest rewritten.
                self._previous_manifest = None

    def find_and_clean(self, file: PlanFile) -> str:
        """As `existing_etag`; if the object exists, drop a started upload of it."""
        etag = self.existing_etag(file)
        if etag:
            self.drop_upload(file)
        return etag

    def existing_etag(self, file: PlanFile) -> str:
        """Look for a file's object.

        Returns:
            Its ETag if its size and the hash in its metadata are the plan's, else nothing.
        """
        key = self.layout.object_key(file.path)
        listed = None if self._listed is None else self._listed.get(key, _NOT_LISTED)
        if listed is not None and listed[0] != file.size:
            return ""
        entries = self._manifest_entries()
        recorded_etag = next((entry.etag for entry in entries if entry.file == file), None)
        if recorded_etag is not None and listed is not None and recorded_etag == listed[1]:
            return recorded_etag
        info = self.bucket.head_object(key)
        if info is None or not info.matches(file):
            return ""
        # If the ETag is not the recorded one, the object was overwritten since. Its metadata may
        # not show that: some stores keep an object's old metadata when it is overwritten without
        # any. A list may report other ETags than HEAD, so only ETags from HEAD are compared here.
        return info.etag if recorded_etag in (None, info.etag) else ""

    def has_complete_manifest(self, plan: StagingPlan) -> bool:
        """Whether an earlier run's manifest has every file of the plan."""
        manifest = self._previous_manifest
        return manifest is not None and manifest.covers(plan.files)

    def checkpoint_for(self, file: PlanFile) -> UploadCheckpoint | None:
        """Read the checkpoint that an earlier run left for a file."""
        key = self.layout.checkpoint_key(file.path)
        if self._checkpoint_keys is not None and key not in self._checkpoint_keys:
            return None
        text = self.bucket.read_object(key, missing_if_denied=True)
        return parse_checkpoint(text) if text is not None else None

    def refresh_file(self, file: PlanFile) -> None:
        """Look a file up again whose upload restarts."""
        key = self.layout.object_key(file.path)
        if self._checkpoint_keys is not None:
            self._checkpoint_keys.discard(self.layout.checkpoint_key(file.path))
        if self._listed is not None:
            self._listed.pop(key, None)
            info = self.bucket.head_object(key)
            if info is not None:
                self._listed[key] = (info.size, info.etag)

    def mark_verified(self, file: PlanFile, etag: str) -> None:
        """Record that a file is in the bucket and verified."""
        with self._lock:
            self._verified[file.path] = ManifestEntry(file, etag)

    def has_verified(self, files: Sequence[PlanFile]) -> bool:
        """Whether all of these files are verified."""
        with self._lock:
            return all(file.path in self._verified for file in files)

    def write_manifest(self, plan: StagingPlan) -> bool:
        """Write the manifest if every file of the whole plan is there; the last shard does it.

        Returns:
            False if other shards are still running.

        Raises:
            FluidModelError: a verified file was deleted or overwritten since.
        """
        try:
            listed = self._list_files()
        except OperationUnavailableError:
            listed = None
        for file in plan.files:
            if not self._is_ready(file, listed):
                return False
        for entry in self._manifest_entries():
            if entry.file.path not in self._verified and self._is_unchanged(entry, listed):
                self._verified[entry.file.path] = entry
        manifest = Manifest(
            plan.repo,
            plan.commit,
            tuple(sorted(self._verified.values())),
            staged_at=datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ"),
        )
        if self._manifest_entries() != manifest.entries:
            self.bucket.write_object(self.layout.manifest_key, manifest.to_json().encode())
        return True

    def _is_ready(self, file: PlanFile, listed: _Listing | None) -> bool:
        """Whether a file is verified, by this shard or by another one."""
        entry = self._verified.get(file.path)
        if entry is None:
            info = self.bucket.head_object(self.layout.object_key(file.path))
            if info is None or not info.matches(file):
                return False
            self._verified[file.path] = ManifestEntry(file, info.etag)
        elif not self._is_unchanged(entry, listed):
            raise FluidModelError(
                f"{file.path} changed in the bucket while other files were staged",
                "something else writes there",
                "the same command again",
            )
        return True

    def _is_unchanged(self, entry: ManifestEntry, listed: _Listing | None) -> bool:
        """Whether an object is the verified one, by the list or by its own HEAD."""
        key = self.layout.object_key(entry.file.path)
        if listed is not None:
            size, etag = listed.get(key, _NOT_LISTED)
            if size != entry.file.size or etag == entry.etag:
                return size == entry.file.size
        info = self.bucket.head_object(key)
        return info is not None and info.matches(entry.file) and info.etag == entry.etag

    def _manifest_entries(self) -> tuple[ManifestEntry, ...]:
        manifest = self._previous_manifest
        return manifest.entries if manifest is not None else ()

    def _list_files(self) -> _Listing:
        objects = self.bucket.list_objects(f"{self.layout.files_prefix}/")
        return {obj.key: (obj.size, obj.etag) for obj in objects}

    def drop_upload(self, file: PlanFile) -> None:
        """Abort a file's started upload, and delete its checkpoint."""
        checkpoint = self.checkpoint_for(file)
        key = self.layout.checkpoint_key(file.path)
        if checkpoint is not None:
            object_key = self.layout.object_key(file.path)
            self.bucket.abort_multipart_upload(object_key, checkpoint.upload_id)
        if checkpoint is not None or key in (self._checkpoint_keys or ()):
            self.bucket.delete_object(key)
