"""An API server's side of a JSON patch (RFC 6902), as far as our patches go."""

from __future__ import annotations

from typing import Any

from kubectl_fluidmodel.dynamo.json_patch import Operation, unescape_key
from kubectl_fluidmodel.dynamo.object_paths import deep_copy


def apply_patch(value: Any, operations: list[Operation]) -> Any:
    """Apply a JSON patch to a value.

    Raises:
        ValueError: a `test` fails.
    """
    root = [deep_copy(value)]
    for operation in operations:
        parent: Any = root
        key: Any = 0
        for step in operation["path"].split("/")[1:]:
            parent = parent[key]
            key = unescape_key(step)
            if isinstance(parent, list):
                key = len(parent) if key == "-" else int(key)
        if operation["op"] == "test":
            if parent[key] != operation["value"]:
                raise ValueError(f"{operation['path']} is not {operation['value']!r}")
        elif operation["op"] == "remove":
            del parent[key]
        elif operation["op"] == "add" and isinstance(parent, list):
            parent.insert(key, deep_copy(operation["value"]))
        else:
            parent[key] = deep_copy(operation["value"])
    return root[0]
