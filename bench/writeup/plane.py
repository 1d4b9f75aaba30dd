"""Real nodes with the model, its caches, the Hub and the pods that load; all that `main` measures.

Three nodes: the first two share one cache, half of the model each, and the third has another one,
the whole model. The Hub has a network namespace of its own at the nodes' bridge, so that its link
can be shaped as theirs are.
"""

from __future__ import annotations

import json
import os
import secrets
import shutil
import struct
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import yaml

from bench.writeup import loader
from bench.writeup.figures import BESIDE, HUB, WHOLE, LinkRates, Load, Placement
from kubectl_fluidmodel.fluid import alluxio_cli
from kubectl_fluidmodel.model.sizing import MEMORY_PATH
from tests import weights
from tests.cluster import image, paths
from tests.cluster.bucket import Bucket
from tests.cluster.cluster import Cluster
from tests.cluster.fixtures import clear
from tests.cluster.objects import status
from tests.cluster.real import network, policy
from tests.cluster.real.node import Node
from tests.cluster.s3 import secret

NODES = ("real-0", "real-1", "real-2")
FIRST, SECOND, READER = NODES
SPREAD, ENTIRE = "spread", "whole"
REPOSITORY = "writeup/model"
IMAGE = "fluidmodel.test/loader:bench"
SHARDS = 4
TENSOR_BYTES = 32 << 20
HUB_ADDRESS, HUB_PORT = network.ADDRESSES[-1], 80
_LOADER = "/bench/loader.py"
_WAIT = "import signal; signal.sigwait([signal.SIGTERM, signal.SIGINT])"
_DOWNLOADS = "/download"


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


