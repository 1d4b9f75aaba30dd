"""What a cache stands on: nodes, CSI, Fluid's controllers; and the graph that reads it."""

from __future__ import annotations

from collections.abc import Iterable

from kubectl_fluidmodel.fluid import names
from kubectl_fluidmodel.objects.access import Object
from tests.doctor.fluid import NAME, NS, meta
from tests.doctor.pods import pod, reader_pod


def node(name: str, gpus: int = 8, memory: str = "1Ti", caches: Iterable[str] = ()) -> Object:
    """A Ready node; `caches` are `namespace-name` of those that it holds."""
    held = list(caches)
    labels = {"kubernetes.io/hostname": name, "topology.kubernetes.io/zone": "zone-a"}
    for cache in held:
        labels |= {
            f"fluid.io/s-{cache}": "true",
            f"fluid.io/s-alluxio-{cache}": "true",
            f"fluid.io/f-{cache}": "true",
        }
    allocatable = {"cpu": "128", "memory": memory, "ephemeral-storage": "8Ti", "pods": "250"}
    if held:
        labels["fluid.io/dataset-num"] = str(len(held))
    if gpus:
        labels["nvidia.com/gpu.present"] = "true"
        allocatable["nvidia.com/gpu"] = str(gpus)
    taints = [{"key": "nvidia.com/gpu", "value": "present", "effect": "NoSchedule"}]
    conditions = {"Ready": "True", "MemoryPressure": "False", "DiskPressure": "False"}
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": meta(name, "", labels=labels),
        "spec": {"taints": taints if gpus else []},
        "status": {
            "allocatable": allocatable,
            "capacity": dict(allocatable),
            "conditions": [{"type": key, "status": holds} for key, holds in conditions.items()],
        },
    }


def namespace(name: str) -> Object:
    return {"apiVersion": "v1", "kind": "Namespace"} | {
        "metadata": meta(name, ""),
        "status": {"phase": "Active"},
    }


def csi_node(name: str) -> Object:
    return {
        "apiVersion": "storage.k8s.io/v1",
        "kind": "CSINode",
        "metadata": meta(name, ""),
        "spec": {"drivers": [{"name": names.CSI_DRIVER, "nodeID": name}]},
    }


def csi_pod(node: str) -> Object:
    return pod(
        f"csi-nodeplugin-fluid-{node}",
        ("node-driver-registrar", "plugins"),
        namespace=names.SYSTEM_NAMESPACE,
        node=node,
        labels={"app": "csi-nodeplugin-fluid"},
        owner=("DaemonSet", "csi-nodeplugin-fluid"),
    )


def controller(name: str, replicas: int = 1) -> Object:
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": meta(name, names.SYSTEM_NAMESPACE, labels={"control-plane": name}),
        "spec": {
            "replicas": replicas,
            "template": {
                "metadata": {"labels": {"control-plane": name}},
                "spec": {
                    "containers": [
                        {"name": "manager", "image": "fluidcloudnative/controller:v1.0.8-6533239"}
                    ]
                },
            },
        },
        "status": {"replicas": replicas, "availableReplicas": replicas, "readyReplicas": replicas},
    }


def controller_pod(name: str) -> Object:
    return pod(
        f"{name}-5f55cff584-x",
        ("manager",),
        namespace=names.SYSTEM_NAMESPACE,
        node="cpu-0",
        labels={"control-plane": name},
        owner=("ReplicaSet", f"{name}-5f55cff584"),
    )


def graph(name: str = "chat", cache: str = NAME, namespace: str = NS) -> Object:
    """A v1beta1 graph that is pinned to the cache's nodes."""
    term = {
        "matchExpressions": [
            {"key": f"fluid.io/s-{namespace}-{cache}", "operator": "In", "values": ["true"]}
        ]
    }
    required = {"nodeSelectorTerms": [term]}
    affinity = {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": required}}
    spec = {
        **{key: reader_pod(cache=cache)["spec"][key] for key in ("tolerations", "volumes")},
        "containers": reader_pod(cache=cache)["spec"]["containers"],
        "affinity": affinity,
    }
    return {
        "apiVersion": "nvidia.com/v1beta1",
        "kind": "DynamoGraphDeployment",
        "metadata": meta(name, namespace),
        "spec": {
            "components": [
                {"name": "decode", "type": "worker", "replicas": 1, "podTemplate": {"spec": spec}}
            ]
        },
        "status": {"state": "successful", "conditions": [{"type": "Ready", "status": "True"}]},
    }


def csi_daemon_set() -> Object:
    return {
        "apiVersion": "apps/v1",
        "kind": "DaemonSet",
        "metadata": meta("csi-nodeplugin-fluid", names.SYSTEM_NAMESPACE),
        "spec": {"template": {"spec": {"tolerations": [{"operator": "Exists"}]}}},
        "status": {"desiredNumberScheduled": 3, "currentNumberScheduled": 3, "numberReady": 3},
    }


def webhook() -> Object:
    return {
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "MutatingWebhookConfiguration",
        "metadata": meta("fluid-pod-admission-webhook", ""),
        "webhooks": [
            {
                "name": "fuse.serverful.fluid.io",
                "failurePolicy": "Fail",
                "objectSelector": {"matchLabels": {"fuse.serverful.fluid.io/inject": "true"}},
                "clientConfig": {
                    "caBundle": "Q0E=",
                    "service": {"name": "fluid-pod-admission-webhook", "namespace": "fluid-system"},
                },
            }
        ],
    }
