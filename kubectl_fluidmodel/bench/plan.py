"""What a pod of `bench` reads, and what it reports: the protocol between client and pod. Pure.

The pod gets the plan as JSON in an environment variable, and prints its events as JSON lines. Other
lines come from Python or the kernel, and are kept for error messages.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from enum import Enum
from typing import Any

from kubectl_fluidmodel.output.event_log import EventLog
from kubectl_fluidmodel.output.units import pluralize
from kubectl_fluidmodel.records import dataclass

MIB = 1024**2


class Source(str, Enum):
    """Where a case reads from."""

    MOUNT = "mount"
    """The cache's claim, after the segments were dropped from the page cache."""
    PAGE_CACHE = "page-cache"
    """The claim again: the segments of the previous case, which are now in the page cache."""
    STORE = "store"
    """The object store, with the cache's keys."""


class Pattern(str, Enum):
    """How a case reads."""

    MMAP = "mmap"
    """Copy each segment from a memory map, as `safetensors` does: one thread."""
    PREAD = "pread"
    """Read blocks with one thread per reader of the case."""
    GET = "get"
    """HTTP range requests, one connection per reader."""


@dataclass(frozen=True)
class ReadCase:
    """One way of reading."""

    source: Source
    pattern: Pattern
    readers: int
    block_bytes: int

    @property
    def label(self) -> str:
        """A label for people: `cache, blocks of 16 MiB, 4 threads`."""
        origin = {Source.MOUNT: "cache", Source.PAGE_CACHE: "page cache"}.get(self.source, "store")
        if self.pattern is Pattern.MMAP:
            return f"{origin}, memory map"
        blocks = f"{origin}, blocks of {self.block_bytes // MIB} MiB"
        return f"{blocks}, {pluralize(self.readers, 'thread')}"


@dataclass(frozen=True)
class Measurement:
    """The result of one case."""

    case: ReadCase
    bytes: int
    seconds: float
    cpu_seconds: float
    """Of all threads of the pod."""

    @property
    def bytes_per_second(self) -> float:
        return self.bytes / self.seconds if self.seconds > 0 else 0.0


@dataclass(frozen=True)
class BenchPlan:
    """The work of one pod."""

    cases: tuple[ReadCase, ...]
    sample_bytes: int
    """Maximum bytes that all cases of the mount read together; 0 for the whole model each."""
    case_seconds: float
    """Seconds after which a case ends, regardless of what it has read."""
    seed: int = 0
    """Seed of the random order of segments."""
    store: str = ""
    """The store's `MountTarget` as JSON; empty if no case reads from it."""

    def to_json(self) -> str:
        return json.dumps(asdict(self))


def plan_from_json(text: str) -> BenchPlan:
    """Parse what `BenchPlan.to_json` returned."""
    data: dict[str, Any] = json.loads(text)
    cases = tuple(_case_from_document(case) for case in data.pop("cases"))
    return BenchPlan(cases=cases, **data)


def _case_from_document(data: dict[str, Any]) -> ReadCase:
    return ReadCase(
        Source(data["source"]), Pattern(data["pattern"]), data["readers"], data["block_bytes"]
    )


MOUNT_CASES = (
    ReadCase(Source.MOUNT, Pattern.MMAP, 1, 64 * MIB),
    ReadCase(Source.MOUNT, Pattern.PREAD, 1, 1 * MIB),
    *(ReadCase(Source.MOUNT, Pattern.PREAD, readers, 16 * MIB) for readers in (1, 2, 4, 8, 16)),
    ReadCase(Source.PAGE_CACHE, Pattern.PREAD, 4, 16 * MIB),
)
"""At most 16 readers, because Alluxio's FUSE has hung with 32 and more (fluid#5802)."""
OTHER_NODE_CASES = tuple(
    case
    for case in MOUNT_CASES
    if case.source is Source.MOUNT and (case.pattern is Pattern.MMAP or case.readers in (4, 16))
)
"""For a node without the cache, where reading takes long."""
STORE_CASE = ReadCase(Source.STORE, Pattern.GET, 8, 16 * MIB)


@dataclass(frozen=True)
class CaseStarted:
    """A case begins."""

    label: str


@dataclass(frozen=True)
class ReadProgress:
    """Bytes that all cases have read so far."""

    bytes: int


@dataclass(frozen=True)
class CaseDone:
    """A case has ended."""

    measurement: Measurement


@dataclass(frozen=True)
class CaseSkipped:
    """A case could not be measured."""

    label: str
    reason: str


@dataclass(frozen=True)
class ReaderFailed:
    """The pod gives up."""

    reason: str


@dataclass(frozen=True)
class PagesMeasured:
    """How much of the model is in the node's page cache after all cases."""

    bytes: int
    total_bytes: int


@dataclass(frozen=True)
class ReaderFinished:
    """The pod has tried every case."""

    model_bytes: int
    """Of the files of weights that it found."""


Event = (
    CaseStarted
    | ReadProgress
    | CaseDone
    | CaseSkipped
    | PagesMeasured
    | ReaderFailed
    | ReaderFinished
)


def _measurement_from_document(data: dict[str, Any]) -> Measurement:
    return Measurement(
        _case_from_document(data["case"]),
        int(data["bytes"]),
        float(data["seconds"]),
        float(data["cpu_seconds"]),
    )


EVENTS: EventLog[Event] = EventLog(
    {
        "started": CaseStarted,
        "progress": ReadProgress,
        "done": CaseDone,
        "skipped": CaseSkipped,
        "pages": PagesMeasured,
        "failed": ReaderFailed,
        "finished": ReaderFinished,
    },
    parsers={CaseDone: lambda fields: CaseDone(_measurement_from_document(fields["measurement"]))},
)


def last_text(lines: Sequence[str]) -> str:
    """Return the last line that is not an event: the output of a pod that crashed."""
    texts = [line.strip() for line in lines if line.strip() and EVENTS.from_line(line) is None]
    return texts[-1] if texts else ""
