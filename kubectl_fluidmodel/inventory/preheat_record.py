"""What a Dataset records of preheating: which content was read through which FUSE client. Pure.

The kernel drops the pages of a mount with it, so a record is only valid for the FUSE client that it
names.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from typing import Any

from kubectl_fluidmodel.fluid import names
from kubectl_fluidmodel.objects.access import Object, annotations_of, get_list, get_path
from kubectl_fluidmodel.records import dataclass


@dataclass(frozen=True)
class PreheatRecord:
    """One node's record."""

    content: str
    """An identifier of the model's content (`content_id` in `cache/preheating.py`)."""
    client: str
    """The FUSE client that read, from `fuse_clients`."""
    bytes: int
    seconds: float
    resident_bytes: int | None = None
    """How much of it was in the page cache then; None if not measured."""
    measured_at: str = ""
    """RFC 3339, UTC."""


def fuse_clients(pods: Iterable[Object]) -> dict[str, str]:
    """Return the FUSE clients of a cache by node, by its FUSE pods.

    A restarted container is another client.
    """
    clients = {}
    for pod in pods:
        statuses = get_list(pod, "status", "containerStatuses")
        restarts = sum(int(container.get("restartCount") or 0) for container in statuses)
        node = str(get_path(pod, "spec", "nodeName", default=""))
        clients[node] = f"{get_path(pod, 'metadata', 'uid')}/{restarts}"
    return clients


def preheat_records(dataset: Mapping[str, Any] | None) -> dict[str, PreheatRecord]:
    """Parse the records of a Dataset by node; empty if there are none or they are damaged."""
    text = annotations_of(dataset or {}).get(names.PREHEATED_ANNOTATION, "")
    try:
        return {node: _parse_record(record) for node, record in json.loads(text).items()}
    except (ValueError, TypeError, AttributeError, KeyError):
        return {}


def _parse_record(record: Mapping[str, Any]) -> PreheatRecord:
    resident = record.get("resident_bytes")
    return PreheatRecord(
        str(record["content"]),
        str(record["client"]),
        max(0, int(record["bytes"])),
        float(record["seconds"]),
        None if resident is None else max(0, int(resident)),
        str(record.get("measured_at") or ""),
    )


def format_records(records: Mapping[str, PreheatRecord]) -> str:
    """Return the value of the annotation; `preheat_records` is the inverse."""
    return json.dumps(
        {node: asdict(record) for node, record in sorted(records.items())}, separators=(",", ":")
    )
