"""Assigns tasks and memory to workers, under one lock.

Large files go first, up to four at a time, their parts in order. The first open file gets three
quarters of the workers and the files after it the rest. So hashing runs on several cores, but the
files do not all end at the same time, when the store assembles them and nothing is left to send.
Some workers prefer small files while there are any: those mostly wait for responses, which fits
between parts.

A part is handed out together with its buffer, and in order. So the part that all later parts of its
file wait for, to be hashed, always has a buffer and a worker already, and this cannot deadlock.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable

from kubectl_fluidmodel.model.plan import PlanFile
from kubectl_fluidmodel.records import dataclass
from kubectl_fluidmodel.stage.buffer_pool import BufferPool
from kubectl_fluidmodel.stage.transfer import MultipartTransfer

_MAX_OPEN_FILES = 4


@dataclass(frozen=True)
class SmallFileTask:
    """Stage a file with a single request; `buffer` has the file's size."""

    file: PlanFile
    buffer: bytearray


@dataclass(frozen=True)
class OpenFileTask:
    """Resume or start the upload of a large file."""

    file: PlanFile


@dataclass(frozen=True)
class PartTask:
    """Transfer one part of an open file."""

    transfer: MultipartTransfer
    number: int
    buffer: bytearray


Task = SmallFileTask | OpenFileTask | PartTask


class Scheduler:
    """The tasks of one run. Safe to share between threads."""

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
        """Wait for a task; its worker has to call `task_done` after it.

        Returns:
            The task, or None when all tasks are done or the run is stopped.
        """
        with self._changed:
            while not self._stop.is_set():
                task = self._pick(prefers_small)
                if task is not None:
                    self._running_tasks += 1
                    return task
                if not self._has_work():
                    return None
                self._changed.wait(0.2)
            return None

    def task_done(self, task: Task) -> None:
        """Report the end of a task, whether it succeeded or not."""
        with self._changed:
            self._running_tasks -= 1
            if isinstance(task, PartTask):
                self._workers_of[id(task.transfer)] -= 1
            self._changed.notify_all()

    def file_opened(self, transfer: MultipartTransfer | None) -> None:
        """Report the end of an OpenFileTask; None if the file has no parts to transfer."""
        with self._changed:
            self._opening -= 1
            if transfer is not None:
                self._open.append(transfer)
            self._changed.notify_all()

    def file_closed(self, transfer: MultipartTransfer) -> None:
        """Report that an open file is complete, failed or restarts."""
        with self._changed:
            if transfer in self._open:
                self._open.remove(transfer)
            self._changed.notify_all()

    def requeue(self, file: PlanFile) -> None:
        """Open a file again; its previous transfer has to be cancelled."""
        with self._changed:
            self._large.appendleft(file)
            self._changed.notify_all()

    def release_buffer(self, buffer: bytearray) -> None:
        """Return a task's buffer."""
        with self._changed:
            self._buffers.release(buffer)
            self._changed.notify_all()

    def is_idle(self) -> bool:
        """Whether no task is running or left."""
        with self._changed:
            return not self._has_work()

    def wake(self) -> None:
        """Let waiting workers see that the run is stopped."""
        with self._changed:
            self._changed.notify_all()

    def _has_work(self) -> bool:
        return bool(self._running_tasks or self._small or self._large or self._open)

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
        below_limit = [
            transfer
            for transfer in waiting
            if self._workers_of.get(id(transfer), 0) < self._max_workers_per_file
        ]
        transfer = next(iter(below_limit or waiting), None)
        if transfer is None:
            return None
        buffer = self._buffers.acquire(transfer.part_bytes(transfer.pending[0]))
        if buffer is None:
            return None  # the next buffer that is released goes to this part
        self._workers_of[id(transfer)] = self._workers_of.get(id(transfer), 0) + 1
        return PartTask(transfer, transfer.pending.popleft(), buffer)
