"""Stale uploads: unfinished ones that a checkpoint of ours names, and no others."""

from __future__ import annotations

from kubectl_fluidmodel.errors import FluidModelError
from kubectl_fluidmodel.objectstore.layout import STATE_DIR, BucketPrefix, StagingLayout
from kubectl_fluidmodel.objectstore.s3 import S3Store
from kubectl_fluidmodel.records import dataclass
from kubectl_fluidmodel.stage import checkpoint as checkpoints
from kubectl_fluidmodel.stage.bucket import Bucket, ObjectEntry, open_bucket
from kubectl_fluidmodel.stage.checkpoint import UploadCheckpoint
from kubectl_fluidmodel.stage.multipart import NoSuchUploadError, OperationUnavailableError


@dataclass(frozen=True)
class StaleUpload:
    """One unfinished upload of ours."""

    commit: str
    path: str
    bytes: int
    """Of its parts in the store."""
    age: float
    """Seconds since its checkpoint was written."""
    aborted: bool


def abort_stale_uploads(
    store: S3Store,
    destination: BucketPrefix,
    repo: str,
    min_age: float,
    *,
    dry_run: bool = False,
) -> list[StaleUpload]:
    """Abort the uploads of a model, of any commit, that made no progress for `min_age` seconds.

    An upload is ours if a checkpoint beside the model names it; parts are uploaded only after the
    checkpoint was written. A run rewrites the checkpoints of its uploads regularly, however slow
    its parts are. So an upload with a checkpoint younger than that is active, whatever `min_age`
    is. Ages are by the store's clock.

    Returns:
        All unfinished uploads; `aborted` says which are (or with `dry_run` would be) aborted.

    Raises:
        FluidModelError: the credentials may not list or abort uploads.
    """
    min_age = max(min_age, checkpoints.ACTIVE_FOR)
    bucket = open_bucket(store, destination.bucket)
    prefix = f"{StagingLayout(destination, repo, '').model_prefix}/{STATE_DIR}/"
    uploads = []
    for listed in _list_objects(bucket, prefix):
        key, age = listed.key, listed.age
        commit, _, rest = key[len(prefix) :].partition("/")
        if not rest.startswith("uploads/"):
            continue
        checkpoint = checkpoints.parse_checkpoint(bucket.read_object(key) or b"")
        if checkpoint is None:
            continue
        object_key = StagingLayout(destination, repo, commit).object_key(checkpoint.path)
        size = _stored_bytes(bucket, object_key, checkpoint)
        # Check again: another run may have resumed the upload in the meantime.
        is_stale = age >= min_age and all(
            entry.age >= min_age for entry in _list_objects(bucket, key)
        )
        if is_stale and not dry_run:
            _abort(bucket, object_key, checkpoint)
            bucket.delete_object(key)
        uploads.append(StaleUpload(commit, checkpoint.path, size, age, is_stale))
    return uploads


def _stored_bytes(bucket: Bucket, key: str, checkpoint: UploadCheckpoint) -> int:
    try:
        parts = bucket.list_parts(key, checkpoint.upload_id)
    except (NoSuchUploadError, OperationUnavailableError):
        return 0
    return sum(part.size for part in parts.values())


def _abort(bucket: Bucket, key: str, checkpoint: UploadCheckpoint) -> None:
    if not bucket.abort_multipart_upload(key, checkpoint.upload_id):
        raise FluidModelError(
            f"cannot abort the upload of {checkpoint.path}",
            "the credentials do not allow it",
            f"grant them s3:AbortMultipartUpload on s3://{bucket.name}",
        )


def _list_objects(bucket: Bucket, prefix: str) -> list[ObjectEntry]:
    try:
        return sorted(bucket.list_objects(prefix), key=lambda entry: entry.key)
    except OperationUnavailableError as err:
        raise FluidModelError(
            f"cannot look for stale uploads in s3://{bucket.name}/{prefix}",
            str(err),
            f"grant the credentials s3:ListBucket on {bucket.name}",
        ) from err
