"""A cache on real nodes, made once for a session by the plugin as it is, and ways to look into it.

`from tests.cluster.dataplane import plane, cached` makes the fixtures known.  What they need is not
skipped: where this machine has no FUSE, or is no Linux, the first test says so and fails.
"""

from __future__ import annotations

import hashlib
import json
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from . import image
from .api import Object
from .bucket import MIB, Bucket
from .cluster import Cluster
from .fixtures import Cli, Result, clear
from .objects import until
from .plugin import Plugin
from .pods import claim_volume, waiting_pod
from .real import policy

#: The nodes: the cache is on the first, and pods read it on both.
HOLDER, OTHER = "real-0", "real-1"
HASH = """
import hashlib, json, pathlib, sys
root = pathlib.Path(sys.argv[1])
print(json.dumps({
    str(path.relative_to(root)): hashlib.sha256(path.read_bytes()).hexdigest()
    for path in sorted(root.rglob("*")) if path.is_file()
}))
"""


@pytest.fixture(scope="session")
def plane(cluster: Cluster) -> Cluster:
    """The cluster with two real nodes, and an image of Python on them."""
    return with_data_plane(cluster, 2)


@pytest.fixture(scope="session")
def cached(plane: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cached]:
    """A model in a bucket, and its cache on one of the nodes."""
    made = build_cache(plane, "real", tmp_path_factory.mktemp("plugin"))
    yield made
    clear(plane, made.namespace)
    made.bucket.delete()


def with_data_plane(cluster: Cluster, nodes: int) -> Cluster:
    cluster.add_real_nodes(nodes)
    cluster.load_image(image.archived(image.PYTHON, *image.python()))
    return cluster


def build_cache(cluster: Cluster, namespace: str, folder: Path) -> Cached:
    """Put a model into a bucket and cache it, in a new namespace, by the plugin as it is."""
    cluster.api.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}})
    policy.direct(cluster.api, namespace)
    bucket = Bucket(cluster.s3, "real-models")
    bucket.put_model("demo", shards=2, shard_size=24 * MIB)
    plugin = Plugin(Cli(cluster, folder), namespace)
    made = plugin("cache", bucket.uri("demo"), "--name", "demo", "--node", HOLDER, timeout=400)
    return Cached(cluster, plugin, namespace, "demo", bucket, made.ok())


@dataclass(frozen=True)
class Cached:
    """A cache, and how the command that made it went."""

    plane: Cluster
    plugin: Plugin
    namespace: str
    name: str
    bucket: Bucket
    made: Result

    def digests(self) -> dict[str, str]:
        """SHA-256 of the source's files, by their names."""
        found = {}
        for key in self.bucket.sizes(f"{self.name}/"):
            body = self.bucket.client.get_object(Bucket=self.bucket.name, Key=key)["Body"].read()
            found[key.removeprefix(f"{self.name}/")] = hashlib.sha256(body).hexdigest()
        return found

    def pods(self, **labels: str) -> list[Object]:
        selector = ",".join(f"{key}={value}" for key, value in labels.items())
        return self.plane.api.list("v1", "Pod", self.namespace, labelSelector=selector)

    def start_reader(self, name: str, node: str) -> None:
        """Start a pod that has the claim at /models, and wait until it runs."""
        volume = claim_volume(self.name)
        pod = waiting_pod(name, self.namespace, node, image.PYTHON, volume, "/models")
        self.plane.api.create(pod)
        until(f"{name} to run", lambda: self.phase(name) == "Running", 120)

    def phase(self, name: str) -> str:
        found = self.plane.api.find("v1", "Pod", name, self.namespace)
        return str(found["status"]["phase"]) if found else ""

    def end_reader(self, name: str) -> None:
        """Delete a pod, and wait until the kubelet has unmounted all that it had."""
        self.plane.api.delete("v1", "Pod", name, self.namespace)
        until(f"{name} to be gone", lambda: not self.phase(name), 120)

    def execute(
        self, pod: str, *arguments: str, container: str = "", seconds: float = 90
    ) -> subprocess.CompletedProcess[str]:
        """Run something in a pod, by its kubelet."""
        where = ["-n", self.namespace, pod, *(["-c", container] if container else [])]
        return self.plane.kubectl("exec", *where, "--", *arguments, check=False, timeout=seconds)

    def read(self, pod: str) -> dict[str, str]:
        """SHA-256 of all files as the pod reads them."""
        done = self.execute(pod, "python", "-c", HASH, "/models")
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)  # type: ignore[no-any-return]


def mounts(cluster: Cluster, node: str, text: str) -> list[str]:
    """Mount points of a node that have this text in their line of mountinfo."""
    pid = cluster.processes.pid(f"node-{node}")
    lines = Path(f"/proc/{pid}/mountinfo").read_text().splitlines()
    return [line.split()[4] for line in lines if text in line]


def named(cached: Cached, *kinds: tuple[str, str]) -> list[Any]:
    """Objects of these kinds whose name begins with the cache's."""
    return [
        each["metadata"]["name"]
        for version, kind in kinds
        for each in cached.plane.api.list(version, kind, cached.namespace)
        if each["metadata"]["name"].startswith(cached.name)
    ]
