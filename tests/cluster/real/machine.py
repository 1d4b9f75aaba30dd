"""What a real node needs of this machine, and what is missing, in one line."""

from __future__ import annotations

import os
import shutil
import stat
import sys
from pathlib import Path

from .. import cgroups

#: What is in memory within a node's mount namespace.
PRIVATE = ("/run", "/var/lib", "/var/log", "/dev/shm", "/mnt")
FUSE = Path("/dev/fuse")


class MachineLacks(RuntimeError):
    """This machine cannot have what was asked for; the message says why, in a line."""


def obstacle(state: Path) -> str | None:
    """Why this machine cannot have a real node, in a line; None where it can."""
    if sys.platform != "linux":
        return f"it needs Linux, and this is {sys.platform}"
    if os.getuid() != 0:
        return "it needs root, for containers"
    missing = [each for each in ("ip", "unshare", "nsenter", "mount") if not shutil.which(each)]
    if missing:
        return f"there is no {' and no '.join(missing)} on PATH"
    found = cgroups.hierarchies()
    if not any(each.name == "memory" or _has_memory(each) for each in found):
        return "no cgroup hierarchy with a memory controller is mounted"
    if not os.access(cgroups.holder(), os.W_OK):
        return f"{cgroups.holder()} is mounted read-only"
    hidden = [each for each in PRIVATE if state.is_relative_to(each)]
    if hidden:
        return f"the cluster's state lies under {hidden[0]}, which the node has for itself"
    return None


def no_fuse() -> str | None:
    """Why this machine cannot mount a FUSE file system, in a line; None where it can."""
    if not FUSE.exists():
        return f"there is no {FUSE}; try: modprobe fuse"
    if not stat.S_ISCHR(FUSE.stat().st_mode):
        return f"{FUSE} is no character device"
    try:
        os.close(os.open(FUSE, os.O_RDWR))
    except OSError as error:
        return f"{FUSE} cannot be opened: {error.strerror}"
    return None


def _has_memory(root: Path) -> bool:
    file = root / "cgroup.controllers"
    return file.exists() and "memory" in file.read_text().split()
