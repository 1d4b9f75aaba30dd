"""What the pod of `--verify read` reports: real files in a real directory."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kubectl_fluidmodel.cache.claim_reader import (
    EVENTS,
    Event,
    FileRead,
    PagesMeasured,
    ReadFailed,
    ReadFinished,
    ReadProgress,
    read_claim,
)


def read(root: Path) -> list[Event]:
    """The events of one reading."""
    events: list[Event] = []
    read_claim(root, events.append)
    return events


def git_blob(data: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()


def test_every_file_is_read_with_both_hashes(tmp_path: Path) -> None:
    data = {
        "config.json": b"{}",
        "nested/deep/model.safetensors": os.urandom(300_000),
        "empty": b"",
    }
    for name, content in data.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    events = read(tmp_path)
    files = {event.path: event for event in events if isinstance(event, FileRead)}
    assert files == {
        name: FileRead(name, len(content), hashlib.sha256(content).hexdigest(), git_blob(content))
        for name, content in data.items()
    }
    assert isinstance(events[-1], ReadFinished)
    assert events[-1].bytes == sum(map(len, data.values()))


def test_a_large_file_has_only_a_sha256(tmp_path: Path) -> None:
    with (tmp_path / "model.safetensors").open("wb") as file:
        file.truncate((16 << 20) + 1)
    (file_read,) = (event for event in read(tmp_path) if isinstance(event, FileRead))
    assert file_read.git == "" and len(file_read.sha256) == 64


def test_an_unreadable_file_is_reported_and_the_others_are_read(tmp_path: Path) -> None:
    (tmp_path / "good").write_bytes(b"x")
    (tmp_path / "gone").symlink_to(tmp_path / "nowhere")
    events = read(tmp_path)
    assert [event.path for event in events if isinstance(event, FileRead)] == ["good"]
    (failed,) = (event for event in events if isinstance(event, ReadFailed))
    assert failed == ReadFailed("gone", "No such file or directory")


def test_a_claim_that_is_not_there_is_reported(tmp_path: Path) -> None:
    events = read(tmp_path / "nowhere")
    assert [event for event in events if isinstance(event, ReadFailed)] == [
        ReadFailed(".", "No such file or directory")
    ]


@pytest.mark.parametrize(
    "event",
    [
        FileRead("a", 1, "0" * 64, "1" * 40),
        ReadFailed("a b\n", "Input/output error"),
        ReadProgress(1),
        ReadFinished(1, 2.5),
    ],
    ids=lambda event: type(event).__name__,
)
def test_the_client_reads_what_the_pod_prints(event: Event) -> None:
    line = EVENTS.to_line(event)
    assert "\n" not in line
    assert EVENTS.from_line(line) == event


@given(st.text(max_size=60))
def test_any_other_line_is_none(line: str) -> None:
    assert EVENTS.from_line(line) is None
    assert EVENTS.from_line(json.dumps({"event": line})) is None


def test_what_was_read_is_in_the_page_cache(tmp_path: Path) -> None:
    (tmp_path / "model.safetensors").write_bytes(os.urandom(2 << 20))
    (measured,) = (event for event in read(tmp_path) if isinstance(event, PagesMeasured))
    assert measured == PagesMeasured(2 << 20, 2 << 20)
