"""Caches that tests of doctor break: a namespace, a bucket with a model, and faults."""

from __future__ import annotations

import contextlib
import secrets
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from kubectl_fluidmodel.doctor.check import Finding
from kubectl_fluidmodel.fluid import names

from . import objects
from .api import Object
from .bucket import Bucket
from .cluster import Cluster
from .fixtures import clear
from .in_process_doctor import Doctor
from .objects import FLUID, until
from .s3 import secret

READER = "reader"
AREAS = "3,4,6,8"
"""The areas of doctor that these tests are about."""


class BrokenCaches:
    """One namespace for the tests of a module; each has caches of its own name there."""

    def __init__(self, cluster: Cluster, folder: Path, stem: str = "ward") -> None:
        self.cluster, self.api = cluster, cluster.api
        self.namespace = f"t-{secrets.token_hex(3)}-{stem}"
        self.api.create(
            {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": self.namespace}}
        )
        self.bucket = Bucket(cluster.s3, f"models-{secrets.token_hex(4)}")
        self.bytes = sum(self.bucket.put_model("m").values())
        self.doctor = Doctor(cluster, self.namespace, AREAS, folder / "bin")
        self.nodes: list[str] = []

    def close(self) -> None:
        clear(self.cluster, self.namespace)
        for name in self.nodes:
            self.cluster.remove_node(name)
        self.bucket.delete()

    # -- caches ------------------------------------------------------------------------------

    def create_cache(
        self,
        name: str,
        *,
        dataset: dict[str, Any] | None = None,
        runtime: dict[str, Any] | None = None,
        level: dict[str, Any] | None = None,
        keys: dict[str, str] | None = None,
        node: str = "",
    ) -> str:
        """Create a cache as if by hand, without waiting; the given fields are merged in.

        Its Secret is `<name>-s3`, unless `keys` is empty.
        """
        given = {
            "aws.accessKeyId": self.cluster.s3.access_key,
            "aws.secretKey": self.cluster.s3.secret_key,
        }
        given = given if keys is None else keys
        if given:
            self.api.apply(secret(self.namespace, f"{name}-s3", given))
        options = objects.s3_options(self.cluster)
        mount = f"s3://{self.bucket.name}/m/"
        made = objects.dataset(self.namespace, name, mount, options, f"{name}-s3")
        if node:
            made["spec"]["nodeAffinity"] = node_affinity_for(node)
        made["spec"] |= dataset or {}
        made["spec"] = {key: value for key, value in made["spec"].items() if value is not None}
        self.api.apply(made)
        runs = objects.runtime(self.namespace, name)
        runs["spec"]["tieredstore"]["levels"][0] |= level or {}
        runs["spec"] |= runtime or {}
        runs["spec"] = {key: value for key, value in runs["spec"].items() if value is not None}
        self.api.apply(runs)
        return name

    def wait_until_bound(self, name: str) -> str:
        """Wait for a cache to be Bound, its claim to be there and its nodes to be labelled."""
        objects.bound(self.cluster, self.namespace, name)

        def there() -> bool:
            claim = self.find("PersistentVolumeClaim", name) or {}
            uid = (self.find("Dataset", name) or {})["metadata"]["uid"]
            label = names.cache_label(self.namespace, name, uid)
            nodes = self.api.list("v1", "Node", labelSelector=label)
            return (claim.get("status") or {}).get("phase") == "Bound" and bool(nodes)

        until(f"claim and labels of {name}", there, 180)
        return name

    def load_completely(self, name: str, replicas: int = 1) -> str:
        """As `bound`, with all of the model loaded and counted."""
        self.wait_until_bound(name)
        self.api.apply(objects.dataload(self.namespace, name, replicas=replicas))
        assert objects.loaded(self.cluster, self.namespace, f"{name}-load") == "Complete"
        wanted = f"{100.0 * replicas:.1f}%"

        def counted() -> bool:
            states = self.status_of("Dataset", name).get("cacheStates") or {}
            return bool(states.get("cachedPercentage") == wanted)

        until(f"{name} to be whole", counted)
        return name

    def create_dataset_without_runtime(self, name: str, **status: Any) -> str:
        """Create a Dataset without a runtime, with the status that Fluid would set."""
        mount = f"s3://{self.bucket.name}/m/"
        self.api.apply(objects.dataset(self.namespace, name, mount))
        until(f"a phase of {name}", lambda: self.status_of("Dataset", name).get("phase"))
        given = {"phase": "Bound", "conditions": [], **status}
        self.api.patch(FLUID, "Dataset", name, {"status": given}, self.namespace, "status")
        return name

    def delete_cache(self, name: str) -> None:
        """Delete a cache, and wait until it is gone."""
        for kind in ("DataLoad", "Dataset", "AlluxioRuntime"):
            for each in self.api.list(FLUID, kind, self.namespace):
                if each["metadata"]["name"] in (name, f"{name}-load"):
                    self.api.delete(FLUID, kind, each["metadata"]["name"], self.namespace)
        with contextlib.suppress(AssertionError):
            until(f"the end of {name}", lambda: not self.find("Dataset", name), 180)

    # -- objects -----------------------------------------------------------------------------

    def add_node(self, stem: str, **options: Any) -> str:
        """Add a node for this test only, without GPUs, so that no other cache chooses it."""
        name = f"{stem}-{self.namespace[2:8]}"
        options.setdefault("memory", "1Ti")
        self.nodes.append(name)
        self.cluster.add_node(name, **options)

        def open_() -> bool:
            taints = self.api.get("v1", "Node", name)["spec"].get("taints") or []
            return not any(each["key"].startswith("node.kubernetes.io/not-r") for each in taints)

        until(f"{name} to take pods", open_)
        return name

    def find(self, kind: str, name: str) -> Object | None:
        version = {"Dataset": FLUID, "AlluxioRuntime": FLUID, "DataLoad": FLUID, "Job": "batch/v1"}
        version |= {"StatefulSet": "apps/v1", "DaemonSet": "apps/v1"}
        return self.api.find(version.get(kind, "v1"), kind, name, self.namespace)

    def status_of(self, kind: str, name: str) -> Object:
        return (self.find(kind, name) or {}).get("status") or {}

    def wait_for_pod(self, name: str) -> Object:
        """Wait for a pod to exist."""
        return until(f"pod {name}", lambda: self.find("Pod", name)) or {}

    def wait_until_ready(self, name: str) -> Object:
        """Wait for a pod to be ready."""

        def ready() -> Object | None:
            pod = self.find("Pod", name)
            listed = ((pod or {}).get("status") or {}).get("conditions") or []
            states = {each["type"]: each["status"] for each in listed}
            return pod if states.get("Ready") == "True" else None

        return until(f"{name} to be ready", ready) or {}

    def set_container_status(
        self, name: str, container: str, namespace: str = "", **status: Any
    ) -> None:
        """Set a pod's status as its kubelet would, with one container in trouble.

        `ready` says whether that container is ready all the same.
        """
        where = namespace or self.namespace
        pod = self.api.get("v1", "Pod", name, where)
        ready = status.pop("ready", False)
        for each in pod["status"]["containerStatuses"]:
            if each["name"] == container:
                each.update(status, ready=ready)
        for each in pod["status"]["conditions"]:
            if each["type"] in ("Ready", "ContainersReady"):
                each["status"] = "True" if ready else "False"
        body = {key: pod["status"][key] for key in ("containerStatuses", "conditions")}
        self.api.patch("v1", "Pod", name, {"status": body}, where, "status")

    def create_reader(self, name: str, claim: str, node: str = "", **meta: Any) -> str:
        """Create a pod that mounts a claim.

        With `hold` it stays in ContainerCreating; `gates` keep the scheduler off; `scheduler` is
        the name of another scheduler.
        """
        annotations = {"fluidmodel.io/hold": "true"} if meta.pop("hold", False) else {}
        gates, scheduler = meta.pop("gates", ()), meta.pop("scheduler", "")
        spec: Object = {
            "terminationGracePeriodSeconds": 0,
            "tolerations": [{"operator": "Exists"}],
            "containers": [
                {
                    "name": "main",
                    "image": "example.com/engine:1",
                    "volumeMounts": [{"name": "model", "mountPath": "/model"}],
                }
            ],
            "volumes": [{"name": "model", "persistentVolumeClaim": {"claimName": claim}}],
        }
        if node:
            spec["nodeSelector"] = {"kubernetes.io/hostname": node}
        if gates:
            spec["schedulingGates"] = [{"name": gate} for gate in gates]
        if scheduler:
            spec["schedulerName"] = scheduler
        self.api.create(
            {
                "apiVersion": "v1",
                "kind": "Pod",
                "metadata": {
                    "name": name,
                    "namespace": self.namespace,
                    "annotations": annotations,
                    **meta,
                },
                "spec": spec,
            }
        )
        return name

    def wait_for_node(self, pod: str) -> str:
        """Wait for a pod to have a node."""
        found = until(
            f"a node for {pod}", lambda: self.wait_for_pod(pod)["spec"].get("nodeName"), 180
        )
        return str(found)

    def create_warning_event(self, kind: str, name: str, reason: str, message: str) -> None:
        """Create a Warning event, as the kubelet or a controller would."""
        obj = self.find(kind, name) or {"apiVersion": "v1", "metadata": {"name": name, "uid": ""}}
        stamp = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        self.api.create(
            {
                "apiVersion": "v1",
                "kind": "Event",
                "type": "Warning",
                "reason": reason,
                "message": message,
                "count": 1,
                "firstTimestamp": stamp,
                "lastTimestamp": stamp,
                "metadata": {"name": f"{name}.{time.time_ns():x}", "namespace": self.namespace},
                "involvedObject": {
                    "kind": kind,
                    "name": name,
                    "namespace": self.namespace,
                    "uid": obj["metadata"]["uid"],
                },
            }
        )

    # -- doctor ------------------------------------------------------------------------------

    def wait_for_root(
        self, root: str, name: str, about: str, *, beside: tuple[str, ...] = (), **how: Any
    ) -> Finding:
        """Run doctor until a code is the only root of a cache's findings.

        `beside` are other roots that come with the fault and are no consequence of it.

        Returns:
            The finding of that code.
        """

        def check() -> bool:
            self.doctor.diagnose(**how)
            return self.doctor.roots(name) == sorted({root, *beside})

        try:
            until(root, check, 180)
        except AssertionError as err:
            told = self.doctor.causes_by_code(name)
            raise AssertionError(f"{root}: {self.doctor.roots(name)} of {told}") from err
        found = [each for each in self.doctor.found(name)[root] if each.about == about]
        assert found, f"{root} is about {[each.about for each in self.doctor.found(name)[root]]}"
        return found[0]

    def wait_until_healthy(self, name: str, *, seconds: float = 240, **how: Any) -> None:
        """Run doctor until a cache has no findings."""
        self.doctor.see(f"{name} to be well", name=name, seconds=seconds, **how)

    def reference(self, kind: str, name: str) -> str:
        return f"{kind} {self.namespace}/{name}"


def node_affinity_for(node: str) -> Object:
    """A Dataset's node affinity for one node."""
    expression = {"key": "kubernetes.io/hostname", "operator": "In", "values": [node]}
    return {"required": {"nodeSelectorTerms": [{"matchExpressions": [expression]}]}}


def manage_broken_caches(
    cluster: Cluster, folder: Path, stem: str = "ward"
) -> Iterator[BrokenCaches]:
    """Create a BrokenCaches for a module's fixture and clean up; `stem` ends its namespace."""
    made = BrokenCaches(cluster, folder, stem)
    try:
        yield made
    finally:
        made.close()


def create_healthy_cache(caches: BrokenCaches) -> str:
    """Create a healthy cache on its own node; each test repairs it."""
    caches.create_cache("whole", node=caches.add_node("whole"))
    caches.load_completely("whole")
    caches.wait_until_healthy("whole")
    return "whole"
