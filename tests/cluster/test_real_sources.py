"""Caches of `pvc://`, `local://` and `nfs://` on a real data plane, built side by side.

The claim's disk is too small at first, and its worker is killed in the middle of a load.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any

import pytest

from tests.cluster import image
from tests.cluster.api import Api
from tests.cluster.bucket import MIB
from tests.cluster.dataplane import HOLDER, OTHER, Cached, on_node, write_model
from tests.cluster.fixtures import Result
from tests.cluster.objects import until
from tests.cluster.real.policy import GROUP
from tests.cluster.test_real_faults import alluxio, container, group_of

pytestmark = [pytest.mark.real]

#: On one node alone: below what each node has for itself.
DIRECTORY, DISK = "/run/a-model", "/run/small-disk"
READ = ("--verify", "read", "--image", image.STAGE)
COMMANDS = {
    "ofaclaim": (
        *("cache", "pvc://weights", "--name", "ofaclaim", "--node", OTHER),
        *("--medium", "SSD", "--path", DISK, "--quota", "96Mi"),
    ),
    "ofadir": (
        *("cache", f"local://{DIRECTORY}", "--name", "ofadir"),
        *("--node", OTHER, "--quota", "64Mi", *READ),
    ),
    "ofnfs": (
        *("cache", "nfs://filer/exports/a", "--name", "ofnfs"),
        *("--node", HOLDER, "--quota", "64Mi", *READ),
    ),
}


@dataclass(frozen=True)
class Source:
    """A cache, how the command that made it went, and SHA-256 of the source's files."""

    cache: Cached
    made: Result
    digests: dict[str, str]


@pytest.fixture(scope="module")
def sources(cached: Cached, with_image: str) -> Iterator[dict[str, Source]]:
    plane = cached.plane
    large = write_model(plane.state / "exports" / "large", shards=2, shard_size=24 * MIB)
    small = write_model(plane.state / "exports" / "small", shards=1, shard_size=8 * MIB)
    claim(cached, "weights", str(plane.state / "exports" / "large"))
    on_node(plane, OTHER, "mkdir", "-p", DISK)
    on_node(plane, OTHER, "mount", "-t", "tmpfs", "-o", "size=40m", "small", DISK)
    on_node(plane, OTHER, "cp", "-r", str(plane.state / "exports" / "small"), DIRECTORY)
    serve_by_directory(plane.api, str(plane.state / "exports" / "small"))

    def build(name: str) -> Source:
        made = cached.plugin(*COMMANDS[name], timeout=500)
        digests = large if name == "ofaclaim" else small
        return Source(replace(cached, name=name, made=made), made, digests)

    with ThreadPoolExecutor(len(COMMANDS)) as pool:
        yield dict(zip(COMMANDS, pool.map(build, COMMANDS), strict=True))
        removals = [pool.submit(cached.plugin, "uncache", name, timeout=300) for name in COMMANDS]
        for each in removals:
            each.result().ok()


def claim(cached: Cached, name: str, folder: str) -> None:
    """A claim whose volume is a directory of the machine."""
    shared = {"accessModes": ["ReadOnlyMany"], "storageClassName": ""}
    volume = {"capacity": {"storage": "1Gi"}, "hostPath": {"path": folder}, **shared}
    request = {"resources": {"requests": {"storage": "1Gi"}}, "volumeName": name, **shared}
    meta = {"name": name, "namespace": cached.namespace}
    for kind, metadata, spec in (
        ("PersistentVolume", {"name": name}, volume),
        ("PersistentVolumeClaim", meta, request),
    ):
        made = {"apiVersion": "v1", "kind": kind, "metadata": metadata, "spec": spec}
        cached.plane.api.apply(made)


