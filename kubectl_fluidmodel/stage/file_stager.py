"""Carries out the tasks of a run: small files, and the opening, parts and end of large ones."""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable

from kubectl_fluidmodel.errors import FluidModelError
from kubectl_fluidmodel.hub.client import HubClient
from kubectl_fluidmodel.hub.file_reader import HubFileReader
from kubectl_fluidmodel.model.plan import PlanFile, StagingPlan
from kubectl_fluidmodel.net.retry_budget import CancelledError
from kubectl_fluidmodel.objectstore.layout import StagingLayout
from kubectl_fluidmodel.records import dataclass
from kubectl_fluidmodel.stage.bucket import Bucket
from kubectl_fluidmodel.stage.bucket_copy import BucketCopy
from kubectl_fluidmodel.stage.checkpoint_writer import CheckpointWriter
from kubectl_fluidmodel.stage.counters import TransferCounters
from kubectl_fluidmodel.stage.errors import FileStagingError, checksum_mismatch
from kubectl_fluidmodel.stage.events import Event, FileDone, FileFailed, Message
from kubectl_fluidmodel.stage.file_hasher import FileHasher
from kubectl_fluidmodel.stage.options import TransferOptions
from kubectl_fluidmodel.stage.parts import choose_part_size
from kubectl_fluidmodel.stage.reuse import ReusableFiles
from kubectl_fluidmodel.stage.scheduler import (
    OpenFileTask,
    PartTask,
    Scheduler,
    SmallFileTask,
    Task,
)
from kubectl_fluidmodel.stage.staged_files import StagedFiles
from kubectl_fluidmodel.stage.transfer import (
    MultipartTransfer,
    RestartRequiredError,
    TransferContext,
    open_transfer,
)

_MAX_STARTS = 3
"""Maximum starts of one file in a run."""


@dataclass(frozen=True)
class RunContext:
    """What the tasks of one run share."""

    plan: StagingPlan
    options: TransferOptions
    layout: StagingLayout
    bucket: Bucket
    hub: HubClient
    staged_files: StagedFiles
    reusable_files: ReusableFiles
    counters: TransferCounters
    scheduler: Scheduler
    stop: threading.Event
    emit: Callable[[Event], None]
    buffer_budget: int
    """Bytes of memory for parts."""


