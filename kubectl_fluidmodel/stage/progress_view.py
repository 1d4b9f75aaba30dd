"""Shows a transfer: a live view on a terminal, a line every five seconds elsewhere, or JSON."""

from __future__ import annotations

import json
import sys
import time

from kubectl_fluidmodel.errors import FluidModelError
from kubectl_fluidmodel.model.plan import StagingPlan
from kubectl_fluidmodel.output.live import ProgressView
from kubectl_fluidmodel.output.units import format_bytes
from kubectl_fluidmodel.stage.events import (
    EVENTS,
    Event,
    Message,
    Started,
    TransferProgress,
)
from kubectl_fluidmodel.stage.progress import ProgressAggregator
from kubectl_fluidmodel.stage.report import summary_lines

_PROGRESS_INTERVAL = 1.0
"""Seconds between two progress lines of a JSON log."""


class StagingProgressView:
    """Shows events to people, on stderr. A context manager."""

    def __init__(self, color: str = "auto") -> None:
        self._view = ProgressView(color=color, hint="Ctrl-C stops it, and the same command resumes")
        self._aggregator: ProgressAggregator | None = None
        self._existing_reported = False

    def __enter__(self) -> StagingProgressView:
        self._view.__enter__()
        return self

    def __exit__(self, *_: object) -> None:
        self._view.__exit__()

    def show_plan(self, plan: StagingPlan) -> None:
        for line in summary_lines(plan):
            self._view.log(line)

    def handle(self, event: Event) -> None:
        """Show one event."""
        if isinstance(event, Started):
            self._aggregator = ProgressAggregator(event.bytes, event.files)
            shard = f" (shard {event.shard} of {event.shards})" if event.shards > 1 else ""
            self._view.log(f"to {event.destination}{shard}")
        elif isinstance(event, Message):
            self._view.log(f"note: {event.text}")
        if self._aggregator is None:
            return
        self._aggregator.handle(event)
        if isinstance(event, TransferProgress):
            if event.already_present and not self._existing_reported:
                self._existing_reported = True
                existing = format_bytes(event.already_present)
                self._view.log(f"{existing} are already in the store")
            self._view.update(self._aggregator.snapshot())


class JsonEventLog:
    """Writes events for programs, to stdout: one object per line. A context manager."""

    def __init__(self) -> None:
        self._last_written_at = 0.0
        self._pending: TransferProgress | None = None

    def __enter__(self) -> JsonEventLog:
        return self

    def __exit__(self, *_: object) -> None:
        if self._pending is not None:
            self._write_line(self._pending)

    def show_plan(self, plan: StagingPlan) -> None:
        """Write nothing: the creator of the Job has the plan."""

    def handle(self, event: Event) -> None:
        """Write one event; progress at most every second."""
        if isinstance(event, TransferProgress):
            if time.monotonic() - self._last_written_at < _PROGRESS_INTERVAL:
                self._pending = event
                return
            self._last_written_at = time.monotonic()
        elif self._pending is not None and not isinstance(event, Message):
            self._write_line(self._pending)
        self._pending = None
        self._write_line(event)

    def _write_line(self, event: Event) -> None:
        sys.stdout.write(EVENTS.to_line(event) + "\n")
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
