"""Headers as files have them, and as an enemy writes them."""

from __future__ import annotations

import json
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kubectl_fluidmodel.model.safetensors import (
    MAX_HEADER_BYTES,
    BadHeaderError,
    Header,
    parse_header,
    parse_header_length,
)


def entry(start: int, end: int) -> dict[str, object]:
    return {"dtype": "F16", "shape": [end - start], "data_offsets": [start, end]}


def text(*entries: tuple[str, int, int], **more: object) -> bytes:
    return json.dumps({**{name: entry(a, b) for name, a, b in entries}, **more}).encode()


def test_tensors_in_any_order_and_metadata() -> None:
    content = text(("b", 6, 9), ("a", 0, 6), ("none", 6, 6), __metadata__={"format": "pt"})
    assert parse_header(content) == Header(len(content), frozenset({"a", "b", "none"}), 9)
    assert parse_header(content + b"   ").file_size == 8 + len(content) + 3 + 9
    assert parse_header(b"{}").data_bytes == 0


@pytest.mark.parametrize(
    "content",
    [
        text(("a", 1, 2)),
        text(("a", 0, 2), ("b", 1, 3)),
        text(("a", 0, 2), ("b", 3, 4)),
        text(("a", 0, -2)),
        text(("a", 2, 0)),
        b'{"a": {"dtype": "F16"}}',
        b'{"a": {"data_offsets": [0]}}',
        b'{"a": {"data_offsets": [0, 1e99]}}',
        b'{"a": {"data_offsets": [0, "2"]}}',
        b'{"a": 3}',
        b"[]",
        b"",
        b"\xff\xfe{}",
        b'{"a": ' + b"[" * 200_000,
        b'{"a": ' + b'{"data_offsets":' * 100_000,
    ],
)
def test_what_is_no_header(content: bytes) -> None:
    with pytest.raises(BadHeaderError):
        parse_header(content)


def test_a_duplicate_name_counts_once_with_the_last_value() -> None:
    with pytest.raises(BadHeaderError, match="gap"):
        parse_header(b'{"a": {"data_offsets": [0, 4]}, "a": {"data_offsets": [4, 8]}}')


@pytest.mark.parametrize(
    ("head", "size"),
    [
        (b"", 0),
        (b"1234567", 7),
        (struct.pack("<Q", 100), 50),
        (struct.pack("<Q", MAX_HEADER_BYTES + 1), 1 << 60),
        (b"\xff" * 8, 1 << 60),
        (b"<!DOCTYP", 9000),
    ],
)
def test_lengths_that_no_file_has(head: bytes, size: int) -> None:
    with pytest.raises(BadHeaderError):
        parse_header_length(head, size)


@given(st.binary(max_size=300), st.integers(0, 1 << 64))
def test_any_bytes_are_a_length_or_refused(head: bytes, size: int) -> None:
    try:
        length = parse_header_length(head, size)
    except BadHeaderError:
        return
    assert 0 <= length <= min(MAX_HEADER_BYTES, size - 8)


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=12), inner),
    max_leaves=8,
)
_ENTRY = st.builds(entry, st.integers(-9, 1 << 65), st.integers(-9, 1 << 65))


@given(st.dictionaries(st.text(max_size=8), _ENTRY | _JSON) | _JSON)
def test_any_json_is_a_header_or_refused(document: object) -> None:
    content = json.dumps(document).encode("utf-8", "surrogatepass")
    try:
        header = parse_header(content)
    except BadHeaderError as err:
        assert "\n" not in str(err) and len(str(err)) < 300
        return
    assert header.json_bytes == len(content) and header.data_bytes >= 0


@given(st.binary())
def test_any_bytes_are_a_header_or_refused(content: bytes) -> None:
    try:
        parse_header(content)
    except BadHeaderError as err:
        assert "\n" not in str(err)


@given(st.lists(st.integers(0, 1 << 40), min_size=1, max_size=20), st.randoms())
def test_tensors_without_a_gap_are_a_header(sizes: list[int], random: object) -> None:
    entries, at = [], 0
    for number, size in enumerate(sizes):
        entries.append((f"t{number}", at, at + size))
        at += size
    random.shuffle(entries)  # type: ignore[attr-defined]
    assert parse_header(text(*entries)).data_bytes == sum(sizes)
