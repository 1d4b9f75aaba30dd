"""Objects that are being deleted: they look as they did before, and are about to go. Pure.

The API server sets `metadata.deletionTimestamp` and keeps the object until its finalizers are
gone; its status, `Bound` or `Ready`, stays as it was. What rests on such an object does not last.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from kubectl_fluidmodel.objects.access import metadata_of

_NAMED = 3
"""Holders that are named."""


def is_terminating(obj: Mapping[str, Any] | None) -> bool:
    """Whether an object is there and is being deleted."""
    return bool(obj and metadata_of(obj).get("deletionTimestamp"))


def describe_deletion(obj: Mapping[str, Any], pods: Iterable[str] = ()) -> str:
    """Since when, and what holds it: `since 2026-11-28T18:40:00Z, held by pod reader`.

    `pods` are the names of those that use it; where there are none, its finalizers are named. The
    time is when it is to be gone, which lies ahead of the request by the grace period of a pod.
    """
    since = f"since {metadata_of(obj).get('deletionTimestamp')}"
    holders = list(pods)
    if holders:
        shown = ", ".join(holders[:_NAMED])
        more = f" and {len(holders) - _NAMED} more" if len(holders) > _NAMED else ""
        return f"{since}, held by pod{'s' * (len(holders) > 1)} {shown}{more}"
    finalizers = [str(each) for each in metadata_of(obj).get("finalizers") or []]
    return f"{since}, held by {', '.join(finalizers)}" if finalizers else since
