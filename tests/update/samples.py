"""Caches of two commits of one model, and graphs that read them."""

from __future__ import annotations

from typing import Any

from kubectl_fluidmodel.fluid import names
from kubectl_fluidmodel.inventory.cache import Cache, ReaderPod
from kubectl_fluidmodel.pin.pin_request import PinRequest
from kubectl_fluidmodel.pin.pinning import pin_graph
from tests.cluster.pinning import component, graph

OLD, NEW, NEWER = "1a2b3c4" + "0" * 33, "9f8e7d6" + "1" * 33, "5555555" + "2" * 33
GIB = 1 << 30
SIZE = 10 * GIB


def cache(
    name: str,
    commit: str,
    *,
    replaces: str = "",
    cached: str = "10.00GiB",
    phase: str = "Bound",
    graphs: tuple[dict[str, Any], ...] = (),
    readers: tuple[tuple[str, str], ...] = (),
    **annotations: str,
) -> Cache:
    """A cache as `cache` made it.

    Args:
        name: Of the cache.
        commit: It holds.
        replaces: The cache that it replaces.
        cached: What Fluid reports.
        phase: Of the Dataset.
        graphs: That mount it.
        readers: Pods that mount it, and the graph of each.
        annotations: More of the Dataset, without their prefix.
    """
    notes = {
        "source": "hf://org/llama",
        "commit": commit,
        "bytes": str(SIZE),
        "files": "3",
        **({"replaces": replaces} if replaces else {}),
        **annotations,
    }
    secret = [
        {"name": f"aws.{key}", "valueFrom": {"secretKeyRef": {"name": f"{name}-store", "key": env}}}
        for key, env in (
            ("accessKeyId", "AWS_ACCESS_KEY_ID"),
            ("secretKey", "AWS_SECRET_ACCESS_KEY"),
        )
    ]
    mount = {
        "mountPoint": f"s3://models/llm/org/llama/{commit}",
        "name": name,
        "path": "/",
        "options": {"alluxio.underfs.s3.endpoint": "http://minio:9000"},
        "encryptOptions": secret,
    }
    created = "2026-01-01T00:00:00Z" if commit == OLD else "2026-02-01T00:00:00Z"
    dataset = {
        "apiVersion": names.DATASETS.api_version,
        "kind": "Dataset",
        "metadata": {
            "name": name,
            "namespace": "ns",
            "creationTimestamp": created,
            "labels": names.managed_labels(name),
            "annotations": {f"fluidmodel.io/{key}": value for key, value in notes.items()},
        },
        "spec": {"mounts": [mount]},
        "status": {
            "phase": phase,
            "ufsTotal": "10.00GiB",
            "cacheStates": {"cached": cached},
            "runtimes": [{"type": "alluxio", "name": name}],
        },
    }
    level = {"mediumtype": "MEM", "path": "/dev/shm", "quota": "14Gi"}
    runtime = {
        "kind": "AlluxioRuntime",
        "metadata": {"name": name, "namespace": "ns", "labels": names.managed_labels(name)},
        "spec": {"replicas": 1, "tieredstore": {"levels": [level]}},
    }
    pods = [
        ReaderPod(
            {
                "metadata": {
                    "name": pod,
                    "namespace": "ns",
                }
            },
            (("main", "/model"),),
            True,
            of,
        )
        for pod, of in readers
    ]
    return Cache("ns", name, dataset, [runtime], graphs=list(graphs), readers=pods)


def chat(pinned_to: str = "llama", name: str = "chat", **metadata: Any) -> dict[str, Any]:
    """A graph with two workers, pinned to a cache; empty for one that mounts it by hand."""
    obj = graph(
        "ns",
        name,
        component("Front", "frontend", gpus=0),
        component("Work", replicas=2),
        **metadata,
    )
    request = PinRequest(pinned_to or "llama", f"fluid.io/s-ns-{pinned_to}")
    pinned = pin_graph(obj, request).object
    if not pinned_to:
        del pinned["metadata"]["annotations"]
    return pinned
