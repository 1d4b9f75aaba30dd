"""Where the model may be that a mount does not have: prefixes and buckets of a like name."""

from __future__ import annotations

import time
from collections import deque
from typing import Any

from kubectl_fluidmodel.doctor.mount_probe.model_files import by_likeness
from kubectl_fluidmodel.model.configs import is_mark
from kubectl_fluidmodel.objectstore.error_codes import NotAStore
from kubectl_fluidmodel.objectstore.layout import STATE
from kubectl_fluidmodel.objectstore.s3 import Store

_REQUESTS = 40
"""Directories that are looked into."""
_DEPTH = 4
"""Levels below the nearest parent: org, model, commit, and one more."""
_ENOUGH = 8
_SHOWN = 3


def models_near(client: Any, bucket: str, prefix: str, deadline: float) -> list[str]:
    """URIs of directories that hold a model, by how alike their path is to the prefix.

    The nearest parent that has something is searched first, breadth first and bounded.
    """
    parents = [prefix]
    while parents[-1]:
        parents.append(parents[-1].rpartition("/")[0])
    seen: set[str] = set()
    left = _REQUESTS
    for parent in parents:
        found: list[str] = []
        queue = deque([(parent, 0)])
        while queue and left > 0 and len(found) < _ENOUGH and time.monotonic() < deadline:
            here, depth = queue.popleft()
            if here in seen:
                continue
            seen.add(here)
            left -= 1
            below, marked = _look(client, bucket, here)
            if marked:
                found.append(here)
            elif depth < _DEPTH:
                queue += [(each, depth + 1) for each in by_likeness(prefix, below)]
        found = [each for each in found if each != prefix]
        if found:
            return [_uri(bucket, each) for each in by_likeness(prefix, found)[:_SHOWN]]
    return []


def _look(client: Any, bucket: str, prefix: str) -> tuple[list[str], bool]:
    """The directories below a prefix, and whether it is a model's own."""
    start = f"{prefix}/" if prefix else ""
    page = client.list_objects_v2(Bucket=bucket, Prefix=start, Delimiter="/", MaxKeys=500)
    marked = any(is_mark(str(each["Key"])[len(start) :]) for each in page.get("Contents") or [])
    below = [str(each["Prefix"])[:-1] for each in page.get("CommonPrefixes") or []]
    return [each for each in below if not each.endswith(f"/{STATE}") and each != STATE], marked


def _uri(bucket: str, prefix: str) -> str:
    return f"s3://{bucket}/{prefix}" if prefix else f"s3://{bucket}"


def likely_buckets(store: Store, bucket: str) -> list[str]:
    """Buckets that the credentials may see, those of a like name first; empty if they may not."""
    from botocore import exceptions as boto

    try:
        client = store.client(connect_timeout=2, read_timeout=3, retries={"total_max_attempts": 1})
        names = [str(each["Name"]) for each in client.list_buckets().get("Buckets") or []]
    except (boto.ClientError, boto.BotoCoreError, NotAStore):
        return []
    return by_likeness(bucket, names)[:_SHOWN]
