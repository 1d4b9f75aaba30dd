"""The multipart upload of one file: parts are stored in any order, and hashed in order.

The upload is completed only when all parts are stored and the file's hash matches the Hub's. Until
then there is no object, and another run can resume from the checkpoint. Two runs may stage the same
file at the same time, because their parts have the same bytes.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Mapping

from kubectl_fluidmodel.errors import FluidModelError
from kubectl_fluidmodel.hub.file_reader import HubFileReader
from kubectl_fluidmodel.model.plan import PlanFile
from kubectl_fluidmodel.objectstore.layout import StagingLayout
from kubectl_fluidmodel.records import dataclass
from kubectl_fluidmodel.stage import parts, resumable_sha256
from kubectl_fluidmodel.stage.bucket import Bucket, ObjectInfo
from kubectl_fluidmodel.stage.checkpoint import CRC32, UploadCheckpoint, UploadedPart
from kubectl_fluidmodel.stage.checkpoint_writer import CheckpointWriter
from kubectl_fluidmodel.stage.errors import checksum_mismatch
from kubectl_fluidmodel.stage.file_hasher import Crc32, FileHasher
from kubectl_fluidmodel.stage.multipart import NoSuchUploadError, OperationUnavailableError
from kubectl_fluidmodel.stage.ordered_hasher import OrderedHasher

_MAX_CHECKPOINTS = 200
"""Checkpoints written per file. So a crash costs half a percent of the file, and the parts in
flight."""
_MIN_ASSEMBLY_RATE = 50e6
"""Bytes per second at which a store assembles an object; some copy the parts."""


class RestartRequiredError(Exception):
    """The upload is gone or cannot be resumed: the file restarts from its beginning."""


@dataclass(frozen=True)
class TransferContext:
    """What the upload of one file needs."""

    file: PlanFile
    layout: StagingLayout
    bucket: Bucket
    reader: HubFileReader
    part_size: int
    """Bytes of a part of a new upload."""
    max_part_size: int
    """Bytes of the largest part that fits into memory."""
    release_buffer: Callable[[bytearray], None]
    on_sent: Callable[[int], None]
    """Receives the bytes of each part that is stored."""
    log: Callable[[str], None]
    """Receives messages for the user."""

    @property
    def key(self) -> str:
        """Key of the object."""
        return self.layout.object_key(self.file.path)

    @property
    def assembly_timeout(self) -> float:
        """Seconds that the store may need to assemble the object."""
        return 2.0 + self.file.size / _MIN_ASSEMBLY_RATE

    def wait_for_object(self) -> ObjectInfo | None:
        """Wait until the store has assembled the object."""
        return self.bucket.wait_for_object(self.key, self.file, self.assembly_timeout)

    def log_restart(self, reason: str) -> None:
        """Report that an earlier run's upload is not resumed."""
        self.log(f"restarting {self.file.path}: {reason}")

    def abort_upload(self, upload_id: str) -> None:
        """Abort an upload, or report that its parts stay."""
        if not self.bucket.abort_multipart_upload(self.key, upload_id):
            self.log(
                f"the uploaded parts of {self.file.path} stay in the store: the credentials may "
                "not abort an upload; a lifecycle rule for incomplete uploads deletes them"
            )


def open_transfer(
    context: TransferContext, checkpoint: UploadCheckpoint | None
) -> MultipartTransfer:
    """Resume an earlier run's upload from its checkpoint, or start a new one."""
    if checkpoint is not None:
        transfer = _resume(context, checkpoint)
        if transfer is not None:
            return transfer
        context.abort_upload(checkpoint.upload_id)
    return _start(context)


def _start(context: TransferContext) -> MultipartTransfer:
    file = context.file
    upload_id, checksum = context.bucket.create_multipart_upload(
        context.key, file, context.layout.commit
    )
    checkpoint = UploadCheckpoint(
        file.path, file.identity, file.size, upload_id, context.part_size, checksum
    )
    transfer = MultipartTransfer(context, checkpoint, {}, 0)
    # Before the first part, so that an upload without a checkpoint has no parts.
    transfer.checkpoints.write(checkpoint)
    return transfer