class Plane:
    """The nodes, and what is on them."""

    def __init__(self, cluster: Cluster, size: int) -> None:
        self.cluster, self.size = cluster, size
        # Of its own, as caches of an earlier run may still be on their way out.
        self.namespace = f"writeup-{secrets.token_hex(3)}"
        self.folder = cluster.state / "writeup" / "model"
        self._bucket: Bucket | None = None
        self._pods: dict[tuple[str, str], str] = {}

    # -- set-up ------------------------------------------------------------------------------

    def up(self) -> None:
        """Bring everything up: nodes, model, Hub, caches and pods.

        Raises:
            MachineLacks: this machine cannot have real nodes; the message says why.
            RuntimeError: a cache was not built.
        """
        self.cluster.up(dynamo=None)
        say("starting three nodes")
        self.cluster.add_real_nodes(len(NODES))
        self.cluster.load_image(image.archived(IMAGE, *_image()))
        self._make_namespace()
        say(f"writing a model of {self.size / 2**30:.1f} GiB")
        write_model(self.folder, self.size)
        self._start_hub()
        self._bucket = bucket = Bucket(self.cluster.s3, self.namespace)
        for path in sorted(self.folder.iterdir()):
            bucket.client.upload_file(str(path), bucket.name, f"model/{path.name}")
        say(f"caching it whole on {READER}")
        self._plugin("cache", bucket.uri("model"), *self._flags(ENTIRE, READER))
        say(f"caching it on {FIRST} and {SECOND}, half on each")
        self._spread(bucket.uri("model"))
        for cache, node in ((SPREAD, FIRST), (SPREAD, READER), (ENTIRE, READER), ("", READER)):
            self._pods[cache, node] = self._start_pod(cache, node)
            say(f"a pod runs on {node} with {cache or 'no cache'}")

    def close(self) -> None:
        """Take away all of it but the nodes."""
        clear(self.cluster, self.namespace)
        for node in NODES:  # which are kept maybe, and their memory with them
            tier = f"{MEMORY_PATH}/{self.namespace}"
            pid = self._pid(f"node-{node}")
            within = ["nsenter", f"--mount=/proc/{pid}/ns/mnt", "rm", "-rf", tier]
            subprocess.run(within, check=False, capture_output=True)
        for process in ("hub", "hub-network"):
            self.cluster.processes.stop(process, force=True)
        if self._bucket:
            self._bucket.delete()
        shutil.rmtree(self.folder.parent, ignore_errors=True)

    def shape(self, rates: LinkRates) -> None:
        """Let the Hub and the nodes send at these rates, and no faster."""
        _shape(self._pid("hub-network"), rates.hub)
        for node in NODES:
            _shape(self._pid(f"node-{node}"), rates.node)

    def unshape(self) -> None:
        """Let the nodes send as fast as they can."""
        for node in NODES:
            words = ["tc", "qdisc", "del", "dev", "eth0", "root"]
            within = ["nsenter", f"--net=/proc/{self._pid(f'node-{node}')}/ns/net", *words]
            subprocess.run(within, check=False, capture_output=True)

    def shares(self) -> dict[str, float]:
        """The share of the model in the spread cache, by node."""
        names = {each.address: name for name, each in self.cluster.real.taken().items()}
        report = self._exec(f"{SPREAD}-master-0", *alluxio_cli.CAPACITY_COMMAND)
        workers = alluxio_cli.parse_capacity_report(report)
        return {names.get(each.name, each.name): each.used_bytes / self.size for each in workers}

    # -- measuring ---------------------------------------------------------------------------

    def load(self, placement: Placement, way: str = "cache") -> Load:
        """Load the model once, as a worker of that placement does.

        Args:
            placement: Where the model is.
            way: `page-cache` to read what an earlier load of that placement left there.

        Raises:
            RuntimeError: the loader fails.
        """
        if placement == HUB:
            place, words = ("", READER), ["hub", f"{_DOWNLOADS}/model", REPOSITORY]
        else:
            cache = ENTIRE if placement == WHOLE else SPREAD
            place, words = (cache, FIRST if placement == BESIDE else READER), [way, "/model"]
        pod = self._pods[place]
        before = self._received(place[1])
        try:
            said = self._exec(pod, "python", _LOADER, *words)
        finally:
            if placement == HUB:
                remove = f"import shutil; shutil.rmtree('{_DOWNLOADS}/model', ignore_errors=True)"
                self._exec(pod, "python", "-c", remove)
        wire = self._received(place[1]) - before
        return Load(**json.loads(said.splitlines()[-1]), wire=wire)

    def _received(self, node: str) -> int:
        """Bytes that a node has received from the Hub and from other nodes."""
        lines = Path(f"/proc/{self._pid(f'node-{node}')}/net/dev").read_text().splitlines()
        return next(int(line.split()[1]) for line in lines if line.split()[0] == "eth0:")

    # -- how ---------------------------------------------------------------------------------

    def _make_namespace(self) -> None:
        meta = {"name": self.namespace}
        self.cluster.api.create({"apiVersion": "v1", "kind": "Namespace", "metadata": meta})
        policy.direct(self.cluster.api, self.namespace)

    def _pid(self, process: str) -> int:
        return self.cluster.processes.pid(process) or 0

    def _start_hub(self) -> None:
        """Serve the model at an address of the nodes' network, from a namespace of its own."""
        processes, env = self.cluster.processes, self.cluster.layout.base_env()
        pid = processes.start("hub-network", ["unshare", "--net", "sleep", "infinity"], env)
        self._until("the Hub's network", lambda: not _same_network(pid))
        place = Node("hub", HUB_ADDRESS, HUB_PORT, "", data_plane=False)
        network.plug(place, pid, self._pid(network.FABRIC))
        words = [sys.executable, "-m", "tests.hub", str(self.folder)]
        words += ["--address", HUB_ADDRESS, "--port", str(HUB_PORT)]
        within = ["nsenter", f"--net=/proc/{pid}/ns/net", *words]
        processes.start("hub", within, {**env, "PYTHONPATH": str(paths.REPO)})
        log = processes.log("hub")
        self._until("the Hub", lambda: HUB_ADDRESS in log.read_text(), 60)

    def _plugin(self, *words: str) -> str:
        """What the plugin prints; its messages go to this process's.

        Raises:
            RuntimeError: it fails.
        """
        argv = [sys.executable, "-m", "kubectl_fluidmodel", *words, "-n", self.namespace]
        env = {
            **os.environ,
            **self.cluster.s3.env(),
            "KUBECONFIG": str(self.cluster.kubeconfig),
            "PYTHONPATH": str(paths.REPO),
        }
        done = subprocess.run(argv, env=env, stdout=subprocess.PIPE, text=True, check=False)
        if done.returncode:
            raise RuntimeError(f"'kubectl fluidmodel {words[0]}' ended with {done.returncode}")
        return done.stdout

    def _flags(self, name: str, *nodes: str) -> list[str]:
        """The flags of a cache in memory, as the write-up's."""
        return ["--name", name, "--medium", "MEM", *(f"--node={node}" for node in nodes)]

    def _spread(self, uri: str) -> None:
        """Build the cache that `cache` does not build: half of the model on each of its nodes.

        All else is as `cache` writes it, but the FUSE client's options, which are Fluid's own.
        """
        flags = self._flags(SPREAD, FIRST, SECOND)
        written = self._plugin("cache", uri, *flags, "--dry-run=client", "-o", "yaml")
        objects = {each["kind"]: each for each in yaml.safe_load_all(written) if each}
        for each in objects.values():
            each["metadata"]["namespace"] = self.namespace
        refs = [
            each["valueFrom"]["secretKeyRef"]
            for each in objects["Dataset"]["spec"]["mounts"][0]["encryptOptions"]
        ]
        s3 = self.cluster.s3
        keys = [ref["key"] for ref in refs]
        values = dict(zip(keys, (s3.access_key, s3.secret_key), strict=True))
        objects["AlluxioRuntime"]["spec"]["data"]["replicas"] = 1
        del objects["DataLoad"]
        self.cluster.api.apply(secret(self.namespace, refs[0]["name"], values))
        for each in objects.values():
            self.cluster.api.apply(each)
        self._until(f"{SPREAD} to be Bound", lambda: self._phase("Dataset") == "Bound", 300)
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
        ordered = sorted(pods, key=lambda pod: NODES.index(pod["spec"]["nodeName"]))
        return [(pod["metadata"]["name"], pod["status"]["hostIP"]) for pod in ordered]

    def _load_into(self, worker: str, address: str, files: Sequence[str]) -> None:
        """Load files into one worker.

        A DataLoad gives each block to any of them. Of the 1,056 blocks of the write-up's model
        about half come to each; of the few blocks here, chance makes nearly anything.
        """
        for file in files:
            # Alluxio's shell finds the worker beside it by this name; only FUSE pods have it.
            named = f"ALLUXIO_CLIENT_HOSTNAME={address}"
            said = self._exec(worker, "env", named, "alluxio", "fs", "load", "--local", f"/{file}")
            if "loaded" not in said:
                raise RuntimeError(f"{file} was not loaded by {worker}: {said.strip()}")

    def _phase(self, kind: str) -> str:
        return str(status(self.cluster, kind, self.namespace, SPREAD).get("phase") or "")

    def _start_pod(self, cache: str, node: str) -> str:
        """Start a pod that waits for `exec`, with a cache at /model or an empty directory."""
        name = f"{cache or 'hub'}-{node}"
        mount: dict[str, Any] = {"name": "model", "mountPath": "/model" if cache else _DOWNLOADS}
        volume: dict[str, Any] = {"name": "model"}
        if cache:
            volume["persistentVolumeClaim"] = {"claimName": cache, "readOnly": True}
        else:
            volume["emptyDir"] = {}
        container = {
            "name": "loader",
            "image": IMAGE,
            "command": ["python", "-c", _WAIT],
            "env": [
                {"name": "HF_ENDPOINT", "value": f"http://{HUB_ADDRESS}"},
                {"name": "HF_HUB_DISABLE_XET", "value": "1"},
                {"name": "HF_HUB_DISABLE_PROGRESS_BARS", "value": "1"},
                {"name": "HOME", "value": _DOWNLOADS},
            ],
            "volumeMounts": [mount],
        }
        self.cluster.api.create(
            {
                "apiVersion": "v1",
                "kind": "Pod",
                "metadata": {"name": name, "namespace": self.namespace},
                "spec": {
                    "nodeSelector": {"kubernetes.io/hostname": node},
                    "terminationGracePeriodSeconds": 1,
                    "containers": [container],
                    "volumes": [volume],
                },
            }
        )

        def running() -> bool:
            pod = self.cluster.api.get("v1", "Pod", name, self.namespace)
            return bool(pod["status"]["phase"] == "Running")

        self._until(f"{name} to run", running, 180)
        return name

    def _exec(self, pod: str, *words: str) -> str:
        """Run something in a pod; what it prints.

        Raises:
            RuntimeError: it fails.
        """
        done = self.cluster.kubectl("exec", "-n", self.namespace, pod, "--", *words, check=False)
        if done.returncode:
            last = (done.stderr.strip() or done.stdout.strip()).splitlines()[-1:]
            raise RuntimeError(f"{words[0]} in {pod} failed: {' '.join(last)}")
        return done.stdout

    def _until(self, what: str, check: Callable[[], bool], seconds: float = 60) -> None:
        self.cluster.wait(what, check, seconds)


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


