"""Suggest where a missing model may be: prefixes and buckets with similar names."""

from __future__ import annotations

import time
from collections import deque
from typing import Any

from kubectl_fluidmodel.model.config_files import identifies_model
from kubectl_fluidmodel.model.similarity import sort_by_similarity
from kubectl_fluidmodel.objectstore.error_codes import NotS3StoreError
from kubectl_fluidmodel.objectstore.layout import STATE_DIR
from kubectl_fluidmodel.objectstore.s3 import S3Store

_MAX_REQUESTS = 40
"""Directories that are listed, at most."""
_MAX_DEPTH = 4
"""Levels below the nearest parent: org, model, commit, and one more."""
_MAX_FOUND = 8
_MAX_SUGGESTIONS = 3


def find_models_nearby(client: Any, bucket: str, prefix: str, deadline: float) -> list[str]:
    """URIs of directories with a model, sorted by their similarity to the prefix.

    The search starts at the nearest parent that has objects; it is breadth first and bounded.
    """
    parents = [prefix]
    while parents[-1]:
        parents.append(parents[-1].rpartition("/")[0])
    visited: set[str] = set()
    remaining = _MAX_REQUESTS
    for parent in parents:
        models: list[str] = []
        queue = deque([(parent, 0)])
        while queue and remaining > 0 and len(models) < _MAX_FOUND and time.monotonic() < deadline:
            directory, depth = queue.popleft()
            if directory in visited:
                continue
            visited.add(directory)
            remaining -= 1
            below, marked = _list_level(client, bucket, directory)
            if marked:
                models.append(directory)
            elif depth < _MAX_DEPTH:
                queue += [(child, depth + 1) for child in sort_by_similarity(prefix, below)]
        models = [model for model in models if model != prefix]
        if models:
            nearest = sort_by_similarity(prefix, models)[:_MAX_SUGGESTIONS]
            return [_s3_uri(bucket, model) for model in nearest]
    return []


def _list_level(client: Any, bucket: str, prefix: str) -> tuple[list[str], bool]:
    """The directories below a prefix, and whether the prefix itself holds a model."""
    start = f"{prefix}/" if prefix else ""
    page = client.list_objects_v2(Bucket=bucket, Prefix=start, Delimiter="/", MaxKeys=500)
    marked = any(
        identifies_model(str(entry["Key"])[len(start) :]) for entry in page.get("Contents") or []
    )
    below = [str(entry["Prefix"])[:-1] for entry in page.get("CommonPrefixes") or []]
    return [child for child in below if child.rpartition("/")[2] != STATE_DIR], marked


def _s3_uri(bucket: str, prefix: str) -> str:
    return f"s3://{bucket}/{prefix}" if prefix else f"s3://{bucket}"


def similar_buckets(store: S3Store, bucket: str) -> list[str]:
    """Buckets that the credentials can list, most similar name first; empty if they cannot."""
    from botocore import exceptions as boto

    try:
        client = store.client(connect_timeout=2, read_timeout=3, retries={"total_max_attempts": 1})
        names = [str(entry["Name"]) for entry in client.list_buckets().get("Buckets") or []]
    except (boto.ClientError, boto.BotoCoreError, NotS3StoreError):
        return []
    return sort_by_similarity(bucket, names)[:_MAX_SUGGESTIONS]
