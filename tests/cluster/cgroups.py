"""A control group of our own, in every hierarchy of the machine: made, emptied, removed.

All of the real node lives below it - its kubelet and containerd, the shims that outlive both, and
the containers.  So its processes can be found, and ended, without guessing from names.
"""

from __future__ import annotations

import contextlib
import os
import signal
import time
from pathlib import Path

#: Where the node's own processes are, beside the kubelet's `kubepods`: version 2 wants no process
#: in a group that has groups.
OWN = "system"
#: A busy machine has that many processes that want to run; a group counts as one of them at first.
SEVERAL = 16


def hierarchies(mounts: Path = Path("/proc/mounts")) -> list[Path]:
    """Every hierarchy's root: one of version 2, or one a controller of version 1 (or both)."""
    found = []
    for line in mounts.read_text().splitlines():
        _, where, kind = line.split()[:3]
        if kind in ("cgroup", "cgroup2"):
            found.append(Path(where))
    return found


def holder() -> Path:
    """The hierarchy in which the node's own processes are told apart from the machine's."""
    found = hierarchies()
    return next((each for each in found if each.name == "memory"), found[0])


def make(name: str) -> None:
    """Make the group everywhere."""
    for root in hierarchies():
        group = root / name
        group.mkdir(exist_ok=True)
        for file in ("cpuset.cpus", "cpuset.mems"):
            # Version 1 begins with none of either, and takes no process without.
            if (group / file).exists() and not (group / "cgroup.controllers").exists():
                (group / file).write_text((root / file).read_text())
        if "/" not in name:
            _weigh(group)
    (holder() / name / OWN).mkdir(exist_ok=True)


def _weigh(group: Path) -> None:
    """Let the group's many processes count as that many, where it competes with single ones."""
    for file, weight in (("cpu.shares", 1024 * SEVERAL), ("cpu.weight", 100 * SEVERAL)):
        if (group / file).exists():
            (group / file).write_text(str(weight))


def processes(name: str) -> set[int]:
    """The processes in the group and in all groups below it."""
    found: set[int] = set()
    for root in hierarchies():
        for file in [root / name / "cgroup.procs", *(root / name).glob("**/cgroup.procs")]:
            with contextlib.suppress(OSError):  # gone meanwhile
                found |= {int(pid) for pid in file.read_text().split()}
    return found - {0}  # 0 is a process of another pid namespace: none of ours


def remove(name: str, seconds: float = 20) -> None:
    """Kill what is in the group, until nothing is, and remove it."""
    deadline = time.monotonic() + seconds
    while True:
        for pid in processes(name):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        if not processes(name) and all(_gone(root / name) for root in hierarchies()):
            return
        if time.monotonic() > deadline:
            raise RuntimeError(f"cgroup {name} does not go: processes {processes(name)}")
        time.sleep(0.05)


def _gone(group: Path) -> bool:
    """Whether the group is gone now; a busy one is left for the next try."""
    if not group.exists():
        return True
    below = sorted((each for each in group.glob("**/") if each != group), reverse=True)
    for each in [*below, group]:
        with contextlib.suppress(OSError):
            each.rmdir()
    return not group.exists()
