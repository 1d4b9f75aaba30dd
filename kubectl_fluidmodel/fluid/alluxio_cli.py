"""Parses the output of Alluxio's command line about files and workers. Pure."""

from __future__ import annotations

import re

from kubectl_fluidmodel.fluid.status import parse_size, size_precision
from kubectl_fluidmodel.records import dataclass

LIST_COMMAND = ["alluxio", "fs", "ls", "-R", "/"]
CAPACITY_COMMAND = ["alluxio", "fsadmin", "report", "capacity"]

_ENTRY = re.compile(
    r"\s(?P<size>\d+)\s+\S*PERSISTED\S*\s+\S+\s+\S+\s+(?P<cached>\d{1,3})%\s+(?P<path>/.*)$"
)
_WORKER = re.compile(
    r"(?P<name>\S+)\s+(?:(?P<state>[A-Z]+)\s+)?(?P<beat>\d+)\s+capacity\s", re.IGNORECASE
)
HEARTBEAT_TIMEOUT = 30
"""Seconds without a heartbeat after which a worker does not count. A worker sends one per second
(alluxio.worker.block.heartbeat.interval). The master itself waits five minutes
(alluxio.master.worker.timeout) and lists the worker's files until then."""
_LIVE_STATES = ("", "ACTIVE", "LIVE")
"""States of a serving worker; releases before 2.9.4 have no such column."""

_USED = re.compile(r"\s+used\s+(?P<used>\d\S*)", re.IGNORECASE)


@dataclass(frozen=True)
class AlluxioFile:
    """One file in Alluxio's list."""

    path: str
    size: int
    cached_percent: int


def parse_listing(text: str) -> list[AlluxioFile]:
    """Parse `alluxio fs ls -R /` (Alluxio 2.9: size, state, time, percentage, path)."""
    files = []
    for line in text.splitlines():
        match = _ENTRY.search(line)
        if match:
            files.append(
                AlluxioFile(
                    match["path"].strip().lstrip("/"), int(match["size"]), int(match["cached"])
                )
            )
    return files


@dataclass(frozen=True)
class AlluxioWorker:
    """One worker as the master reports it."""

    name: str
    used_bytes: int
    precision: int
    is_live: bool
    """Whether it serves: its heartbeat is recent, and it is not lost or disabled."""


def parse_live_workers(text: str) -> list[tuple[str, int, int]]:
    """Worker name, used bytes and their rounding, for live workers in `fsadmin report capacity`."""
    return [
        (worker.name, worker.used_bytes, worker.precision)
        for worker in parse_capacity_report(text)
        if worker.is_live
    ]


def parse_capacity_report(text: str) -> list[AlluxioWorker]:
    """Parse all workers of `alluxio fsadmin report capacity`.

    This includes lost workers, with their old bytes. A worker's line has its capacity, and the next
    line what is used of it. Columns and capitalization differ between Alluxio releases.
    """
    workers = []
    worker: re.Match[str] | None = None
    for line in text.splitlines():
        named, used = _WORKER.match(line), _USED.match(line)
        if named:
            worker = named
        elif used and worker:
            live = (worker["state"] or "").upper() in _LIVE_STATES and int(
                worker["beat"][:9]
            ) <= HEARTBEAT_TIMEOUT
            bytes_ = parse_size(used["used"]) or 0
            workers.append(
                AlluxioWorker(worker["name"], bytes_, size_precision(used["used"]), live)
            )
            worker = None
    return workers
