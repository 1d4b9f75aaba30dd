"""What is read of a source is bounded, whatever the source does."""

from __future__ import annotations

import struct
import threading
import time

import pytest

from kubectl_fluidmodel.model import sample
from kubectl_fluidmodel.model.files import SourceFile
from kubectl_fluidmodel.model.safetensors import MAX_READ_BYTES
from kubectl_fluidmodel.model.sample import RangeReadError, read_sample
from tests.weights import MODEL

FILES = [SourceFile(path, len(content)) for path, content in MODEL.items()]


def fetch(path: str, start: int, count: int) -> bytes:
    return MODEL[path][start : start + count]


def test_small_files_and_heads_are_read() -> None:
    result = read_sample(FILES, fetch)
    assert set(result.texts) == {"config.json", "generation_config.json"}
    assert set(result.headers) == {"model.safetensors"}
    assert result.first_bytes == {"tokenizer.json": MODEL["tokenizer.json"]}
    assert result.incomplete_reason == ""


def test_a_long_header_is_read_to_its_end_and_no_further() -> None:
    names = ", ".join(f'"{"x" * 90}{n}": {{"data_offsets": [{n}, {n + 1}]}}' for n in range(2000))
    text = f"{{{names}}}".encode()
    content = struct.pack("<Q", len(text)) + text + b"d" * (5 << 20)
    asked = []

    def counted(path: str, start: int, count: int) -> bytes:
        asked.append(count)
        content_ = content[: 8 + len(text) + 2000]
        return content_[start : start + count]

    size = 8 + len(text) + 2000
    result = read_sample([SourceFile("a.safetensors", size)], counted)
    head = result.headers["a.safetensors"]
    assert not isinstance(head, str) and head.file_size == size
    assert len(asked) == 2 and sum(asked) == 8 + len(text)


def test_a_header_that_is_longer_than_we_read_is_not_assessed() -> None:
    content = struct.pack("<Q", MAX_READ_BYTES + 1) + b"{" * 100_000
    result = read_sample(
        [SourceFile("a.safetensors", 1 << 40)], lambda _, at, count: content[at : at + count]
    )
    assert result.headers == {} and "0 of 1" in result.incomplete_reason


def test_a_source_that_may_be_listed_and_not_read_is_asked_a_few_times() -> None:
    asked = []

    def denied(path: str, start: int, count: int) -> bytes:
        asked.append(path)
        raise RangeReadError("AccessDenied")

    result = read_sample([SourceFile(f"{n}.safetensors", 1000) for n in range(500)], denied)
    assert "0 of 500" in result.incomplete_reason and "AccessDenied" in result.incomplete_reason
    assert len(asked) < 20


def test_a_file_that_comes_short_is_not_assessed() -> None:
    result = read_sample(FILES, lambda path, start, count: fetch(path, start, count)[:-1])
    assert (result.texts, result.headers) == ({}, {})
    assert "bytes arrived of" in result.incomplete_reason


def test_an_endless_response_ends_at_the_timeout() -> None:
    stop = threading.Event()

    def drips(path: str, start: int, count: int) -> bytes:
        stop.wait(30)
        raise RangeReadError("stopped")

    began = time.monotonic()
    try:
        result = read_sample(FILES, drips, time_limit=0.3)
    finally:
        stop.set()
    assert time.monotonic() - began < 5
    assert "the time limit was reached" in result.incomplete_reason


def test_requests_and_bytes_have_a_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    many = [SourceFile(f"{n}.safetensors", 100_000) for n in range(1000)]
    asked = []

    def zeros(path: str, start: int, count: int) -> bytes:
        asked.append(count)
        return bytes(count)

    assert f"{sample.MAX_REQUESTS} of 1000" in read_sample(many, zeros).incomplete_reason
    assert len(asked) == sample.MAX_REQUESTS
    monkeypatch.setattr(sample, "BYTES", 1 << 20)
    asked.clear()
    assert "of 1000" in read_sample(many, zeros).incomplete_reason
    assert sum(asked) < 3 << 20


def test_nothing_to_read_is_no_reason_to_ask() -> None:
    assert (
        read_sample([SourceFile("README.md", 5), SourceFile("a.bin", 0)], fetch).incomplete_reason
        == ""
    )
