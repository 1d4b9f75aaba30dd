"""The difference of two objects as the smallest JSON patch (RFC 6902), also for kustomize."""

from __future__ import annotations

from typing import Any

from kubectl_fluidmodel.objects.access import Object, metadata_of, name_of, namespace_of

Operation = dict[str, Any]


def make_patch(before: Any, after: Any, at: str = "") -> list[Operation]:
    """Return a JSON patch from one value to another; it never mentions equal parts."""
    if type(before) is type(after) and before == after:
        return []
    if isinstance(before, dict) and isinstance(after, dict):
        operations = []
        for key in before:
            if key not in after:
                operations.append({"op": "remove", "path": f"{at}/{escape_key(key)}"})
        for key, value in after.items():
            path = f"{at}/{escape_key(key)}"
            if key not in before:
                operations.append({"op": "add", "path": path, "value": value})
            else:
                operations += make_patch(before[key], value, path)
        return operations
    if isinstance(before, list) and isinstance(after, list):
        return _patch_lists(before, after, at)
    return [{"op": "replace", "path": at, "value": after}]


def common_ends(before: list[Any], after: list[Any]) -> tuple[int, int]:
    """Return how many items two lists share at their start and, beyond that, at their end."""
    limit = min(len(before), len(after))
    head = 0
    while head < limit and before[head] == after[head]:
        head += 1
    tail = 0
    while tail < limit - head and before[-1 - tail] == after[-1 - tail]:
        tail += 1
    return head, tail


def _patch_lists(before: list[Any], after: list[Any], at: str) -> list[Operation]:
    if not before or not after:
        return [{"op": "replace", "path": at, "value": after}]
    head, tail = common_ends(before, after)
    old, new = before[head : len(before) - tail], after[head : len(after) - tail]
    operations: list[Operation] = []
    common_length = min(len(old), len(new))
    for index in range(common_length):
        operations += make_patch(old[index], new[index], f"{at}/{head + index}")
    for index in range(len(old) - 1, common_length - 1, -1):
        operations.append({"op": "remove", "path": f"{at}/{head + index}"})
    for index in range(common_length, len(new)):
        end = not tail
        position = "-" if end else str(head + index)
        operations.append({"op": "add", "path": f"{at}/{position}", "value": new[index]})
    return operations


def escape_key(key: str) -> str:
    """Escape a key for a JSON pointer (RFC 6901)."""
    return key.replace("~", "~0").replace("/", "~1")


def unescape_key(key: str) -> str:
    return key.replace("~1", "/").replace("~0", "~")


def with_version_test(before: Object, operations: list[Operation]) -> list[Operation]:
    """Return a patch that applies only to the version of the live object that it was made from."""
    version = metadata_of(before).get("resourceVersion")
    test = {"op": "test", "path": "/metadata/resourceVersion", "value": version}
    return [test, *operations] if version else operations


def with_name_tests(before: Object, operations: list[Operation]) -> list[Operation]:
    """Return a patch for a git repository that fails if a list was reordered.

    It tests the name of each component that it addresses by index.
    """
    tests: dict[str, Operation] = {}
    for operation in operations:
        current: Any = before
        path = ""
        for step in operation["path"].split("/")[1:-1]:
            key: Any = unescape_key(step)
            current = current[int(key)] if isinstance(current, list) else current.get(key)
            path += f"/{step}"
            if current is None:
                break
            if isinstance(current, dict) and step.isdigit() and "name" in current:
                test = {"op": "test", "path": f"{path}/name", "value": current["name"]}
                tests.setdefault(test["path"], test)
    return [*tests.values(), *operations]


def kustomize_patch(before: Object, operations: list[Operation], to_yaml: Any) -> dict[str, Any]:
    """One entry for the `patches` of a kustomization.yaml."""
    group, _, version = str(before.get("apiVersion", "")).rpartition("/")
    target = {
        "group": group,
        "version": version,
        "kind": before.get("kind"),
        "name": name_of(before),
    }
    if namespace_of(before):
        target["namespace"] = namespace_of(before)
    return {"target": target, "patch": to_yaml(with_name_tests(before, operations))}
