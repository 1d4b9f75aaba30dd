"""The head of a safetensors file: which tensors it says it has, and where they end. Pure.

The format (safetensors/src/tensor.rs): 8 bytes, little-endian, with the length of a JSON object
that follows; then the tensors without a gap, the last of which ends where the file ends. Readers
refuse a file that is otherwise, so that its size tells whether it is whole.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cache
from typing import Any

PREFIX = 8
"""Bytes in front of the JSON, which tell its length."""
FORMAT_LIMIT = 100_000_000
"""The longest header that the format's own reader takes (MAX_HEADER_SIZE)."""
READ_LIMIT = 16 << 20
"""The longest header that we read; one of 50,000 tensors has 6 MB."""


class BadHeader(ValueError):
    """It is no header of a safetensors file; the words say why."""


@dataclass(frozen=True)
class Header:
    """What a header says."""

    length: int
    """Bytes of the JSON."""
    tensors: frozenset[str] = field(repr=False)
    data: int
    """Bytes of all tensors."""

    @property
    def file_size(self) -> int:
        """The size of a whole file with this header."""
        return PREFIX + self.length + self.data


def header_length(head: bytes, size: int) -> int:
    """The length of the JSON by the first bytes of a file of `size` bytes.

    Raises:
        BadHeader: no file of that size can begin so.
    """
    if size < PREFIX or len(head) < PREFIX:
        raise BadHeader(f"it has {size} bytes, fewer than a header")
    length = int.from_bytes(head[:PREFIX], "little")
    if length > FORMAT_LIMIT:
        raise BadHeader("its first bytes are no length of a header: it is no safetensors file")
    if PREFIX + length > size:
        raise BadHeader(f"its header has {length} bytes, and the file only {size}: it was cut off")
    return length


def parse(content: bytes) -> Header:
    """Read the JSON of a header.

    Raises:
        BadHeader: it is no JSON object of tensors, or they overlap or leave gaps.
    """
    import msgspec

    objects, entries = _decoders()
    try:
        raw: dict[str, Any] = objects.decode(content)
        raw.pop("__metadata__", None)
        offsets = {name: entries.decode(each).data_offsets for name, each in raw.items()}
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as err:
        words = " ".join(str(err).split())[:120]
        raise BadHeader(f"its header is no JSON object of tensors ({words})") from err
    end = 0
    for name, (start, stop) in sorted(offsets.items(), key=lambda each: (each[1], each[0])):
        if start != end or stop < start:
            raise BadHeader(f"its header leaves a gap or an overlap at tensor {name[:80]!r}")
        end = stop
    return Header(len(content), frozenset(offsets), end)


@cache
def _decoders() -> tuple[Any, Any]:
    """For the object and for one tensor; msgspec is imported by those alone who need it."""
    import msgspec

    class Entry(msgspec.Struct):
        data_offsets: tuple[int, int]

    return msgspec.json.Decoder(dict[str, msgspec.Raw]), msgspec.json.Decoder(Entry)
