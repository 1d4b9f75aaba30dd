"""`down` with a cache that is mounted and read, after all of the harness was killed."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.cluster import paths
from tests.cluster.cluster import Cluster
from tests.cluster.dataplane import HOLDER, build_cache, mounts, with_data_plane
from tests.cluster.real.node import group
from tests.cluster.test_real_node_down import addresses, groups_of, processes_of

pytestmark = [pytest.mark.real, pytest.mark.alone]

#: Reads for ever, through the page cache or not.
READ = """
import os
while True:
    for name in os.listdir("/models"):
        with open(f"/models/{name}", "rb", buffering=0) as file:
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
            while file.read(1 << 20):
                pass
"""


def test_down_takes_seconds_and_leaves_nothing(tmp_path: Path) -> None:
    cluster = Cluster(f"plane-{os.getpid()}")
    mounted = Path("/proc/self/mountinfo").read_text()
    there = sorted(Path("/run").iterdir())
    cluster.up(nodes=1, dynamo=None)
    try:
        cache = build_cache(with_data_plane(cluster, 1), "real", tmp_path)
        cache.start_reader("engine", HOLDER)
        where = ["-n", "real", "engine", "--", "python", "-c", READ]
        reading = subprocess.Popen(
            [cluster.bin / "kubectl", f"--kubeconfig={cluster.kubeconfig}", "exec", *where]
        )
        assert mounts(cluster, HOLDER, " fuse.alluxio-fuse ")
        assert reading.poll() is None
        address = cluster.real.taken()[HOLDER].address
        for pid in filter(None, map(cluster.processes.pid, cluster.processes.names())):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        started = time.monotonic()
        words = [sys.executable, "-m", "tests.cluster", "down", "--name", cluster.name]
        subprocess.run(words, cwd=paths.REPO, check=True, timeout=120)
        assert time.monotonic() - started < 30
        reading.wait(30)
    finally:
        cluster.down()
    assert not cluster.state.exists()
    assert processes_of(cluster.state) == set()
    assert groups_of(group(cluster.state)) == []
    assert f" {address}/" not in addresses()
    assert Path("/proc/self/mountinfo").read_text() == mounted
    assert not [path for path in Path("/dev/shm").iterdir() if cluster.name in path.name]
    assert sorted(Path("/run").iterdir()) == there
    links = subprocess.run(["ip", "-oneline", "link"], capture_output=True, text=True, check=True)
    assert HOLDER not in links.stdout
