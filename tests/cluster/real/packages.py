"""Debian's packages, unpacked into the cache and not installed.

What is unpacked starts no service and changes nothing of the machine.
"""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from pathlib import Path

from .. import paths
from ..process import locked
from .machine import MachineLacks


def obtainable() -> bool:
    """Whether packages can be fetched at all."""
    return bool(shutil.which("apt-get") and shutil.which("dpkg-deb"))


def tree(name: str) -> Path:
    """Where a set of packages is in the cache, or is going to be."""
    return paths.cache_dir() / name


def unpack(name: str, *packages: str) -> Path:
    """The tree of these packages, fetched unless the cache has it.

    Args:
        name: what the set is called in the cache.
        packages: what Debian calls them; dependencies are not followed.

    Raises:
        MachineLacks: they cannot be downloaded.
    """
    home = tree(name)
    with locked(paths.cache_dir() / f"{name}.lock"):
        if not home.exists():
            _fetch(home, packages)
    return home


def _fetch(home: Path, packages: tuple[str, ...]) -> None:
    listed = " and ".join(packages)
    if not obtainable():
        raise MachineLacks(f"{listed} cannot be fetched: there is no apt-get on PATH")
    with tempfile.TemporaryDirectory(dir=paths.cache_dir()) as folder:
        # As root apt-get would download as its own user, who cannot write here.
        words = ["apt-get", "-q", "-o", "APT::Sandbox::User=root", "download", *packages]
        done = subprocess.run(words, cwd=folder, capture_output=True, text=True, check=False)
        if done.returncode:
            said = (done.stderr.strip() or done.stdout.strip()).splitlines()[-1:]
            raise MachineLacks(
                f"cannot download {listed}: {' '.join(said)}; install them, or run apt-get update"
            )
        unpacked = Path(folder) / "tree"
        for package in sorted(Path(folder).glob("*.deb")):
            subprocess.run(["dpkg-deb", "-x", package, unpacked], check=True)
        unpacked.rename(home)
