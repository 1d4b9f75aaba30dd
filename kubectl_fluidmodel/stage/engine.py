"""The transfer: a plan, a store, and events until all of it is there.

    for event in stage(plan, store, destination("s3://models"), Options()):
        …

Ends with an `Ended` event; raises what is in the way. Interrupted at any point, by whatever,
the same call goes on from what the store holds.
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Iterator

from kubectl_fluidmodel.errors import FluidModelError
from kubectl_fluidmodel.hub.client import HubClient
from kubectl_fluidmodel.hub.file_reader import HubFileReader
from kubectl_fluidmodel.model.plan import PlanFile, StagingPlan
from kubectl_fluidmodel.net.retry_budget import CancelledError
from kubectl_fluidmodel.objectstore import s3 as stores
from kubectl_fluidmodel.objectstore.layout import BucketPrefix, StagingLayout
from kubectl_fluidmodel.objectstore.s3 import S3Store
from kubectl_fluidmodel.stage import buffer_pool, checkpoint, parts
from kubectl_fluidmodel.stage.bucket import Bucket
from kubectl_fluidmodel.stage.counters import TransferCounters
from kubectl_fluidmodel.stage.errors import FileStagingError, PartialFailureError, checksum_mismatch
from kubectl_fluidmodel.stage.events import Began, Ended, Event, FileDone, FileFailed, Note
from kubectl_fluidmodel.stage.file_hasher import FileHasher
from kubectl_fluidmodel.stage.options import TransferOptions
from kubectl_fluidmodel.stage.scheduler import (
    OpenFileTask,
    PartTask,
    Scheduler,
    SmallFileTask,
    Task,
)
from kubectl_fluidmodel.stage.staged_files import StagedFiles
from kubectl_fluidmodel.stage.transfer import MultipartTransfer, RestartRequiredError

_FIRST_CONTACT = 15.0
"""Seconds to try to reach the store at all: a wrong address should not take minutes to tell."""
_BRANCH_CHECK_TIMEOUT = 5.0
"""Seconds to ask whether the branch has moved: it is worth a line, and no wait."""
_MAX_STARTS = 3
"""Times that one file is begun anew in one run."""


def stage_plan(
    plan: StagingPlan,
    store: S3Store,
    destination: BucketPrefix,
    options: TransferOptions | None = None,
    hub: HubClient | None = None,
) -> Iterator[Event]:
    """Bring the files of a plan into a bucket.

    Raises:
        FluidModelError: what is in the way; SomeFailed where only some files are.
        UnreachableError: the hub or the store.
    """
    return TransferEngine(
        plan, store, destination, (options or TransferOptions()).validated(), hub
    ).run()


class TransferEngine:
    """One run."""

    def __init__(
        self,
        plan: StagingPlan,
        store: S3Store,
        destination: BucketPrefix,
        options: TransferOptions,
        hub: HubClient | None,
    ) -> None:
        self.plan, self.options = plan, options
        self.layout = StagingLayout(destination, plan.repo, plan.commit)
        self._stop = threading.Event()
        self._events: queue.Queue[Event] = queue.Queue()
        self._hub = hub or HubClient(stall_timeout=options.stall, connections=options.workers + 2)
        self.assignment = parts.assign_shards(plan.files, options.shards)[options.shard]
        self.counters = TransferCounters(self.assignment.files)
        self.bucket = Bucket(
            store,
            destination.bucket,
            connections=options.workers + 4,
            retry_timeout=options.patience,
            no_answer_timeout=_FIRST_CONTACT,
            stall_timeout=options.stall,
            stop=self._stop,
            on_retry=self.counters.retried,
        )
        self._buffer_budget = buffer_pool.room(options.memory)
        self._default_part_size = parts.choose_part_size(0, self._buffer_budget, options.part_size)
        self._buffers = buffer_pool.BufferPool(self._buffer_budget)
        self.staged_files = StagedFiles(self.bucket, self.layout)
        self._starts: dict[str, int] = {}
        self._in_flight: dict[str, MultipartTransfer] = {}
        self._failures: list[FileStagingError] = []
        self._fatal: FluidModelError | None = None
        self._lock = threading.Lock()

    # -- the run -----------------------------------------------------------------------------

    def run(self) -> Iterator[Event]:
        began = time.monotonic()
        buffer_pool.require_part_fits(self.assignment.files, self._buffer_budget, self.options)
        ends = stores.expiry_warning(self.bucket.store)
        if ends:
            yield Note(ends)
        if self.bucket.create_if_missing():
            yield Note(f"bucket {self.bucket.name} did not exist: made it")
        self.staged_files.refresh()
        yield Began(
            self.plan.uri,
            self.layout.uri,
            self.assignment.bytes,
            len(self.assignment.files),
            self.options.shard,
            self.options.shards,
        )
        self._scheduler = Scheduler(
            list(self.assignment.files),
            self._is_small,
            self._buffers,
            self._stop,
            self.options.workers,
        )
        threads = [
            threading.Thread(
                target=self._run_worker, args=(number,), name=f"stage-{number}", daemon=True
            )
            for number in range(self.options.workers)
        ]
        for thread in threads:
            thread.start()
        threading.Thread(target=self._refresh_checkpoints, name="stage-pulse", daemon=True).start()
        try:
            while any(thread.is_alive() for thread in threads):
                yield from self._drain_events(self.options.tick)
                yield self.counters.progress()
            yield from self._drain_events(0)
            yield self.counters.progress()
        finally:
            self._stop.set()
            self._scheduler.wake()
        if self._fatal is not None:
            raise self._fatal
        if self._failures:
            raise PartialFailureError(self.plan.repo, self._failures)
        if not self.staged_files.has_verified(self.assignment.files):
            raise FluidModelError("staging ended early", "", "the same command again goes on")
        self._stop.clear()
        written = self.staged_files.write_manifest(self.plan)
        yield from self._check_branch()
        yield Ended(
            self.layout.uri,
            f"s3://{self.bucket.name}/{self.layout.manifest_key}" if written else "",
            self.assignment.bytes,
            len(self.assignment.files),
            self.counters.read,
            self.counters.sent,
            time.monotonic() - began,
        )

    def _drain_events(self, timeout: float) -> Iterator[Event]:
        """Events as they come, for so many seconds or until all is done."""
        deadline = time.monotonic() + timeout
        while True:
            try:
                yield self._events.get(timeout=max(0.0, min(0.05, deadline - time.monotonic())))
            except queue.Empty:
                if time.monotonic() >= deadline or self._scheduler.is_idle():
                    return

    # -- the workers -------------------------------------------------------------------------

    def _is_small(self, file: PlanFile) -> bool:
        return file.size <= self._default_part_size

    def _run_worker(self, number: int) -> None:
        # Every fourth worker looks for small files first.
        prefers_small = number % 4 == 3 or self.options.workers == 1
        while True:
            try:
                task = self._scheduler.next_task(prefers_small)
            except MemoryError as err:
                why = "there is not as much as --memory says"
                return self._abort_run(FluidModelError("out of memory", why, "less of it"), err)
            if task is None:
                return None
            try:
                self._run_task(task)
            except CancelledError:
                return None
            except FileStagingError as err:
                self._record_failure(task, err)
            except FluidModelError as err:
                self._abort_run(err)
            except Exception as err:  # noqa: BLE001 - a bug must end the run, not hang it
                self._abort_run(
                    FluidModelError("staging failed", f"{type(err).__name__}: {err}"), err
                )
            finally:
                self._scheduler.task_done(task)

    def _run_task(self, task: Task) -> None:
        if isinstance(task, SmallFileTask):
            try:
                self._stage_small_file(task.file, task.buffer)
            finally:
                self._scheduler.release_buffer(task.buffer)
        elif isinstance(task, OpenFileTask):
            transfer = None
            try:
                transfer = self._open_file(task.file)
            finally:
                self._scheduler.file_opened(transfer)
        else:
            self._transfer_part(task)

    def _stage_small_file(self, file: PlanFile, buffer: bytearray) -> None:
        """A file that goes up whole, when its hash is proven."""
        if self._already_staged(file):
            return
        self.counters.file_started(file.path)
        view = memoryview(buffer)
        self._open_reader(file).read(0, view)
        hasher = FileHasher(file)
        hasher.update(view)
        if not hasher.matches():
            raise checksum_mismatch(file)
        etag = self.bucket.put_file(
            self.layout.object_key(file.path), buffer, file, self.plan.commit
        )
        self.counters.add_sent(file.size)
        self.counters.add_done(file.path, file.size)
        self._mark_done(file, etag, "staged")

    def _open_file(self, file: PlanFile) -> MultipartTransfer | None:
        if self._already_staged(file):
            return None
        self.counters.file_started(file.path)
        transfer = MultipartTransfer(
            file,
            self.layout,
            self.bucket,
            self._open_reader(file),
            parts.choose_part_size(file.size, self._buffer_budget, self.options.part_size),
            self._scheduler.release_buffer,
            lambda count: self._count_sent(file, count),
            lambda text: self._events.put(Note(text)),
            max_part_size=self._buffer_budget,
        )
        with self._lock:
            self._in_flight[file.path] = transfer
        transfer.prepare(self.staged_files.checkpoint_for(file))
        self.counters.add_existing(file.path, transfer.existing_bytes)
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
            if self._stop.is_set():
                raise

    def _complete_file(self, transfer: MultipartTransfer) -> None:
        try:
            transfer.complete()
        except RestartRequiredError:
            self._restart_file(transfer)
            return
        self._scheduler.file_closed(transfer)
        self._mark_done(transfer.file, transfer.etag, "resumed" if transfer.resumed else "staged")

    def _restart_file(self, transfer: MultipartTransfer) -> None:
        """The file from its beginning: its upload is gone, or an earlier run's part is bad."""
        if not transfer.cancel():
            return  # another worker saw it first
        file = transfer.file
        self._scheduler.file_closed(transfer)
        transfer.discard()
        self._starts[file.path] = self._starts.get(file.path, 0) + 1
        if self._starts[file.path] >= _MAX_STARTS:
            raise FileStagingError(
                f"the upload of {file.path} disappears again and again",
                "somebody or a lifecycle rule of the bucket aborts it",
                f"look at the lifecycle rules of bucket {self.bucket.name}",
            )
        self._events.put(Note(f"{file.path} starts over: what an earlier run left does not do"))
        self.counters.file_restarted(file.path)
        self.staged_files.refresh_file(file)
        self._scheduler.requeue(file)

    def _refresh_checkpoints(self) -> None:
        """Show those who clean up that what is on its way is alive, however slowly it goes."""
        while not self._stop.wait(checkpoint.BEAT):
            with self._lock:
                transfers = list(self._in_flight.values())
            for each in transfers:
                try:
                    each.refresh_checkpoint()
                except CancelledError:
                    return
                except FluidModelError as err:
                    self.counters.retried(err.reason)  # the parts meet it too, and tell it

    # -- outcomes ----------------------------------------------------------------------------

    def _already_staged(self, file: PlanFile) -> bool:
        """Whether the object is there already; then it is noted down."""
        etag = self.staged_files.find_and_clean(file)
        if not etag:
            return False
        self.counters.add_existing(file.path, file.size)
        self._mark_done(file, etag, "found")
        return True

    def _mark_done(self, file: PlanFile, etag: str, how: str) -> None:
        self.staged_files.mark_verified(file, etag)
        self.counters.file_done(file.path)
        with self._lock:
            self._in_flight.pop(file.path, None)
        self._events.put(FileDone(file.path, file.size, how))

    def _record_failure(self, task: Task, err: FileStagingError) -> None:
        if isinstance(task, PartTask):
            if not task.transfer.cancel():
                return  # another of its parts has told it
            self._scheduler.file_closed(task.transfer)
        path = task.transfer.file.path if isinstance(task, PartTask) else task.file.path
        with self._lock:
            self._failures.append(err)
        self.counters.file_failed(path)
        self._events.put(FileFailed(path, str(err)))

    def _abort_run(self, err: FluidModelError, cause: BaseException | None = None) -> None:
        with self._lock:
            if self._fatal is None:
                self._fatal = err
                self._fatal.__cause__ = cause or err.__cause__
        self._stop.set()
        self._scheduler.wake()

    def _open_reader(self, file: PlanFile) -> HubFileReader:
        return HubFileReader(
            self._hub,
            self.plan.repo,
            self.plan.commit,
            file,
            retry_timeout=self.options.patience,
            stop=self._stop,
            on_bytes=lambda count: self.counters.add_read(file.path, count),
            on_retry=self.counters.retried,
        )

    def _count_sent(self, file: PlanFile, count: int) -> None:
        self.counters.add_sent(count)
        self.counters.add_done(file.path, count)

    # -- the end -----------------------------------------------------------------------------

    def _check_branch(self) -> Iterator[Event]:
        """Whether the branch has moved on since the plan was made."""
        if self.plan.revision == self.plan.commit:
            return
        try:
            now = self._hub.resolve_commit(
                self.plan.repo, self.plan.revision, retry_timeout=_BRANCH_CHECK_TIMEOUT
            )
        except FluidModelError:
            return  # it is staged; that the hub is away now does not matter
        if now != self.plan.commit:
            yield Note(
                f"{self.plan.revision} of {self.plan.repo} has moved to {now[:12]} meanwhile; "
                f"{self.plan.commit[:12]} is what was staged"
            )