def _resume(context: TransferContext, checkpoint: UploadCheckpoint) -> MultipartTransfer | None:
    """Resume an upload; None if the store does not have what the checkpoint says."""
    if not checkpoint.is_for(context.file):
        return None
    if checkpoint.part_size > context.max_part_size and not checkpoint.verified:
        context.log_restart("the parts of its upload are larger than --memory allows")
        return None
    try:
        stored = context.bucket.list_parts(context.key, checkpoint.upload_id)
    except NoSuchUploadError:
        return _completed_elsewhere(context, checkpoint) if checkpoint.verified else None
    except OperationUnavailableError as err:
        context.log_restart(f"the store does not list which parts it has ({err})")
        return None
    if not checkpoint.matches_parts(stored):
        return None
    uploaded = {number: stored[number] for number in range(checkpoint.parts_done)}
    # Where the hash cannot be resumed, the file is read again from its beginning, but only the
    # parts that the store does not have are uploaded.
    is_hashed = checkpoint.verified or _has_usable_state(checkpoint)
    parts_hashed = checkpoint.parts_done if is_hashed else 0
    transfer = MultipartTransfer(context, checkpoint, uploaded, parts_hashed)
    transfer.checkpoints.write(checkpoint)  # shows that the upload is active again
    return transfer


def _has_usable_state(checkpoint: UploadCheckpoint) -> bool:
    is_state = len(checkpoint.hash_state) == resumable_sha256.STATE_BYTES
    return is_state and resumable_sha256.is_available()


def _completed_elsewhere(
    context: TransferContext, checkpoint: UploadCheckpoint
) -> MultipartTransfer | None:
    """Wait for an object that the store may still assemble for a run that was killed."""
    info = context.wait_for_object()
    if info is None or not info.matches(context.file):
        return None
    return MultipartTransfer(context, checkpoint, {}, 0, existing_object=info)


