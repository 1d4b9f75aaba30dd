"""Writes the checkpoint of one upload: as it advances, and to show that it is active."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from kubectl_fluidmodel.stage import checkpoint as checkpoints
from kubectl_fluidmodel.stage.bucket import Bucket
from kubectl_fluidmodel.stage.checkpoint import UploadCheckpoint


class CheckpointWriter:
    """The checkpoint object of one upload. Safe to share between threads."""

    def __init__(self, bucket: Bucket, key: str, checkpoint: UploadCheckpoint) -> None:
        """Start with a checkpoint that is not written yet; `key` is the object's."""
        self.latest = checkpoint
        self._bucket, self._key = bucket, key
        self._lock = threading.Lock()
        self._written_at = 0.0
        self._is_closed = False

    def write(self, checkpoint: UploadCheckpoint) -> None:
        """Write a checkpoint, after any that another thread is writing."""
        with self._lock:
            self._write(checkpoint)

    def advance(self, next_checkpoint: Callable[[], UploadCheckpoint | None]) -> None:
        """Write the next checkpoint if there is one, unless another thread is writing one."""
        if not self._lock.acquire(blocking=False):
            return
        try:
            checkpoint = None if self._is_closed else next_checkpoint()
            if checkpoint is not None:
                self._write(checkpoint)
        finally:
            self._lock.release()

    def refresh(self) -> None:
        """Write the latest checkpoint again if it is old, to show that the upload is active."""
        is_old = time.monotonic() - self._written_at >= checkpoints.REFRESH_INTERVAL / 2
        self.advance(lambda: self.latest if is_old else None)

    def close(self) -> None:
        """Write no more checkpoints; the object stays."""
        self._is_closed = True

    def delete(self) -> None:
        """Delete the object, and write no more checkpoints."""
        with self._lock:
            self._is_closed = True
            self._bucket.delete_object(self._key)

    def _write(self, checkpoint: UploadCheckpoint) -> None:
        self._bucket.write_object(self._key, checkpoint.to_json())
        self.latest, self._written_at = checkpoint, time.monotonic()
