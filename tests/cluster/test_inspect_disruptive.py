"""`inspect -w` while the API server goes away and comes back, and what it costs at rest."""

from __future__ import annotations

import contextlib
import os
import subprocess
import time
from pathlib import Path

import pytest

from tests.cluster.cluster import Cluster
from tests.cluster.fixtures import Cli
from tests.cluster.objects import FLUID, until
from tests.cluster.plugin import Plugin

pytestmark = [pytest.mark.cluster, pytest.mark.alone]


def seconds(pid: int) -> float:
    """CPU time that a process has used."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def dataset(name: str) -> dict[str, object]:
    return {
        "apiVersion": FLUID,
        "kind": "Dataset",
        "metadata": {"name": name, "namespace": "default"},
        "spec": {"mounts": [{"mountPoint": "s3://models/x", "name": name, "path": "/"}]},
    }


def test_a_watch_outlives_the_api_server_and_rests(fragile: Cluster, tmp_path: Path) -> None:
    plugin = Plugin(Cli(fragile, tmp_path), "default")
    out, err = tmp_path / "out", tmp_path / "err"
    fragile.api.create(dataset("before"))
    with out.open("w") as file, err.open("w") as other:
        watch = plugin.popen("inspect", "-w", stdout=file, stderr=other)
        try:
            until("the table", lambda: "before" in out.read_text(), 180)
            time.sleep(3)
            used, began = seconds(watch.pid), time.monotonic()
            time.sleep(15)
            share = (seconds(watch.pid) - used) / (time.monotonic() - began)
            assert share <= 0.05, f"{100 * share:.1f}% of a core at rest"

            fragile.stop("kube-apiserver")
            until("the trouble to be told", lambda: "is unreachable" in err.read_text(), 180)
            fragile.start("kube-apiserver")
            until("the API server", fragile.api.ready, 180)
            fragile.api.create(dataset("after"))
            until("what came after", lambda: "after" in out.read_text(), 180)
            assert "is reachable again" in err.read_text()
        finally:
            watch.terminate()
            watch.wait(20)
    assert watch.returncode == 130
    lines = out.read_text().splitlines()
    names = [line.split()[0] for line in lines]
    assert names[0] == "NAME" and "Gone" not in out.read_text(), lines
    assert set(names[1:]) == {"before", "after"}
    assert "Traceback" not in err.read_text()


def test_on_a_terminal_it_is_drawn_in_place(fragile: Cluster, tmp_path: Path) -> None:
    """A pseudo-terminal: one table, redrawn; the cursor comes back at the end."""
    import fcntl
    import pty
    import struct
    import termios

    plugin = Plugin(Cli(fragile, tmp_path), "default")
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 100, 0, 0))
    watch = plugin.popen(
        "inspect", "-w", stdout=theirs, stderr=subprocess.DEVNULL, env={"TERM": "xterm-256color"}
    )
    os.close(theirs)
    os.set_blocking(ours, False)
    seen = b""

    def read() -> bytes:
        nonlocal seen
        with contextlib.suppress(BlockingIOError):
            seen += os.read(ours, 1 << 16)
        return seen

    try:
        until("the table", lambda: b"watching for changes" in read(), 180)
        fragile.api.create(dataset("on-screen"))
        until("the new row", lambda: b"on-screen" in read(), 180)
    finally:
        watch.terminate()
        watch.wait(20)
    until("the cursor", lambda: b"\x1b[?25h" in read(), 5)
    assert seen.startswith(b"\x1b[?25l")
    assert seen.count(b"NAME") >= 2 and b"A\x1b[2K\x1b[1mNAME" in seen, "up, clear, draw"
