"""What is read of a source to judge it: small files, and the heads of weights. Bounded.

At most REQUESTS requests of a few KiB each, side by side, within some seconds and BYTES bytes in
all; what did not come in that time is not judged, and that is said.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from kubectl_fluidmodel.model import impostor, safetensors
from kubectl_fluidmodel.model.configs import READ, TOKENIZERS, model_directories
from kubectl_fluidmodel.model.files import File, is_weights
from kubectl_fluidmodel.model.safetensors import BadHeader, Header
from kubectl_fluidmodel.model.shards import INDEX

SECONDS = 15.0
REQUESTS = 600
BYTES = 128 << 20
INDEX_LIMIT = 32 << 20
"""The largest index that is read; DeepSeek-R1's has 9 MB."""
TEXT_LIMIT = 4 << 20
"""The largest other file that is read whole."""
_FIRST = 64 << 10
"""Bytes of a safetensors file that are asked for first: most headers fit."""
_WORKERS = 8
_FAILURES = 3
"""Reads that fail one after the other until it is given up."""

Fetch = Callable[[str, int, int], bytes]
"""Path, first byte and count to the bytes, at most so many. Raises ReadError."""


class ReadError(Exception):
    """A file cannot be read; the words say why."""


@dataclass(frozen=True)
class Sample:
    """What was read; what was not is in none of the mappings."""

    texts: dict[str, bytes] = field(default_factory=dict, repr=False)
    """Small files, whole."""
    starts: dict[str, bytes] = field(default_factory=dict, repr=False)
    """The first bytes of files that may be something else than their name says."""
    heads: dict[str, Header | str] = field(default_factory=dict, repr=False)
    """Headers of safetensors, or why one is none."""
    unread: str = ""
    """Why not everything was read that is worth it; empty where it was."""


@dataclass(frozen=True)
class _Task:
    path: str
    size: int
    how: str


def take(files: Sequence[File], fetch: Fetch, seconds: float = SECONDS) -> Sample:
    """Read what the judge wants to see of the files."""
    tasks = list(_tasks(files))
    reader = _Reader(deque(tasks[:REQUESTS]), fetch, time.monotonic() + seconds)
    threads = [
        threading.Thread(target=reader.run, name="sample", daemon=True)
        for _ in range(min(_WORKERS, len(tasks)))
    ]
    for thread in threads:
        thread.start()
    for thread in threads:  # daemons: a server that drips must not hold us up
        thread.join(max(0.0, reader.deadline + 1 - time.monotonic()))
    return reader.sample(len(tasks))


def _tasks(files: Sequence[File]) -> Iterator[_Task]:
    """In the order of what they tell."""
    by_path = {file.path: file for file in files}
    for model in model_directories(by_path)[:4]:
        for name in READ:
            file = by_path.get(f"{model}/{name}" if model else name)
            if file is not None and 0 < file.size <= TEXT_LIMIT:
                yield _Task(file.path, file.size, "text")
    indexes = [file for file in sorted(files) if file.path.endswith(INDEX)]
    for file in indexes[:8]:
        if 0 < file.size <= INDEX_LIMIT:
            yield _Task(file.path, file.size, "text")
    odd = [file for file in files if _may_be_other(file)]
    for file in sorted(odd, key=lambda each: (each.path.count("/"), each.path))[:64]:
        yield _Task(file.path, file.size, "start")
    heads = [file for file in files if file.path.endswith(".safetensors") and file.size]
    for file in sorted(heads, key=lambda each: (each.path.count("/"), each.path)):
        yield _Task(file.path, file.size, "head")


def _may_be_other(file: File) -> bool:
    name = file.path.rpartition("/")[2]
    if not file.size or name.endswith(".safetensors"):
        return False  # nothing to see, or seen by its head
    if file.path.endswith(".gguf"):
        return True
    small = file.size < impostor.POINTER_SIZE
    page = file.size < (1 << 20) and is_weights(file.path)
    return page or (small and (is_weights(file.path) or name in TOKENIZERS))


class _Reader:
    """The tasks, and what came of them. Shared between threads."""

    def __init__(self, tasks: deque[_Task], fetch: Fetch, deadline: float) -> None:
        self.tasks, self.fetch, self.deadline = tasks, fetch, deadline
        self._lock = threading.Lock()
        self._found = Sample()
        self._left, self._done, self._failures, self._why = BYTES, 0, 0, ""

    def run(self) -> None:
        while True:
            with self._lock:
                if not self.tasks or self._failures >= _FAILURES or self._left <= 0:
                    return
                task = self.tasks.popleft()
            if time.monotonic() > self.deadline:
                return
            try:
                self._one(task)
            except ReadError as err:
                with self._lock:
                    self._failures += 1
                    self._why = self._why or f"{task.path}: {err}"

    def _one(self, task: _Task) -> None:
        if task.how == "head":
            head: Header | str | None
            try:
                head = self._head(task)
            except BadHeader as err:
                head = str(err)
            with self._lock:
                if head is not None:
                    self._found.heads[task.path] = head
                self._done += head is not None
            return
        whole = task.how == "text"
        content = self._get(task.path, 0, task.size if whole else min(task.size, 1024))
        with self._lock:
            (self._found.texts if whole else self._found.starts)[task.path] = content
            self._done += 1

    def _head(self, task: _Task) -> Header | None:
        """The header; None where it is longer than we read."""
        content = self._get(task.path, 0, min(_FIRST, task.size))
        mask = impostor.unmask(content)
        if mask:
            raise BadHeader(f"it is {mask}")
        length = safetensors.header_length(content, task.size)
        if length > safetensors.READ_LIMIT:
            return None
        end = safetensors.PREFIX + length
        if end > len(content):
            content += self._get(task.path, len(content), end - len(content))
        return safetensors.parse(content[safetensors.PREFIX : end])

    def _get(self, path: str, start: int, count: int) -> bytes:
        content = self.fetch(path, start, count)
        with self._lock:
            self._left -= len(content)
            self._failures = 0
        if len(content) != count:
            raise ReadError(f"{len(content)} bytes came of {count}")
        return content

    def sample(self, wanted: int) -> Sample:
        """What there is by now; threads that are late change nothing of it any more."""
        with self._lock:
            self.tasks.clear()
            unread = ""
            if self._done < wanted:
                why = self._why or "there was no more time"
                unread = f"{self._done} of {wanted} files that tell were looked at ({why})"
            found = self._found
            return Sample(dict(found.texts), dict(found.starts), dict(found.heads), unread)
