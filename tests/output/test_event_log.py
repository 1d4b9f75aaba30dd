"""Events as JSON lines; the events of each program are tested with it."""

from __future__ import annotations

import json
import queue
import threading
from dataclasses import dataclass

import pytest

from kubectl_fluidmodel.output import event_log
from kubectl_fluidmodel.output.event_log import EventLog, parse_document, report_progress


@dataclass(frozen=True)
class Began:
    target: str


@dataclass(frozen=True)
class Ended:
    names: tuple[str, ...]


Event = Began | Ended
EVENTS: EventLog[Event] = EventLog(
    {"began": Began, "ended": Ended},
    fields={"target": "to"},
    parsers={Ended: lambda fields: Ended(tuple(fields["names"]))},
)


@pytest.mark.parametrize("event", [Began("a\nb"), Ended(("x", "y")), Ended(())])
def test_a_line_is_parsed_to_the_event_that_was_printed(event: Event) -> None:
    line = EVENTS.to_line(event)
    assert "\n" not in line
    assert EVENTS.from_line(line) == event


def test_fields_have_their_names_of_the_log() -> None:
    assert EVENTS.to_document(Began("a")) == {"event": "began", "to": "a"}


@pytest.mark.parametrize(
    "line",
    [
        *("", "text", "{", "[1]", "{}", '{"event": "later"}', '{"event": ["began"]}'),
        *('{"event": "began"}', '{"event": "began", "to": "a", "more": 1}', '{"event": "ended"}'),
        '{"event": "ended", "names": 1}',
    ],
)
def test_a_line_of_another_program_or_version_is_none(line: str) -> None:
    assert EVENTS.from_line(line) is None


def test_an_unknown_event_is_still_a_document() -> None:
    line = json.dumps({"event": "later", "x": 1})
    assert parse_document(line) == {"event": "later", "x": 1}
    assert parse_document('{"x": 1}') is None


def test_events_of_several_threads_are_separate_lines(capsys: pytest.CaptureFixture[str]) -> None:
    emit = EVENTS.printer()
    threads = [threading.Thread(target=emit, args=(Began("x" * 1000),)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    lines = capsys.readouterr().out.splitlines()
    assert [EVENTS.from_line(line) for line in lines] == [Began("x" * 1000)] * 8


def test_progress_is_reported_while_it_grows_and_until_the_work_ends(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(event_log, "_PROGRESS_INTERVAL", 0.01)
    counts: queue.SimpleQueue[int] = queue.SimpleQueue()
    done = 5
    before = threading.active_count()
    with report_progress(lambda: done, counts.put):
        assert counts.get(timeout=20) == 5
        with pytest.raises(queue.Empty):  # work that hangs says nothing
            counts.get(timeout=0.3)
        done = 7
        assert counts.get(timeout=20) == 7
    assert threading.active_count() == before
