"""One step of long work, as `output/live.py` shows it."""

from __future__ import annotations

from kubectl_fluidmodel.records import dataclass

WAITING, RUNNING, DONE, FAILED = "waiting", "running", "done", "failed"


@dataclass(frozen=True)
class Step:
    """A step and its state: one of the four states above."""

    name: str
    state: str
    detail: str = ""
