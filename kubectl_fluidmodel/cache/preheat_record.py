"""What a Dataset records of preheating: which content was read through which FUSE client. Pure.

The kernel drops the pages of a mount with it, so a record is only valid for the FUSE client that it
names.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from typing import Any

from kubectl_fluidmodel.cache.read_verification import ExpectedFile
from kubectl_fluidmodel.fluid import names
from kubectl_fluidmodel.objects.access import Object, annotations_of, get_list, get_path
from kubectl_fluidmodel.records import dataclass


@dataclass(frozen=True)
class PreheatRecord:
    """One node's record."""

    content: str
    """From `content_id`."""
    client: str
    """The FUSE client that read, from `fuse_clients`."""
    bytes: int
    seconds: float


def content_id(source: str, expected: Mapping[str, ExpectedFile]) -> str:
    """Return an identifier of a model's content: of its files, or of its source if unknown."""
    files = sorted((path, file.size, file.digest) for path, file in expected.items())
    return hashlib.sha256(json.dumps([source, files]).encode()).hexdigest()[:16]


def fuse_clients(pods: Iterable[Object]) -> dict[str, str]:
    """Return the FUSE clients of a cache by node; a restarted container is another client."""
    found = {}
    for pod in pods:
        statuses = get_list(pod, "status", "containerStatuses")
        restarts = sum(int(each.get("restartCount") or 0) for each in statuses)
        node = str(get_path(pod, "spec", "nodeName", default=""))
        found[node] = f"{get_path(pod, 'metadata', 'uid')}/{restarts}"
    return found


def preheat_records(dataset: Mapping[str, Any] | None) -> dict[str, PreheatRecord]:
    """Parse the records of a Dataset by node; empty if there are none or they are damaged."""
    text = annotations_of(dataset or {}).get(names.PREHEATED_ANNOTATION, "")
    try:
        return {node: PreheatRecord(**record) for node, record in json.loads(text).items()}
    except (ValueError, TypeError, AttributeError):
        return {}


def format_records(records: Mapping[str, PreheatRecord]) -> str:
    """Return the value of the annotation; `preheat_records` is the inverse."""
    return json.dumps(
        {node: asdict(record) for node, record in sorted(records.items())}, separators=(",", ":")
    )
