"""Faults on a real data plane: what a reader sees, what `doctor` says, and how it ends."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator

import pytest

from tests.cluster import cgroups
from tests.cluster.dataplane import HASH, HOLDER, Cached
from tests.cluster.objects import until

pytestmark = [pytest.mark.real]


def fuse_pod(cached: Cached) -> dict[str, object]:
    [pod] = cached.pods(role="alluxio-fuse")
    return pod


def fuse_status(cached: Cached) -> dict[str, object]:
    return fuse_pod(cached)["status"]["containerStatuses"][0]  # type: ignore[index]


def kill_fuse(cached: Cached) -> None:
    """Kill the FUSE client, and wait until the kubelet has started it again."""
    restarts = int(str(fuse_status(cached)["restartCount"]))
    ident = str(fuse_status(cached)["containerID"]).rpartition("/")[2]
    root = cgroups.holder() / cached.plane.real.taken()[HOLDER].cgroup
    [group] = root.glob(f"kubepods/**/{ident}")
    for pid in (group / "cgroup.procs").read_text().split():
        os.kill(int(pid), signal.SIGKILL)
    until(
        "the FUSE client to be started again",
        lambda: (
            int(str(fuse_status(cached)["restartCount"])) > restarts
            and fuse_status(cached)["ready"]
        ),
        120,
    )


@pytest.fixture
def fresh_fuse(cached: Cached) -> Iterator[None]:
    """Replace FUSE clients that were killed: `doctor` reports repeated restarts."""
    yield
    for pod in cached.pods(role="alluxio-fuse"):
        name = pod["metadata"]["name"]
        cached.plane.api.delete("v1", "Pod", name, cached.namespace)
        until(f"{name} to be gone", lambda name=name: not cached.phase(name), 120)


@pytest.mark.parametrize("times", [1, 2], ids=["once", "twice"])
def test_a_killed_fuse_client_breaks_old_readers_and_serves_new_ones(
    cached: Cached, times: int, fresh_fuse: None
) -> None:
    cached.start_reader("old", HOLDER)
    for _ in range(times):
        kill_fuse(cached)
    if times == 1:  # after that, doctor may name the repeated restarts instead, as the cause
        report = cached.plugin("doctor", "demo", "-o", "short", timeout=90)
        assert "FM432" in report.out, report.out
    broken = cached.execute("old", "python", "-c", HASH, "/models")
    assert broken.returncode != 0
    cached.start_reader("new", HOLDER)
    assert cached.read("new") == cached.digests()
    cached.end_reader("old")
    cached.end_reader("new")


def test_doctor_answers_while_the_store_is_gone_and_a_pod_reads(cached: Cached) -> None:
    cached.start_reader("reader", HOLDER)
    cached.plane.stop("s3")
    try:
        report = cached.plugin("doctor", "demo", "-o", "short", timeout=90)
        assert "FM511" in report.out, report.out
        assert cached.read("reader"), "what is cached is read all the same"
    finally:
        cached.plane.start("s3")
    cached.plane.s3.wait()
    cached.end_reader("reader")
