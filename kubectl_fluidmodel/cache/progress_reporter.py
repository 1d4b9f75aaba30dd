"""The interface to which long work reports."""

from __future__ import annotations

from typing import Protocol

from kubectl_fluidmodel.output.live import ProgressLike


class ProgressReporter(Protocol):
    """Gets messages and progress: `output.live.ProgressView`, or a list in tests."""

    def log(self, text: str) -> None: ...

    def update(self, progress: ProgressLike) -> None: ...
