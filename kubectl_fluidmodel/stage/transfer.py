"""One file on its way: parts come in any order, go up at once, and are hashed in order.

The upload is completed only when all parts are stored and the hash of the whole is the one that
the Hub's tree names. Until then there is no object, and a record tells another run where to go
on. Two runs at the same file do no harm: the bytes are the same, so the parts are.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

from kubectl_fluidmodel.errors import FluidModelError
from kubectl_fluidmodel.hub.file_reader import HubFileReader
from kubectl_fluidmodel.model.plan import PlanFile
from kubectl_fluidmodel.objectstore.layout import StagingLayout
from kubectl_fluidmodel.stage import checkpoint, parts, resumable_sha256
from kubectl_fluidmodel.stage.bucket import (
    Bucket,
    NoSuchUploadError,
    ObjectInfo,
    OperationUnavailableError,
)
from kubectl_fluidmodel.stage.checkpoint import CRC32, UploadCheckpoint, UploadedPart
from kubectl_fluidmodel.stage.errors import checksum_mismatch
from kubectl_fluidmodel.stage.file_hasher import Crc32, FileHasher

_MAX_CHECKPOINTS = 200
"""Records written per file at the most: what a crash costs is half a percent of the file, and
the parts in flight."""
_MIN_ASSEMBLY_RATE = 50e6
"""Bytes per second at which a store puts parts together, at the least: some copy them."""


class RestartRequiredError(Exception):
    """What an earlier run left does not do, or the upload is gone: the file begins anew."""


@dataclass
class MultipartTransfer:
    """A file that goes up in parts."""

    file: PlanFile
    layout: StagingLayout
    bucket: Bucket
    reader: HubFileReader
    part_size: int
    release_buffer: Callable[[bytearray], None]
    on_sent: Callable[[int], None]
    log: Callable[[str], None]
    """Takes what is worth a line."""
    max_part_size: int = parts.MAX_PART
    """Bytes of the largest part that there is memory for."""
    resumed: bool = False
    existing_bytes: int = 0
    """Bytes that the store held already."""
    pending: deque[int] = field(default_factory=deque)
    etag: str = ""

    def __post_init__(self) -> None:
        self.key = self.layout.object_key(self.file.path)
        self._lock = threading.Lock()
        self._checkpoint_lock = threading.Lock()
        self._saved_checkpoint: UploadCheckpoint | None = None
        self._existing_object: ObjectInfo | None = None
        self._cancelled = self._completing = self._checkpoint_deleted = False
        self._saved_at = 0.0
        self._hasher = FileHasher(self.file)
        self._hashed = 0
        self._hashing = False
        self._unhashed: dict[int, bytearray] = {}
        self._hash_states: dict[int, bytes] = {}
        self._uploaded: dict[int, UploadedPart] = {}
        self._contiguous = 0

    # -- before ------------------------------------------------------------------------------

    def prepare(self, checkpoint: UploadCheckpoint | None) -> None:
        """Go on from what an earlier run left, or begin an upload."""
        if checkpoint is not None and not self._resume(checkpoint):
            self._abort_upload(checkpoint)
            checkpoint = None
        if checkpoint is None:
            self._start_upload()

    def _start_upload(self) -> None:
        upload, checksum = self.bucket.create_multipart_upload(
            self.key, self.file, self.layout.commit
        )
        checkpoint = UploadCheckpoint(
            self.file.path, self.file.identity, self.file.size, upload, self.part_size, checksum
        )
        # Before the first part: an upload of ours that nobody knows of holds nothing.
        self._write_checkpoint(checkpoint)
        self._queue_parts(0)

    def _resume(self, checkpoint: UploadCheckpoint) -> bool:
        """Go on from a record; False where the store does not hold what it says."""
        if not checkpoint.is_for(self.file):
            return False
        if checkpoint.part_size > self.max_part_size and not checkpoint.proven:
            self._log_restart("it was begun with parts that --memory has no room for")
            return False
        try:
            held = self.bucket.list_parts(self.key, checkpoint.upload_id)
        except NoSuchUploadError:
            return checkpoint.proven and self._completed_elsewhere(checkpoint)
        except OperationUnavailableError as err:
            self._log_restart(f"the store does not tell which parts it has of it ({err})")
            return False
        if not checkpoint.matches_parts(held):
            return False
        self.part_size = checkpoint.part_size
        self._write_checkpoint(checkpoint)  # from now on somebody is at it again
        done = checkpoint.done
        self._uploaded = {number: held[number] for number in range(done)}
        self._contiguous = done
        self.existing_bytes = sum(part.size for part in self._uploaded.values())
        self.resumed = done > 0
        if checkpoint.proven:
            self._hashed = done
        elif (
            done
            and len(checkpoint.state) == resumable_sha256.STATE_BYTES
            and resumable_sha256.is_available()
        ):
            self._hasher = FileHasher(self.file, checkpoint.state, done * self.part_size)
            self._hashed = done
            self._hash_states[done] = checkpoint.state
        # Where the hash cannot go on from its state, the file is read again from its beginning,
        # and only what the store does not have goes up.
        self._queue_parts(self._hashed)
        return True

    def _queue_parts(self, first: int) -> None:
        """All parts from this one on are to be read."""
        self.pending.extend(range(first, self.part_count))
        self.reader.set_read_order(number * self.part_size for number in self.pending)

    def _log_restart(self, reason: str) -> None:
        self.log(f"{self.file.path} starts over: {reason}")

    def _abort_upload(self, checkpoint: UploadCheckpoint) -> None:
        """Abort an upload."""
        if not self.bucket.abort_multipart_upload(self.key, checkpoint.upload_id):
            self.log(
                f"what was uploaded of {self.file.path} stays in the store: the credentials may "
                "not abort an upload; a lifecycle rule of the bucket drops it"
            )

    def _completed_elsewhere(self, checkpoint: UploadCheckpoint) -> bool:
        """Wait for the object: a run may be killed while the store puts the file together."""
        found = self._wait_for_object()
        if found is None or not found.matches(self.file):
            return False
        self._saved_checkpoint, self._existing_object, self.resumed = checkpoint, found, True
        self.existing_bytes = self.file.size
        return True

    def try_finish(self) -> bool:
        """Whether all parts are stored and hashed already; True once."""
        with self._lock:
            all_there = self._hashed == self.part_count == len(self._uploaded)
            self._completing = self._existing_object is not None or all_there
            return self._completing

    # -- a part ------------------------------------------------------------------------------

    @property
    def part_count(self) -> int:
        """Parts of the file."""
        return parts.part_count(self.file.size, self.part_size)

    def part_bytes(self, number: int) -> int:
        """Bytes of a part."""
        start, end = parts.byte_range(number, self.file.size, self.part_size)
        return end - start

    def transfer_part(self, number: int, buffer: bytearray) -> bool:
        """Bring a part in, send it up and hash it in its turn; True when it was the last.

        It is sent first: who hashes goes on with what others have brought, and its own part,
        were it still to be sent, would hold up how far the record can say that the file is.

        Raises:
            RestartRequiredError: the upload is gone.
            FluidModelError: it cannot be done.
        """
        checkpoint = self._require_checkpoint()
        with self._lock:
            is_stored = number in self._uploaded
        crc = Crc32() if checkpoint.checksum == CRC32 and not is_stored else None
        try:
            self.reader.read(
                number * self.part_size, memoryview(buffer), crc.update if crc else None
            )
            if not is_stored:
                self._upload_part(checkpoint, number, buffer, crc.base64() if crc else "")
        except BaseException:
            self.release_buffer(buffer)
            raise
        self._hash_in_order(number, buffer)
        self._save_checkpoint()
        with self._lock:
            if self._completing or not self._hashed == self.part_count == len(self._uploaded):
                return False
            self._completing = True
            return True

    def _upload_part(
        self, checkpoint: UploadCheckpoint, number: int, buffer: bytearray, crc: str
    ) -> None:
        try:
            part = self.bucket.upload_part(self.key, checkpoint.upload_id, number, buffer, crc)
        except NoSuchUploadError as err:
            raise RestartRequiredError from err
        with self._lock:
            self._uploaded[number] = part
            while self._contiguous in self._uploaded:
                self._contiguous += 1
        self.on_sent(part.size)

    def _hash_in_order(self, number: int, buffer: bytearray) -> None:
        """Hash this part, and those behind it that wait; or leave it for who hashes now."""
        with self._lock:
            cancelled = self._cancelled
            if not cancelled:
                self._unhashed[number] = buffer
                if self._hashing:
                    return
                self._hashing = True
        if cancelled:
            self.release_buffer(buffer)
            return
        while True:
            with self._lock:
                next_buffer = self._unhashed.pop(self._hashed, None)
                if next_buffer is None:
                    self._hashing = False
                    return
            self._hasher.update(memoryview(next_buffer))
            with self._lock:
                self._hashed += 1
                self._hash_states[self._hashed] = self._hasher.export_state()
            self.release_buffer(next_buffer)

    def cancel(self) -> bool:
        """Give up: no part is begun any more, and what waits is let go. False if it was dead."""
        self.reader.cancel()
        with self._lock:
            if self._cancelled:
                return False
            self._cancelled = True
            self.pending.clear()
            buffers = list(self._unhashed.values())
            self._unhashed.clear()
        for buffer in buffers:
            self.release_buffer(buffer)
        return True

    def _save_checkpoint(self) -> None:
        """Write the record when it is far enough ahead of the last one."""
        if self._saved_checkpoint is None or not self._checkpoint_lock.acquire(blocking=False):
            return
        try:
            if self._checkpoint_deleted:
                return
            with self._lock:
                done = min(self._contiguous, self._hashed)
                if (
                    done - self._saved_checkpoint.done
                ) * _MAX_CHECKPOINTS < self.part_count or done == self.part_count:
                    return
                now = self._saved_checkpoint.advanced_to(
                    done, self._uploaded, self._hash_states.get(done, b"")
                )
                for old in [each for each in self._hash_states if each < done]:
                    del self._hash_states[old]
            self._write_checkpoint(now)
        finally:
            self._checkpoint_lock.release()

    def refresh_checkpoint(self) -> None:
        """Write the record again, so that others see that the upload is alive."""
        if not self._checkpoint_lock.acquire(blocking=False):
            return  # somebody writes it now
        try:
            over = self._cancelled or self._checkpoint_deleted or self._saved_checkpoint is None
            if not over and time.monotonic() - self._saved_at >= checkpoint.BEAT / 2:
                self._write_checkpoint(self._require_checkpoint())
        finally:
            self._checkpoint_lock.release()

    def _write_checkpoint(self, checkpoint: UploadCheckpoint) -> None:
        """Note down where the file stands."""
        self.bucket.write_object(self.layout.checkpoint_key(self.file.path), checkpoint.to_json())
        self._saved_checkpoint, self._saved_at = checkpoint, time.monotonic()

    def _delete_checkpoint(self) -> None:
        """Drop the record, and let nobody write it again."""
        with self._checkpoint_lock:
            self._checkpoint_deleted = True
            self.bucket.delete_object(self.layout.checkpoint_key(self.file.path))

    # -- after -------------------------------------------------------------------------------

    def complete(self) -> None:
        """Prove the file and make the object.

        Raises:
            RestartRequiredError: it resumed an earlier run and does not match, perhaps
                because of that run.
            ChecksumMismatchError: what came from the Hub is not the file that its tree names.
        """
        self.reader.close()
        object_info = self._existing_object or self._complete_upload()
        if object_info is None or object_info.size != self.file.size:
            raise RestartRequiredError
        if object_info.identity != self.file.identity:
            raise FluidModelError(
                f"the store does not keep what is said of s3://{self.bucket.name}/{self.key}",
                "its metadata is not what the upload was begun with",
                "a store that keeps x-amz-meta-* headers",
            )
        self.etag = object_info.etag
        self._delete_checkpoint()

    def _complete_upload(self) -> ObjectInfo | None:
        """Have the store make the object of its parts, once their hash was compared."""
        checkpoint = self._require_checkpoint()
        if not checkpoint.proven:
            if not self._hasher.matches():
                if self.resumed:
                    raise RestartRequiredError
                self.discard()
                raise checksum_mismatch(self.file)
            with self._checkpoint_lock:  # behind a worker that still writes how far it was
                self._write_checkpoint(checkpoint.completed(self._uploaded))
        try:
            self.bucket.complete_multipart_upload(
                self.key, checkpoint.upload_id, dict(self._uploaded), self._assembly_timeout
            )
        except NoSuchUploadError:  # an answer was lost, or another run was first
            return self._wait_for_object()
        found = self._wait_for_object()
        if found is None and self.bucket.denied_error is not None:
            raise self.bucket.denied_error
        return found

    def _wait_for_object(self) -> ObjectInfo | None:
        return self.bucket.wait_for_object(self.key, self.file, self._assembly_timeout)

    @property
    def _assembly_timeout(self) -> float:
        """Seconds that the store may take to put the file together."""
        return 2.0 + self.file.size / _MIN_ASSEMBLY_RATE

    def _require_checkpoint(self) -> UploadCheckpoint:
        if self._saved_checkpoint is None:
            raise RuntimeError("the file was not prepared")
        return self._saved_checkpoint

    def discard(self) -> None:
        """Abort the upload, and forget it."""
        if self._saved_checkpoint is not None:
            self._abort_upload(self._saved_checkpoint)
            self._delete_checkpoint()


def load_checkpoint(bucket: Bucket, layout: StagingLayout, path: str) -> UploadCheckpoint | None:
    """The record that an earlier run left of a file."""
    text = bucket.read_object(layout.checkpoint_key(path), missing_if_denied=True)
    return checkpoint.parse_checkpoint(text) if text is not None else None
