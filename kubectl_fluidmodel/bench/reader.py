"""Reads a model as engines do and measures it; runs in the pod of `bench`.

Each case reads other segments of the model, in random order, so nothing is measured twice by
accident. The pages of a segment are dropped from the page cache before it is read
(posix_fadvise(2), POSIX_FADV_DONTNEED), which needs no privileges.
"""

from __future__ import annotations

import mmap
import os
import random
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

from kubectl_fluidmodel.bench.plan import (
    EVENTS,
    MIB,
    BenchPlan,
    CaseDone,
    CaseSkipped,
    CaseStarted,
    Event,
    Measurement,
    PagesMeasured,
    Pattern,
    ReadCase,
    ReaderFailed,
    ReaderFinished,
    ReadProgress,
    Source,
    plan_from_json,
)
from kubectl_fluidmodel.errors import FluidModelError
from kubectl_fluidmodel.fluid.claim_job import MOUNT_PATH
from kubectl_fluidmodel.model.files import is_weights
from kubectl_fluidmodel.model.page_cache import measure_residency
from kubectl_fluidmodel.model.sample import RangeReadError
from kubectl_fluidmodel.output.event_log import report_progress
from kubectl_fluidmodel.records import dataclass

PLAN_VARIABLE = "FLUIDMODEL_BENCH"
_MAX_SEGMENT, _MIN_SEGMENT = 64 * MIB, MIB
"""Size of the segment that a reader reads at once: about a large tensor, or less if the model is
too small for several segments per reader."""
_SEGMENTS_PER_MODEL = 64


@dataclass(frozen=True)
class Segment:
    """A range of a file."""

    path: str
    first: int
    count: int


ReadSegment = Callable[[Segment, int, "_Meter"], None]
"""Reads a segment in blocks of this size, until the meter stops it."""


class CannotReadError(Exception):
    """Why measuring is impossible, in one line."""


