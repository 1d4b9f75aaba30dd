"""Objects that are being deleted: they look unchanged, but will disappear. Pure.

The API server sets `metadata.deletionTimestamp` and keeps the object until its finalizers are
removed. Its status, such as `Bound` or `Ready`, does not change. Nothing should be built on such an
object.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from kubectl_fluidmodel.objects.access import metadata_of
from kubectl_fluidmodel.output.units import summarize


def is_terminating(obj: Mapping[str, Any] | None) -> bool:
    """Return whether an object exists and is being deleted."""
    return bool(obj and metadata_of(obj).get("deletionTimestamp"))


def describe_deletion(obj: Mapping[str, Any], pods: Iterable[str] = ()) -> str:
    """Return since when and by what it is held: `since 2026-11-28T18:40:00Z, held by pod reader`.

    `pods` are the names of the pods that use it; without any, its finalizers are named. The
    timestamp is the time of removal, which is later than the request by the grace period of a pod.
    """
    since = f"since {metadata_of(obj).get('deletionTimestamp')}"
    holders = list(pods)
    if holders:
        return f"{since}, held by pod{'s' * (len(holders) > 1)} {summarize(holders)}"
    finalizers = [str(finalizer) for finalizer in metadata_of(obj).get("finalizers") or []]
    return f"{since}, held by {', '.join(finalizers)}" if finalizers else since
