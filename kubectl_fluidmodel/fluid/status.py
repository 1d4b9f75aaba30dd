"""What Fluid's objects say about a cache: phase, bytes, what it waits for. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from kubectl_fluidmodel.objects.access import at, dicts

_UNITS = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40, "P": 1 << 50, "E": 1 << 60}
_SIZE = re.compile(r"(\d{1,30}(?:\.\d+)?)\s*(?:([KMGTPE])i?)?B?", re.ASCII | re.IGNORECASE)


def size(text: Any) -> int | None:
    """Bytes of what Fluid writes as a size: `130.37GiB`, `512.00B`, `2GB`, `300Gi`.

    Its two decimals make it a rounded number. None for `[Calculating]`, empty or anything else.
    Fluid and Alluxio count all units in powers of 1024 (pkg/utils/units.go).
    """
    match = _SIZE.fullmatch(str(text).strip()) if text is not None else None
    return round(float(match.group(1)) * _unit(match)) if match else None


def rounding(text: Any) -> int:
    """The last digit of a size as Fluid writes it, in bytes: how far off it may be at most."""
    match = _SIZE.fullmatch(str(text).strip()) if text is not None else None
    if not match:
        return 0
    decimals = len(match.group(1).partition(".")[2])
    return int(_unit(match) // 10**decimals)


def _unit(match: re.Match[str]) -> int:
    return _UNITS[(match.group(2) or "").upper()]


def percent(text: Any) -> float | None:
    """The number of `99.8%`; None for anything else."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*%", str(text).strip()) if text is not None else None
    return float(match.group(1)) if match else None


@dataclass(frozen=True)
class DatasetState:
    """A Dataset's status in numbers; None where it does not say."""

    phase: str
    setup_error: str
    total: int | None
    cached: int | None
    cached_rounding: int
    capacity: int | None

    @property
    def bound(self) -> bool:
        return self.phase == "Bound"


def dataset(obj: Mapping[str, Any] | None) -> DatasetState:
    """Read a Dataset; phase is `Absent` where there is none, and `New` before Fluid saw it."""
    if obj is None:
        return DatasetState("Absent", "", None, None, 0, None)
    cached = at(obj, "status", "cacheStates", "cached")
    return DatasetState(
        phase=str(at(obj, "status", "phase") or "New"),
        setup_error=setup_error(obj),
        total=size(at(obj, "status", "ufsTotal")),
        cached=size(cached),
        cached_rounding=rounding(cached),
        capacity=size(at(obj, "status", "cacheStates", "cacheCapacity")),
    )


def setup_error(obj: Mapping[str, Any]) -> str:
    """The message of condition NotReady/DatasetFailedToSetup: Fluid's own word on what is wrong."""
    if at(obj, "status", "phase") == "Bound":
        return ""
    for condition in dicts(obj, "status", "conditions"):
        if condition.get("type") == "NotReady" and condition.get("status") == "True":
            return str(condition.get("message") or condition.get("reason") or "")
    return ""


@dataclass(frozen=True)
class LoadState:
    """A DataLoad's status."""

    phase: str
    message: str

    @property
    def over(self) -> bool:
        return self.phase in ("Complete", "Failed")


def dataload(obj: Mapping[str, Any] | None) -> LoadState:
    """Read a DataLoad; phase is `Absent`, `Pending`, `Executing`, `Complete` or `Failed`."""
    if obj is None:
        return LoadState("Absent", "")
    conditions = dicts(obj, "status", "conditions")
    message = next((str(c.get("message") or c.get("reason") or "") for c in conditions), "")
    return LoadState(str(at(obj, "status", "phase", default="") or "Pending"), message)
