"""The head of a safetensors file: which tensors it says it has, and where they end. Pure.

The format (safetensors/src/tensor.rs): 8 bytes, little-endian, with the length of a JSON object
that follows; then the tensors without a gap, the last of which ends where the file ends. Readers
refuse a file that is otherwise, so that its size tells whether it is whole.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cache
from typing import Any

LENGTH_PREFIX_BYTES = 8
"""Bytes in front of the JSON, which tell its length."""
MAX_HEADER_BYTES = 100_000_000
"""The longest header that the format's own reader takes (MAX_HEADER_SIZE)."""
MAX_READ_BYTES = 16 << 20
"""The longest header that we read; one of 50,000 tensors has 6 MB."""


class BadHeaderError(ValueError):
    """It is no header of a safetensors file; the words say why."""


@dataclass(frozen=True)
class Header:
    """What a header says."""

    json_bytes: int
    """Bytes of the JSON."""
    tensors: frozenset[str] = field(repr=False)
    data_bytes: int
    """Bytes of all tensors."""

    @property
    def file_size(self) -> int:
        """The size of a whole file with this header."""
        return LENGTH_PREFIX_BYTES + self.json_bytes + self.data_bytes


def parse_header_length(head: bytes, size: int) -> int:
    """The length of the JSON by the first bytes of a file of `size` bytes.

    Raises:
        BadHeaderError: no file of that size can begin so.
    """
    if size < LENGTH_PREFIX_BYTES or len(head) < LENGTH_PREFIX_BYTES:
        raise BadHeaderError(f"it has {size} bytes, fewer than a header")
    length = int.from_bytes(head[:LENGTH_PREFIX_BYTES], "little")
    if length > MAX_HEADER_BYTES:
        raise BadHeaderError("its first bytes are no length of a header: it is no safetensors file")
    if LENGTH_PREFIX_BYTES + length > size:
        raise BadHeaderError(
            f"its header has {length} bytes, and the file only {size}: it was cut off"
        )
    return length


def parse_header(content: bytes) -> Header:
    """Read the JSON of a header.

    Raises:
        BadHeaderError: it is no JSON object of tensors, or they overlap or leave gaps.
    """
    import msgspec

    objects, entries = _decoders()
    try:
        raw: dict[str, Any] = objects.decode(content)
        raw.pop("__metadata__", None)
        offsets = {name: entries.decode(each).data_offsets for name, each in raw.items()}
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as err:
        words = " ".join(str(err).split())[:120]
        raise BadHeaderError(f"its header is no JSON object of tensors ({words})") from err
    end = 0
    for name, (start, stop) in sorted(offsets.items(), key=lambda each: (each[1], each[0])):
        if start != end or stop < start:
            raise BadHeaderError(f"its header leaves a gap or an overlap at tensor {name[:80]!r}")
        end = stop
    return Header(len(content), frozenset(offsets), end)


@cache
def _decoders() -> tuple[Any, Any]:
    """For the object and for one tensor; msgspec is imported by those alone who need it."""
    import msgspec

    class Entry(msgspec.Struct):
        data_offsets: tuple[int, int]

    return msgspec.json.Decoder(dict[str, msgspec.Raw]), msgspec.json.Decoder(Entry)
