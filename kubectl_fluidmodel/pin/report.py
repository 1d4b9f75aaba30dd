"""A pin and its roll-out as tables and documents. Pure."""

from __future__ import annotations

from typing import Any

from kubectl_fluidmodel.dynamo.rollout import PodStatus, RolloutStatus
from kubectl_fluidmodel.output.escaping import one_line
from kubectl_fluidmodel.output.serialize import to_yaml
from kubectl_fluidmodel.output.table import format_plain_table
from kubectl_fluidmodel.pin.pinning import PinResult

_GETS = {"required": "mount, required node", "preferred": "mount, preferred node", "mount": "mount"}


def component_table(result: PinResult, heading: str) -> str:
    """The components that are (or were) pinned; `heading` is that of the last column."""
    rows = [
        (change.component, change.role.value, change.path or "-", _GETS[change.mode])
        for change in result.changes
    ]
    return format_plain_table(("COMPONENT", "ROLE", "PATH", heading), rows)


def kustomization(patches: list[dict[str, Any]]) -> str:
    """Patches as the `patches` of a kustomization.yaml."""
    return to_yaml({"patches": patches})


def rollout_table(status: RolloutStatus) -> str:
    """Format the pods of a roll-out, followed by the messages about those with a problem."""
    rows = [
        (
            pod.name,
            pod.component,
            pod.node or "-",
            _pod_state(pod),
            {True: "yes", False: "no", None: "<unknown>"}[pod.on_cache_node],
        )
        for pod in status.pods
    ]
    text = format_plain_table(("POD", "COMPONENT", "NODE", "STATE", "LOCAL"), rows)
    for pod in status.pods:
        if pod.problem:
            text += f"{pod.name}: {one_line(pod.problem, 400)}\n"
    return text


def _pod_state(pod: PodStatus) -> str:
    if pod.ready:
        return "Ready"
    return "Pending" if not pod.node else "Starting"
