"""What a bucket holds of a plan already. It reads, and writes nothing."""

from __future__ import annotations

from dataclasses import dataclass

from kubectl_fluidmodel.model.plan import PlanFile, StagingPlan
from kubectl_fluidmodel.objectstore.layout import BucketPrefix, StagingLayout
from kubectl_fluidmodel.objectstore.s3 import S3Store
from kubectl_fluidmodel.stage.bucket import Bucket, NoSuchUploadError, OperationUnavailableError
from kubectl_fluidmodel.stage.staged_files import StagedFiles

_RETRY_TIMEOUT = 15.0
"""Seconds to try to reach the store."""


@dataclass(frozen=True)
class StagingStatus:
    """How far a plan is staged; bytes are of files at the Hub."""

    bucket_exists: bool
    """Whether the bucket is there."""
    files: int = 0
    bytes: int = 0
    """Whole files whose recorded hash is the plan's."""
    resumable_bytes: int = 0
    """Bytes of unfinished uploads that another run goes on from."""
    remaining_bytes: int = 0
    """Bytes to be read from the Hub."""
    has_manifest: bool = False
    """Whether a manifest says that all of it is there."""


def read_status(store: S3Store, plan: StagingPlan, destination: BucketPrefix) -> StagingStatus:
    """Look at everything that a run would look at.

    Raises:
        FluidModelError: the store refuses to be looked at.
        UnreachableError: it does not answer.
    """
    bucket = Bucket(store, destination.bucket, retry_timeout=_RETRY_TIMEOUT)
    if not bucket.exists():
        return StagingStatus(False, remaining_bytes=plan.bytes)
    staged_files = StagedFiles(bucket, StagingLayout(destination, plan.repo, plan.commit))
    staged_files.refresh()
    there = [file for file in plan.files if staged_files.existing_etag(file)]
    held = sum(file.size for file in there)
    begun = sum(_resumable_bytes(staged_files, file) for file in set(plan.files) - set(there))
    return StagingStatus(
        True,
        len(there),
        held,
        begun,
        plan.bytes - held - begun,
        has_manifest=staged_files.has_complete_manifest(plan),
    )


def _resumable_bytes(staged_files: StagedFiles, file: PlanFile) -> int:
    """Bytes of a file that an earlier run stored, hashed and noted down."""
    checkpoint = staged_files.checkpoint_for(file)
    if checkpoint is None or not checkpoint.done or not checkpoint.is_for(file):
        return 0
    try:
        held = staged_files.bucket.list_parts(
            staged_files.layout.object_key(file.path), checkpoint.upload_id
        )
    except (NoSuchUploadError, OperationUnavailableError):
        return 0
    return (
        min(file.size, checkpoint.done * checkpoint.part_size)
        if checkpoint.matches_parts(held)
        else 0
    )
