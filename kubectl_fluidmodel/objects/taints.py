"""Taints of nodes: tolerated taints, taints of nodes that are being removed, taints for GPUs. Pure.

Rules: Toleration.ToleratesTaint (k8s.io/api/core/v1/toleration.go v0.36).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from kubectl_fluidmodel.objects.access import Object, get_list, get_path
from kubectl_fluidmodel.objects.deletion import is_terminating
from kubectl_fluidmodel.objects.gpus import is_gpu
from kubectl_fluidmodel.objects.pods import has_ready_condition
from kubectl_fluidmodel.records import dataclass

NO_SCHEDULE, NO_EXECUTE = "NoSchedule", "NoExecute"
UNSCHEDULABLE = "node.kubernetes.io/unschedulable"
CONTROL_PLANE = ("node-role.kubernetes.io/control-plane", "node-role.kubernetes.io/master")

LEAVING: dict[str, str] = {
    # Kubernetes: docs/reference/labels-annotations-taints
    UNSCHEDULABLE: "it is cordoned",
    "node.kubernetes.io/not-ready": "it is not ready",
    "node.kubernetes.io/unreachable": "it is unreachable",
    "node.kubernetes.io/memory-pressure": "it is short of memory",
    "node.kubernetes.io/disk-pressure": "it is short of disk",
    "node.kubernetes.io/pid-pressure": "it is short of process IDs",
    "node.kubernetes.io/network-unavailable": "it has no network",
    "node.kubernetes.io/out-of-service": "it is out of service",
    "node.cloudprovider.kubernetes.io/uninitialized": "its cloud has not set it up yet",
    "node.cloudprovider.kubernetes.io/shutdown": "its cloud has shut it down",
    # Karpenter: pkg/apis/v1/taints.go, before 1.0 pkg/apis/v1beta1/taints.go
    "karpenter.sh/disrupted": "Karpenter is about to remove it",
    "karpenter.sh/disruption": "Karpenter is about to remove it",
    "karpenter.sh/unregistered": "Karpenter has not set it up yet",
    # cluster-autoscaler/utils/taints/taints.go
    "ToBeDeletedByClusterAutoscaler": "the cluster autoscaler is about to remove it",
    "DeletionCandidateOfClusterAutoscaler": "the cluster autoscaler may remove it",
    # Cluster API: api/core/v1beta1/common_types.go
    "node.cluster.x-k8s.io/uninitialized": "Cluster API has not set it up yet",
    "node.cluster.x-k8s.io/outdated-revision": "Cluster API is about to replace it",
    # GKE: how-to/spot-vms, graceful termination; AWS Node Termination Handler: pkg/node/node.go
    "cloud.google.com/impending-node-termination": "its cloud is about to remove it",
    "aws-node-termination-handler/spot-itn": "its cloud is about to remove it",
    "aws-node-termination-handler/scheduled-maintenance": "its cloud is about to remove it",
    "aws-node-termination-handler/asg-lifecycle-termination": "its cloud is about to remove it",
    "aws-node-termination-handler/rebalance-recommendation": "its cloud may remove it",
}
"""Keys of taints that a controller sets on a node that is being removed or not ready, and why."""

_STARTING_PREFIXES = (
    "startup-taint.cluster-autoscaler.kubernetes.io/",
    "ignore-taint.cluster-autoscaler.kubernetes.io/",
)
"""Keys of taints that are removed once an agent runs; those of CNI and CSI end in
`/agent-not-ready`."""

_ACCELERATORS = frozenset(
    {
        "aws.amazon.com/neuron",  # EKS: Neuron device plugin
        "google.com/tpu",  # GKE: TPU node pools
        "habana.ai/gaudi",  # Intel Gaudi base operator
        "gpu.intel.com/i915",  # Intel device plugins
        "gpu.intel.com/xe",
    }
)


@dataclass(frozen=True)
class Taint:
    """One taint of a node."""

    key: str
    value: str
    effect: str

    def __str__(self) -> str:
        """Format the taint as kubectl does: `nvidia.com/gpu=present:NoSchedule`."""
        return f"{self.key}{f'={self.value}' if self.value else ''}:{self.effect}"

    @property
    def blocks_pods(self) -> bool:
        """Return whether the taint keeps pods away, instead of only preferring that."""
        return self.effect in (NO_SCHEDULE, NO_EXECUTE)

    @property
    def departure_reason(self) -> str:
        """Return why a node with this taint is being removed or not ready; empty for others."""
        if self.key.startswith(_STARTING_PREFIXES) or self.key.endswith("/agent-not-ready"):
            return "it is still starting"
        return LEAVING.get(self.key, "")

    def toleration(self) -> dict[str, str]:
        """Return the toleration of exactly this taint."""
        effect = {"effect": self.effect} if self.effect else {}
        if self.value:
            return {"key": self.key, "operator": "Equal", "value": self.value, **effect}
        return {"key": self.key, "operator": "Exists", **effect}


def taints_of(node: Mapping[str, Any]) -> list[Taint]:
    """Return the taints of a node's spec."""
    return [
        Taint(*(str(taint.get(field) or "") for field in ("key", "value", "effect")))
        for taint in get_list(node, "spec", "taints")
    ]


