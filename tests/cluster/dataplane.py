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

from tests import weights

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
#: Drop the pages of all files below a directory.
DROP = """
import os, pathlib, sys
for path in pathlib.Path(sys.argv[1]).rglob("*"):
    if path.is_file():
        handle = os.open(path, os.O_RDONLY)
        os.posix_fadvise(handle, 0, 0, os.POSIX_FADV_DONTNEED)
        os.close(handle)
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


@pytest.fixture(scope="session")
def with_image(plane: Cluster) -> str:
    """The plugin's own image, on the nodes."""
    plane.load_image(image.archived(image.STAGE, *image.stage()))
    return image.STAGE


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

    def pods(self, role: str) -> list[Object]:
        """The pods of this cache with a role: `alluxio-fuse`."""
        selector = f"release={self.name},role={role}"
        return self.plane.api.list("v1", "Pod", self.namespace, labelSelector=selector)

    def start_reader(
        self, name: str, node: str, *, image_name: str = image.PYTHON, wait: bool = True
    ) -> None:
        """Start a pod that has the claim at /models, and wait until it runs."""
        volume = claim_volume(self.name)
        pod = waiting_pod(name, self.namespace, node, image_name, volume, "/models")
        self.plane.api.create(pod)
        if wait:
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


def write_model(folder: Path, shards: int, shard_size: int) -> dict[str, str]:
    """Write a model with random weights to a directory; returns SHA-256 of its files by name."""
    files = {"config.json": weights.model_config()}
    for number in range(1, shards + 1):
        name = f"model-{number:05d}-of-{shards:05d}.safetensors"
        files[name] = weights.random_safetensors(shard_size)
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        (folder / name).write_bytes(content)
    return {name: hashlib.sha256(content).hexdigest() for name, content in files.items()}


def on_node(cluster: Cluster, node: str, *words: str) -> str:
    """Run a command of this machine in a node's mount namespace; returns what it printed."""
    pid = cluster.processes.pid(f"node-{node}")
    command = ["nsenter", f"--mount=/proc/{pid}/ns/mnt", *words]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


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