class MultipartTransfer:
    """The upload of one file. Workers call `transfer_part` in parallel."""

    def __init__(
        self,
        context: TransferContext,
        checkpoint: UploadCheckpoint,
        uploaded: Mapping[int, UploadedPart],
        parts_hashed: int,
        *,
        existing_object: ObjectInfo | None = None,
    ) -> None:
        """Create it; nothing is sent.

        Args:
            context: the file, its source and its destination.
            checkpoint: the upload, and how far it is.
            uploaded: the leading parts that the store has.
            parts_hashed: the leading parts that need not be read.
            existing_object: the object, if the upload turned out to be completed.
        """
        self.file = context.file
        self.part_size = checkpoint.part_size
        self.resumed = checkpoint.parts_done > 0
        self.existing_bytes = (
            self.file.size if existing_object else sum(part.size for part in uploaded.values())
        )
        """Bytes that the store had before."""
        self.checkpoints = CheckpointWriter(
            context.bucket, context.layout.checkpoint_key(self.file.path), checkpoint
        )
        self._context = context
        self._existing_object = existing_object
        self._lock = threading.Lock()
        self._cancelled = self._completing = False
        self._uploaded = dict(uploaded)
        self._contiguous = len(uploaded)
        resumes_hash = parts_hashed and not checkpoint.verified
        hasher = (
            FileHasher(self.file, checkpoint.hash_state, parts_hashed * self.part_size)
            if resumes_hash
            else FileHasher(self.file)
        )
        self._hasher = OrderedHasher(hasher, parts_hashed, context.release_buffer)
        first = self.part_count if existing_object else parts_hashed
        self.pending = deque(range(first, self.part_count))
        """Numbers of the parts that no worker has taken yet, in order."""
        context.reader.set_read_order(number * self.part_size for number in self.pending)

    @property
    def part_count(self) -> int:
        """Number of parts of the file."""
        return parts.part_count(self.file.size, self.part_size)

    def part_bytes(self, number: int) -> int:
        """Bytes of a part."""
        start, end = parts.byte_range(number, self.file.size, self.part_size)
        return end - start

    # -- parts -------------------------------------------------------------------------------

    def transfer_part(self, number: int, buffer: bytearray) -> bool:
        """Read a part from the Hub, upload it, and hash it in its turn.

        Upload before hashing: the hashing worker also hashes other workers' parts, and an unsent
        part of its own would delay the checkpoint.

        Returns:
            True to the one worker that has to call `complete`.

        Raises:
            RestartRequiredError: the upload is gone.
            FluidModelError: the part cannot be read or stored.
        """
        checkpoint = self.checkpoints.latest
        with self._lock:
            is_stored = number in self._uploaded
        crc32 = Crc32() if checkpoint.checksum == CRC32 and not is_stored else None
        try:
            on_block = crc32.update if crc32 else None
            self._context.reader.read(number * self.part_size, memoryview(buffer), on_block)
            if not is_stored:
                checksum = crc32.base64() if crc32 else ""
                self._upload_part(checkpoint.upload_id, number, buffer, checksum)
        except BaseException:
            self._context.release_buffer(buffer)
            raise
        self._hasher.add(number, buffer)
        self.checkpoints.advance(self._next_checkpoint)
        return self.try_finish()

    def try_finish(self) -> bool:
        """Claim the completion of the upload.

        Returns:
            Whether all parts are stored and hashed; True only once, so that one worker completes.
        """
        with self._lock:
            is_transferred = self._hasher.parts_hashed == self.part_count == len(self._uploaded)
            if self._completing or not (self._existing_object or is_transferred):
                return False
            self._completing = True
            return True

    def _upload_part(self, upload_id: str, number: int, buffer: bytearray, crc32: str) -> None:
        context = self._context
        try:
            part = context.bucket.upload_part(context.key, upload_id, number, buffer, crc32)
        except NoSuchUploadError as err:
            raise RestartRequiredError from err
        with self._lock:
            self._uploaded[number] = part
            while self._contiguous in self._uploaded:
                self._contiguous += 1
        context.on_sent(part.size)

    def _next_checkpoint(self) -> UploadCheckpoint | None:
        """The checkpoint of the parts done, if it is far enough ahead of the last one."""
        latest = self.checkpoints.latest
        with self._lock:
            parts_done = min(self._contiguous, self._hasher.parts_hashed)
            advance = parts_done - latest.parts_done
            if advance * _MAX_CHECKPOINTS < self.part_count or parts_done == self.part_count:
                return None
            state = self._hasher.state_after(parts_done)
            return latest.advanced_to(parts_done, self._uploaded, state)

    # -- the end -----------------------------------------------------------------------------

    def cancel(self) -> bool:
        """Give up: start no more parts, and release the waiting ones.

        Returns:
            False if it was cancelled before.
        """
        self._context.reader.cancel()
        with self._lock:
            if self._cancelled:
                return False
            self._cancelled = True
            self.pending.clear()
        self.checkpoints.close()
        self._hasher.cancel()
        return True

    def complete(self) -> str:
        """Verify the file's hash and have the store assemble the object.

        Returns:
            The object's ETag.

        Raises:
            RestartRequiredError: the upload is gone, or a resumed upload has the wrong hash, which
                the earlier run may have caused.
            ChecksumMismatchError: the Hub sent other bytes than those of the listed file.
        """
        context = self._context
        context.reader.close()
        info = self._existing_object or self._complete_upload()
        if info is None or info.size != self.file.size:
            raise RestartRequiredError
        if info.identity != self.file.identity:
            raise FluidModelError(
                f"the store does not keep the metadata of s3://{context.bucket.name}/{context.key}",
                "it differs from what the upload was started with",
                "a store that keeps x-amz-meta-* headers",
            )
        self.checkpoints.delete()
        return info.etag

    def _complete_upload(self) -> ObjectInfo | None:
        context, checkpoint = self._context, self.checkpoints.latest
        if not checkpoint.verified:
            if not self._hasher.matches():
                if self.resumed:
                    raise RestartRequiredError
                self.discard()
                raise checksum_mismatch(self.file)
            self.checkpoints.write(checkpoint.completed(self._uploaded))
        try:
            context.bucket.complete_multipart_upload(
                context.key, checkpoint.upload_id, dict(self._uploaded), context.assembly_timeout
            )
        except NoSuchUploadError:  # a response was lost, or another run was faster
            return context.wait_for_object()
        info = context.wait_for_object()
        if info is None and context.bucket.denied_error is not None:
            raise context.bucket.denied_error
        return info

    def discard(self) -> None:
        """Abort the upload and delete its checkpoint."""
        self._context.abort_upload(self.checkpoints.latest.upload_id)
        self.checkpoints.delete()
