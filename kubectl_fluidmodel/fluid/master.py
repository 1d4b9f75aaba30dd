"""What an Alluxio master answers when it is asked for its files and workers. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass

from kubectl_fluidmodel.fluid.state import rounding, size

LIST_COMMAND = ["alluxio", "fs", "ls", "-R", "/"]
CAPACITY_COMMAND = ["alluxio", "fsadmin", "report", "capacity"]

_ENTRY = re.compile(
    r"\s(?P<size>\d+)\s+\S*PERSISTED\S*\s+\S+\s+\S+\s+(?P<cached>\d{1,3})%\s+(?P<path>/.*)$"
)
_WORKER = re.compile(r"(?P<name>\S+)\s+\d+\s+capacity\s", re.IGNORECASE)
_USED = re.compile(r"\s+used\s+(?P<used>\d\S*)", re.IGNORECASE)


@dataclass(frozen=True)
class Cached:
    """One file as Alluxio lists it."""

    path: str
    size: int
    percent: int


def parse_listing(text: str) -> list[Cached]:
    """The files of `alluxio fs ls -R /` (Alluxio 2.9: size, state, time, percentage, path)."""
    found = []
    for line in text.splitlines():
        match = _ENTRY.search(line)
        if match:
            found.append(
                Cached(match["path"].strip().lstrip("/"), int(match["size"]), int(match["cached"]))
            )
    return found


def parse_workers(text: str) -> list[tuple[str, int, int]]:
    """Worker, bytes used and their rounding from `alluxio fsadmin report capacity`.

    A worker's line says what it has, the next one what of that is used. Columns and capitals
    differ between Alluxio's releases.
    """
    found = []
    worker = ""
    for line in text.splitlines():
        named, used = _WORKER.match(line), _USED.match(line)
        if named:
            worker = named["name"]
        elif used and worker:
            found.append((worker, size(used["used"]) or 0, rounding(used["used"])))
            worker = ""
    return found