def _image() -> tuple[image.Files, dict[str, Any]]:
    """The staging image, which has the Hub's client, with `safetensors` and the loader.

    Raises:
        importlib.metadata.PackageNotFoundError: `safetensors` or `numpy` is not installed.
    """
    files, settings = image.stage()
    added: dict[str, Any] = {_LOADER: Path(loader.__file__)}
    for name in ("safetensors", "numpy"):
        found = image.distribution(name)
        added |= {str(image.site() / path): file for path, file in found.items()}
    kept = {key: value for key, value in settings.items() if key == "Env"}
    return image.with_libraries({**files, **added}), kept


def write_model(folder: Path, size: int) -> None:
    """Write a model of this many bytes: files of random tensors, an index and a config."""
    folder.mkdir(parents=True)
    for number in range(SHARDS):
        path = folder / f"model-{number + 1:05}-of-{SHARDS:05}.safetensors"
        with path.open("wb") as out:
            for piece in safetensors_pieces(size // SHARDS, f"layers.{number}"):
                out.write(piece)
    (folder / "config.json").write_bytes(weights.model_config())


def safetensors_pieces(size: int, prefix: str) -> Iterator[bytes]:
    """The bytes of a file of safetensors, about this many, in pieces: the header, then tensors."""
    count = max(1, size // TENSOR_BYTES)
    each = size // count // 2 * 2
    header = {
        f"{prefix}.{n}.weight": {
            "dtype": "F16",
            "shape": [each // 2],
            "data_offsets": [n * each, (n + 1) * each],
        }
        for n in range(count)
    }
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    yield struct.pack("<Q", len(text)) + text
    for _ in range(count):
        yield os.urandom(each)