def serve_by_directory(api: Api, folder: str) -> None:
    """Let volumes of NFS be a directory of the machine, as there is no NFS server."""
    change = (
        "[JSONPatch{op: 'remove', path: '/spec/nfs'}, "
        f"JSONPatch{{op: 'add', path: '/spec/hostPath', value: {{'path': '{folder}'}}}}]"
    )
    volumes = {
        "apiGroups": [""],
        "apiVersions": ["v1"],
        "operations": ["CREATE", "UPDATE"],
        "resources": ["persistentvolumes"],
    }
    spec: dict[str, Any] = {
        "matchConstraints": {"resourceRules": [volumes]},
        "matchConditions": [{"name": "nfs", "expression": "has(object.spec.nfs)"}],
        "failurePolicy": "Fail",
        "reinvocationPolicy": "Never",
        "mutations": [{"patchType": "JSONPatch", "jsonPatch": {"expression": change}}],
    }
    kind, meta = "MutatingAdmissionPolicy", {"name": "nfs-by-directory"}
    api.apply({"apiVersion": GROUP, "kind": kind, "metadata": meta, "spec": spec})
    bound = {"policyName": meta["name"]}
    api.apply({"apiVersion": GROUP, "kind": f"{kind}Binding", "metadata": meta, "spec": bound})
    probe = {
        "apiVersion": "v1",
        "kind": "PersistentVolume",
        "metadata": {"name": "probe"},
        "spec": {
            "capacity": {"storage": "1Gi"},
            "accessModes": ["ReadOnlyMany"],
            "nfs": {"server": "filer", "path": "/"},
        },
    }
    until("the policy", lambda: "hostPath" in api.create(probe, dryRun="All")["spec"], 30)


@pytest.mark.parametrize(("name", "node"), [("ofadir", OTHER), ("ofnfs", HOLDER)])
def test_a_source_that_cannot_be_listed_is_cached_and_read(
    sources: dict[str, Source], name: str, node: str
) -> None:
    source = sources[name]
    assert f"{name} is cached" in source.made.ok().out
    assert f"read through the claim on {node}" in source.made.out
    reads_the_source(source, node)
    said = source.cache.plugin("doctor", name, "-o", "short", timeout=90)
    assert said.code == 0, said.out


def reads_the_source(source: Source, node: str) -> None:
    reader = f"reads-{source.cache.name}"
    source.cache.start_reader(reader, node)
    assert source.cache.read(reader) == source.digests
    source.cache.end_reader(reader)


def test_a_full_disk_is_named_and_nothing_is_called_complete(sources: dict[str, Source]) -> None:
    source = sources["ofaclaim"]
    assert source.made.code == 1, source.made.out + source.made.err
    assert "is cached" not in source.made.out
    report = source.cache.plugin("doctor", "ofaclaim", "-o", "short", timeout=90)
    assert "FM322" in report.out and f"{DISK} on node {OTHER} is full" in report.out, report.out


def test_a_worker_killed_in_the_middle_of_a_load_is_no_complete_cache(
    sources: dict[str, Source],
) -> None:
    cache = sources["ofaclaim"].cache
    on_node(cache.plane, OTHER, "mount", "-o", "remount,size=200m", DISK)
    before = filled(cache)
    running = cache.plugin.popen(*COMMANDS["ofaclaim"])
    until("the load", lambda: filled(cache) > before or running.poll() is not None, 200)
    kill_worker(cache)
    out, err = running.communicate(timeout=400)
    if running.returncode == 0:
        assert percents(cache) == {100}, out + err
    else:
        assert "is cached" not in out


def test_running_again_goes_on(sources: dict[str, Source]) -> None:
    source = sources["ofaclaim"]
    done = source.cache.plugin(*COMMANDS["ofaclaim"], timeout=400).ok()
    assert "ofaclaim is cached" in done.out
    assert percents(source.cache) == {100}
    reads_the_source(source, OTHER)


def filled(cache: Cached) -> int:
    """Bytes on the disk."""
    used = on_node(cache.plane, OTHER, "df", "--block-size=1", "--output=used", DISK)
    return int(used.split()[-1])


def kill_worker(cache: Cached) -> None:
    """Kill the worker's process; the kubelet starts it again."""
    if not container(cache, OTHER, "alluxio-worker", "alluxio-worker"):
        return
    group = group_of(cache, OTHER, "alluxio-worker", "alluxio-worker")
    for pid in (group / "cgroup.procs").read_text().split():
        os.kill(int(pid), signal.SIGKILL)


def percents(cache: Cached) -> set[int]:
    """How much of each file the master says is in the cache."""
    listed = alluxio(cache, "fs", "ls", "-R", "/")
    files = [line.split() for line in listed.splitlines() if "PERSISTED" in line]
    return {int(word.rstrip("%")) for words in files for word in words if word.endswith("%")}
