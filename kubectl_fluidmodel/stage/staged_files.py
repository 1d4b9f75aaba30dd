"""What stands in the bucket: seen at the beginning, proven on the way, sealed at the end."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from datetime import datetime, timezone

from kubectl_fluidmodel.errors import FluidModelError
from kubectl_fluidmodel.model.plan import Plan, PlanFile
from kubectl_fluidmodel.objectstore.layout import Place
from kubectl_fluidmodel.stage import manifest, transfer
from kubectl_fluidmodel.stage.bucket import Bucket, Hidden
from kubectl_fluidmodel.stage.checkpoint import Record
from kubectl_fluidmodel.stage.manifest import Entry, Manifest


class Ledger:
    """The files of one commit in one bucket. Safe to share between threads."""

    def __init__(self, bucket: Bucket, place: Place) -> None:
        self.bucket, self.place = bucket, place
        self._listed: dict[str, tuple[int, str]] | None = {}
        self._records: set[str] | None = set()
        self._before: Manifest | None = None
        self._proven: dict[str, Entry] = {}
        self._lock = threading.Lock()

    def look(self) -> None:
        """What the bucket holds of this commit: files, records, a manifest.

        Who may not list a bucket looks at each of them by its name.
        """
        try:
            self._listed = self._list()
            self._records = {key for key, _, _ in self.bucket.list(self.place.uploads)}
        except Hidden:
            self._listed = self._records = None
        text = self.bucket.read(self.place.manifest, hidden=True)
        if text is not None:
            try:
                self._before = manifest.load(text)
            except ValueError:
                self._before = None  # damaged: the files prove themselves, and it is written anew

    def find(self, file: PlanFile) -> str:
        """As `holds`; and an upload of it that was begun is dropped where the object is there."""
        etag = self.holds(file)
        if etag:
            self._clear_record(file)
        return etag

    def holds(self, file: PlanFile) -> str:
        """The ETag of the object that is there already; empty where it is not.

        It is there if its size and its recorded hash agree with the plan's.
        """
        key = self.place.key(file.path)
        listed = None if self._listed is None else self._listed.get(key, (-1, ""))
        if listed is not None and listed[0] != file.size:
            return ""
        known = next((e.etag for e in self._entries() if e.file == file), None)
        if known is not None and listed is not None and known == listed[1]:
            return known
        stands = self.bucket.head(key)
        if stands is None or not stands.holds(file):
            return ""
        # Where its ETag is not the proven one, it was written anew since. Its metadata may still
        # say otherwise: some stores keep an object's old metadata when it is overwritten without
        # any. A list may tell other ETags than HEAD does, and so only what both say is compared.
        return stands.etag if known in (None, stands.etag) else ""

    def sealed(self, plan: Plan) -> bool:
        """Whether there was a manifest that has every file of the plan."""
        return self._before is not None and self._before.covers(plan.files)

    def left_of(self, file: PlanFile) -> Record | None:
        """The record that an earlier run left of a file."""
        if self._records is not None and self.place.record(file.path) not in self._records:
            return None
        return transfer.load(self.bucket, self.place, file.path)

    def forget(self, file: PlanFile) -> None:
        """The file starts over: look at it anew."""
        key = self.place.key(file.path)
        if self._records is not None:
            self._records.discard(self.place.record(file.path))
        if self._listed is not None:
            self._listed.pop(key, None)
            stands = self.bucket.head(key)
            if stands is not None:
                self._listed[key] = (stands.size, stands.etag)

    def stands(self, file: PlanFile, etag: str) -> None:
        """The file is in the bucket and proven."""
        with self._lock:
            self._proven[file.path] = Entry(file, etag)

    def has(self, files: Sequence[PlanFile]) -> bool:
        """Whether all of these were found or staged, and proven."""
        with self._lock:
            return all(file.path in self._proven for file in files)

    def seal(self, plan: Plan) -> bool:
        """Write the manifest, if every file of the whole plan stands; the last shard does it.

        Raises:
            FluidModelError: a file that was proven is gone or another by now.
        """
        try:
            listed = self._list()
        except Hidden:
            listed = None
        for file in plan.files:
            entry = self._proven.get(file.path)
            if entry is None:
                stands = self.bucket.head(self.place.key(file.path))
                if stands is None or not stands.holds(file):
                    return False  # another shard is still at it
                self._proven[file.path] = Entry(file, stands.etag)
            elif not self._unchanged(entry, listed):
                raise FluidModelError(
                    f"{file.path} has changed in the bucket while the rest was staged",
                    "somebody else writes there",
                    "the same command again",
                )
        for entry in self._entries():
            if entry.file.path not in self._proven and self._unchanged(entry, listed):
                self._proven[entry.file.path] = entry
        made = Manifest(
            plan.repo,
            plan.commit,
            tuple(sorted(self._proven.values())),
            staged_at=datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ"),
        )
        if self._entries() != made.entries:
            self.bucket.write(self.place.manifest, made.text().encode())
        return True

    def _unchanged(self, entry: Entry, listed: dict[str, tuple[int, str]] | None) -> bool:
        """Whether an object is the one that was proven, by the list or by its own HEAD."""
        key = self.place.key(entry.file.path)
        if listed is not None:
            size, etag = listed.get(key, (-1, ""))
            if size != entry.file.size or etag == entry.etag:
                return size == entry.file.size
        stands = self.bucket.head(key)
        return stands is not None and stands.holds(entry.file) and stands.etag == entry.etag

    def _entries(self) -> tuple[Entry, ...]:
        return self._before.entries if self._before is not None else ()

    def _list(self) -> dict[str, tuple[int, str]]:
        found = self.bucket.list(f"{self.place.files}/")
        return {key: (size, etag) for key, size, etag in found}

    def _clear_record(self, file: PlanFile) -> None:
        """An upload that was begun before the object came to be by another way."""
        left = self.left_of(file)
        if left is not None:
            self.bucket.abort(self.place.key(file.path), left.upload_id)
        if left is not None or self.place.record(file.path) in (self._records or ()):
            self.bucket.delete(self.place.record(file.path))
