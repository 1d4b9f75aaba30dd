"""A pin and its roll-out as tables, diffs and documents. Pure."""

from __future__ import annotations

from typing import Any

from kubectl_fluidmodel.dynamo.object_paths import deep_copy
from kubectl_fluidmodel.dynamo.resources import PINS_ANNOTATION
from kubectl_fluidmodel.dynamo.rollout import PodStatus, RolloutStatus
from kubectl_fluidmodel.objects.access import Object
from kubectl_fluidmodel.output.escaping import escape_control, one_line
from kubectl_fluidmodel.output.serialize import to_yaml
from kubectl_fluidmodel.output.table import format_plain_table
from kubectl_fluidmodel.pin.pinning import PinResult

_SERVER_SIDE = ("managedFields", "generation", "resourceVersion", "uid", "creationTimestamp")
_GETS = {"required": "mount, required node", "preferred": "mount, preferred node", "mount": "mount"}


def component_table(result: PinResult, heading: str) -> str:
    """The components that are (or were) pinned; `heading` is that of the last column."""
    rows = [
        (change.component, change.role.value, change.path or "-", _GETS[change.mode])
        for change in result.changes
    ]
    return format_plain_table(("COMPONENT", "ROLE", "PATH", heading), rows)


def object_diff(before: Object, after: Object, name: str) -> str:
    """Return a unified diff of two objects as YAML, without fields that the server sets.

    The pin's annotation is shown only by name, because it repeats the other changes.
    """
    import difflib

    old, new = (to_yaml(_comparable(obj)).splitlines(True) for obj in (before, after))
    return "".join(
        escape_control(line)
        for line in difflib.unified_diff(old, new, f"live/{name}", f"after/{name}")
    )


def color_diff(text: str) -> str:
    """Color a diff as git does."""
    codes = {"+": "32", "-": "31", "@": "36"}
    return "".join(
        f"\x1b[{codes[line[0]]}m{line.rstrip(chr(10))}\x1b[0m\n" if line[:1] in codes else line
        for line in text.splitlines(True)
    )


def _comparable(obj: Object) -> Object:
    shown = deep_copy(obj)
    shown.pop("status", None)
    metadata = shown.get("metadata", {})
    for key in _SERVER_SIDE:
        metadata.pop(key, None)
    annotations = metadata.get("annotations") or {}
    annotations.pop("kubectl.kubernetes.io/last-applied-configuration", None)
    if PINS_ANNOTATION in annotations:
        annotations[PINS_ANNOTATION] = "(record of what pin added)"
    return shown


def kustomization(patches: list[dict[str, Any]]) -> str:
    """Patches as the `patches` of a kustomization.yaml."""
    return to_yaml({"patches": patches})


def rollout_table(status: RolloutStatus) -> str:
    """Format the pods of a roll-out, followed by the messages about those with a problem."""
    rows = [
        (
            row.name,
            row.component,
            row.node or "-",
            _pod_state(row),
            "yes" if row.on_cache_node else "no",
        )
        for row in status.pods
    ]
    text = format_plain_table(("POD", "COMPONENT", "NODE", "STATE", "LOCAL"), rows)
    for row in status.pods:
        if row.problem:
            text += f"{row.name}: {one_line(row.problem, 400)}\n"
    return text


def _pod_state(row: PodStatus) -> str:
    if row.ready:
        return "Ready"
    return "Pending" if not row.node else "Starting"
