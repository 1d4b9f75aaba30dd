"""What stands in the bucket: seen at the beginning, proven on the way, sealed at the end."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from datetime import datetime, timezone

from kubectl_fluidmodel.errors import FluidModelError
from kubectl_fluidmodel.model.plan import PlanFile, StagingPlan
from kubectl_fluidmodel.objectstore.layout import StagingLayout
from kubectl_fluidmodel.stage import manifest, transfer
from kubectl_fluidmodel.stage.bucket import Bucket, OperationUnavailableError
from kubectl_fluidmodel.stage.checkpoint import UploadCheckpoint
from kubectl_fluidmodel.stage.manifest import Manifest, ManifestEntry


class StagedFiles:
    """The files of one commit in one bucket. Safe to share between threads."""

    def __init__(self, bucket: Bucket, layout: StagingLayout) -> None:
        self.bucket, self.layout = bucket, layout
        self._listed: dict[str, tuple[int, str]] | None = {}
        self._checkpoint_keys: set[str] | None = set()
        self._previous_manifest: Manifest | None = None
        self._verified: dict[str, ManifestEntry] = {}
        self._lock = threading.Lock()

    def refresh(self) -> None:
        """What the bucket holds of this commit: files, records, a manifest.

        Who may not list a bucket looks at each of them by its name.
        """
        try:
            self._listed = self._list_files()
            self._checkpoint_keys = {
                key for key, _, _ in self.bucket.list_objects(self.layout.checkpoints_prefix)
            }
        except OperationUnavailableError:
            self._listed = self._checkpoint_keys = None
        text = self.bucket.read_object(self.layout.manifest_key, missing_if_denied=True)
        if text is not None:
            try:
                self._previous_manifest = manifest.parse_manifest(text)
            except ValueError:
                self._previous_manifest = (
                    None  # damaged: the files prove themselves, and it is written anew
                )

    def find_and_clean(self, file: PlanFile) -> str:
        """As `holds`; and an upload of it that was begun is dropped where the object is there."""
        etag = self.existing_etag(file)
        if etag:
            self._drop_checkpoint(file)
        return etag

    def existing_etag(self, file: PlanFile) -> str:
        """The ETag of the object that is there already; empty where it is not.

        It is there if its size and its recorded hash agree with the plan's.
        """
        key = self.layout.object_key(file.path)
        listed = None if self._listed is None else self._listed.get(key, (-1, ""))
        if listed is not None and listed[0] != file.size:
            return ""
        recorded_etag = next((e.etag for e in self._manifest_entries() if e.file == file), None)
        if recorded_etag is not None and listed is not None and recorded_etag == listed[1]:
            return recorded_etag
        existing = self.bucket.head_object(key)
        if existing is None or not existing.matches(file):
            return ""
        # Where its ETag is not the proven one, it was written anew since. Its metadata may still
        # say otherwise: some stores keep an object's old metadata when it is overwritten without
        # any. A list may tell other ETags than HEAD does, and so only what both say is compared.
        return existing.etag if recorded_etag in (None, existing.etag) else ""

    def has_complete_manifest(self, plan: StagingPlan) -> bool:
        """Whether there was a manifest that has every file of the plan."""
        return self._previous_manifest is not None and self._previous_manifest.covers(plan.files)

    def checkpoint_for(self, file: PlanFile) -> UploadCheckpoint | None:
        """The record that an earlier run left of a file."""
        if (
            self._checkpoint_keys is not None
            and self.layout.checkpoint_key(file.path) not in self._checkpoint_keys
        ):
            return None
        return transfer.load_checkpoint(self.bucket, self.layout, file.path)

    def refresh_file(self, file: PlanFile) -> None:
        """The file starts over: look at it anew."""
        key = self.layout.object_key(file.path)
        if self._checkpoint_keys is not None:
            self._checkpoint_keys.discard(self.layout.checkpoint_key(file.path))
        if self._listed is not None:
            self._listed.pop(key, None)
            existing = self.bucket.head_object(key)
            if existing is not None:
                self._listed[key] = (existing.size, existing.etag)

    def mark_verified(self, file: PlanFile, etag: str) -> None:
        """The file is in the bucket and proven."""
        with self._lock:
            self._verified[file.path] = ManifestEntry(file, etag)

    def has_verified(self, files: Sequence[PlanFile]) -> bool:
        """Whether all of these were found or staged, and proven."""
        with self._lock:
            return all(file.path in self._verified for file in files)

    def write_manifest(self, plan: StagingPlan) -> bool:
        """Write the manifest, if every file of the whole plan stands; the last shard does it.

        Raises:
            FluidModelError: a file that was proven is gone or another by now.
        """
        try:
            listed = self._list_files()
        except OperationUnavailableError:
            listed = None
        for file in plan.files:
            entry = self._verified.get(file.path)
            if entry is None:
                existing = self.bucket.head_object(self.layout.object_key(file.path))
                if existing is None or not existing.matches(file):
                    return False  # another shard is still at it
                self._verified[file.path] = ManifestEntry(file, existing.etag)
            elif not self._is_unchanged(entry, listed):
                raise FluidModelError(
                    f"{file.path} has changed in the bucket while the rest was staged",
                    "somebody else writes there",
                    "the same command again",
                )
        for entry in self._manifest_entries():
            if entry.file.path not in self._verified and self._is_unchanged(entry, listed):
                self._verified[entry.file.path] = entry
        new_manifest = Manifest(
            plan.repo,
            plan.commit,
            tuple(sorted(self._verified.values())),
            staged_at=datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ"),
        )
        if self._manifest_entries() != new_manifest.entries:
            self.bucket.write_object(self.layout.manifest_key, new_manifest.to_json().encode())
        return True

    def _is_unchanged(
        self, entry: ManifestEntry, listed: dict[str, tuple[int, str]] | None
    ) -> bool:
        """Whether an object is the one that was proven, by the list or by its own HEAD."""
        key = self.layout.object_key(entry.file.path)
        if listed is not None:
            size, etag = listed.get(key, (-1, ""))
            if size != entry.file.size or etag == entry.etag:
                return size == entry.file.size
        existing = self.bucket.head_object(key)
        return existing is not None and existing.matches(entry.file) and existing.etag == entry.etag

    def _manifest_entries(self) -> tuple[ManifestEntry, ...]:
        return self._previous_manifest.entries if self._previous_manifest is not None else ()

    def _list_files(self) -> dict[str, tuple[int, str]]:
        objects = self.bucket.list_objects(f"{self.layout.files_prefix}/")
        return {key: (size, etag) for key, size, etag in objects}

    def _drop_checkpoint(self, file: PlanFile) -> None:
        """An upload that was begun before the object came to be by another way."""
        checkpoint = self.checkpoint_for(file)
        if checkpoint is not None:
            self.bucket.abort_multipart_upload(
                self.layout.object_key(file.path), checkpoint.upload_id
            )
        if checkpoint is not None or self.layout.checkpoint_key(file.path) in (
            self._checkpoint_keys or ()
        ):
            self.bucket.delete_object(self.layout.checkpoint_key(file.path))
