"""Pods, and what makes them, of a healthy cache and of what reads it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from kubectl_fluidmodel.objects.access import Object
from tests.doctor.fluid import CREATED, GPU_TOLERATION, NAME, NS, meta


def part_labels(role: str, name: str = NAME, namespace: str = NS) -> dict[str, str]:
    labels = {
        "app": "alluxio",
        "release": name,
        "role": f"alluxio-{role}",
        "fluid.io/managed-by": "fluid",
        "fluid.io/dataset-id": f"{namespace}-{name}",
    }
    if role == "worker":
        labels |= {
            "fluid.io/dataset": f"{namespace}-{name}",
            "fluid.io/dataset-placement": "Shared",
        }
    return labels


def pod(
    name: str,
    containers: Iterable[str] = ("main",),
    *,
    namespace: str = NS,
    node: str = "gpu-0",
    labels: dict[str, str] | None = None,
    owner: tuple[str, str] = ("", ""),
    spec: Object | None = None,
    phase: str = "Running",
) -> Object:
    """A pod whose containers all run and are ready (or have ended well)."""
    running = phase == "Running"
    state = (
        {"running": {"startedAt": CREATED}}
        if running
        else {"terminated": {"exitCode": 0, "reason": "Completed", "finishedAt": CREATED}}
    )
    owners = [{"kind": owner[0], "name": owner[1], "uid": f"uid-{owner[1]}", "controller": True}]
    conditions = {"PodScheduled": True, "Initialized": True, "ContainersReady": running}
    conditions["Ready"] = running
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": meta(
            name, namespace, labels=labels or {}, ownerReferences=owners if owner[0] else []
        ),
        "spec": {
            "nodeName": node,
            "containers": [{"name": name, "image": f"example.com/{name}:1"} for name in containers],
            **(spec or {}),
        },
        "status": {
            "phase": phase,
            "startTime": CREATED,
            "conditions": [
                {"type": condition, "status": "True" if holds else "False"}
                for condition, holds in conditions.items()
            ],
            "containerStatuses": [
                {
                    "name": container,
                    "ready": running,
                    "started": running,
                    "restartCount": 0,
                    "state": dict(state),
                    "lastState": {},
                }
                for container in containers
            ],
        },
    }


def master_pod(name: str = NAME, namespace: str = NS, node: str = "cpu-0") -> Object:
    return pod(
        f"{name}-master-0",
        ("alluxio-master", "alluxio-job-master"),
        namespace=namespace,
        node=node,
        labels=part_labels("master", name, namespace),
        owner=("StatefulSet", f"{name}-master"),
    )


def worker_pod(
    number: int = 0, name: str = NAME, namespace: str = NS, node: str = "gpu-0"
) -> Object:
    requests = {"requests": {"memory": "8Gi"}}
    return pod(
        f"{name}-worker-{number}",
        ("alluxio-worker", "alluxio-job-worker"),
        namespace=namespace,
        node=node,
        labels=part_labels("worker", name, namespace),
        owner=("StatefulSet", f"{name}-worker"),
        spec={
            "hostNetwork": True,
            "tolerations": [GPU_TOLERATION],
            "containers": [
                {"name": "alluxio-worker", "image": "alluxio:2.9.0", "resources": requests},
                {"name": "alluxio-job-worker", "image": "alluxio:2.9.0", "resources": {}},
            ],
        },
    )


def fuse_pod(node: str = "gpu-0", name: str = NAME, namespace: str = NS) -> Object:
    return pod(
        f"{name}-fuse-{node}",
        ("alluxio-fuse",),
        namespace=namespace,
        node=node,
        labels=part_labels("fuse", name, namespace),
        owner=("DaemonSet", f"{name}-fuse"),
        spec={"tolerations": [{"operator": "Exists"}]},
    )


def loader_pod(name: str = NAME, namespace: str = NS) -> Object:
    labels = {
        "app": "alluxio",
        "release": f"{name}-loader",
        "role": "dataload-pod",
        "targetDataset": name,
    }
    return pod(
        f"{name}-loader-job-x",
        ("dataloader",),
        namespace=namespace,
        node="cpu-0",
        labels=labels,
        owner=("Job", f"{name}-loader-job"),
        phase="Succeeded",
    )


def reader_pod(
    name: str = "chat-decode-0",
    node: str = "gpu-0",
    cache: str = NAME,
    namespace: str = NS,
    **more: Any,
) -> Object:
    """A worker of the graph `chat` that mounts the cache at /model."""
    labels = {
        "nvidia.com/dynamo-graph-deployment-name": "chat",
        "nvidia.com/dynamo-component": "decode",
        "nvidia.com/selector": "chat-decode",
    }
    main = {
        "name": "main",
        "image": "example.com/vllm:1",
        "args": ["--model", "/model", "--served-model-name", cache],
        "resources": {"limits": {"nvidia.com/gpu": "1"}},
        "command": ["python3", "-m", "dynamo.vllm"],
        "env": [{"name": "HF_HUB_OFFLINE", "value": "1"}],
        "volumeMounts": [{"name": "model", "mountPath": "/model", "readOnly": True}],
    }
    spec = {
        "containers": [main],
        "tolerations": [GPU_TOLERATION],
        "volumes": [{"name": "model", "persistentVolumeClaim": {"claimName": cache}}],
    }
    return pod(name, ("main",), namespace=namespace, node=node, labels=labels, spec=spec, **more)


def stateful_set(role: str, name: str = NAME, namespace: str = NS, replicas: int = 1) -> Object:
    containers = [{"name": f"alluxio-{role}"}, {"name": f"alluxio-job-{role}"}]
    labels = part_labels(role, name, namespace)
    return {
        "apiVersion": "apps/v1",
        "kind": "StatefulSet",
        "metadata": meta(f"{name}-{role}", namespace, labels=labels),
        "spec": {
            "replicas": replicas,
            "template": {"metadata": {"labels": labels}, "spec": {"containers": containers}},
        },
        "status": {"replicas": replicas, "readyReplicas": replicas},
    }


def daemon_set(name: str = NAME, namespace: str = NS, nodes: int = 1) -> Object:
    labels = part_labels("fuse", name, namespace)
    spec = {
        "nodeSelector": {f"fluid.io/f-{namespace}-{name}": "true"},
        "tolerations": [{"operator": "Exists"}],
        "containers": [{"name": "alluxio-fuse"}],
    }
    return {
        "apiVersion": "apps/v1",
        "kind": "DaemonSet",
        "metadata": meta(f"{name}-fuse", namespace, labels=labels),
        "spec": {"template": {"metadata": {"labels": labels}, "spec": spec}},
        "status": {
            "desiredNumberScheduled": nodes,
            "currentNumberScheduled": nodes,
            "numberReady": nodes,
        },
    }


def loader_job(name: str = NAME, namespace: str = NS) -> Object:
    labels = {"release": f"{name}-loader", "role": "dataload-job", "targetDataset": name}
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": meta(f"{name}-loader-job", namespace, labels=labels),
        "spec": {"backoffLimit": 3},
        "status": {"succeeded": 1, "conditions": [{"type": "Complete", "status": "True"}]},
    }
