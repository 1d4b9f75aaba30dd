"""Fluid objects as the harness's own tests want them, and ways to wait for what becomes of them."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

from .alluxio.__main__ import ROOT_OPTION
from .api import Object
from .bucket import Bucket
from .cluster import Cluster
from .s3 import secret

FLUID = "data.fluid.io/v1alpha1"
FLEET = {
    "key": "kubernetes.io/hostname",
    "operator": "In",
    "values": ["cpu-0", "cpu-1", "gpu-0", "gpu-1", "gpu-2"],
}
Value = TypeVar("Value")


def until(what: str, check: Callable[[], Value], seconds: float = 120) -> Value:
    """The first true value of ``check``; the test fails when there is none in time.

    A check that costs much, as a run of `doctor`, pauses the longer: other tests need the machine.
    """
    deadline = time.monotonic() + seconds
    while True:
        started = time.monotonic()
        value = check()
        if value:
            return value
        ended = time.monotonic()
        assert ended < deadline, f"{what}: not in {seconds:.0f} s"
        time.sleep(min(2.0, max(0.1, 2 * (ended - started))))


def dataset(
    namespace: str,
    name: str,
    mount: str,
    options: dict[str, str] | None = None,
    secret_name: str | None = None,
) -> Object:
    spec: Object = {"mountPoint": mount, "name": name, "path": "/", "options": options or {}}
    if secret_name:
        spec["encryptOptions"] = [
            {
                "name": f"{ROOT_OPTION}{key}",
                "valueFrom": {"secretKeyRef": {"name": secret_name, "key": key}},
            }
            for key in ("aws.accessKeyId", "aws.secretKey")
        ]
    return {
        "apiVersion": FLUID,
        "kind": "Dataset",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {
            "mounts": [spec],
            "placement": "Shared",
            "accessModes": ["ReadOnlyMany"],
            "tolerations": [{"operator": "Exists"}],
            # Nodes that other tests add and take away again are no place for it.
            "nodeAffinity": {"required": {"nodeSelectorTerms": [{"matchExpressions": [FLEET]}]}},
        },
    }


def runtime(namespace: str, name: str, quota: str = "1Gi", replicas: int = 1) -> Object:
    level = {
        "mediumtype": "SSD",
        "path": "/mnt/cache",
        "quota": quota,
        "high": "0.95",
        "low": "0.7",
    }
    return {
        "apiVersion": FLUID,
        "kind": "AlluxioRuntime",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {"replicas": replicas, "tieredstore": {"levels": [level]}},
    }


def dataload(namespace: str, name: str, load: str = "", replicas: int = 1) -> Object:
    return {
        "apiVersion": FLUID,
        "kind": "DataLoad",
        "metadata": {"name": load or f"{name}-load", "namespace": namespace},
        "spec": {
            "dataset": {"name": name, "namespace": namespace},
            "loadMetadata": True,
            "target": [{"path": "/", "replicas": replicas}],
        },
    }


def s3_options(cluster: Cluster) -> dict[str, str]:
    return {
        "alluxio.underfs.s3.endpoint": cluster.s3.endpoint,
        "alluxio.underfs.s3.endpoint.region": cluster.s3.region,
        "alluxio.underfs.s3.disable.dns.buckets": "true",
        "alluxio.underfs.s3.inherit.acl": "false",
    }


def s3_model(
    cluster: Cluster,
    namespace: str,
    name: str,
    bucket: Bucket,
    prefix: str = "m",
    secret_key: str = "",
    quota: str = "1Gi",
    replicas: int = 1,
    access_key: str = "",
) -> None:
    """Secret, Dataset and runtime for a model in a bucket."""
    keys = {
        "aws.accessKeyId": access_key or cluster.s3.access_key,
        "aws.secretKey": secret_key or cluster.s3.secret_key,
    }
    api = cluster.api
    api.apply(secret(namespace, f"{name}-s3", keys))
    mount = f"s3://{bucket.name}/{prefix}/"
    api.apply(dataset(namespace, name, mount, s3_options(cluster), f"{name}-s3"))
    api.apply(runtime(namespace, name, quota, replicas))


def status(cluster: Cluster, kind: str, namespace: str, name: str) -> Object:
    found = cluster.api.find(FLUID, kind, name, namespace) or {}
    value: Object = found.get("status") or {}
    return value


def bound(cluster: Cluster, namespace: str, name: str) -> Object:
    """Wait until the Dataset is Bound and its size known."""

    def check() -> Object | None:
        found = status(cluster, "Dataset", namespace, name)
        known = found.get("ufsTotal") not in (None, "", "[Calculating]")
        return found if found.get("phase") == "Bound" and known else None

    return until(f"Dataset {name} Bound", check) or {}


def loaded(cluster: Cluster, namespace: str, load: str, seconds: float = 120) -> str:
    """Wait for a DataLoad's end; its phase."""

    def check() -> str:
        phase = status(cluster, "DataLoad", namespace, load).get("phase", "")
        return phase if phase in ("Complete", "Failed") else ""

    return until(f"DataLoad {load}", check, seconds)


def cached(cluster: Cluster, namespace: str, name: str) -> int:
    """Bytes in the cache, as Alluxio's own blocks have it."""
    blocks = cluster.alluxio(namespace, name).read()["blocks"]
    return sum(sum(each.values()) for each in blocks.values())


INJECT = {"fuse.serverful.fluid.io/inject": "true"}
"""Labels of a pod that Fluid's webhook shall change."""


def webhook(name: str = "fluid-pod-admission-webhook", namespace: str = "") -> Object:
    """Fluid's webhook as its chart writes it, without a server; for all namespaces or for one."""
    service = {
        "name": "fluid-pod-admission-webhook",
        "namespace": "fluid-system",
        "path": "/mutate",
    }
    rule = {
        "operations": ["CREATE"],
        "apiGroups": [""],
        "apiVersions": ["v1"],
        "resources": ["pods"],
    }
    hook: Object = {
        "name": "fuse.serverful.fluid.io",
        "clientConfig": {"service": service, "caBundle": "Cg=="},
        "rules": [rule],
        "objectSelector": {"matchLabels": INJECT},
        "failurePolicy": "Fail",
        "sideEffects": "None",
        "admissionReviewVersions": ["v1"],
    }
    if namespace:
        labels = {"kubernetes.io/metadata.name": namespace}
        hook["namespaceSelector"] = {"matchLabels": labels}
    return {
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "MutatingWebhookConfiguration",
        "metadata": {"name": name},
        "webhooks": [hook],
    }


def afresh(kept: Object) -> Object:
    """What was read before it was deleted, as it can be made again."""
    own = ("uid", "resourceVersion", "creationTimestamp", "managedFields", "generation")
    metadata = {key: value for key, value in kept["metadata"].items() if key not in own}
    return {**{key: value for key, value in kept.items() if key != "status"}, "metadata": metadata}
