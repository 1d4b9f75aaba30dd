"""Draws a staging: a live view on a terminal, a line every five seconds elsewhere, or JSON."""

from __future__ import annotations

import json
import sys
import time
from types import TracebackType

from kubectl_fluidmodel.errors import FluidModelError
from kubectl_fluidmodel.model.plan import StagingPlan
from kubectl_fluidmodel.output.live import ProgressView
from kubectl_fluidmodel.output.units import format_bytes, pluralize
from kubectl_fluidmodel.stage.events import Began, Event, Note, Progress, event_to_document
from kubectl_fluidmodel.stage.progress import ProgressAggregator
from kubectl_fluidmodel.stage.report import format_skipped, unloadable_note

_PROGRESS_INTERVAL = 1.0
"""Seconds between Progress lines of a JSON log."""


class StagingProgressView:
    """For people, on stderr."""

    def __init__(self, color: str = "auto") -> None:
        self._live = ProgressView(color=color, hint="Ctrl-C stops it, and the same command goes on")
        self._aggregator: ProgressAggregator | None = None
        self._existing_reported = False

    def __enter__(self) -> StagingProgressView:
        self._live.__enter__()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        err: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._live.__exit__(kind, err, trace)

    def show_plan(self, plan: StagingPlan) -> None:
        text = f"{plan.repo}@{plan.revision} is commit {plan.commit[:12]}: "
        self._live.log(text + f"{pluralize(len(plan.files), 'file')}, {format_bytes(plan.bytes)}")
        if plan.skipped:
            self._live.log(format_skipped(plan))
        if lacking := unloadable_note(plan):
            self._live.log(lacking)

    def handle(self, event: Event) -> None:
        if isinstance(event, Began):
            self._aggregator = ProgressAggregator(event.bytes, event.files)
            shard_note = f" (shard {event.shard} of {event.shards})" if event.shards > 1 else ""
            self._live.log(f"to {event.to}{shard_note}")
        if self._aggregator is None:
            if isinstance(event, Note):
                self._live.log(f"note: {event.text}")
            return
        self._aggregator.handle(event)
        if isinstance(event, Note):
            self._live.log(f"note: {event.text}")
        if isinstance(event, Progress):
            if event.found and not self._existing_reported:
                self._existing_reported = True
                self._live.log(f"{format_bytes(event.found)} of it are there already")
            self._live.update(self._aggregator.snapshot())


class JsonEventLog:
    """For programs, on stdout: one object per line, Progress at most every second."""

    def __init__(self) -> None:
        self._last_written_at = 0.0
        self._pending: Progress | None = None

    def __enter__(self) -> JsonEventLog:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        err: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._pending is not None:
            self._write_line(self._pending)

    def show_plan(self, plan: StagingPlan) -> None:
        """The plan itself is not logged: who started the Job made it."""

    def handle(self, event: Event) -> None:
        if isinstance(event, Progress):
            if time.monotonic() - self._last_written_at < _PROGRESS_INTERVAL:
                self._pending = event
                return
            self._last_written_at = time.monotonic()
        elif self._pending is not None and not isinstance(event, Note):
            self._write_line(self._pending)
        self._pending = None
        self._write_line(event)

    def _write_line(self, event: Event) -> None:
        sys.stdout.write(json.dumps(event_to_document(event)) + "\n")
        sys.stdout.flush()


def error_log_line(err: FluidModelError) -> str:
    """An error as the last line of a JSON log."""
    return json.dumps(
        {
            "event": "Error",
            "what": err.message,
            "why": err.reason,
            "try": err.hint,
            "exitCode": err.exit_code,
        }
    )
