"""What long work reports: its steps, its progress, and messages."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from kubectl_fluidmodel.records import dataclass

WAITING, RUNNING, DONE, FAILED = "waiting", "running", "done", "failed"


@dataclass(frozen=True)
class Step:
    """A step and its state: one of the four states above."""

    name: str
    state: str
    detail: str = ""


class ProgressLike(Protocol):
    """The progress of long work: named steps, bytes done and in total, and problems."""

    @property
    def steps(self) -> Sequence[Step]: ...
    @property
    def done_bytes(self) -> int | None: ...
    @property
    def total_bytes(self) -> int | None: ...
    @property
    def is_transferring(self) -> bool: ...
    @property
    def remaining_after(self) -> int:
        """Bytes that later steps will transfer, assumed to run at the rate of this one."""
        ...

    @property
    def problems(self) -> Sequence[str]: ...


class ProgressReporter(Protocol):
    """Gets messages and progress: `output.live.ProgressView`, or a list in tests."""

    def log(self, text: str) -> None: ...

    def update(self, progress: ProgressLike) -> None: ...
