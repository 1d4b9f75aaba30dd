"""How much of a plan is in the bucket already. Reads only."""

from __future__ import annotations

from kubectl_fluidmodel.model.plan import PlanFile, StagingPlan
from kubectl_fluidmodel.objectstore.layout import BucketPrefix, StagingLayout
from kubectl_fluidmodel.objectstore.s3 import S3Store
from kubectl_fluidmodel.records import dataclass
from kubectl_fluidmodel.stage.bucket import open_bucket
from kubectl_fluidmodel.stage.multipart import NoSuchUploadError, OperationUnavailableError
from kubectl_fluidmodel.stage.reuse import ReusableFiles
from kubectl_fluidmodel.stage.staged_files import StagedFiles


@dataclass(frozen=True)
class StagingStatus:
    """How far a plan is staged; bytes are of files at the Hub."""

    bucket_exists: bool
    files: int = 0
    bytes: int = 0
    """Of complete files whose recorded hash is the plan's."""
    resumable_bytes: int = 0
    """Of unfinished uploads that another run resumes."""
    remaining_bytes: int = 0
    """Of the rest: to be read from the Hub."""
    copied_bytes: int = 0
    """Of other files that a run copies from other commits, within the bucket."""
    has_manifest: bool = False
    """Whether a manifest has all files of the plan."""


def read_status(store: S3Store, plan: StagingPlan, destination: BucketPrefix) -> StagingStatus:
    """Look up what a run would look up.

    Raises:
        FluidModelError: the store refuses a request.
        UnreachableError: the store does not respond.
    """
    bucket = open_bucket(store, destination.bucket)
    if not bucket.exists():
        return StagingStatus(False, remaining_bytes=plan.bytes)
    layout = StagingLayout(destination, plan.repo, plan.commit)
    staged_files, reusable = StagedFiles(bucket, layout), ReusableFiles(bucket, layout)
    staged_files.refresh()
    existing = [file for file in plan.files if staged_files.existing_etag(file)]
    existing_bytes = sum(file.size for file in existing)
    missing = set(plan.files) - set(existing)
    copied = {file for file in missing if file.size and reusable.find(file)}
    copied_bytes = sum(file.size for file in copied)
    resumable_bytes = sum(_resumable_bytes(staged_files, file) for file in missing - copied)
    return StagingStatus(
        True,
        len(existing),
        existing_bytes,
        resumable_bytes,
        plan.bytes - existing_bytes - resumable_bytes - copied_bytes,
        copied_bytes,
        has_manifest=staged_files.has_complete_manifest(plan),
    )


def _resumable_bytes(staged_files: StagedFiles, file: PlanFile) -> int:
    """Bytes of a file that an earlier run stored, hashed and recorded in its checkpoint."""
    checkpoint = staged_files.checkpoint_for(file)
    if checkpoint is None or not checkpoint.parts_done or not checkpoint.is_for(file):
        return 0
    key = staged_files.layout.object_key(file.path)
    try:
        parts = staged_files.bucket.list_parts(key, checkpoint.upload_id)
    except (NoSuchUploadError, OperationUnavailableError):
        return 0
    if not checkpoint.matches_parts(parts):
        return 0
    return min(file.size, checkpoint.parts_done * checkpoint.part_size)
