"""Copies one file within the bucket, from another commit of its model.

A large file is copied with a multipart upload. A checkpoint records the upload before its first
part, so that `prune` and the next run find it if this run is killed. Copied parts are not recorded:
copying them again is cheaper than verifying them.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Any

from kubectl_fluidmodel.errors import FluidModelError
from kubectl_fluidmodel.model.plan import PlanFile
from kubectl_fluidmodel.objectstore.layout import StagingLayout
from kubectl_fluidmodel.objectstore.retry import S3RequestError
from kubectl_fluidmodel.records import dataclass
from kubectl_fluidmodel.stage.bucket import Bucket, ObjectInfo
from kubectl_fluidmodel.stage.checkpoint import MD5, UploadCheckpoint
from kubectl_fluidmodel.stage.checkpoint_writer import CheckpointWriter
from kubectl_fluidmodel.stage.multipart import object_metadata
from kubectl_fluidmodel.stage.reuse import ReusableObject

COPY_SIZE = 256 << 20
"""Bytes that one request copies; S3 allows 5 GiB, but a slow store would time out."""


@dataclass(frozen=True)
class BucketCopy:
    """A copy of a file from another commit."""

    bucket: Bucket
    layout: StagingLayout
    """The commit that gets the copy."""
    source: ReusableObject
    """The other commit's object."""
    file: PlanFile
    on_checkpoint: Callable[[CheckpointWriter], None]
    """Receives the checkpoint of a copy in parts; the receiver has to refresh it."""

    @property
    def key(self) -> str:
        return self.layout.object_key(self.file.path)

    def run(self) -> ObjectInfo | None:
        """Copy the object while it has the ETag of its verified content.

        Returns:
            The copy; None if the store does not allow or support it, or the source has changed.
        """
        try:
            if self.file.size > COPY_SIZE:
                return self._copy_in_parts()
            self._call(
                "copy",
                "copy_object",
                Metadata=object_metadata(self.file, self.layout.commit),
                MetadataDirective="REPLACE",
                **self._source_settings(),
            )
            return self._find_copy()
        except S3RequestError:
            return None

    def _copy_in_parts(self) -> ObjectInfo | None:
        """Copy a large object part by part, each of which is done within the read timeout."""
        metadata = object_metadata(self.file, self.layout.commit)
        started = self._call("start a copy of", "create_multipart_upload", Metadata=metadata)
        upload_id, copied = str(started["UploadId"]), None
        checkpoint = UploadCheckpoint(
            self.file.path, self.file.identity, self.file.size, upload_id, COPY_SIZE, MD5
        )
        writer = CheckpointWriter(
            self.bucket, self.layout.checkpoint_key(self.file.path), checkpoint
        )
        try:
            writer.write(checkpoint)
            self.on_checkpoint(writer)
            parts = [
                self._copy_part(upload_id, number, start)
                for number, start in enumerate(range(0, self.file.size, COPY_SIZE), 1)
            ]
            self._call(
                "complete the copy of",
                "complete_multipart_upload",
                UploadId=upload_id,
                MultipartUpload={"Parts": parts},
            )
            copied = self._find_copy()
            return copied
        finally:
            with suppress(FluidModelError):
                if copied or self.bucket.abort_multipart_upload(self.key, upload_id):
                    writer.delete()

    def _copy_part(self, upload_id: str, number: int, start: int) -> dict[str, Any]:
        response = self._call(
            "copy a part of",
            "upload_part_copy",
            UploadId=upload_id,
            PartNumber=number,
            CopySourceRange=f"bytes={start}-{min(start + COPY_SIZE, self.file.size) - 1}",
            **self._source_settings(),
        )
        return {"PartNumber": number, "ETag": response["CopyPartResult"]["ETag"]}

    def _source_settings(self) -> dict[str, Any]:
        return {
            "CopySource": {"Bucket": self.bucket.name, "Key": self.source.key},
            "CopySourceIfMatch": f'"{self.source.etag}"',
        }

    def _call(self, verb: str, operation: str, **settings: Any) -> Any:
        return self.bucket.call_raw(verb, operation, Key=self.key, **settings)

    def _find_copy(self) -> ObjectInfo | None:
        info = self.bucket.head_object(self.key)
        return info if info is not None and info.matches(self.file) else None