class FileStager:
    """Carries out tasks; workers call `run_task` in parallel."""

    def __init__(self, run: RunContext) -> None:
        self._run = run
        self._lock = threading.Lock()
        self._starts: dict[str, int] = {}
        self._in_flight: dict[str, CheckpointWriter] = {}

    def run_task(self, task: Task) -> None:
        """Carry out one task.

        Raises:
            FileStagingError: this file cannot be staged.
            CancelledError: the run is stopped.
            FluidModelError: no file can be staged.
        """
        scheduler = self._run.scheduler
        if isinstance(task, SmallFileTask):
            try:
                self._stage_small_file(task.file, task.buffer)
            finally:
                scheduler.release_buffer(task.buffer)
        elif isinstance(task, OpenFileTask):
            transfer = None
            try:
                transfer = self._open_file(task.file)
            finally:
                scheduler.file_opened(transfer)
        else:
            self._transfer_part(task)

    def fail(self, task: Task, err: FluidModelError) -> bool:
        """Give up a file.

        Returns:
            False if another of its parts has failed before.
        """
        if isinstance(task, PartTask):
            if not task.transfer.cancel():
                return False
            self._run.scheduler.file_closed(task.transfer)
        path = task.transfer.file.path if isinstance(task, PartTask) else task.file.path
        self._run.counters.file_failed(path)
        self._run.emit(FileFailed(path, str(err)))
        return True

    def refresh_checkpoints(self) -> None:
        """Show that the uploads in flight are active, however slow they are."""
        with self._lock:
            writers = list(self._in_flight.values())
        for writer in writers:
            try:
                writer.refresh()
            except FluidModelError as err:
                self._run.counters.retried(err.reason)  # the parts fail with it, too

    # -- tasks -------------------------------------------------------------------------------

    def _stage_small_file(self, file: PlanFile, buffer: bytearray) -> None:
        """Stage a file with one request, after its hash is verified."""
        if self._already_staged(file) or self._copied_from_other_commit(file):
            return
        run = self._run
        run.counters.file_started(file.path)
        view = memoryview(buffer)
        self._reader(file).read(0, view)
        hasher = FileHasher(file)
        hasher.update(view)
        if not hasher.matches():
            raise checksum_mismatch(file)
        key = run.layout.object_key(file.path)
        etag = run.bucket.put_file(key, buffer, file, run.plan.commit)
        self._count_sent(file, file.size)
        self._mark_done(file, etag, "staged")

    def _open_file(self, file: PlanFile) -> MultipartTransfer | None:
        """Resume or start an upload; None if no parts have to be transferred."""
        if self._already_staged(file) or self._copied_from_other_commit(file):
            return None
        run = self._run
        run.counters.file_started(file.path)
        budget = run.buffer_budget
        context = TransferContext(
            file=file,
            layout=run.layout,
            bucket=run.bucket,
            reader=self._reader(file),
            part_size=choose_part_size(file.size, budget, run.options.part_size),
            max_part_size=budget,
            release_buffer=run.scheduler.release_buffer,
            on_sent=lambda count: self._count_sent(file, count),
            log=lambda text: run.emit(Message(text)),
        )
        transfer = open_transfer(context, run.staged_files.checkpoint_for(file))
        self._track(file, transfer.checkpoints)
        run.counters.add_existing(file.path, transfer.existing_bytes)
        if transfer.try_finish():
            self._complete_file(transfer)
            return None
        return transfer

    def _transfer_part(self, task: PartTask) -> None:
        transfer = task.transfer
        try:
            if transfer.transfer_part(task.number, task.buffer):
                self._complete_file(transfer)
        except RestartRequiredError:
            self._restart_file(transfer)
        except CancelledError:
            if self._run.stop.is_set():
                raise  # else only this file is cancelled

    def _complete_file(self, transfer: MultipartTransfer) -> None:
        try:
            etag = transfer.complete()
        except RestartRequiredError:
            self._restart_file(transfer)
            return
        self._run.scheduler.file_closed(transfer)
        self._mark_done(transfer.file, etag, "resumed" if transfer.resumed else "staged")

    def _restart_file(self, transfer: MultipartTransfer) -> None:
        """Start a file again: its upload is gone, or an earlier run's part is damaged."""
        if not transfer.cancel():
            return  # another worker restarts it
        run, file = self._run, transfer.file
        run.scheduler.file_closed(transfer)
        transfer.discard()
        self._starts[file.path] = self._starts.get(file.path, 0) + 1
        if self._starts[file.path] >= _MAX_STARTS:
            raise FileStagingError(
                f"the upload of {file.path} disappeared {_MAX_STARTS} times",
                "another program or a lifecycle rule of the bucket aborts it",
                f"check the lifecycle rules of bucket {run.bucket.name}",
            )
        run.emit(Message(f"restarting {file.path}: its partial upload cannot be resumed"))
        run.counters.file_restarted(file.path)
        run.staged_files.refresh_file(file)
        run.scheduler.requeue(file)

    # -- outcomes ----------------------------------------------------------------------------

    def _already_staged(self, file: PlanFile) -> bool:
        """Whether the object exists already; it is then marked as done."""
        etag = self._run.staged_files.find_and_clean(file)
        if not etag:
            return False
        self._run.counters.add_existing(file.path, file.size)
        self._mark_done(file, etag, "found")
        return True

    def _copied_from_other_commit(self, file: PlanFile) -> bool:
        """Copy the file within the bucket if another commit has it; it is then marked as done.

        A started upload that has verified parts goes on instead.
        """
        run = self._run
        reusable = run.reusable_files.find(file) if file.size else None
        if reusable is None:
            return False
        checkpoint = run.staged_files.checkpoint_for(file)
        if checkpoint is not None:
            if checkpoint.parts_done or checkpoint.verified:
                return False
            run.staged_files.drop_upload(file)
        track = functools.partial(self._track, file)
        copied = BucketCopy(run.bucket, run.layout, reusable, file, track).run()
        if copied is None:
            run.reusable_files.forget(file)
            self._untrack(file)
            return False
        run.counters.add_existing(file.path, file.size)
        self._mark_done(file, copied.etag, "copied")
        return True

    def _track(self, file: PlanFile, writer: CheckpointWriter) -> None:
        with self._lock:
            self._in_flight[file.path] = writer

    def _untrack(self, file: PlanFile) -> None:
        with self._lock:
            self._in_flight.pop(file.path, None)

    def _mark_done(self, file: PlanFile, etag: str, outcome: str) -> None:
        self._run.staged_files.mark_verified(file, etag)
        self._run.counters.file_done(file.path)
        self._untrack(file)
        self._run.emit(FileDone(file.path, file.size, outcome))

    def _count_sent(self, file: PlanFile, count: int) -> None:
        self._run.counters.add_sent(count)
        self._run.counters.add_done(file.path, count)

    def _reader(self, file: PlanFile) -> HubFileReader:
        run = self._run
        return HubFileReader(
            run.hub,
            run.plan,
            file,
            retry_timeout=run.options.retry_timeout,
            stop=run.stop,
            on_bytes=lambda count: run.counters.add_read(file.path, count),
            on_retry=run.counters.retried,
        )
