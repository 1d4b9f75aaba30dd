"""Who does what next: workers, files and memory, under one lock.

Big files go first, a few at a time, their parts in order. The first open file gets three quarters
of the workers and those behind it the rest: so hashing runs on several cores, and yet the files
do not all end in one moment, when stores put their parts together and nothing else is left to do.
Some workers take small files as long as there are any: their cost is waiting for answers, which
fits between the parts.

A part is handed out together with its memory, and in order. So the part that all others of its
file wait for, to be hashed, always has memory and a worker already: nobody waits in a circle.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from kubectl_fluidmodel.model.plan import PlanFile
from kubectl_fluidmodel.stage.buffer_pool import BufferPool
from kubectl_fluidmodel.stage.transfer import MultipartTransfer

_MAX_OPEN_FILES = 4


@dataclass(frozen=True)
class SmallFileTask:
    """Stage a file that goes up whole; `buffer` has its size."""

    file: PlanFile
    buffer: bytearray


@dataclass(frozen=True)
class OpenFileTask:
    """Look what there is of a large file, and begin."""

    file: PlanFile


@dataclass(frozen=True)
class PartTask:
    """Carry one part of an open file."""

    transfer: MultipartTransfer
    number: int
    buffer: bytearray


Task = SmallFileTask | OpenFileTask | PartTask


class Scheduler:
    """The tasks of one run."""

    def __init__(
        self,
        files: list[PlanFile],
        is_small: Callable[[PlanFile], bool],
        buffers: BufferPool,
        stop: threading.Event,
        workers: int,
    ) -> None:
        by_size = sorted(files, key=lambda file: (-file.size, file.path))
        self._small = deque(file for file in by_size if is_small(file))
        self._large = deque(file for file in by_size if not is_small(file))
        self._open: deque[MultipartTransfer] = deque()
        self._opening = 0
        self._running_tasks = 0
        self._max_workers_per_file = max(1, workers * 3 // 4)
        self._workers_of: dict[int, int] = {}
        self._buffers = buffers
        self._stop = stop
        self._changed = threading.Condition()

    def next_task(self, prefers_small: bool) -> Task | None:
        """The next task, waited for; None when all is done or stopped. `done` ends it."""
        with self._changed:
            while not self._stop.is_set():
                task = self._pick(prefers_small)
                if task is not None:
                    self._running_tasks += 1
                    return task
                if not (self._running_tasks or self._small or self._large or self._open):
                    return None
                self._changed.wait(0.2)
            return None

    def task_done(self, task: Task) -> None:
        """A task has ended, one way or the other."""
        with self._changed:
            self._running_tasks -= 1
            if isinstance(task, PartTask):
                self._workers_of[id(task.transfer)] -= 1
            self._changed.notify_all()

    def file_opened(self, transfer: MultipartTransfer | None) -> None:
        """A large file is open (or need not be)."""
        with self._changed:
            self._opening -= 1
            if transfer is not None:
                self._open.append(transfer)
            self._changed.notify_all()

    def file_closed(self, transfer: MultipartTransfer) -> None:
        """An open file is at its end."""
        with self._changed:
            if transfer in self._open:
                self._open.remove(transfer)
            self._changed.notify_all()

    def requeue(self, file: PlanFile) -> None:
        """Open a file once more; the transfer that was there is dead."""
        with self._changed:
            self._large.appendleft(file)
            self._changed.notify_all()

    def release_buffer(self, buffer: bytearray) -> None:
        with self._changed:
            self._buffers.release(buffer)
            self._changed.notify_all()

    def is_idle(self) -> bool:
        """Whether nothing is left to do."""
        with self._changed:
            return not (self._running_tasks or self._small or self._large or self._open)

    def wake(self) -> None:
        with self._changed:
            self._changed.notify_all()

    def _pick(self, prefers_small: bool) -> Task | None:
        if prefers_small:
            return self._pick_small() or self._pick_large()
        return self._pick_large() or self._pick_small()

    def _pick_small(self) -> Task | None:
        if self._small:
            buffer = self._buffers.acquire(self._small[0].size)
            if buffer is not None:
                return SmallFileTask(self._small.popleft(), buffer)
        return None

    def _pick_large(self) -> Task | None:
        if self._large and len(self._open) + self._opening < _MAX_OPEN_FILES:
            self._opening += 1
            return OpenFileTask(self._large.popleft())
        waiting = [transfer for transfer in self._open if transfer.pending]
        modest = [
            each
            for each in waiting
            if self._workers_of.get(id(each), 0) < self._max_workers_per_file
        ]
        transfer = next(iter(modest or waiting), None)
        if transfer is None:
            return None
        buffer = self._buffers.acquire(transfer.part_bytes(transfer.pending[0]))
        if buffer is None:
            return None  # what is freed next goes to this one
        self._workers_of[id(transfer)] = self._workers_of.get(id(transfer), 0) + 1
        return PartTask(transfer, transfer.pending.popleft(), buffer)
