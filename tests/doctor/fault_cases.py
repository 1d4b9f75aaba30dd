"""Rows of the tables of faults: how to break the healthy snapshot, and what doctor then finds."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from kubectl_fluidmodel.snapshot.snapshot import Snapshot

Fault = Callable[[Snapshot], object]
"""Breaks one thing in a snapshot, in place."""


@dataclass(frozen=True)
class FaultCase:
    """A fault with its only finding."""

    fault: Fault
    code: str
    about: str
    """The object that the finding is about."""
    cause: str
    """Part of the finding's cause."""
    fix: str
    """Part of the finding's fix."""


@dataclass(frozen=True)
class SchedulingCase:
    """A fault that leaves the worker of the healthy cache without a node."""

    fault: Fault
    code: str
    cause: str
    fix: str


@dataclass(frozen=True)
class GraphCase:
    """A fault of a graph, with the codes of all findings in area 7."""

    fault: Fault
    codes: list[str]
