"""A real node with one cache of each variant, and the pods that read them."""

from __future__ import annotations

import itertools
import json
import os
import random
import shutil
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import yaml

from bench.plane.model import write_model
from bench.plane.nodes import LOADER, PREFIX, RealPlane
from bench.plane.program import say
from bench.settings.figures import Load, Read, load_seconds
from bench.settings.variants import (
    Object,
    Variant,
    changed_runtime,
    load_object,
    seed_objects,
)
from kubectl_fluidmodel.fluid import alluxio_cli
from tests.cluster import paths
from tests.cluster.cluster import Cluster
from tests.cluster.pods import claim_volume

SEED_FILE = paths.REPO / "tests" / "fixtures" / "adopt" / "full.yaml"
COLD_BYTES = 128 << 20
"""Of a file that is read once, before the cache has it."""
_REST_BYTES = 1 << 20
"""What a cache may still hold when it is empty: small files that somebody has open."""
COLD_FOLDER = "cold"
PARALLEL = ("--threads", "4")
LOCAL_POD = "local"
WORKER_CONTAINERS = ("alluxio-worker", "alluxio-job-worker")


class Caches(RealPlane):
    """One node, one cache for each variant."""

    def __init__(self, cluster: Cluster, size: int, variants: Sequence[Variant], rounds: int):
        super().__init__(cluster, "settings", 1)
        self.size, self.rounds = size, rounds
        self._loads = itertools.count()
        self._clients: dict[str, str] = {}  # the FUSE client's pod of each cache
        # Built in an order that is drawn, as the place in it may matter.
        self.variants = tuple(random.sample(variants, len(variants)))
        self.names = {each.name: f"c{number}" for number, each in enumerate(self.variants)}
        self._disk = cluster.state / "settings" / "tier"

    @property
    def node(self) -> str:
        return self.nodes[0]

    def up(self) -> None:
        """Bring everything up: the node, the model, and a cache for each variant, empty.

        Raises:
            MachineLacks: this machine cannot have a real node; the message says why.
            RuntimeError: a cache was not built.
        """
        self.start_nodes()
        say(f"writing a model of {self.size / 2**30:.1f} GiB, and files to be read cold")
        write_model(self.folder, self.size)
        for number in range(2 * self.rounds):
            write_model(self.folder / COLD_FOLDER / str(number), COLD_BYTES, shards=1)
        self.upload()
        say(f"building {', '.join(self.names)}")
        for each in self.variants:
            self._apply(each)
        for name in self.names.values():
            self.wait_until_bound(name)
        self.leave_unattended()

    def close(self) -> None:
        super().close()
        shutil.rmtree(self._disk, ignore_errors=True)

    def _apply(self, variant: Variant) -> None:
        name = self.names[variant.name]
        medium = "MEM" if variant.is_seed else variant.medium
        flags = [f"--node={self.node}", "--medium", medium]
        if medium != "MEM":  # a node's /var/lib is in memory here
            flags += ["--path", str(self._disk)]
        objects = self.written(name, *flags)
        runtime = objects["AlluxioRuntime"]
        if variant.is_seed:
            objects = seed_objects(self._seed(), name, self.namespace, runtime)
        else:
            objects["AlluxioRuntime"] = changed_runtime(runtime, variant)
        objects.pop("DataLoad", None)
        for each in objects.values():
            self.cluster.api.apply(each)

    def _seed(self) -> dict[str, Object]:
        """The write-up's objects for the model in this bucket."""
        s3 = self.cluster.s3
        text = SEED_FILE.read_text()
        for word, value in {
            "s3://BUCKET/acme/llama": f"{self.uri}/",
            "ENDPOINT": s3.endpoint,
            "ACCESS_KEY": s3.access_key,
            "SECRET_KEY": s3.secret_key,
        }.items():
            text = text.replace(word, value)
        return {each["kind"]: each for each in yaml.safe_load_all(text)}

    def _master(self, variant: Variant) -> str:
        return f"{self.names[variant.name]}-master-0"

    # -- loading -----------------------------------------------------------------------------

    def load(self, variant: Variant) -> Load:
        """Load the whole cache by a DataLoad.

        Raises:
            RuntimeError: it fails, or the cache is not complete then.
        """
        name = self.names[variant.name]
        cpu_before = self._cpu_seconds(f"{name}-worker-0", *WORKER_CONTAINERS)
        load = load_object(name, self.namespace, next(self._loads))
        self.cluster.api.create(load)
        title = load["metadata"]["name"]
        self.until(
            f"the load {title}",
            lambda: self.phase("DataLoad", title) in ("Complete", "Failed"),
            600,
        )
        [pod] = self.cluster.api.list(
            "v1", "Pod", self.namespace, labelSelector=f"release={title}-loader"
        )
        log = self.cluster.kubectl("logs", "-n", self.namespace, pod["metadata"]["name"]).stdout
        seconds = load_seconds(log)
        expected = self.size + 2 * self.rounds * COLD_BYTES
        held = self._held(variant)
        if held < 0.99 * expected:
            raise RuntimeError(f"{variant.name} holds {held} of {expected} bytes after its load")
        ran = pod["status"]["containerStatuses"][0]["state"]["terminated"]
        cpu = self._cpu_seconds(f"{name}-worker-0", *WORKER_CONTAINERS) - cpu_before
        return Load(expected / seconds, _seconds_between(ran) - seconds, cpu * 2**30 / expected)

    def _cpu_seconds(self, pod: str, *containers: str) -> float:
        """What the processes of a pod's containers have used so far."""
        ticks = 0
        for container in containers:
            text = self.exec(pod, "bash", "-c", "cat /proc/[0-9]*/stat", container=container)
            for line in text.splitlines():
                after_name = line.rpartition(") ")[2].split()
                ticks += int(after_name[11]) + int(after_name[12])  # utime, stime; proc(5)
        return ticks / os.sysconf("SC_CLK_TCK")

    def load_all(self) -> None:
        """Load all caches at the same time, but for the files that are read cold."""

        def load(variant: Variant) -> None:
            self.load(variant)
            self.free(variant, f"/{COLD_FOLDER}")

        with ThreadPoolExecutor(len(self.variants)) as pool:
            list(pool.map(load, self.variants))

    def _held(self, variant: Variant) -> int:
        report = self.exec(self._master(variant), *alluxio_cli.CAPACITY_COMMAND)
        return sum(each.used_bytes for each in alluxio_cli.parse_capacity_report(report))

    def free(self, variant: Variant, path: str) -> None:
        """Take files out of a cache, and wait until its worker has.

        Raises:
            RuntimeError: the worker has not in time.
        """
        kept = 0 if path == "/" else self.size

        def freed() -> bool:  # asked each time, as a block that is in use then stays
            self.exec(self._master(variant), "alluxio", "fs", "free", path)
            return self._held(variant) < kept + _REST_BYTES

        self.until(f"{variant.name} to be freed", freed, 120)

    # -- reading -----------------------------------------------------------------------------

    def start_pods(self) -> None:
        """Start a pod for each cache, and one that has the same files on the machine's disk."""
        wanted = [(name, claim_volume(name)) for name in self.names.values()]
        wanted.append((LOCAL_POD, {"hostPath": {"path": str(self.folder)}}))
        with ThreadPoolExecutor(len(wanted)) as pool:
            list(pool.map(lambda each: self.start_pod(each[0], self.node, each[1], "/m"), wanted))
        for name in self.names.values():
            [client] = self.cluster.api.list(
                "v1", "Pod", self.namespace, labelSelector=f"release={name},role=alluxio-fuse"
            )
            self._clients[name] = client["metadata"]["name"]
        for variant in self.variants:
            if variant.readahead:
                self._read_ahead(variant)

    def _read_ahead(self, variant: Variant) -> None:
        """Set how far the kernel reads ahead on a cache's mount."""
        suffix = f"/{self.namespace}/{self.names[variant.name]}/alluxio-fuse"
        lines = Path(f"/proc/{self.pid(f'node-{self.node}')}/mountinfo").read_text().splitlines()
        device = next(line.split()[2] for line in lines if line.split()[4].endswith(suffix))
        Path(f"/sys/class/bdi/{device}/read_ahead_kb").write_text(variant.readahead)

    def read(self, variant: Variant, *words: str, folder: str = "") -> Read:
        """Read the model, or a folder of it, through a cache."""
        name = self.names[variant.name]
        before = self._cpu_of_readers(name)
        size, seconds = self._run(name, f"/m/{folder}", *words)
        client, worker = (
            max(now - was, 0) * 2**30 / size  # a process that was counted before may have ended
            for now, was in zip(self._cpu_of_readers(name), before, strict=True)
        )
        return Read(size / seconds, client, worker)

    def _cpu_of_readers(self, name: str) -> tuple[float, float]:
        """What the FUSE client and the worker of a cache have used so far."""
        return (
            self._cpu_seconds(self._clients[name], "alluxio-fuse"),
            self._cpu_seconds(f"{name}-worker-0", "alluxio-worker"),
        )

    def read_local(self, *words: str) -> float:
        """Read the same files from the machine's disk, or the page cache; bytes per second."""
        size, seconds = self._run(LOCAL_POD, "/m", *words)
        return size / seconds

    def read_store(self, connections: int) -> float:
        """Read the same files from the store, from the node; bytes per second."""
        urls = [
            self.bucket.client.generate_presigned_url(
                "get_object",
                Params={"Bucket": self.bucket.name, "Key": f"{PREFIX}/{path.name}"},
            )
            for path in sorted(self.folder.glob("*.safetensors"))
        ]
        size, seconds = self._run(LOCAL_POD, "--threads", str(connections), "--store", *urls)
        return size / seconds

    def _run(self, pod: str, *words: str) -> tuple[int, float]:
        """Run the loader; how many bytes it read in how many seconds."""
        said = json.loads(self.exec(pod, "python", LOADER, *words).splitlines()[-1])
        return said["bytes"], said["load"]

    def drop_tier(self) -> None:
        """Drop the pages of the tiers on disk, as if their blocks had been written long ago."""
        os.sync()
        for path in self._disk.rglob("*"):
            if path.is_file():
                _drop(path)


def _drop(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.posix_fadvise(handle, 0, 0, os.POSIX_FADV_DONTNEED)
    finally:
        os.close(handle)


def _seconds_between(ran: Mapping[str, str]) -> float:
    from datetime import datetime

    began, ended = (
        datetime.fromisoformat(ran[key].replace("Z", "+00:00"))
        for key in ("startedAt", "finishedAt")
    )
    return (ended - began).total_seconds()
