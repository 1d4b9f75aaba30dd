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
from kubectl_fluidmodel.hub.client import Hub
from kubectl_fluidmodel.hub.file_reader import Origin
from kubectl_fluidmodel.model.plan import Plan, PlanFile
from kubectl_fluidmodel.net.retry_budget import Cancelled
from kubectl_fluidmodel.objectstore import s3 as stores
from kubectl_fluidmodel.objectstore.layout import Destination, Place
from kubectl_fluidmodel.objectstore.s3 import Store
from kubectl_fluidmodel.stage import buffer_pool, checkpoint, parts
from kubectl_fluidmodel.stage.bucket import Bucket
from kubectl_fluidmodel.stage.counters import Tally
from kubectl_fluidmodel.stage.errors import FileError, SomeFailed, mismatch
from kubectl_fluidmodel.stage.events import Began, Ended, Event, FileDone, FileFailed, Note
from kubectl_fluidmodel.stage.file_hasher import Digest
from kubectl_fluidmodel.stage.options import Options
from kubectl_fluidmodel.stage.scheduler import Carry, Open, Scheduler, Small, Task
from kubectl_fluidmodel.stage.staged_files import Ledger
from kubectl_fluidmodel.stage.transfer import StartOver, Transfer

_FIRST_CONTACT = 15.0
"""Seconds to try to reach the store at all: a wrong address should not take minutes to tell."""
_LAST_QUESTION = 5.0
"""Seconds to ask whether the branch has moved: it is worth a line, and no wait."""
_STARTS = 3
"""Times that one file is begun anew in one run."""


def stage(
    plan: Plan,
    store: Store,
    to: Destination,
    options: Options | None = None,
    hub: Hub | None = None,
) -> Iterator[Event]:
    """Bring the files of a plan into a bucket.

    Raises:
        FluidModelError: what is in the way; SomeFailed where only some files are.
        Unreachable: the hub or the store.
    """
    return Engine(plan, store, to, (options or Options()).check(), hub).run()


