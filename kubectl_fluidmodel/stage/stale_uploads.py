"""Leftover uploads: those that a record of ours names, and no others."""

from __future__ import annotations

from dataclasses import dataclass

from kubectl_fluidmodel.errors import FluidModelError
from kubectl_fluidmodel.objectstore.layout import STATE_DIR, BucketPrefix, StagingLayout
from kubectl_fluidmodel.objectstore.s3 import S3Store
from kubectl_fluidmodel.stage.bucket import Bucket, NoSuchUploadError, OperationUnavailableError
from kubectl_fluidmodel.stage.checkpoint import ALIVE, parse_checkpoint


@dataclass(frozen=True)
class StaleUpload:
    """One unfinished upload of ours."""

    commit: str
    path: str
    bytes: int
    """What its parts take in the store."""
    age: float
    """Seconds since it last went on."""
    aborted: bool


def abort_stale_uploads(
    store: S3Store, destination: BucketPrefix, repo: str, min_age: float, *, dry_run: bool = False
) -> list[StaleUpload]:
    """Abort the uploads of a model, of any commit, that have not gone on for `older` seconds.

    An upload is ours if a record beside the model names it; parts are only ever uploaded after
    the record was written. Whoever is at one writes its record again and again, however slowly
    its parts go; so one whose record is younger than that is alive, whatever `older` is. Ages
    are those of the store's clock.

    Raises:
        FluidModelError: the uploads may not be seen or not be aborted.
    """
    min_age = max(min_age, ALIVE)
    bucket = Bucket(store, destination.bucket, retry_timeout=15.0)
    prefix = f"{StagingLayout(destination, repo, '').model_prefix}/{STATE_DIR}/"
    found = []
    for key, age in _list_with_age(bucket, prefix):
        commit, _, rest = key[len(prefix) :].partition("/")
        if not rest.startswith("uploads/"):
            continue
        checkpoint = parse_checkpoint(bucket.read_object(key) or b"")
        if checkpoint is None:
            continue
        layout = StagingLayout(destination, repo, commit)
        try:
            held = bucket.list_parts(layout.object_key(checkpoint.path), checkpoint.upload_id)
        except (NoSuchUploadError, OperationUnavailableError):
            held = {}
        # Looked at once more: meanwhile somebody may have gone on with it.
        is_stale = age >= min_age and all(now >= min_age for _, now in _list_with_age(bucket, key))
        if is_stale and not dry_run:
            if not bucket.abort_multipart_upload(
                layout.object_key(checkpoint.path), checkpoint.upload_id
            ):
                raise FluidModelError(
                    f"cannot abort the upload of {checkpoint.path}",
                    "the credentials may not do that",
                    f"give them s3:AbortMultipartUpload on {destination.uri}",
                )
            bucket.delete_object(key)
        size = sum(part.size for part in held.values())
        found.append(StaleUpload(commit, checkpoint.path, size, age, is_stale))
    return found


def _list_with_age(bucket: Bucket, prefix: str) -> list[tuple[str, float]]:
    try:
        return sorted(bucket.list_with_age(prefix))
    except OperationUnavailableError as err:
        raise FluidModelError(
            f"cannot look for leftover uploads in s3://{bucket.name}/{prefix}",
            str(err),
            f"give the credentials s3:ListBucket on {bucket.name}",
        ) from err
