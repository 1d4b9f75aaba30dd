"""Removes leftovers, after checking them once more."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from kubectl_fluidmodel.cache import removal as cache_removal
from kubectl_fluidmodel.cache.apply import kind_for
from kubectl_fluidmodel.errors import FluidModelError
from kubectl_fluidmodel.fluid import names
from kubectl_fluidmodel.kube.client import Client
from kubectl_fluidmodel.kube.permissions import Permission
from kubectl_fluidmodel.objects.access import Object, name_of, namespace_of
from kubectl_fluidmodel.prune.leftover import CACHE, Leftover, ModelUploads, StoredRevision
from kubectl_fluidmodel.records import dataclass
from kubectl_fluidmodel.stage.bucket import open_bucket
from kubectl_fluidmodel.stage.stale_uploads import abort_stale_uploads

_DELETE_TIMEOUT = 300.0
"""Timeout in seconds for Fluid to clean up after a cache."""


@dataclass(frozen=True)
class Remover:
    """Removes leftovers of one run."""

    client: Client
    min_age: float
    is_mounted: Callable[[StoredRevision], bool]
    """Checks again whether a revision is used, directly before its removal."""
    warn: Callable[[str], None]

    def remove(self, leftover: Leftover) -> Iterator[str]:
        """Remove one leftover.

        Yields:
            A line for each removed object.

        Raises:
            FluidModelError: it cannot be removed, or is used again.
        """
        subject = leftover.subject
        if isinstance(subject, StoredRevision):
            yield from self._remove_revision(subject)
        elif isinstance(subject, ModelUploads):
            yield from self._abort_uploads(subject)
        elif leftover.kind == CACHE:
            yield from cache_removal.uncache(
                self.client,
                namespace_of(subject),
                name_of(subject),
                force=False,
                timeout=_DELETE_TIMEOUT,
                warn=self.warn,
            )
        else:
            yield from self._delete(subject)

    def _delete(self, obj: Object) -> Iterator[str]:
        """Delete an object; one that was recreated in the meantime has another UID and stays."""
        kind, namespace = kind_for(obj), namespace_of(obj) or None
        uid = names.uid_of(obj)
        if self.client.delete(kind, name_of(obj), namespace, uid=uid):
            yield f"{kind.name} {namespace_of(obj)}/{name_of(obj)} deleted"

    def _remove_revision(self, revision: StoredRevision) -> Iterator[str]:
        """Delete a revision's files that its manifest lists, and then the manifest.

        During the removal, the manifest is named `removing.json`, so nothing treats the rest as
        complete, and an interrupted removal is continued. A file whose ETag differs from the
        manifest is not what was staged, and stays.
        """
        layout = revision.layout
        if self.is_mounted(revision):
            raise FluidModelError(
                f"{layout.uri} is used again", "a cache was created from it in the meantime"
            )
        bucket = open_bucket(revision.store, layout.destination.bucket)
        if not revision.is_removing:
            manifest = bucket.read_object(layout.manifest_key)
            if manifest is None:
                return  # somebody else is removing it
            bucket.write_object(layout.removal_key, manifest)
            bucket.remove_object(layout.manifest_key)
        start = f"{layout.files_prefix}/"
        others, removed_bytes = 0, 0
        for entry in list(bucket.list_objects(start)):
            _, staged_etag = revision.files.get(entry.key[len(start) :], (0, None))
            if staged_etag != entry.etag:
                others += 1
                continue
            bucket.remove_object(entry.key)
            removed_bytes += entry.size
        bucket.remove_object(layout.removal_key)
        note = f"; {others} other objects stay" if others else ""
        yield f"{layout.uri} removed ({removed_bytes} bytes){note}"

    def _abort_uploads(self, stale: ModelUploads) -> Iterator[str]:
        layout = stale.layout
        uploads = abort_stale_uploads(stale.store, layout.destination, layout.repo, self.min_age)
        for upload in uploads:
            if upload.aborted:
                yield f"upload of {layout.repo}@{upload.commit}/{upload.path} aborted"


def required_permissions(leftovers: Sequence[Leftover]) -> list[Permission]:
    """Return the permissions to delete the objects of leftovers; caches need those of `uncache`."""
    required = []
    for leftover in leftovers:
        if isinstance(leftover.subject, dict) and leftover.kind != CACHE:
            namespace = namespace_of(leftover.subject) or None
            required.append(Permission("delete", kind_for(leftover.subject), namespace))
    return list(dict.fromkeys(required))
