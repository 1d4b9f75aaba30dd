"""`cache`, `inspect` and `doctor` on a real data plane, and pods that read by the real kubelet."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.cluster.cluster import Cluster
from tests.cluster.dataplane import DROP, HOLDER, OTHER, Cached, mounts
from tests.cluster.objects import until

pytestmark = [pytest.mark.real]


def test_cache_proves_every_byte(cached: Cached) -> None:
    assert "every byte proven, on real-0" in cached.made.out
    problems = [line for line in cached.made.err.splitlines() if line.startswith("problem:")]
    # A busy machine may need more than the one attempt that the probe has every 20 s.
    assert [line for line in problems if "Startup probe failed" not in line] == []
    again = cached.plugin(
        "cache", cached.bucket.uri("demo"), "--name", "demo", "--node", HOLDER, "-o", "json"
    ).ok()
    proof = json.loads(again.out)["proof"]
    assert proof["complete"] and proof["by"] == "file"


def test_a_pod_beside_the_cache_reads_what_the_bucket_has(cached: Cached) -> None:
    reads_the_source(cached, HOLDER)


def test_inspect_shows_the_whole_model_on_its_node(cached: Cached) -> None:
    out = cached.plugin("inspect", "demo").ok().out
    assert "Bound · 100% of 48.0 MiB cached · MEM on real-0" in out
    assert "the whole model" in out


def test_doctor_finds_nothing_wrong(cached: Cached) -> None:
    cached.start_reader("engine", HOLDER)
    # Other tests may have read it from another node, in the last minute that Fluid has counted.
    report = until("those reads to be forgotten", lambda: no_remote_reads(cached), 240)
    cached.end_reader("engine")
    assert "healthy" in report
    assert "FM" not in report, report


def test_a_pod_on_another_node_reads_the_same_and_doctor_says_that_it_is_slow(
    cached: Cached,
) -> None:
    reads_the_source(cached, OTHER)
    cached.start_reader("remote", OTHER)
    # Fluid counts the reads of a minute, and `doctor` waits for one without the load's own.
    report = until("the reads to be counted", lambda: remote_reads(cached), 240)
    cached.end_reader("remote")
    assert [line.split()[1] for line in report.splitlines() if "FM" in line] == ["FM824"]


def no_remote_reads(cached: Cached) -> str:
    """The report of `doctor`, once nothing was read from another node."""
    out = cached.plugin("doctor", "demo", "-o", "short").ok().out
    return "" if "FM824" in out else out


def remote_reads(cached: Cached) -> str:
    """Read once more; the report, once Fluid has counted. Exit code 0, as it is a warning."""
    cached.execute("remote", "python", "-c", DROP, "/models")
    assert cached.read("remote") == cached.digests()
    out = cached.plugin("doctor", "demo", "-o", "short").ok().out
    return out if "FM824" in out else ""


def reads_the_source(cached: Cached, node: str) -> None:
    """A pod on that node mounts the claim, has the source's bytes, and leaves no mount."""
    cached.start_reader("reader", node)
    assert mounts(cached.plane, node, " fuse.alluxio-fuse ")
    assert cached.read("reader") == cached.digests()
    cached.end_reader("reader")
    assert not [each for each in mounts(cached.plane, node, "alluxio-fuse") if "/pods/" in each]


def test_the_machine_mounts_nothing_of_the_nodes(plane: Cluster, cached: Cached) -> None:
    assert str(plane.state) not in Path("/proc/self/mountinfo").read_text()
