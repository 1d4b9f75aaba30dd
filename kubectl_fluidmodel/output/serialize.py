"""Formats objects and our own documents as JSON, YAML or names."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

API_VERSION = "fluidmodel.io/v1"
"""apiVersion of our own documents, which no API server serves."""


_UNSAFE = re.compile("[\x7f-\x9f\ud800-\udfff]")
"""Characters that JSON allows but terminals interpret or encoders reject."""


def to_json(document: Any) -> str:
    text = json.dumps(document, indent=2, ensure_ascii=False)
    return _UNSAFE.sub(lambda match: f"\\u{ord(match[0]):04x}", text) + "\n"


def to_yaml(document: Any) -> str:
    """Return one YAML document; multi-line strings as blocks, keys in the given order."""
    from kubectl_fluidmodel.output.goyaml import dump_yaml

    return dump_yaml(document)


def format_document(document: Any, output: str) -> str:
    """Format one of our own documents for `-o json` or `-o yaml`."""
    return to_json(document) if output == "json" else to_yaml(document)


def format_result(output: str | None, text: str, name: str, document: Any) -> str:
    """Return the result of a command in the format of -o: text, a name, or a document.

    Args:
        output: `json`, `yaml` or `name`; None for text.
        text: The text.
        name: What `name` prints.
        document: What `json` and `yaml` print.
    """
    if output is None:
        return text
    return f"{name}\n" if output == "name" else format_document(document, output)


def format_objects(items: Sequence[Mapping[str, Any]], output: str) -> str:
    """Format Kubernetes objects.

    `yaml` is a stream, `json` a v1 List, and `name` has lines of kind.group/name.
    """
    if output == "name":
        return "".join(f"{kubectl_name(item)}\n" for item in items)
    if output == "json":
        return to_json({"apiVersion": "v1", "kind": "List", "items": list(items)})
    return "---\n".join(to_yaml(dict(item)) for item in items)


def kubectl_name(item: Mapping[str, Any]) -> str:
    """Return `dataset.data.fluid.io/demo`, as kubectl -o name prints it."""
    group, _, version = str(item.get("apiVersion", "")).rpartition("/")
    kind = str(item.get("kind", "")).lower()
    name = (item.get("metadata") or {}).get("name", "")
    return f"{kind}.{group}/{name}" if group and version else f"{kind}/{name}"
