"""A pod on a node of the cache reads every file through the claim, and it is compared.

Alluxio's list shows what its workers hold. This verifies what a pod gets: the FUSE client, the
mount and every byte. It also starts the FUSE client and fills the node's page cache, which is what
`preheating.py` uses it for.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Mapping, Sequence
from dataclasses import field

from kubectl_fluidmodel.cache import hints
from kubectl_fluidmodel.cache.claim_reader import (
    EVENTS,
    FileRead,
    PagesMeasured,
    ReadFailed,
    ReadFinished,
    ReadProgress,
)
from kubectl_fluidmodel.errors import FluidModelError
from kubectl_fluidmodel.fluid.claim_job import ClaimJob, ClaimNode, pod_tolerations
from kubectl_fluidmodel.fluid.pod_problems import is_ready
from kubectl_fluidmodel.fluid.worker_set import workers_selector
from kubectl_fluidmodel.kube.client import Client
from kubectl_fluidmodel.kube.job_run import JobTimeouts, run_job
from kubectl_fluidmodel.model.files import FileListing
from kubectl_fluidmodel.model.plan import SHA256, PlanFile
from kubectl_fluidmodel.objects.access import Object, get_path, name_of
from kubectl_fluidmodel.objects.kinds import PODS
from kubectl_fluidmodel.objects.plugin_pod import PodNetwork
from kubectl_fluidmodel.output.progress import DONE, RUNNING, WAITING, ProgressReporter, Step
from kubectl_fluidmodel.output.units import format_bytes, format_duration, pluralize
from kubectl_fluidmodel.records import dataclass

PURPOSE = "verify"
MODULE = "kubectl_fluidmodel.cache.claim_reader"
_SCHEDULE_TIMEOUT = 60.0
"""Seconds until a pod has its node."""
_START_TIMEOUT = 180.0
"""Seconds until a pod runs: pulling the image, and the first start of the FUSE client on the node.
"""
_STALL_TIMEOUT = 120.0


@dataclass(frozen=True)
class ReadVerification:
    """What was read through the claim, all as expected."""

    nodes: tuple[str, ...]
    files: int
    bytes: int
    hashed: int
    """Files whose hash was compared with the Hub's; for other files, the size was compared."""


@dataclass(frozen=True)
class ExpectedFile:
    """A file of the source."""

    size: int
    digest: str = ""
    """SHA-256, or git's blob ID; empty if only the size is known."""
    is_git: bool = False


class WrongContentError(FluidModelError):
    """A pod reads something else than the source has."""


def expected_files(
    listing: FileListing | None, staged: Sequence[PlanFile]
) -> dict[str, ExpectedFile]:
    """Return the files that a pod has to read, by path.

    Args:
        listing: The source's files; None if they could not be listed.
        staged: The files of a Hub model, with their hashes; empty for other sources.
    """
    expected = {file.path: ExpectedFile(file.size) for file in listing.files} if listing else {}
    for file in staged:
        expected[file.path] = ExpectedFile(file.size, file.digest, file.kind != SHA256)
    return expected


def compare_files(
    expected: Mapping[str, ExpectedFile], read: Mapping[str, FileRead], failed: Mapping[str, str]
) -> list[str]:
    """Return problems of the files that a pod has read; files beside the model are ignored.

    Args:
        expected: The expected files by path.
        read: The files that were read by path.
        failed: Why a path could not be read.

    Returns:
        A line for each file that is missing, unreadable or different.
    """
    wrong = []
    for path, file in sorted(expected.items()):
        actual = read.get(path)
        if path in failed:
            wrong.append(f"{path}: {failed[path]}")
        elif actual is None:
            wrong.append(f"{path}: missing")
        elif actual.size != file.size:
            wrong.append(f"{path}: {actual.size} bytes instead of {file.size}")
        elif file.digest and file.digest != (actual.git if file.is_git else actual.sha256):
            wrong.append(f"{path}: its content differs from the Hub's")
    return wrong


