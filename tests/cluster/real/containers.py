"""containerd and runc: the machine's own where it has them, else Debian's, not installed."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

from . import packages
from .machine import MachineLacks

PROGRAMS = ("containerd", "containerd-shim-runc-v2", "ctr", "runc")
#: What the set of packages is called in the cache.
CACHED = "containers"


def installed() -> dict[str, Path]:
    """Those of the programs that are on PATH."""
    found = {name: shutil.which(name) for name in PROGRAMS}
    return {name: Path(path) for name, path in found.items() if path}


def obstacle() -> str | None:
    """Why there is no way to the programs, in a line; None where there is."""
    if len(installed()) == len(PROGRAMS) or packages.tree(CACHED).exists():
        return None
    if not packages.obtainable():
        return "containerd and runc are not on PATH, and there is no apt-get to fetch them with"
    return None


def ensure() -> dict[str, Path]:
    """Where each program is, fetched if need be.

    Raises:
        MachineLacks: the packages cannot be had, or do not run here.
    """
    found = installed()
    if len(found) < len(PROGRAMS):
        home = packages.unpack(CACHED, "containerd", "runc")
        folders = [home / "usr" / folder for folder in ("bin", "sbin")]
        found = {
            name: folder / name
            for name in PROGRAMS
            for folder in folders
            if os.access(folder / name, os.X_OK)
        }
    for name in ("containerd", "runc"):
        tried = subprocess.run(
            [found[name], "--version"], capture_output=True, text=True, check=False
        )
        if tried.returncode:
            raise MachineLacks(f"{found[name]} does not run here: {tried.stderr.strip()}")
    return found