def is_tolerated(tolerations: Iterable[Mapping[str, Any]], taint: Taint) -> bool:
    """Return whether one of the tolerations tolerates a taint."""
    return any(_tolerates(toleration, taint) for toleration in tolerations)


def untolerated(spec: Mapping[str, Any], node: Mapping[str, Any]) -> list[Taint]:
    """Return the NoSchedule and NoExecute taints of a node that a pod's spec does not tolerate."""
    tolerations = get_list(spec, "tolerations")
    return [
        taint
        for taint in taints_of(node)
        if taint.blocks_pods and not is_tolerated(tolerations, taint)
    ]


_INTEGER = re.compile(r"-?(?:0|[1-9]\d*)", re.ASCII)


def _tolerates(toleration: Mapping[str, Any], taint: Taint) -> bool:
    if toleration.get("effect") and toleration["effect"] != taint.effect:
        return False
    if toleration.get("key") and toleration["key"] != taint.key:
        return False
    operator = toleration.get("operator") or "Equal"
    value = str(toleration.get("value") or "")
    if operator == "Exists":
        return True
    if operator == "Equal":
        return bool(toleration.get("key")) and value == taint.value
    if operator not in ("Gt", "Lt"):
        return False
    # TaintTolerationComparisonOperators: the taint's value against the toleration's.
    if not _INTEGER.fullmatch(value) or not _INTEGER.fullmatch(taint.value):
        return False
    return int(taint.value) > int(value) if operator == "Gt" else int(taint.value) < int(value)


def marks_accelerator(taint: Taint, node: Mapping[str, Any]) -> bool:
    """Return whether a taint only reserves a GPU node for pods that use GPUs.

    Such a taint has the name of a resource of the node (kubernetes.io, "Taints and Tolerations":
    nodes with special hardware), or the name that a cloud gives its GPU pools.
    """
    if is_gpu(taint.key) or taint.key in _ACCELERATORS:
        return True
    # AKS: "Use GPUs for compute-intensive workloads"
    if (taint.key, taint.value) == ("sku", "gpu"):
        return True
    return "/" in taint.key and taint.key in (get_path(node, "status", "allocatable") or {})


@dataclass(frozen=True)
class Departure:
    """Why a node is being removed or not ready."""

    reason: str
    certain: bool
    """Whether the node accepts no more pods; False for a mere candidate for removal."""


def departure_of(node: Object) -> Departure | None:
    """Return why a node is being removed or not ready, so that nothing new should run on it."""
    if is_terminating(node):
        return Departure("it is being deleted", True)
    if get_path(node, "spec", "unschedulable"):
        return Departure("it is cordoned", True)
    departing = [taint for taint in taints_of(node) if taint.departure_reason]
    if departing:
        taint = next((taint for taint in departing if taint.blocks_pods), departing[0])
        return Departure(f"{taint.departure_reason} (taint {taint})", taint.blocks_pods)
    return None if has_ready_condition(node) else Departure("it is not ready", True)