@dataclass(frozen=True)
class ClaimReads:
    """Reads a cache with a pod on one of its nodes."""

    client: Client
    namespace: str
    name: str
    image: str
    network: PodNetwork
    reporter: ProgressReporter
    deadline: float
    """The time.monotonic() at which the last wait ends."""

    def worker_nodes(self) -> list[ClaimNode]:
        """Return the nodes of ready workers, each with its worker's tolerations.

        Raises:
            FluidModelError: no worker is ready.
        """
        labels = workers_selector(self.name)
        pods = self.client.list_objects(PODS, self.namespace, labels=labels)
        tolerations = {
            str(get_path(pod, "spec", "nodeName")): pod_tolerations(pod)
            for pod in pods
            if is_ready(pod)
        }
        if not tolerations:
            raise FluidModelError(
                f"cache {self.name} cannot be read",
                "no worker is ready",
                hints.doctor(self.name, self.namespace),
            )
        return [ClaimNode(name, tolerations[name]) for name in sorted(tolerations)]

    def read_on(self, node: ClaimNode, expected: Mapping[str, ExpectedFile]) -> NodeReading:
        """Read every file on a node, and compare it.

        Raises:
            WrongContentError: a file differs, is missing or cannot be read.
            FluidModelError: the pod does not run to its end, or finds nothing.
        """
        reading = NodeReading(node.name, sum(file.size for file in expected.values()))
        remaining = max(1.0, self.deadline - time.monotonic())
        job = self._build_job(node, remaining)

        def on_line(line: str) -> None:
            reading.handle(line)
            self.reporter.update(reading)

        def on_wait(reason: str) -> None:
            reading.waiting_for = reason
            self.reporter.update(reading)

        timeouts = JobTimeouts(
            schedule=min(_SCHEDULE_TIMEOUT, remaining),
            start=min(_START_TIMEOUT, remaining),
            stall=_STALL_TIMEOUT,
            total=remaining,
        )
        succeeded = run_job(self.client, job, timeouts, on_line, on_wait)
        wrong = compare_files(expected, reading.read, reading.failed)
        if not expected:
            wrong = [f"{path}: {reason}" for path, reason in sorted(reading.failed.items())]
        error = WrongContentError if reading.read else FluidModelError
        if not succeeded or not reading.finished:
            error, wrong = FluidModelError, [reading.last_text or f"Job {name_of(job)} failed"]
        if not reading.read and not wrong:
            wrong = ["the claim is empty"]
        if wrong:
            rest = f" and {len(wrong) - 3} more" if len(wrong) > 3 else ""
            raise error(
                f"what a pod on {node.name} reads from cache {self.name} is wrong",
                "; ".join(wrong[:3]) + rest,
                hints.doctor(self.name, self.namespace),
            )
        rate = reading.bytes / reading.seconds if reading.seconds else 0
        self.reporter.log(
            f"read on {node.name}: {pluralize(len(reading.read), 'file')}, "
            f"{format_bytes(reading.bytes)} in {format_duration(reading.seconds)} "
            f"({format_bytes(rate)}/s){reading.describe_pages()}"
        )
        return reading

    def _build_job(self, node: ClaimNode, deadline: float) -> Object:
        return ClaimJob(
            self.namespace,
            self.name,
            PURPOSE,
            MODULE,
            node,
            self.image,
            deadline=deadline,
            suffix=secrets.token_hex(4),
            network=self.network,
        ).build()


@dataclass
class NodeReading:
    """The events of the pod on one node; also shown in the progress view."""

    node: str
    total_bytes: int | None
    read: dict[str, FileRead] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)
    bytes: int = 0
    seconds: float = 0.0
    pages: PagesMeasured | None = None
    finished: bool = False
    started: bool = False
    waiting_for: str = ""
    last_text: str = ""
    remaining_after: int = 0
    problems: tuple[str, ...] = ()

    def handle(self, line: str) -> None:
        """Handle one line of the pod's log."""
        event = EVENTS.from_line(line)
        self.started = True
        if isinstance(event, FileRead):
            self.read[event.path] = event
        elif isinstance(event, ReadFailed):
            self.failed[event.path] = event.reason
        elif isinstance(event, ReadProgress):
            self.bytes = event.bytes
        elif isinstance(event, PagesMeasured):
            self.pages = event
        elif isinstance(event, ReadFinished):
            self.bytes, self.seconds, self.finished = event.bytes, event.seconds, True
        elif line.strip():
            self.last_text = line.strip()[:200]

    def describe_pages(self) -> str:
        """Return how much is in the page cache now, after a comma; empty if not measured."""
        if self.pages is None or not self.pages.total_bytes:
            return ""
        share = 100 * self.pages.bytes // self.pages.total_bytes
        return f", {share}% of it is in the page cache"

    @property
    def done_bytes(self) -> int | None:
        return self.bytes if self.started else None

    @property
    def is_transferring(self) -> bool:
        return self.started and not self.finished

    @property
    def steps(self) -> tuple[Step, ...]:
        if not self.started:
            waiting = self.waiting_for or f"starting on {self.node}"
            return Step("reader", RUNNING, waiting), Step("read", WAITING)
        state = DONE if self.finished else RUNNING
        return Step("reader", DONE, f"on {self.node}"), Step("read", state, "through the claim")
