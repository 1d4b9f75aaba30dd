"""Parses the status of Fluid's objects: phase, bytes, and reasons for waiting. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from kubectl_fluidmodel.objects.access import get_list, get_path
from kubectl_fluidmodel.records import dataclass

_UNITS = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40, "P": 1 << 50, "E": 1 << 60}
_SIZE = re.compile(r"(\d{1,30}(?:\.\d+)?)\s*(?:([KMGTPE])i?)?B?", re.ASCII | re.IGNORECASE)


def parse_size(text: Any) -> int | None:
    """Parse a size that Fluid writes to bytes: `130.37GiB`, `512.00B`, `2GB`, `300Gi`.

    It is rounded to two decimals. None for `[Calculating]`, empty or other text. Fluid and Alluxio
    count all units in powers of 1024 (pkg/utils/units.go).
    """
    match = _SIZE.fullmatch(str(text).strip()) if text is not None else None
    return round(float(match.group(1)) * _unit_bytes(match)) if match else None


def size_precision(text: Any) -> int:
    """Return the maximum rounding error of a size in bytes: its last digit as Fluid writes it."""
    match = _SIZE.fullmatch(str(text).strip()) if text is not None else None
    if not match:
        return 0
    decimals = len(match.group(1).partition(".")[2])
    return int(_unit_bytes(match) // 10**decimals)


def _unit_bytes(match: re.Match[str]) -> int:
    return _UNITS[(match.group(2) or "").upper()]


def parse_percent(text: Any) -> float | None:
    """Parse `99.8%` to a number; None for anything else."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*%", str(text).strip()) if text is not None else None
    return float(match.group(1)) if match else None


@dataclass(frozen=True)
class DatasetStatus:
    """A Dataset's status in numbers; None for unknown values."""

    phase: str
    setup_error: str
    total: int | None
    cached: int | None
    cached_precision: int
    capacity: int | None

    @property
    def is_bound(self) -> bool:
        return self.phase == "Bound"


def parse_dataset(obj: Mapping[str, Any] | None) -> DatasetStatus:
    """Parse a Dataset.

    The phase is `Absent` if it does not exist, and `New` before Fluid's first update.
    """
    if obj is None:
        return DatasetStatus("Absent", "", None, None, 0, None)
    cached = get_path(obj, "status", "cacheStates", "cached")
    return DatasetStatus(
        phase=str(get_path(obj, "status", "phase") or "New"),
        setup_error=setup_error(obj),
        total=parse_size(get_path(obj, "status", "ufsTotal")),
        cached=parse_size(cached),
        cached_precision=size_precision(cached),
        capacity=parse_size(get_path(obj, "status", "cacheStates", "cacheCapacity")),
    )


# Fluid's runtime controller retries at once after these: its cache does not have a new Dataset yet,
# or another writer has just updated the object (the API server's optimistic locking).
_TRANSIENT_MESSAGES = (
    "No dataset can be bound to the runtime, waiting",
    "the object has been modified; please apply your changes to the latest version",
)


def is_transient(message: str) -> bool:
    """Whether the next attempt of Fluid's controllers resolves an error."""
    return any(transient in message for transient in _TRANSIENT_MESSAGES)


def setup_error(obj: Mapping[str, Any]) -> str:
    """The message of condition NotReady/DatasetFailedToSetup: Fluid's own error.

    Empty if Fluid's next attempt resolves it.
    """
    if get_path(obj, "status", "phase") == "Bound":
        return ""
    for condition in get_list(obj, "status", "conditions"):
        if condition.get("type") == "NotReady" and condition.get("status") == "True":
            message = str(condition.get("message") or condition.get("reason") or "")
            return "" if is_transient(message) else message
    return ""


@dataclass(frozen=True)
class DataLoadStatus:
    """A DataLoad's status."""

    phase: str
    message: str

    @property
    def finished(self) -> bool:
        return self.phase in ("Complete", "Failed")


def parse_dataload(obj: Mapping[str, Any] | None) -> DataLoadStatus:
    """Parse a DataLoad; the phase is `Absent`, `Pending`, `Executing`, `Complete` or `Failed`."""
    if obj is None:
        return DataLoadStatus("Absent", "")
    conditions = get_list(obj, "status", "conditions")
    message = next((str(c.get("message") or c.get("reason") or "") for c in conditions), "")
    return DataLoadStatus(str(get_path(obj, "status", "phase", default="") or "Pending"), message)
