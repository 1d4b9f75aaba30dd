"""Real nodes, a bucket with the model, and pods that load it: what benches have in common."""

from __future__ import annotations

import os
import secrets
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import yaml

from bench.plane import loader
from bench.plane.program import say
from kubectl_fluidmodel.model.sizing import MEMORY_PATH
from tests.cluster import image, paths
from tests.cluster.api import Object
from tests.cluster.bucket import Bucket
from tests.cluster.cluster import Cluster
from tests.cluster.fixtures import clear
from tests.cluster.objects import status
from tests.cluster.pods import waiting_pod
from tests.cluster.real import policy
from tests.cluster.s3 import secret

IMAGE = "fluidmodel.test/loader:bench"
LOADER = "/bench/loader.py"
RECONCILE_SECONDS = 30
_CONTROLLER = "alluxioruntime-controller"
PREFIX = "model"
"""Of the model in its bucket."""


class RealPlane:
    """Nodes with a data plane, a namespace and a bucket of one run."""

    def __init__(self, cluster: Cluster, purpose: str, nodes: int) -> None:
        """Nothing is started yet.

        Args:
            cluster: The control plane.
            purpose: A word for names.
            nodes: How many nodes there are.
        """
        self.cluster = cluster
        self.nodes = tuple(f"real-{number}" for number in range(nodes))
        # Of its own, as caches of an earlier run may still be on their way out.
        self.namespace = f"{purpose}-{secrets.token_hex(3)}"
        self.folder = cluster.state / purpose / "model"
        self._bucket: Bucket | None = None
        self._unattended = False

    # -- set-up and end ----------------------------------------------------------------------

    def start_nodes(self) -> None:
        """Bring the nodes up, with the loader's image and the namespace.

        Raises:
            MachineLacks: this machine cannot have real nodes; the message says why.
        """
        # Tests let Fluid ask each master every 2 s, which starts a JVM; its own default is 90 s.
        self.cluster.up(1, dynamo=None, fluid_reconcile=RECONCILE_SECONDS)
        say(f"starting {', '.join(self.nodes)}")
        self.cluster.add_real_nodes(len(self.nodes))
        self.cluster.load_image(image.archived(IMAGE, *loader_image()))
        meta = {"name": self.namespace}
        self.cluster.api.create({"apiVersion": "v1", "kind": "Namespace", "metadata": meta})
        policy.direct(self.cluster.api, self.namespace)

    @property
    def bucket(self) -> Bucket:
        """The bucket, made when it is first used."""
        if self._bucket is None:
            self._bucket = Bucket(self.cluster.s3, self.namespace)
        return self._bucket

    @property
    def uri(self) -> str:
        """The model as a SOURCE."""
        return self.bucket.uri(PREFIX)

    def upload(self) -> None:
        """Put the folder with the model into the bucket."""
        for path in sorted(each for each in self.folder.rglob("*") if each.is_file()):
            key = f"{PREFIX}/{path.relative_to(self.folder)}"
            self.bucket.client.upload_file(str(path), self.bucket.name, key)

    def leave_unattended(self) -> None:
        """Stop Fluid's controller until `close`, so that nothing runs but what is measured.

        It starts several JVMs for each cache every half minute. DataLoads have another controller.
        """
        self._unattended = True
        self.cluster.stop(_CONTROLLER, force=True)

    def close(self) -> None:
        """Take away all of it but the nodes."""
        if self._unattended:
            self.cluster.start(_CONTROLLER)  # it takes the caches away
        clear(self.cluster, self.namespace)
        for node in self.nodes:  # which are kept maybe, and their memory with them
            self.within(node, "mnt", "rm", "-rf", f"{MEMORY_PATH}/{self.namespace}", check=False)
        if self._bucket:
            self._bucket.delete()
        shutil.rmtree(self.folder.parent, ignore_errors=True)

    # -- the plugin, and what it writes ------------------------------------------------------

    def plugin(self, *words: str) -> str:
        """What the plugin prints; its messages are shown if it fails.

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
        done = subprocess.run(argv, env=env, capture_output=True, text=True, check=False)
        if done.returncode:
            say(done.stderr)
            raise RuntimeError(f"'kubectl fluidmodel {words[0]}' ended with {done.returncode}")
        return done.stdout

    def written(self, name: str, *flags: str) -> dict[str, Object]:
        """The objects that `cache` writes, by kind; nothing is applied but the store's keys."""
        words = ("cache", self.uri, "--name", name, *flags, "--dry-run=client", "-o", "yaml")
        objects = {each["kind"]: each for each in yaml.safe_load_all(self.plugin(*words)) if each}
        for each in objects.values():
            each["metadata"]["namespace"] = self.namespace
        refs = [
            each["valueFrom"]["secretKeyRef"]
            for each in objects["Dataset"]["spec"]["mounts"][0]["encryptOptions"]
        ]
        s3 = self.cluster.s3
        keys = [ref["key"] for ref in refs]
        values = dict(zip(keys, (s3.access_key, s3.secret_key), strict=True))
        self.cluster.api.apply(secret(self.namespace, refs[0]["name"], values))
        return objects

    def wait_until_bound(self, name: str) -> None:
        """Wait for a Dataset and its claim, which Fluid makes after that.

        Raises:
            RuntimeError: one is not Bound in time.
        """
        self.until(f"{name} to be Bound", lambda: self.phase("Dataset", name) == "Bound", 300)
        self.until(f"the claim {name}", lambda: self._is_claim_bound(name), 60)

    def _is_claim_bound(self, name: str) -> bool:
        found = self.cluster.api.find("v1", "PersistentVolumeClaim", name, self.namespace)
        return bool(found) and found["status"].get("phase") == "Bound"

    def phase(self, kind: str, name: str) -> str:
        """The phase of one of Fluid's objects; empty without one."""
        return str(status(self.cluster, kind, self.namespace, name).get("phase") or "")

    # -- pods --------------------------------------------------------------------------------

    def start_pod(
        self,
        name: str,
        node: str,
        volume: Mapping[str, Any],
        path: str,
        env: Mapping[str, str] | None = None,
    ) -> str:
        """Start a pod that waits for `exec`, with a volume; returns its name."""
        pod = waiting_pod(name, self.namespace, node, IMAGE, volume, path, env)
        self.cluster.api.create(pod)

        def running() -> bool:
            found = self.cluster.api.get("v1", "Pod", name, self.namespace)
            return bool(found["status"]["phase"] == "Running")

        self.until(f"{name} to run", running, 180)
        return name

    def exec(self, pod: str, *words: str, container: str = "") -> str:
        """Run something in a pod, or in one container of it; what it prints.

        Raises:
            RuntimeError: it fails.
        """
        flags = ("-n", self.namespace, *(("-c", container) if container else ()))
        done = self.cluster.kubectl("exec", *flags, pod, "--", *words, check=False)
        if done.returncode:
            said = (done.stdout + done.stderr).strip().splitlines()
            last = [line for line in said if not line.startswith("command terminated")][-1:]
            raise RuntimeError(f"{words[0]} in {pod} failed: {' '.join(last)}")
        return done.stdout

    def pid(self, process: str) -> int:
        """The process of the harness that has this name."""
        return self.cluster.processes.pid(process) or 0

    def within(self, node: str, kind: str, *words: str, check: bool = True) -> None:
        """Run a program of this machine in a namespace of a node: `mnt` or `net`."""
        flag = "--mount" if kind == "mnt" else f"--{kind}"
        enter = ["nsenter", f"{flag}=/proc/{self.pid(f'node-{node}')}/ns/{kind}"]
        subprocess.run([*enter, *words], check=check, capture_output=True)

    def until(self, what: str, check: Callable[[], bool], seconds: float = 60) -> None:
        """Wait for a condition.

        Raises:
            RuntimeError: it does not hold in time.
        """
        self.cluster.wait(what, check, seconds)


def loader_image() -> tuple[image.Files, dict[str, Any]]:
    """The staging image, which has the Hub's client, with `safetensors` and the loader.

    Raises:
        importlib.metadata.PackageNotFoundError: `safetensors` or `numpy` is not installed.
    """
    files, settings = image.stage()
    added: dict[str, Any] = {LOADER: Path(loader.__file__)}
    for name in ("safetensors", "numpy"):
        found = image.distribution(name)
        added |= {str(image.site() / path): file for path, file in found.items()}
    kept = {key: value for key, value in settings.items() if key == "Env"}
    return image.with_libraries({**files, **added}), kept
