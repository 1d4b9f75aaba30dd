"""The transfer: from a plan and a store to a stream of events until every file is staged.

    for event in stage_plan(plan, store, parse_bucket_prefix("s3://models"), options, hub):
        …

The last event is `Completed`; an error is raised. After an interruption of any kind the same call
resumes from what the store has.
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Iterator

from kubectl_fluidmodel.errors import FluidModelError
from kubectl_fluidmodel.hub.client import HubClient
from kubectl_fluidmodel.hub.range_request import HubFileError
from kubectl_fluidmodel.model.plan import StagingPlan
from kubectl_fluidmodel.net.retry_budget import CancelledError
from kubectl_fluidmodel.objectstore.layout import BucketPrefix, StagingLayout
from kubectl_fluidmodel.objectstore.s3 import S3Store
from kubectl_fluidmodel.objectstore.s3_credentials import expiry_warning
from kubectl_fluidmodel.stage import buffer_pool, parts
from kubectl_fluidmodel.stage import checkpoint as checkpoints
from kubectl_fluidmodel.stage.bucket import Bucket
from kubectl_fluidmodel.stage.counters import TransferCounters
from kubectl_fluidmodel.stage.errors import FileStagingError, PartialFailureError
from kubectl_fluidmodel.stage.events import Completed, Event, Message, Started
from kubectl_fluidmodel.stage.file_stager import FileStager, RunContext
from kubectl_fluidmodel.stage.options import TransferOptions
from kubectl_fluidmodel.stage.reuse import ReusableFiles
from kubectl_fluidmodel.stage.scheduler import Scheduler, Task
from kubectl_fluidmodel.stage.staged_files import StagedFiles

_NO_ANSWER_TIMEOUT = 15.0
"""Seconds to try to reach the store at all, so that a wrong address is reported soon."""
_BRANCH_CHECK_TIMEOUT = 5.0
"""Seconds to ask whether the branch has moved; the answer is only informative."""


def stage_plan(
    plan: StagingPlan,
    store: S3Store,
    destination: BucketPrefix,
    options: TransferOptions,
    hub: HubClient,
) -> Iterator[Event]:
    """Copy the files of a plan into a bucket.

    Yields:
        Events, `TransferProgress` among them every `options.progress_interval` seconds.

    Raises:
        UsageError: an option is out of range.
        PartialFailureError: some files could not be staged.
        FluidModelError: the run failed.
        UnreachableError: the Hub or the store does not respond.
    """
    return TransferEngine(plan, store, destination, options.validated(), hub).run()


class TransferEngine:
    """One run: its workers, their errors and their events."""

    def __init__(
        self,
        plan: StagingPlan,
        store: S3Store,
        destination: BucketPrefix,
        options: TransferOptions,
        hub: HubClient,
    ) -> None:
        self.plan, self.options, self.hub = plan, options, hub
        self.layout = StagingLayout(destination, plan.repo, plan.commit)
        self.assignment = parts.assign_shards(plan.files, options.shards)[options.shard]
        self.counters = TransferCounters(self.assignment.files)
        self._stop = threading.Event()
        self._events: queue.Queue[Event] = queue.Queue()
        self.bucket = Bucket(
            store,
            destination.bucket,
            connections=options.workers + 4,
            retry_timeout=options.retry_timeout,
            no_answer_timeout=_NO_ANSWER_TIMEOUT,
            stall_timeout=options.stall_timeout,
            stop=self._stop,
            on_retry=self.counters.retried,
        )
        self.staged_files = StagedFiles(self.bucket, self.layout)
        self._buffer_budget = buffer_pool.buffer_budget(options.memory)
        default_part = parts.choose_part_size(0, self._buffer_budget, options.part_size)
        self._scheduler = Scheduler(
            list(self.assignment.files),
            lambda file: file.size <= default_part,
            buffer_pool.BufferPool(self._buffer_budget),
            self._stop,
            options.workers,
        )
        self._stager = FileStager(
            RunContext(
                plan=plan,
                options=options,
                layout=self.layout,
                bucket=self.bucket,
                hub=hub,
                staged_files=self.staged_files,
                reusable_files=ReusableFiles(self.bucket, self.layout),
                counters=self.counters,
                scheduler=self._scheduler,
                stop=self._stop,
                emit=self._events.put,
                buffer_budget=self._buffer_budget,
            )
        )
        self._failures: list[FluidModelError] = []
        self._fatal_error: FluidModelError | None = None
        self._lock = threading.Lock()

    # -- the run -----------------------------------------------------------------------------

    def run(self) -> Iterator[Event]:
        """Stage the shard's files; see `stage_plan`."""
        started_at = time.monotonic()
        yield from self._prepare()
        yield from self._transfer_files()
        self._raise_errors()
        self._stop.clear()
        wrote_manifest = self.staged_files.write_manifest(self.plan)
        yield from self._check_branch()
        yield Completed(
            self.layout.uri,
            f"s3://{self.bucket.name}/{self.layout.manifest_key}" if wrote_manifest else "",
            self.assignment.bytes,
            len(self.assignment.files),
            self.counters.read,
            self.counters.sent,
            time.monotonic() - started_at,
        )

    def _prepare(self) -> Iterator[Event]:
        """Check the options against the files, create the bucket, and see what it has."""
        files = self.assignment.files
        buffer_pool.require_part_fits(files, self._buffer_budget, self.options)
        warning = expiry_warning(self.bucket.store.credentials)
        if warning:
            yield Message(warning)
        if self.bucket.create_if_missing():
            yield Message(f"bucket {self.bucket.name} did not exist: created it")
        self.staged_files.refresh()
        yield Started(
            self.plan.uri,
            self.layout.uri,
            self.assignment.bytes,
            len(files),
            self.options.shard,
            self.options.shards,
        )

    def _transfer_files(self) -> Iterator[Event]:
        """Run the workers until all tasks are done or the run fails."""
        workers = [
            threading.Thread(target=self._run_worker, args=(number,), name=f"stage-{number}")
            for number in range(self.options.workers)
        ]
        ended = threading.Event()  # not `_stop`, which is cleared for what follows the transfers
        heartbeat = threading.Thread(
            target=self._refresh_checkpoints, args=(ended,), name="stage-heartbeat"
        )
        for thread in (*workers, heartbeat):
            thread.daemon = True
            thread.start()
        try:
            while any(thread.is_alive() for thread in workers):
                yield from self._drain_events(self.options.progress_interval)
                yield self.counters.progress()
            yield from self._drain_events(0)
            yield self.counters.progress()
        finally:
            self._stop.set()
            ended.set()
            self._scheduler.wake()

    def _drain_events(self, timeout: float) -> Iterator[Event]:
        """Yield events as they come, for `timeout` seconds or until all tasks are done."""
        deadline = time.monotonic() + timeout
        while True:
            try:
                yield self._events.get(timeout=max(0.0, min(0.05, deadline - time.monotonic())))
            except queue.Empty:
                if time.monotonic() >= deadline or self._scheduler.is_idle():
                    return

    def _raise_errors(self) -> None:
        if self._fatal_error is not None:
            raise self._fatal_error
        if self._failures:
            raise PartialFailureError(self.plan.repo, self._failures)
        if not self.staged_files.has_verified(self.assignment.files):
            raise FluidModelError("staging ended early", "", "the same command again; it resumes")

    def _check_branch(self) -> Iterator[Event]:
        """Report if the branch has moved since the plan was made."""
        plan = self.plan
        if plan.revision == plan.commit:
            return
        try:
            commit = self.hub.resolve_commit(plan.repo, plan.revision, _BRANCH_CHECK_TIMEOUT)
        except FluidModelError:
            return  # the files are staged, so it does not matter that the Hub is unavailable
        if commit != plan.commit:
            yield Message(
                f"{plan.revision} of {plan.repo} has moved to {commit[:12]} in the meantime; "
                f"{plan.commit[:12]} was staged"
            )

    # -- threads -----------------------------------------------------------------------------

    def _run_worker(self, number: int) -> None:
        # Every fourth worker looks for small files first.
        prefers_small = number % 4 == 3 or self.options.workers == 1
        while True:
            try:
                task = self._scheduler.next_task(prefers_small)
            except MemoryError as err:
                reason, hint = (
                    "the machine has less memory than --memory allows",
                    "a smaller --memory",
                )
                return self._abort_run(FluidModelError("out of memory", reason, hint), err)
            if task is None:
                return None
            try:
                self._run_task(task)
            except CancelledError:
                return None
            finally:
                self._scheduler.task_done(task)

    def _run_task(self, task: Task) -> None:
        try:
            self._stager.run_task(task)
        except (FileStagingError, HubFileError) as err:
            if self._stager.fail(task, err):
                with self._lock:
                    self._failures.append(err)
        except CancelledError:
            raise
        except FluidModelError as err:
            self._abort_run(err)
        except Exception as err:  # noqa: BLE001 - a bug must end the run, not hang it
            reason = f"{type(err).__name__}: {err}"
            self._abort_run(FluidModelError("staging failed", reason), err)

    def _abort_run(self, err: FluidModelError, cause: BaseException | None = None) -> None:
        """Stop all workers; the first error is raised."""
        with self._lock:
            if self._fatal_error is None:
                self._fatal_error = err
                self._fatal_error.__cause__ = cause or err.__cause__
        self._stop.set()
        self._scheduler.wake()

    def _refresh_checkpoints(self, ended: threading.Event) -> None:
        while not ended.wait(checkpoints.REFRESH_INTERVAL):
            try:
                self._stager.refresh_checkpoints()
            except CancelledError:
                return
