"""Times in Kubernetes objects. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timezone
from typing import Any

from kubectl_fluidmodel.objects.access import get_path


def event_time(event: Mapping[str, Any]) -> float:
    """Return when an event was last seen, in seconds of Unix time; 0.0 if it has no time."""
    stamp = (
        get_path(event, "series", "lastObservedTime")
        or event.get("lastTimestamp")
        or event.get("eventTime")
        or get_path(event, "metadata", "creationTimestamp")
    )
    return parse_time(stamp)


def format_now() -> str:
    """Return the current time as RFC 3339 in UTC: `2026-11-29T08:00:00Z`."""
    return datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")


def parse_time(stamp: Any) -> float:
    """Parse an RFC 3339 time to seconds of Unix time; 0.0 if the text is not a time."""
    try:
        return datetime.fromisoformat(str(stamp).replace("Z", "+00:00")).timestamp()
    except ValueError:
        return 0.0
