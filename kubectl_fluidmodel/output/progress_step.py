"""One step of long work, as `ui.live` draws it."""

from __future__ import annotations

from dataclasses import dataclass

WAITING, RUNNING, DONE, FAILED = "waiting", "running", "done", "failed"


@dataclass(frozen=True)
class Step:
    """A step of the story, and where it stands: one of the four states above."""

    name: str
    state: str
    detail: str = ""
