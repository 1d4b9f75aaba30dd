"""The copy of one file within the bucket, from another commit of its model.

A large file is copied in parts, which is an upload as well. A checkpoint names it before its first
part, as with a download, so that `prune` and the next run find it if this one is killed. No parts
are recorded there: to copy again is cheaper than to verify what an earlier copy left.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress

from kubectl_fluidmodel.errors import FluidModelError
from kubectl_fluidmodel.model.plan import PlanFile
from kubectl_fluidmodel.objectstore.layout import StagingLayout
from kubectl_fluidmodel.stage import bucket as buckets
from kubectl_fluidmodel.stage.bucket import Bucket, ObjectInfo
from kubectl_fluidmodel.stage.checkpoint import MD5, UploadCheckpoint
from kubectl_fluidmodel.stage.checkpoint_writer import CheckpointWriter
from kubectl_fluidmodel.stage.reuse import ReusableObject


def copy_within_bucket(
    bucket: Bucket,
    layout: StagingLayout,
    source: ReusableObject,
    file: PlanFile,
    on_checkpoint: Callable[[CheckpointWriter], None],
) -> ObjectInfo | None:
    """Copy a file from another commit.

    Args:
        bucket: the bucket of both.
        layout: the commit that gets the copy.
        source: the other commit's object.
        file: what is copied.
        on_checkpoint: receives the checkpoint of a copy in parts, which somebody has to refresh.

    Returns:
        The copy; None if the store does not allow or support it, or the source has changed.
    """
    key, writers = layout.object_key(file.path), list[CheckpointWriter]()

    def write_checkpoint(upload_id: str) -> None:
        checkpoint = UploadCheckpoint(
            file.path, file.identity, file.size, upload_id, buckets.COPY_SIZE, MD5
        )
        writer = CheckpointWriter(bucket, layout.checkpoint_key(file.path), checkpoint)
        writers.append(writer)
        writer.write(checkpoint)
        on_checkpoint(writer)

    copied = None
    try:
        copied = bucket.copy_file(
            source.key, source.etag, key, file, layout.commit, write_checkpoint
        )
        return copied
    finally:
        for writer in writers:
            with suppress(FluidModelError):
                upload_id = writer.latest.upload_id
                if copied or bucket.abort_multipart_upload(key, upload_id):
                    writer.delete()
