"""`update`, `--replicas` and `--high-concurrency` with a real Alluxio, FUSE and CSI.

Each test builds caches of its own, a minute each; `test_update.py` and `test_cache.py` have the
same with a simulated Alluxio in every run.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import replace

import pytest

from tests import weights
from tests.cluster.bucket import MIB, Bucket
from tests.cluster.cluster import Cluster
from tests.cluster.dataplane import HOLDER, OTHER, Cached, mounts
from tests.cluster.fixtures import Cli, Result, clear
from tests.cluster.objects import FLUID, until
from tests.cluster.plugin import Plugin, error_line
from tests.cluster.real import policy
from tests.hub import FakeHub, Repo

pytestmark = [pytest.mark.real, pytest.mark.nightly]

MODEL = "acme/tiny"
SHARED = {"model-00001-of-00002.safetensors": weights.random_safetensors(6 * MIB)}
MAP = """
import mmap, sys
with open(sys.argv[1], "rb") as file:
    mmap.mmap(file.fileno(), 0, flags=getattr(mmap, sys.argv[2]), prot=mmap.PROT_READ)[:]
"""


def files() -> dict[str, bytes]:
    """A commit: one shard is the same in each."""
    changed = {"model-00002-of-00002.safetensors": weights.random_safetensors(4 * MIB)}
    return {**SHARED, **changed, "config.json": b"{}"}


def digests(commit: dict[str, bytes]) -> dict[str, str]:
    return {path: hashlib.sha256(content).hexdigest() for path, content in commit.items()}


@pytest.fixture(scope="module")
def place(plane: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cached]:
    """A namespace and a bucket; tests make their own caches."""
    namespace = "real-update"
    plane.api.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}})
    policy.direct(plane.api, namespace)
    bucket = Bucket(plane.s3, "real-updates")
    plugin = Plugin(Cli(plane, tmp_path_factory.mktemp("plugin")), namespace)
    yield Cached(plane, plugin, namespace, "", bucket, Result(0, "", "", 0.0))
    clear(plane, namespace)
    bucket.delete()


def test_update_builds_a_second_cache_that_serves_and_removes_the_first(place: Cached) -> None:
    old, new = files(), files()
    with FakeHub(Repo(MODEL, old)) as hub:
        at = ("--endpoint-hub", hub.endpoint, "--stage-on", "client")
        to = place.bucket.uri("models")
        place.plugin("cache", MODEL, "--to", to, *at, "--node", HOLDER, timeout=400).ok()
        first = replace(place, name="tiny")
        first.start_reader("before", HOLDER)
        assert first.read("before") == digests(old)
        commit = hub.repos[MODEL].commit(new)
        second = replace(place, name=f"tiny-{commit[:7]}")

        kept = place.plugin("update", "tiny", *at, "--node", HOLDER, timeout=400)
        assert kept.code == 1 and "tiny is kept: pods read it: before" in error_line(kept)
        second.start_reader("after", HOLDER)
        assert second.read("after") == digests(new)
        assert first.read("before") == digests(old), "both serve, on one node"

        first.end_reader("before")
        done = place.plugin("update", "tiny", *at, timeout=300).ok()
        assert "tiny removed" in done.out
        assert place.plane.api.find(FLUID, "Dataset", "tiny", place.namespace) is None
        until("its mounts to go", lambda: not mounts(place.plane, HOLDER, "/real-update/tiny/"))
        assert second.read("after") == digests(new)
        second.end_reader("after")
        place.plugin("uncache", second.name, timeout=300).ok()


def test_copies_are_taken_away_and_added_while_the_cache_is_read(place: Cached) -> None:
    place.bucket.put_model("demo", shards=2, shard_size=4 * MIB)
    demo = replace(place, name="demo")
    words = ("cache", place.bucket.uri("demo"), "--name", "demo")
    both = place.plugin(
        *words, "--node", HOLDER, "--node", OTHER, "--medium", "MEM", "-o", "json", timeout=400
    ).ok()
    assert json.loads(both.out)["replicas"] == 2
    [last] = [
        pod["spec"]["nodeName"]
        for pod in demo.pods("alluxio-worker")
        if pod["metadata"]["name"] == "demo-worker-1"
    ]
    [stays] = {HOLDER, OTHER} - {last}
    demo.start_reader("stays", stays)
    demo.start_reader("leaves", last)
    assert demo.read("stays") == demo.read("leaves") == demo.digests()

    refused = place.plugin(*words, "--replicas", "1", timeout=120)
    assert refused.code == 1 and f"pods read it there: leaves on {last}" in error_line(refused)
    demo.end_reader("leaves")
    fewer = place.plugin(*words, "--replicas", "1", timeout=300).ok()
    assert f"{last} loses its copy" in fewer.err and "every byte proven" in fewer.out
    until("one worker", lambda: len(demo.pods("alluxio-worker")) == 1)
    assert demo.read("stays") == demo.digests()

    # Named, as simulated nodes with GPUs would be preferred.
    more = place.plugin(*words, "--node", stays, "--node", last, timeout=400).ok()
    assert "copies: 1 → 2" in more.err and "every byte proven" in more.out
    demo.start_reader("again", last)
    assert demo.read("again") == demo.read("stays") == demo.digests()
    demo.end_reader("again")
    demo.end_reader("stays")
    place.plugin("uncache", "demo", timeout=300).ok()


def test_the_client_for_many_reads_starts_and_keeps_no_pages(place: Cached) -> None:
    """JNR-FUSE with libfuse 2, which Alluxio mounts with direct_io."""
    place.bucket.put_model("many", shards=2, shard_size=4 * MIB)
    many = replace(place, name="many")
    words = ("cache", place.bucket.uri("many"), "--name", "many", "--node", HOLDER)
    done = place.plugin(*words, "--high-concurrency", timeout=400).ok()
    assert "no page cache" in done.err
    many.start_reader("reads", HOLDER)
    assert many.read("reads") == many.digests()
    [client] = many.pods("alluxio-fuse")
    log = place.plane.kubectl("logs", "-n", place.namespace, client["metadata"]["name"]).stdout
    assert "AlluxioJnrFuseFileSystem" in log and "direct_io" in log
    file = f"/models/{next(path for path in many.digests() if path.endswith('.safetensors'))}"
    assert many.execute("reads", "python", "-c", MAP, file, "MAP_PRIVATE").returncode == 0
    shared = many.execute("reads", "python", "-c", MAP, file, "MAP_SHARED")
    assert "No such device" in shared.stderr
    found = json.loads(place.plugin("doctor", "many", "-o", "json", timeout=120).out)
    assert [each for each in found["problems"] if each["cache"] == "many"] == []
    many.end_reader("reads")
    place.plugin("uncache", "many", timeout=300).ok()