class _Meter:
    """Counts bytes over all threads, and ends a case after its time."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.bytes = 0
        self._deadline = float("inf")

    def end_after(self, seconds: float) -> None:
        self._deadline = time.monotonic() + seconds

    def add(self, count: int) -> None:
        with self._lock:
            self.bytes += count

    @property
    def expired(self) -> bool:
        return time.monotonic() >= self._deadline


def run_plan(plan: BenchPlan, root: Path, emit: Callable[[Event], None]) -> None:
    """Measure every case of a plan.

    Args:
        plan: What to read.
        root: The directory at which the claim is mounted.
        emit: Receives the events.

    Raises:
        CannotReadError: there is no model at `root`, or it cannot be read.
    """
    meter = _Meter()
    files = _find_weights(root)
    mount = _SegmentSource(files, plan)
    with report_progress(lambda: meter.bytes, lambda count: emit(ReadProgress(count))):
        last: list[Segment] = []
        for case in plan.cases:
            emit(CaseStarted(case.label))
            try:
                if case.source is Source.STORE:
                    measured = _measure_store(case, plan, meter)
                elif case.source is Source.PAGE_CACHE:
                    measured = _measure(case, last, _pread_segment, plan.case_seconds, meter)
                else:
                    last = mount.take(case)
                    _drop_pages(last)
                    read = _copy_mapped if case.pattern is Pattern.MMAP else _pread_segment
                    measured = _measure(case, last, read, plan.case_seconds, meter)
            except (CannotReadError, RangeReadError, FluidModelError) as err:
                emit(CaseSkipped(case.label, str(err)))
                continue
            emit(CaseDone(measured))
        residency = None
        if any(case.source is Source.PAGE_CACHE for case in plan.cases):
            residency = measure_residency(root)
    if residency is not None:
        emit(PagesMeasured(residency.bytes, residency.total_bytes))
    emit(ReaderFinished(sum(size for _, size in files)))


def _find_weights(root: Path) -> list[tuple[str, int]]:
    """Return the weight files below a directory with their sizes; without any, all files."""
    try:
        sizes = [
            (str(path), path.stat().st_size) for path in sorted(root.rglob("*")) if path.is_file()
        ]
    except OSError as err:
        raise CannotReadError(f"cannot list {root}: {err.strerror}") from err
    files = _weights_or_all(sizes)
    if not files:
        raise CannotReadError(f"the claim is empty: there is no file below {root}")
    return files


def _weights_or_all(sizes: Iterable[tuple[str, int]]) -> list[tuple[str, int]]:
    """Return the weight files among paths with sizes; without any, all files; none is empty."""
    files = [(path, size) for path, size in sizes if size > 0]
    return [(path, size) for path, size in files if is_weights(path)] or files


class _SegmentSource:
    """Hands out the segments of a model in random order, and restarts after the last."""

    def __init__(self, files: Sequence[tuple[str, int]], plan: BenchPlan) -> None:
        total = sum(size for _, size in files)
        size = max(_MIN_SEGMENT, min(_MAX_SEGMENT, total // _SEGMENTS_PER_MODEL))
        self._segments = _split(files, size)
        random.Random(plan.seed).shuffle(self._segments)  # noqa: S311 - an order, no secret
        self._case_bytes = plan.sample_bytes // len(plan.cases)
        self._smallest_share = size
        self._next = 0

    def take(self, case: ReadCase) -> list[Segment]:
        """Return the segments of a case: its share of the sample, at least one for each reader."""
        if not self._case_bytes:
            return list(self._segments)
        share = max(self._smallest_share * case.readers, self._case_bytes)
        segments: list[Segment] = []
        while share > 0 and len(segments) < len(self._segments):
            segment = self._segments[self._next % len(self._segments)]
            self._next += 1
            segments.append(segment)
            share -= segment.count
        return segments


def _split(files: Sequence[tuple[str, int]], segment: int) -> list[Segment]:
    return [
        Segment(path, first, min(segment, size - first))
        for path, size in files
        for first in range(0, size, segment)
    ]


def _drop_pages(segments: Sequence[Segment]) -> None:
    """Drop clean pages, so a case measures the mount and not earlier reads."""
    for segment in segments:
        with _opened(segment.path) as handle:
            os.posix_fadvise(handle, segment.first, segment.count, os.POSIX_FADV_DONTNEED)


def _measure(
    case: ReadCase,
    segments: Sequence[Segment],
    read: ReadSegment,
    seconds: float,
    meter: _Meter,
) -> Measurement:
    """Read segments with the readers of a case.

    Raises:
        CannotReadError: a read failed.
    """
    before, cpu, started = meter.bytes, time.process_time(), time.monotonic()
    meter.end_after(seconds)
    waiting: Iterator[Segment] = iter(segments)
    lock = threading.Lock()

    def work(_: int) -> None:
        while not meter.expired:
            with lock:
                segment = next(waiting, None)
            if segment is None:
                return
            read(segment, case.block_bytes, meter)

    try:
        with ThreadPoolExecutor(case.readers) as pool:
            list(pool.map(work, range(case.readers)))
    except OSError as err:
        raise CannotReadError(f"reading failed: {err.strerror or err}") from err
    elapsed = max(time.monotonic() - started, 1e-6)
    return Measurement(case, meter.bytes - before, elapsed, time.process_time() - cpu)


@contextmanager
def _opened(path: str) -> Iterator[int]:
    handle = os.open(path, os.O_RDONLY)
    try:
        yield handle
    finally:
        os.close(handle)


def _pread_segment(segment: Segment, block: int, meter: _Meter) -> None:
    buffer = memoryview(bytearray(block))
    with _opened(segment.path) as handle:
        at, end = segment.first, segment.first + segment.count
        while at < end and not meter.expired:
            count = os.preadv(handle, [buffer[: min(block, end - at)]], at)
            if not count:
                raise CannotReadError(f"{Path(segment.path).name} ends at byte {at}")
            meter.add(count)
            at += count


def _copy_mapped(segment: Segment, block: int, meter: _Meter) -> None:
    """Copy a segment from a memory map, as engines copy a tensor to the GPU."""
    step = min(block, MIB)
    buffer = bytearray(step)
    private = {"flags": mmap.MAP_PRIVATE, "prot": mmap.PROT_READ}  # as safetensors maps since 0.5.3
    with _opened(segment.path) as handle, mmap.mmap(handle, 0, **private) as mapped:
        at, end = segment.first, segment.first + segment.count
        while at < end and not meter.expired:
            count = min(step, end - at)
            buffer[:count] = mapped[at : at + count]
            meter.add(count)
            at += count


def _measure_store(case: ReadCase, plan: BenchPlan, meter: _Meter) -> Measurement:
    """Read segments of the objects directly.

    Raises:
        FluidModelError: the store refuses.
        CannotReadError: it has no files, or a range cannot be read.
    """
    from kubectl_fluidmodel.inventory.mount_target import target_from_json
    from kubectl_fluidmodel.objectstore.s3 import S3Store
    from kubectl_fluidmodel.objectstore.s3_credentials import (
        ACCESS_KEY,
        SECRET_KEY,
        SESSION_TOKEN,
        S3Credentials,
    )
    from kubectl_fluidmodel.objectstore.s3_objects import list_prefix, range_reader

    target = target_from_json(plan.store)
    keys = None
    if os.environ.get(ACCESS_KEY):
        token = os.environ.get(SESSION_TOKEN, "")
        keys = S3Credentials(os.environ[ACCESS_KEY], os.environ[SECRET_KEY], token)
    store = S3Store(target.endpoint, target.region, keys)
    listing = list_prefix(store, target.host, target.path)
    files = _weights_or_all((file.path, file.size) for file in listing.files)
    if not files:
        raise CannotReadError("the store has no files there")
    segments = _SegmentSource(files, plan).take(case)
    fetch = range_reader(store, target.host, target.path)

    def get(segment: Segment, block: int, meter: _Meter) -> None:
        at, end = segment.first, segment.first + segment.count
        while at < end and not meter.expired:
            count = min(block, end - at)
            meter.add(len(fetch(segment.path, at, count)))
            at += count

    return _measure(case, segments, get, plan.case_seconds, meter)


def main() -> int:
    """Run in the pod: read the plan from the environment, measure, print events."""
    emit = EVENTS.printer()
    try:
        run_plan(plan_from_json(os.environ[PLAN_VARIABLE]), Path(MOUNT_PATH), emit)
    except CannotReadError as err:
        emit(ReaderFailed(str(err)))
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
