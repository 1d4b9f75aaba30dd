"""Reads samples of a source to assess it: small files, and headers of weights. Bounded.

Makes at most MAX_REQUESTS requests of a few KiB each, in parallel, within a few seconds and BYTES
bytes in total. What does not arrive in that time is not checked, and a note says so.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import field

from kubectl_fluidmodel.model import safetensors, wrong_content
from kubectl_fluidmodel.model.config_files import (
    SAMPLED_FILES,
    TOKENIZER_FILES,
    find_model_directories,
)
from kubectl_fluidmodel.model.files import SourceFile, is_weights
from kubectl_fluidmodel.model.safetensors import BadHeaderError, Header
from kubectl_fluidmodel.model.shards import INDEX_SUFFIXES
from kubectl_fluidmodel.records import dataclass

TIME_LIMIT = 15.0
MAX_REQUESTS = 600
BYTES = 128 << 20
MAX_INDEX_BYTES = 32 << 20
"""Maximum size of an index; DeepSeek-R1's has 9 MB."""
MAX_TEXT_BYTES = 4 << 20
"""Maximum size of other files that are read completely."""
_FIRST_READ_BYTES = 64 << 10
"""Bytes of a safetensors file in the first request: most headers fit."""
_WORKERS = 8
_MAX_FAILURES = 3
"""Consecutive failed reads after which sampling stops."""

RangeReader = Callable[[str, int, int], bytes]
"""Reads up to `count` bytes of a path from an offset. Raises RangeReadError."""


class RangeReadError(Exception):
    """A file cannot be read; the message has the reason."""


@dataclass(frozen=True)
class Sample:
    """What was read. What was not read is in none of the mappings."""

    texts: dict[str, bytes] = field(default_factory=dict, repr=False)
    """Small files, complete."""
    first_bytes: dict[str, bytes] = field(default_factory=dict, repr=False)
    """The first bytes of files whose content may not match their name."""
    headers: dict[str, Header | str] = field(default_factory=dict, repr=False)
    """Headers of safetensors, or the reason why a header is invalid."""
    incomplete_reason: str = ""
    """Why some relevant files were not read; empty if all were."""


@dataclass(frozen=True)
class _Task:
    path: str
    size: int
    kind: str


def read_sample(
    files: Sequence[SourceFile], read_range: RangeReader, time_limit: float = TIME_LIMIT
) -> Sample:
    """Read the relevant samples of the files."""
    tasks = list(_plan_tasks(files))
    reader = _SampleReader(deque(tasks[:MAX_REQUESTS]), read_range, time.monotonic() + time_limit)
    threads = [
        threading.Thread(target=reader.run, name="sample", daemon=True)
        for _ in range(min(_WORKERS, len(tasks)))
    ]
    for thread in threads:
        thread.start()
    for thread in threads:  # daemon threads: a slow server must not block us
        thread.join(max(0.0, reader.deadline + 1 - time.monotonic()))
    return reader.result(len(tasks))


def _plan_tasks(files: Sequence[SourceFile]) -> Iterator[_Task]:
    """Return the reads, most significant first."""
    by_path = {file.path: file for file in files}
    for model in find_model_directories(by_path)[:4]:
        for name in SAMPLED_FILES:
            file = by_path.get(f"{model}/{name}" if model else name)
            if file is not None and 0 < file.size <= MAX_TEXT_BYTES:
                yield _Task(file.path, file.size, "text")
    indexes = [file for file in sorted(files) if file.path.endswith(INDEX_SUFFIXES)]
    for file in indexes[:8]:
        if 0 < file.size <= MAX_INDEX_BYTES:
            yield _Task(file.path, file.size, "text")
    odd = [file for file in files if _may_be_wrong_content(file)]
    for file in sorted(odd, key=_by_depth)[:64]:
        yield _Task(file.path, file.size, "start")
    heads = [file for file in files if file.path.endswith(".safetensors") and file.size]
    for file in sorted(heads, key=_by_depth):
        yield _Task(file.path, file.size, "head")


def _by_depth(file: SourceFile) -> tuple[int, str]:
    return file.path.count("/"), file.path


def _may_be_wrong_content(file: SourceFile) -> bool:
    name = file.name
    if not file.size or name.endswith(".safetensors"):
        return False  # empty, or checked by its header
    if file.path.endswith(".gguf"):
        return True
    small = file.size < wrong_content.LFS_POINTER_BYTES
    page = file.size < (1 << 20) and is_weights(file.path)
    return page or (small and (is_weights(file.path) or name in TOKENIZER_FILES))


class _SampleReader:
    """The tasks and their results. Shared between threads."""

    def __init__(self, tasks: deque[_Task], read_range: RangeReader, deadline: float) -> None:
        self.tasks, self.read_range, self.deadline = tasks, read_range, deadline
        self._lock = threading.Lock()
        self._sample = Sample()
        self._bytes_left, self._done, self._failures, self._failure = BYTES, 0, 0, ""

    def run(self) -> None:
        while True:
            with self._lock:
                if not self.tasks or self._failures >= _MAX_FAILURES or self._bytes_left <= 0:
                    return
                task = self.tasks.popleft()
            if time.monotonic() > self.deadline:
                return
            try:
                self._run_task(task)
            except RangeReadError as err:
                with self._lock:
                    self._failures += 1
                    self._failure = self._failure or f"{task.path}: {err}"

    def _run_task(self, task: _Task) -> None:
        if task.kind == "head":
            head: Header | str | None
            try:
                head = self._read_header(task)
            except BadHeaderError as err:
                head = str(err)
            with self._lock:
                if head is not None:
                    self._sample.headers[task.path] = head
                self._done += head is not None
            return
        is_complete = task.kind == "text"
        content = self._read_exactly(
            task.path, 0, task.size if is_complete else min(task.size, 1024)
        )
        with self._lock:
            (self._sample.texts if is_complete else self._sample.first_bytes)[task.path] = content
            self._done += 1

    def _read_header(self, task: _Task) -> Header | None:
        """Return the header; None if it exceeds the limit."""
        content = self._read_exactly(task.path, 0, min(_FIRST_READ_BYTES, task.size))
        mask = wrong_content.identify_wrong_content(content)
        if mask:
            raise BadHeaderError(f"it is {mask}")
        length = safetensors.parse_header_length(content, task.size)
        if length > safetensors.MAX_READ_BYTES:
            return None
        end = safetensors.LENGTH_PREFIX_BYTES + length
        if end > len(content):
            content += self._read_exactly(task.path, len(content), end - len(content))
        return safetensors.parse_header(content[safetensors.LENGTH_PREFIX_BYTES : end])

    def _read_exactly(self, path: str, start: int, count: int) -> bytes:
        content = self.read_range(path, start, count)
        with self._lock:
            self._bytes_left -= len(content)
            self._failures = 0
        if len(content) != count:
            raise RangeReadError(f"{len(content)} bytes arrived of {count}")
        return content

    def result(self, total: int) -> Sample:
        """Return the results so far; threads that finish later do not change them."""
        with self._lock:
            self.tasks.clear()
            unread = ""
            if self._done < total:
                reason = self._failure or "the time limit was reached"
                unread = f"{self._done} of {total} relevant files were checked ({reason})"
            sample = self._sample
            return Sample(
                dict(sample.texts), dict(sample.first_bytes), dict(sample.headers), unread
            )
