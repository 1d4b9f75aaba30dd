"""Where the harness keeps things: the cache of binaries, and the state of each cluster.

Nothing is ever written into the clone.  Binaries are dear and shared by every cluster of the
machine, so they live in a cache directory; a cluster's state is cheap and private, so it lives in a
directory of its own under the temporary directory, which is also the cluster's name on disk.
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
REPO = HERE.parent.parent
GO_DIR = HERE / "go"


def cache_dir() -> Path:
    """The directory of built binaries and unpacked charts, shared by all clusters."""
    explicit = os.environ.get("FLUIDMODEL_CACHE_DIR")
    if explicit:
        return Path(explicit).expanduser()
    base = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(base).expanduser() / "kubectl-fluidmodel"


def state_dir(name: str) -> Path:
    """The directory of the cluster called ``name``; the same for every process of this user."""
    base = os.environ.get("FLUIDMODEL_STATE_DIR") or tempfile.gettempdir()
    return Path(base) / f"kubectl-fluidmodel-{os.getuid()}" / name


def data_dir(state: Path) -> Path:
    """Where etcd keeps its data: memory where there is a tmpfs to be had, else the state."""
    shm = Path("/dev/shm")
    if os.environ.get("FLUIDMODEL_ETCD_ON_DISK") or not os.access(shm, os.W_OK):
        return state / "etcd"
    return shm / f"{state.parent.name}-{state.name}"
