"""containerd and runc: the machine's own where it has them, else Debian's, not installed.

A package that is unpacked into the cache starts no service and changes nothing of the machine.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from pathlib import Path

from . import paths
from .process import locked


class NoContainers(RuntimeError):
    """This machine cannot run containers, and why, in a line."""


PROGRAMS = ("containerd", "containerd-shim-runc-v2", "ctr", "runc")
PACKAGES = ("containerd", "runc")


def installed() -> dict[str, Path]:
    """Those of the programs that are on PATH."""
    found = {name: shutil.which(name) for name in PROGRAMS}
    return {name: Path(path) for name, path in found.items() if path}


def obstacle() -> str | None:
    """Why there is no way to the programs."""
    if len(installed()) == len(PROGRAMS) or _unpacked():
        return None
    if not (shutil.which("apt-get") and shutil.which("dpkg-deb")):
        return "containerd and runc are not on PATH, and there is no apt-get to fetch them with"
    return None


def ensure() -> dict[str, Path]:
    """Where each program is, fetched if need be.

    Raises:
        NoContainers: the packages cannot be had, or do not run here.
    """
    found = installed()
    if len(found) < len(PROGRAMS):
        with locked(paths.cache_dir() / "containers.lock"):
            if not _unpacked():
                _fetch()
        found = _unpacked()
    for name in ("containerd", "runc"):
        tried = subprocess.run(
            [found[name], "--version"], capture_output=True, text=True, check=False
        )
        if tried.returncode:
            raise NoContainers(f"{found[name]} does not run here: {tried.stderr.strip()}")
    return found


def _home() -> Path:
    return paths.cache_dir() / "containers"


def _unpacked() -> dict[str, Path]:
    """The programs in the cache: all of them or none."""
    folders = [_home() / "usr" / folder for folder in ("bin", "sbin")]
    found = {
        name: folder / name
        for name in PROGRAMS
        for folder in folders
        if os.access(folder / name, os.X_OK)
    }
    return found if len(found) == len(PROGRAMS) else {}


def _fetch() -> None:
    with tempfile.TemporaryDirectory(dir=paths.cache_dir()) as folder:
        # As root apt-get would download as its own user, who cannot write here.
        words = ["apt-get", "-q", "-o", "APT::Sandbox::User=root", "download", *PACKAGES]
        done = subprocess.run(words, cwd=folder, capture_output=True, text=True, check=False)
        if done.returncode:
            said = (done.stderr.strip() or done.stdout.strip()).splitlines()[-1:]
            raise NoContainers(
                f"cannot download {' and '.join(PACKAGES)}: {' '.join(said)}; "
                "install them, or run apt-get update"
            )
        tree = Path(folder) / "tree"
        for package in sorted(Path(folder).glob("*.deb")):
            subprocess.run(["dpkg-deb", "-x", package, tree], check=True)
        shutil.rmtree(_home(), ignore_errors=True)
        tree.rename(_home())
