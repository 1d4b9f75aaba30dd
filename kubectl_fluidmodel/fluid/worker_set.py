"""The StatefulSet of a cache's workers, for what Fluid does not change on it. Pure.

Fluid scales it with the runtime's `replicas`, in both directions, but gives it the Dataset's node
affinity and tolerations only once (`BuildWorkersAffinity` in pkg/ctrl/affinity.go; SyncRuntime in
pkg/ddc/alluxio does nothing). A new copy on another node therefore needs a changed pod template.
With the update strategy OnDelete, that does not replace the running workers, and a worker that is
recreated later may use any node of the cache.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from kubectl_fluidmodel.objects.access import Object, get_path, labels_of

_REQUIRED = "requiredDuringSchedulingIgnoredDuringExecution"
_TEMPLATE = ("spec", "template", "spec")


def worker_set_name(name: str) -> str:
    return f"{name}-worker"


def workers_selector(name: str) -> str:
    """Return a selector of a cache's worker pods (charts/alluxio)."""
    return f"release={name},role=alluxio-worker"


def ordinal(pod: Object) -> int:
    """Return the number of a worker; Fluid removes the highest ones first."""
    _, _, number = labels_of(pod).get("statefulset.kubernetes.io/pod-name", "").rpartition("-")
    return int(number) if number.isdigit() else -1


def placement_patch(
    statefulset: Object, required: Mapping[str, Any], tolerations: Sequence[Mapping[str, Any]]
) -> Object | None:
    """Return the merge patch with which new workers may run on a Dataset's nodes.

    Args:
        statefulset: The workers' StatefulSet.
        required: `spec.nodeAffinity.required` of the Dataset.
        tolerations: `spec.tolerations` of the Dataset.

    Returns:
        The patch; None if nothing has to change.
    """
    affinity = get_path(statefulset, *_TEMPLATE, "affinity", "nodeAffinity", _REQUIRED)
    current = list(get_path(statefulset, *_TEMPLATE, "tolerations", default=[]))
    added = [toleration for toleration in tolerations if dict(toleration) not in current]
    strategy = get_path(statefulset, "spec", "updateStrategy", "type")
    if affinity == required and not added and strategy == "OnDelete":
        return None
    return {
        "spec": {
            "updateStrategy": {"type": "OnDelete", "rollingUpdate": None},
            "template": {
                "spec": {
                    "affinity": {"nodeAffinity": {_REQUIRED: dict(required)}},
                    "tolerations": [*current, *map(dict, added)],
                }
            },
        }
    }
