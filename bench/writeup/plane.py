"""Real nodes with the model, its caches, the Hub and the pods that load; all that `main` measures.

Three nodes: the first two share one cache, half of the model each, and the third has another one,
the whole model. The Hub has a network namespace of its own at the nodes' bridge, so that its link
can be shaped as theirs are.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from bench.plane.model import SHARDS, write_model
from bench.plane.nodes import LOADER, RealPlane
from bench.plane.program import say
from bench.settings.variants import Variant, changed_runtime
from bench.writeup.figures import BESIDE, HUB, WHOLE, LinkRates, Load, Placement
from kubectl_fluidmodel.fluid import alluxio_cli
from tests.cluster import paths
from tests.cluster.api import Object
from tests.cluster.cluster import Cluster
from tests.cluster.pods import claim_volume
from tests.cluster.real import network
from tests.cluster.real.node import Node

SPREAD, ENTIRE = "spread", "whole"
REPOSITORY = "writeup/model"
HUB_ADDRESS, HUB_PORT = network.ADDRESSES[-1], 80
_DOWNLOADS = "/download"
_HUB_ENVIRONMENT = {
    "HF_ENDPOINT": f"http://{HUB_ADDRESS}",
    "HF_HUB_DISABLE_XET": "1",
    "HF_HUB_DISABLE_PROGRESS_BARS": "1",
    "HOME": _DOWNLOADS,
}


class Plane(RealPlane):
    """The nodes, and what is on them."""

    def __init__(self, cluster: Cluster, size: int, variant: Variant) -> None:
        super().__init__(cluster, "writeup", 3)
        self.size, self.variant = size, variant
        self.first, self.second, self.reader = self.nodes
        self._pods: dict[tuple[str, str], str] = {}

    # -- set-up ------------------------------------------------------------------------------

    def up(self) -> None:
        """Bring everything up: nodes, model, Hub, caches and pods.

        Raises:
            MachineLacks: this machine cannot have real nodes; the message says why.
            RuntimeError: a cache was not built.
        """
        self.start_nodes()
        say(f"writing a model of {self.size / 2**30:.1f} GiB")
        write_model(self.folder, self.size)
        self._start_hub()
        self.upload()
        say(f"caching it whole on {self.reader}")
        self.plugin("cache", self.uri, "--name", ENTIRE, *self._flags(self.reader))
        say(f"caching it on {self.first} and {self.second}, half on each")
        self._spread()
        for cache, node in (
            (SPREAD, self.first), (SPREAD, self.reader), (ENTIRE, self.reader), ("", self.reader)
        ):  # fmt: skip
            self._pods[cache, node] = self._start_loader(cache, node)
            say(f"a pod runs on {node} with {cache or 'no cache'}")
        self.leave_unattended()

    def close(self) -> None:
        """Take away all of it but the nodes."""
        for process in ("hub", "hub-network"):
            self.cluster.processes.stop(process, force=True)
        super().close()

    def shape(self, rates: LinkRates) -> None:
        """Let the Hub and the nodes send at these rates, and no faster."""
        _shape(self.pid("hub-network"), rates.hub)
        for node in self.nodes:
            _shape(self.pid(f"node-{node}"), rates.node)

    def unshape(self) -> None:
        """Let the nodes send as fast as they can."""
        for node in self.nodes:
            words = ["tc", "qdisc", "del", "dev", "eth0", "root"]
            self.within(node, "net", *words, check=False)

    def shares(self) -> dict[str, float]:
        """The share of the model in the spread cache, by node."""
        names = {each.address: name for name, each in self.cluster.real.taken().items()}
        report = self.exec(f"{SPREAD}-master-0", *alluxio_cli.CAPACITY_COMMAND)
        workers = alluxio_cli.parse_capacity_report(report)
        return {names.get(each.name, each.name): each.used_bytes / self.size for each in workers}

    # -- measuring ---------------------------------------------------------------------------

    def load(self, placement: Placement, *, keep_pages: bool = False) -> Load:
        """Load the model once, as a worker of that placement does.

        Args:
            placement: Where the model is.
            keep_pages: Whether to read what an earlier load of that placement left in the page
                cache.

        Raises:
            RuntimeError: the loader fails.
        """
        if placement == HUB:
            place, words = ("", self.reader), [f"{_DOWNLOADS}/model", "--hub", REPOSITORY]
        else:
            cache = ENTIRE if placement == WHOLE else SPREAD
            node = self.first if placement == BESIDE else self.reader
            place, words = (cache, node), ["/model", *(["--keep-pages"] if keep_pages else [])]
        pod = self._pods[place]
        before = self._received(place[1])
        try:
            said = self.exec(pod, "python", LOADER, *words)
        finally:
            if placement == HUB:
                remove = f"import shutil; shutil.rmtree('{_DOWNLOADS}/model', ignore_errors=True)"
                self.exec(pod, "python", "-c", remove)
        wire = self._received(place[1]) - before
        return Load(**json.loads(said.splitlines()[-1]), wire=wire)

    def _received(self, node: str) -> int:
        """Bytes that a node has received from the Hub and from other nodes."""
        lines = Path(f"/proc/{self.pid(f'node-{node}')}/net/dev").read_text().splitlines()
        return next(int(line.split()[1]) for line in lines if line.split()[0] == "eth0:")

    # -- how ---------------------------------------------------------------------------------

    def _start_hub(self) -> None:
        """Serve the model at an address of the nodes' network, from a namespace of its own."""
        processes, env = self.cluster.processes, self.cluster.layout.base_env()
        pid = processes.start("hub-network", ["unshare", "--net", "sleep", "infinity"], env)
        self.until("the Hub's network", lambda: not _same_network(pid))
        place = Node("hub", HUB_ADDRESS, HUB_PORT, "", data_plane=False)
        network.plug(place, pid, self.pid(network.FABRIC))
        words = [sys.executable, "-m", "tests.hub", str(self.folder)]
        words += ["--address", HUB_ADDRESS, "--port", str(HUB_PORT)]
        within = ["nsenter", f"--net=/proc/{pid}/ns/net", *words]
        processes.start("hub", within, {**env, "PYTHONPATH": str(paths.REPO)})
        log = processes.log("hub")
        self.until("the Hub", lambda: HUB_ADDRESS in log.read_text(), 60)

    def _flags(self, *nodes: str) -> list[str]:
        """The flags of a cache in memory, as the write-up's."""
        return ["--medium", "MEM", *(f"--node={node}" for node in nodes)]

    def _spread(self) -> None:
        """Build the cache that `cache` does not build: half of the model on each of its nodes.

        All else is as `cache` writes it, but for the changes that were asked for.
        """
        objects = self.written(SPREAD, *self._flags(self.first, self.second))
        if self.variant.changes:
            changed = changed_runtime(objects["AlluxioRuntime"], self.variant)
            objects["AlluxioRuntime"] = changed
        objects["AlluxioRuntime"]["spec"]["data"]["replicas"] = 1
        del objects["DataLoad"]
        for each in objects.values():
            self.cluster.api.apply(each)
        self.wait_until_bound(SPREAD)
        files = [path.name for path in sorted(self.folder.iterdir())]
        with ThreadPoolExecutor(2) as pool:
            halves = (files[: SHARDS // 2 + 1], files[SHARDS // 2 + 1 :])
            list(pool.map(self._load_into, *zip(*self._workers(), strict=True), halves))
        held = sum(self.shares().values())
        if held < 0.999:  # the report rounds
            raise RuntimeError(f"{SPREAD} holds {held:.0%} of the model")

    def _workers(self) -> list[tuple[str, str]]:
        """The workers' pods and their addresses, in the order of the nodes."""
        selector = f"release={SPREAD},role=alluxio-worker"
        pods = self.cluster.api.list("v1", "Pod", self.namespace, labelSelector=selector)
        ordered = sorted(pods, key=lambda pod: self.nodes.index(pod["spec"]["nodeName"]))
        return [(pod["metadata"]["name"], pod["status"]["hostIP"]) for pod in ordered]

    def _load_into(self, worker: str, address: str, files: Sequence[str]) -> None:
        """Load files into one worker.

        A DataLoad gives each block to any of them. Of the 1,056 blocks of the write-up's model
        about half come to each; of the few blocks here, chance makes nearly anything.
        """
        for file in files:
            # Alluxio's shell finds the worker beside it by this name; only FUSE pods have it.
            named = f"ALLUXIO_CLIENT_HOSTNAME={address}"
            said = self.exec(worker, "env", named, "alluxio", "fs", "load", "--local", f"/{file}")
            if "loaded" not in said:
                raise RuntimeError(f"{file} was not loaded by {worker}: {said.strip()}")

    def _start_loader(self, cache: str, node: str) -> str:
        """Start a pod that waits for `exec`, with a cache at /model or an empty directory."""
        volume: Object = claim_volume(cache) if cache else {"emptyDir": {}}
        path = "/model" if cache else _DOWNLOADS
        return self.start_pod(f"{cache or 'hub'}-{node}", node, volume, path, _HUB_ENVIRONMENT)


def _same_network(pid: int) -> bool:
    mine, its = Path("/proc/self/ns/net"), Path(f"/proc/{pid}/ns/net")
    return mine.readlink() == its.readlink()


def _shape(pid: int, rate: float) -> None:
    """Limit what a network namespace sends over its link, in bytes per second."""
    burst = max(int(rate / 50), 256 << 10)
    words = ["tc", "qdisc", "replace", "dev", "eth0", "root", "tbf"]
    words += ["rate", f"{rate * 8:.0f}bit", "burst", str(burst), "latency", "200ms"]
    within = ["nsenter", f"--net=/proc/{pid}/ns/net", *words]
    subprocess.run(within, check=True, capture_output=True)