class Engine:
    """One run."""

    def __init__(
        self, plan: Plan, store: Store, to: Destination, options: Options, hub: Hub | None
    ) -> None:
        self.plan, self.options = plan, options
        self.place = Place(to, plan.repo, plan.commit)
        self._stop = threading.Event()
        self._events: queue.Queue[Event] = queue.Queue()
        self._hub = hub or Hub(stall=options.stall, connections=options.workers + 2)
        self.share = parts.share(plan.files, options.shards)[options.shard]
        self.tally = Tally(self.share.files)
        self.bucket = Bucket(
            store,
            to.bucket,
            connections=options.workers + 4,
            patience=options.patience,
            silent=_FIRST_CONTACT,
            stall=options.stall,
            stop=self._stop,
            on_retry=self.tally.stumble,
        )
        self._room = buffer_pool.room(options.memory)
        self._part = parts.part_size(0, self._room, options.part_size)
        self._buffers = buffer_pool.Buffers(self._room)
        self.ledger = Ledger(self.bucket, self.place)
        self._starts: dict[str, int] = {}
        self._moving: dict[str, Transfer] = {}
        self._failures: list[FileError] = []
        self._fatal: FluidModelError | None = None
        self._lock = threading.Lock()

    # -- the run -----------------------------------------------------------------------------

    def run(self) -> Iterator[Event]:
        began = time.monotonic()
        buffer_pool.check(self.share.files, self._room, self.options)
        ends = stores.ends(self.bucket.store)
        if ends:
            yield Note(ends)
        if self.bucket.ensure():
            yield Note(f"bucket {self.bucket.name} did not exist: made it")
        self.ledger.look()
        yield Began(
            self.plan.uri,
            self.place.uri,
            self.share.bytes,
            len(self.share.files),
            self.options.shard,
            self.options.shards,
        )
        self._scheduler = Scheduler(
            list(self.share.files),
            self._is_small,
            self._buffers,
            self._stop,
            self.options.workers,
        )
        threads = [
            threading.Thread(target=self._work, args=(number,), name=f"stage-{number}", daemon=True)
            for number in range(self.options.workers)
        ]
        for thread in threads:
            thread.start()
        threading.Thread(target=self._pulse, name="stage-pulse", daemon=True).start()
        try:
            while any(thread.is_alive() for thread in threads):
                yield from self._told(self.options.tick)
                yield self.tally.progress()
            yield from self._told(0)
            yield self.tally.progress()
        finally:
            self._stop.set()
            self._scheduler.wake()
        if self._fatal is not None:
            raise self._fatal
        if self._failures:
            raise SomeFailed(self.plan.repo, self._failures)
        if not self.ledger.has(self.share.files):
            raise FluidModelError("staging ended early", "", "the same command again goes on")
        self._stop.clear()
        written = self.ledger.seal(self.plan)
        yield from self._moved()
        yield Ended(
            self.place.uri,
            f"s3://{self.bucket.name}/{self.place.manifest}" if written else "",
            self.share.bytes,
            len(self.share.files),
            self.tally.read,
            self.tally.sent,
            time.monotonic() - began,
        )

    def _told(self, seconds: float) -> Iterator[Event]:
        """Events as they come, for so many seconds or until all is done."""
        until = time.monotonic() + seconds
        while True:
            try:
                yield self._events.get(timeout=max(0.0, min(0.05, until - time.monotonic())))
            except queue.Empty:
                if time.monotonic() >= until or self._scheduler.idle():
                    return

    # -- the workers -------------------------------------------------------------------------

    def _is_small(self, file: PlanFile) -> bool:
        return file.size <= self._part

    def _work(self, number: int) -> None:
        # Every fourth worker looks for small files first.
        prefers_small = number % 4 == 3 or self.options.workers == 1
        while True:
            try:
                task = self._scheduler.next(prefers_small)
            except MemoryError as err:
                why = "there is not as much as --memory says"
                return self._give_up(FluidModelError("out of memory", why, "less of it"), err)
            if task is None:
                return None
            try:
                self._carry_out(task)
            except Cancelled:
                return None
            except FileError as err:
                self._failed(task, err)
            except FluidModelError as err:
                self._give_up(err)
            except Exception as err:  # noqa: BLE001 - a bug must end the run, not hang it
                self._give_up(
                    FluidModelError("staging failed", f"{type(err).__name__}: {err}"), err
                )
            finally:
                self._scheduler.done(task)

    def _carry_out(self, task: Task) -> None:
        if isinstance(task, Small):
            try:
                self._small(task.file, task.buffer)
            finally:
                self._scheduler.release(task.buffer)
        elif isinstance(task, Open):
            made = None
            try:
                made = self._open(task.file)
            finally:
                self._scheduler.opened(made)
        else:
            self._part_of(task)

    def _small(self, file: PlanFile, buffer: bytearray) -> None:
        """A file that goes up whole, when its hash is proven."""
        if self._found(file):
            return
        self.tally.begin(file.path)
        view = memoryview(buffer)
        self._origin(file).read(0, view)
        digest = Digest(file)
        digest.update(view)
        if not digest.matches():
            raise mismatch(file)
        etag = self.bucket.put(self.place.key(file.path), buffer, file, self.plan.commit)
        self.tally.add_sent(file.size)
        self.tally.add_done(file.path, file.size)
        self._stands(file, etag, "staged")

    def _open(self, file: PlanFile) -> Transfer | None:
        if self._found(file):
            return None
        self.tally.begin(file.path)
        made = Transfer(
            file,
            self.place,
            self.bucket,
            self._origin(file),
            parts.part_size(file.size, self._room, self.options.part_size),
            self._scheduler.release,
            lambda count: self._sent(file, count),
            lambda text: self._events.put(Note(text)),
            most_part=self._room,
        )
        with self._lock:
            self._moving[file.path] = made
        made.prepare(self.ledger.left_of(file))
        self.tally.add_found(file.path, made.found)
        if made.nothing_left():
            self._finish(made)
            return None
        return made

    def _part_of(self, task: Carry) -> None:
        moving = task.transfer
        try:
            if moving.carry(task.number, task.buffer):
                self._finish(moving)
        except StartOver:
            self._over_again(moving)
        except Cancelled:
            if self._stop.is_set():
                raise

    def _finish(self, moving: Transfer) -> None:
        try:
            moving.finish()
        except StartOver:
            self._over_again(moving)
            return
        self._scheduler.closed(moving)
        self._stands(moving.file, moving.etag, "resumed" if moving.resumed else "staged")

    def _over_again(self, moving: Transfer) -> None:
        """The file from its beginning: its upload is gone, or an earlier run's part is bad."""
        if not moving.die():
            return  # another worker saw it first
        file = moving.file
        self._scheduler.closed(moving)
        moving.discard()
        self._starts[file.path] = self._starts.get(file.path, 0) + 1
        if self._starts[file.path] >= _STARTS:
            raise FileError(
                f"the upload of {file.path} disappears again and again",
                "somebody or a lifecycle rule of the bucket aborts it",
                f"look at the lifecycle rules of bucket {self.bucket.name}",
            )
        self._events.put(Note(f"{file.path} starts over: what an earlier run left does not do"))
        self.tally.restart(file.path)
        self.ledger.forget(file)
        self._scheduler.again(file)

    def _pulse(self) -> None:
        """Show those who clean up that what is on its way is alive, however slowly it goes."""
        while not self._stop.wait(checkpoint.BEAT):
            with self._lock:
                moving = list(self._moving.values())
            for each in moving:
                try:
                    each.touch()
                except Cancelled:
                    return
                except FluidModelError as err:
                    self.tally.stumble(err.why)  # the parts meet it too, and tell it

    # -- outcomes ----------------------------------------------------------------------------

    def _found(self, file: PlanFile) -> bool:
        """Whether the object is there already; then it is noted down."""
        etag = self.ledger.find(file)
        if not etag:
            return False
        self.tally.add_found(file.path, file.size)
        self._stands(file, etag, "found")
        return True

    def _stands(self, file: PlanFile, etag: str, how: str) -> None:
        self.ledger.stands(file, etag)
        self.tally.end(file.path)
        with self._lock:
            self._moving.pop(file.path, None)
        self._events.put(FileDone(file.path, file.size, how))

    def _failed(self, task: Task, err: FileError) -> None:
        if isinstance(task, Carry):
            if not task.transfer.die():
                return  # another of its parts has told it
            self._scheduler.closed(task.transfer)
        path = task.transfer.file.path if isinstance(task, Carry) else task.file.path
        with self._lock:
            self._failures.append(err)
        self.tally.fail(path)
        self._events.put(FileFailed(path, str(err)))

    def _give_up(self, err: FluidModelError, cause: BaseException | None = None) -> None:
        with self._lock:
            if self._fatal is None:
                self._fatal = err
                self._fatal.__cause__ = cause or err.__cause__
        self._stop.set()
        self._scheduler.wake()

    def _origin(self, file: PlanFile) -> Origin:
        return Origin(
            self._hub,
            self.plan.repo,
            self.plan.commit,
            file,
            patience=self.options.patience,
            stop=self._stop,
            on_bytes=lambda count: self.tally.add_read(file.path, count),
            on_retry=self.tally.stumble,
        )

    def _sent(self, file: PlanFile, count: int) -> None:
        self.tally.add_sent(count)
        self.tally.add_done(file.path, count)

    # -- the end -----------------------------------------------------------------------------

    def _moved(self) -> Iterator[Event]:
        """Whether the branch has moved on since the plan was made."""
        if self.plan.revision == self.plan.commit:
            return
        try:
            now = self._hub.commit(self.plan.repo, self.plan.revision, patience=_LAST_QUESTION)
        except FluidModelError:
            return  # it is staged; that the hub is away now does not matter
        if now != self.plan.commit:
            yield Note(
                f"{self.plan.revision} of {self.plan.repo} has moved to {now[:12]} meanwhile; "
                f"{self.plan.commit[:12]} is what was staged"
            )
