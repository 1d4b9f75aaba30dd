"""Paths into an object, and edits that can be undone exactly. Pure.

A path is a tuple of keys; `[name]` selects the item of a list that has this `name`. An `EditLog`
records each edit in a form that fits an annotation. A later run undoes it, if what the edit wrote
is still there.
"""

from __future__ import annotations

import hashlib
import json
from typing import Any, Final, TypeVar

from kubectl_fluidmodel.dynamo.json_patch import escape_key, unescape_key

Path = tuple[str, ...]


class _Missing:
    def __repr__(self) -> str:
        return "MISSING"


MISSING: Final = _Missing()
"""The value at a path that does not exist; different from null."""

_MAX_INLINE_BYTES = 256
"""Maximum bytes of JSON up to which a written value is recorded literally; a larger one as a
digest."""


Value = TypeVar("Value")


def deep_copy(value: Value) -> Value:
    """Return a copy that shares nothing, not even within itself, as YAML aliases do."""
    result: Any = value
    if isinstance(value, dict):
        result = {key: deep_copy(item) for key, item in value.items()}
    elif isinstance(value, list):
        result = [deep_copy(item) for item in value]
    copy: Value = result
    return copy


def value_at(obj: Any, path: Path) -> Any:
    """Return the value at a path, or MISSING."""
    value = obj
    for step in path:
        value = _step(value, step)
        if value is MISSING:
            return MISSING
    return value


def _step(container: Any, step: str) -> Any:
    if isinstance(container, dict):
        return container.get(step, MISSING)
    if isinstance(container, list):
        index = list_index(container, step)
        return MISSING if index is None else container[index]
    return MISSING


def list_index(items: list[Any], step: str) -> int | None:
    """Return the index that a step (`[name]` or a number) selects in a list."""
    if step.startswith("[") and step.endswith("]"):
        for index, item in enumerate(items):
            if isinstance(item, dict) and item.get("name") == step[1:-1]:
                return index
        return None
    return int(step) if step.isdigit() and int(step) < len(items) else None


def make_containers(
    obj: Any, path: Path, leaf: type[dict[str, Any]] | type[list[Any]]
) -> list[str]:
    """Ensure that a dict or list exists at a path.

    Returns:
        The containers that it created, as paths in text form; `=null` marks those that replaced a
        null.
    """
    created: list[str] = []
    container = obj
    for depth, step in enumerate(path):
        after = path[depth + 1] if depth + 1 < len(path) else None
        container_type = leaf if after is None else (list if after.startswith("[") else dict)
        child = _step(container, step)
        if child is MISSING or child is None:
            created.append(join_path(path[: depth + 1]) + ("=null" if child is None else ""))
            if isinstance(container, list):
                child = {"name": step[1:-1]}
                container.append(child)
            else:
                child = container_type()
                container[step] = child
        container = child
    return created


def prune_containers(obj: Any, created: list[str]) -> list[str]:
    """Remove the containers that `make_containers` created and that are empty again.

    Returns:
        Those that stay.
    """
    remaining = list(created)
    for entry in sorted(created, key=lambda text: -text.count("/")):
        text, _, null = entry.partition("=")
        path = split_path(text)
        value = value_at(obj, path)
        bare = {"name": path[-1][1:-1]} if path[-1].startswith("[") else None
        if value is MISSING:
            remaining.remove(entry)
        elif value in ({}, []) or (bare is not None and value == bare):
            _drop(obj, path, null == "null")
            remaining.remove(entry)
    return remaining


def _drop(obj: Any, path: Path, null: bool) -> None:
    parent = value_at(obj, path[:-1])
    if isinstance(parent, list):
        index = list_index(parent, path[-1])
        if index is not None:
            del parent[index]
    elif null:
        parent[path[-1]] = None
    else:
        del parent[path[-1]]


def join_path(path: Path) -> str:
    return "/".join(map(escape_key, path))


def split_path(text: str) -> Path:
    return tuple(map(unescape_key, text.split("/")))


def value_digest(value: Any) -> str:
    """Return a digest of a value, to check later whether it has changed."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"))
    return "sha256:" + hashlib.sha256(text.encode()).hexdigest()[:16]


class EditLog:
    """Edits below one root of an object, each recorded when it is made."""

    def __init__(self, root: Any, made: list[str] | None = None) -> None:
        self.root = root
        self.created: list[str] = list(made or [])
        self.edits: list[dict[str, Any]] = []

    def ensure_container(self, path: Path, leaf: type[dict[str, Any]] | type[list[Any]]) -> Any:
        """Return the container at a path, created if it is missing."""
        for entry in make_containers(self.root, path, leaf):
            if entry not in self.created:
                self.created.append(entry)
        return value_at(self.root, path)

    def append(self, path: Path, item: dict[str, Any]) -> None:
        """Append an item to a list."""
        self.ensure_container(path, list).append(deep_copy(item))
        self.edits.append({"add": join_path(path), "item": deep_copy(item)})

    def set_value(self, path: Path, value: Any) -> None:
        """Set a value, and record the one before the first change."""
        parent = self.ensure_container(path[:-1], dict)
        before = parent.get(path[-1], MISSING)
        if before == value and before is not MISSING:
            return
        entry = next((edit for edit in self.edits if edit.get("set") == join_path(path)), None)
        if entry is None:
            entry = {"set": join_path(path)}
            if before is not MISSING:
                entry["was"] = deep_copy(before)
            self.edits.append(entry)
        small = len(json.dumps(value)) <= _MAX_INLINE_BYTES
        entry["is"] = deep_copy(value) if small else value_digest(value)
        parent[path[-1]] = deep_copy(value)


def is_unchanged(root: Any, entry: dict[str, Any]) -> bool:
    """Return whether an edit is still in effect."""
    if "add" in entry:
        items = value_at(root, split_path(entry["add"]))
        return isinstance(items, list) and _find_item(items, entry["item"]) is not None
    value = value_at(root, split_path(entry["set"]))
    return value is not MISSING and entry["is"] in (value, value_digest(value))


def undo_edits(root: Any, entries: list[dict[str, Any]]) -> list[str]:
    """Undo edits, the last one first.

    Returns:
        The paths that somebody has changed since, which stay.
    """
    changed_paths: list[str] = []
    for entry in reversed(entries):
        if not is_unchanged(root, entry):
            path = split_path(entry.get("set") or entry["add"])
            if "set" in entry and value_at(root, path) is not MISSING:
                changed_paths.append(join_path(path))
            continue
        if "add" in entry:
            items = value_at(root, split_path(entry["add"]))
            index = _find_item(items, entry["item"])
            if index is not None:
                del items[index]
            continue
        path = split_path(entry["set"])
        parent = value_at(root, path[:-1])
        if "was" in entry:
            parent[path[-1]] = deep_copy(entry["was"])
        else:
            del parent[path[-1]]
    return changed_paths


def _find_item(items: list[Any], item: dict[str, Any]) -> int | None:
    """Return the index of the last item that is equal, apart from fields that the server added."""
    for index in range(len(items) - 1, -1, -1):
        if items[index] == item:
            return index
    for index in range(len(items) - 1, -1, -1):
        candidate = items[index]
        if isinstance(candidate, dict) and all(candidate.get(key) == item[key] for key in item):
            return index
    return None
