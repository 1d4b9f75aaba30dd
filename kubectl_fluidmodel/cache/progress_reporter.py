"""Where long work is told."""

from __future__ import annotations

from typing import Protocol

from kubectl_fluidmodel.output.live import ProgressLike


class Teller(Protocol):
    """`ui.live.Live`, or a list in tests."""

    def say(self, text: str) -> None: ...

    def show(self, progress: ProgressLike) -> None: ...
