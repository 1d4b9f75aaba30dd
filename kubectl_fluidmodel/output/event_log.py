"""Events as JSON lines: a pod's program prints them in its log, and the client parses them.

Other lines of the log come from Python or the kernel. An event of another version of the image may
be unknown, too. Both are None to the parser.
"""

from __future__ import annotations

import json
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from typing import Any, Generic, TypeVar

E = TypeVar("E")
"""The union of a program's events, each of which is a dataclass."""

_PROGRESS_INTERVAL = 1.0
"""Seconds between two events of progress."""


class EventLog(Generic[E]):
    """The events of one program, and their names in the log."""

    def __init__(
        self,
        kinds: Mapping[str, type[E]],
        *,
        fields: Mapping[str, str] | None = None,
        parsers: Mapping[type[E], Callable[[dict[str, Any]], E]] | None = None,
    ) -> None:
        """Create it.

        Args:
            kinds: the events, by their names in the log.
            fields: names in the log of fields that have another name here.
            parsers: functions for events that have other fields than JSON has types for; they get
                the fields.
        """
        self._kinds = dict(kinds)
        self._names = {kind: name for name, kind in kinds.items()}
        self._fields = dict(fields or {})
        self._attributes = {logged: name for name, logged in self._fields.items()}
        self._parsers = dict(parsers or {})

    def to_document(self, event: E) -> dict[str, Any]:
        """Return the event as a JSON object; `from_document` is the inverse."""
        values: dict[str, Any] = asdict(event)  # type: ignore[call-overload]
        document = {self._fields.get(name, name): value for name, value in values.items()}
        return {"event": self._names[type(event)], **document}

    def from_document(self, document: Mapping[str, Any]) -> E | None:
        """Parse a JSON object; None if it is no event of these."""
        values = {self._attributes.get(name, name): value for name, value in document.items()}
        try:
            kind = self._kinds[values.pop("event")]
            return self._parsers[kind](values) if kind in self._parsers else kind(**values)
        except (KeyError, TypeError, ValueError):
            return None

    def to_line(self, event: E) -> str:
        """Return the event as a line of the log; `from_line` is the inverse."""
        return json.dumps(self.to_document(event))

    def from_line(self, line: str) -> E | None:
        """Parse a line; None if it is no event of these."""
        document = parse_document(line)
        return self.from_document(document) if document is not None else None

    def printer(self) -> Callable[[E], None]:
        """Return a function that prints each event at once; several threads may call it."""
        lock = threading.Lock()

        def emit(event: E) -> None:
            with lock:
                sys.stdout.write(self.to_line(event) + "\n")
                sys.stdout.flush()

        return emit


def parse_document(line: str) -> dict[str, Any] | None:
    """Parse a line with an event of any program; None for all other lines."""
    try:
        document = json.loads(line) if line.startswith("{") else None
    except ValueError:
        return None
    return document if isinstance(document, dict) and "event" in document else None


@contextmanager
def report_progress(count: Callable[[], int], report: Callable[[int], None]) -> Iterator[None]:
    """Report a count every second from another thread, as long as it grows.

    So a program whose reads all hang prints nothing, and whoever follows its log notices.
    """
    stop = threading.Event()

    def run() -> None:
        reported = 0
        while not stop.wait(_PROGRESS_INTERVAL):
            if count() != reported:
                reported = count()
                report(reported)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()
