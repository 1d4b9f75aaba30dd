"""Draws a staging: a live view on a terminal, a line every five seconds elsewhere, or JSON."""

from __future__ import annotations

import json
import sys
import time
from types import TracebackType

from kubectl_fluidmodel.errors import FluidModelError
from kubectl_fluidmodel.model.plan import Plan
from kubectl_fluidmodel.output.live import Live
from kubectl_fluidmodel.output.text import plural, size
from kubectl_fluidmodel.stage.events import Began, Event, Note, Progress, to_document
from kubectl_fluidmodel.stage.progress import Board
from kubectl_fluidmodel.stage.report import lacking_text, skipped_text

_EVERY = 1.0
"""Seconds between Progress lines of a JSON log."""


class StagingView:
    """For people, on stderr."""

    def __init__(self, color: str = "auto") -> None:
        self._live = Live(color=color, hint="Ctrl-C stops it, and the same command goes on")
        self._board: Board | None = None
        self._found = False

    def __enter__(self) -> StagingView:
        self._live.__enter__()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        err: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._live.__exit__(kind, err, trace)

    def plan(self, plan: Plan) -> None:
        text = f"{plan.repo}@{plan.revision} is commit {plan.commit[:12]}: "
        self._live.say(text + f"{plural(len(plan.files), 'file')}, {size(plan.bytes)}")
        if plan.skipped:
            self._live.say(skipped_text(plan))
        if lacking := lacking_text(plan):
            self._live.say(lacking)

    def show(self, event: Event) -> None:
        if isinstance(event, Began):
            self._board = Board(event.bytes, event.files)
            of = f" (shard {event.shard} of {event.shards})" if event.shards > 1 else ""
            self._live.say(f"to {event.to}{of}")
        if self._board is None:
            if isinstance(event, Note):
                self._live.say(f"note: {event.text}")
            return
        self._board.take(event)
        if isinstance(event, Note):
            self._live.say(f"note: {event.text}")
        if isinstance(event, Progress):
            if event.found and not self._found:
                self._found = True
                self._live.say(f"{size(event.found)} of it are there already")
            self._live.show(self._board.view())


class JsonLog:
    """For programs, on stdout: one object per line, Progress at most every second."""

    def __init__(self) -> None:
        self._last = 0.0
        self._held: Progress | None = None

    def __enter__(self) -> JsonLog:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        err: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._held is not None:
            self._line(self._held)

    def plan(self, plan: Plan) -> None:
        """The plan itself is not logged: who started the Job made it."""

    def show(self, event: Event) -> None:
        if isinstance(event, Progress):
            if time.monotonic() - self._last < _EVERY:
                self._held = event
                return
            self._last = time.monotonic()
        elif self._held is not None and not isinstance(event, Note):
            self._line(self._held)
        self._held = None
        self._line(event)

    def _line(self, event: Event) -> None:
        sys.stdout.write(json.dumps(to_document(event)) + "\n")
        sys.stdout.flush()


def error_line(err: FluidModelError) -> str:
    """An error as the last line of a JSON log."""
    return json.dumps(
        {
            "event": "Error",
            "what": err.what,
            "why": err.why,
            "try": err.try_,
            "exitCode": err.exit_code,
        }
    )
