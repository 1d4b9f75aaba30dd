"""Reads Kubernetes objects as dicts: metadata, and values at paths that may be missing. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from kubectl_fluidmodel.output.units import summarize

Object = dict[str, Any]
"""A Kubernetes object as decoded from JSON."""

HOSTNAME_LABEL = "kubernetes.io/hostname"
"""Node label with the host name, which can differ from the node's name."""


def metadata_of(obj: Mapping[str, Any]) -> dict[str, Any]:
    """Return the object's metadata, or an empty dict."""
    metadata = obj.get("metadata")
    return metadata if isinstance(metadata, dict) else {}


def name_of(obj: Mapping[str, Any]) -> str:
    return str(metadata_of(obj).get("name", ""))


def namespace_of(obj: Mapping[str, Any]) -> str:
    return str(metadata_of(obj).get("namespace", ""))


def full_name(obj: Mapping[str, Any]) -> str:
    """`namespace/name`, or the name alone."""
    return f"{namespace_of(obj)}/{name_of(obj)}".lstrip("/")


def summarize_names(objects: Sequence[Mapping[str, Any]]) -> str:
    """Format objects by name, listing only the first few: `a/x, a/y, b/z and 4 more`."""
    return summarize([full_name(obj) for obj in objects])


def labels_of(obj: Mapping[str, Any]) -> dict[str, str]:
    return _texts(metadata_of(obj).get("labels"))


def annotations_of(obj: Mapping[str, Any]) -> dict[str, str]:
    return _texts(metadata_of(obj).get("annotations"))


def _texts(texts: Any) -> dict[str, str]:
    """Return the map itself if all values are strings, as from the API server; else convert it."""
    if not isinstance(texts, dict):
        return {}
    if all(type(text) is str for text in texts.values()):
        return texts
    return {str(key): text for key, text in texts.items() if isinstance(text, str)}


def get_path(obj: Any, *path: str | int, default: Any = None) -> Any:
    """Return the value at a path of keys and indexes; `default` if any step is missing or null."""
    value = obj
    for step in path:
        if isinstance(value, Mapping) and isinstance(step, str):
            value = value.get(step)
        elif isinstance(value, list) and isinstance(step, int) and -len(value) <= step < len(value):
            value = value[step]
        else:
            return default
    return default if value is None else value


def get_int(obj: Any, *path: str | int) -> int:
    """Return the integer at a path; 0 if there is none."""
    value = get_path(obj, *path)
    return value if isinstance(value, int) and not isinstance(value, bool) else 0


def get_map(obj: Any, *path: str | int) -> Object:
    """Return the map at a path; empty if there is none."""
    value = get_path(obj, *path)
    return value if isinstance(value, dict) else {}


def get_list(obj: Any, *path: str | int) -> list[Object]:
    """Return the objects in the list at a path; empty if there is none."""
    items = get_path(obj, *path)
    return [item for item in items if isinstance(item, dict)] if isinstance(items, list) else []


_DNS_LABEL = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")


def is_dns_label(name: str) -> bool:
    """Return whether a namespace can have this name: an RFC 1123 label."""
    return bool(_DNS_LABEL.fullmatch(name))
