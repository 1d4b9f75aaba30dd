"""Where long work is told."""

from __future__ import annotations

from typing import Protocol

from kubectl_fluidmodel.output.live import ProgressLike


class ProgressReporter(Protocol):
    """`ui.live.Live`, or a list in tests."""

    def log(self, text: str) -> None: ...

    def update(self, progress: ProgressLike) -> None: ...
