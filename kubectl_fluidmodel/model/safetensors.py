"""The header of a safetensors file: its tensors and their positions. Pure.

The format (safetensors/src/tensor.rs): 8 bytes, little-endian, with the length of the JSON object
that follows; then the tensors without gaps, up to the end of the file. Readers reject any other
file, so the header determines the size of a complete file.
"""

from __future__ import annotations

from dataclasses import field
from functools import cache
from typing import Any

from kubectl_fluidmodel.records import dataclass

LENGTH_PREFIX_BYTES = 8
"""Size of the length field before the JSON."""
MAX_HEADER_BYTES = 100_000_000
"""Maximum header size of the format's own reader (MAX_HEADER_SIZE)."""
MAX_READ_BYTES = 16 << 20
"""Maximum header size that we read; a header with 50,000 tensors has 6 MB."""


class BadHeaderError(ValueError):
    """The data is not a safetensors header; the message has the reason."""


@dataclass(frozen=True)
class Header:
    """The content of a header."""

    json_bytes: int
    """Size of the JSON in bytes."""
    tensors: frozenset[str] = field(repr=False)
    data_bytes: int
    """Size of all tensors in bytes."""

    @property
    def file_size(self) -> int:
        """Size of a complete file with this header."""
        return LENGTH_PREFIX_BYTES + self.json_bytes + self.data_bytes


def parse_header_length(head: bytes, size: int) -> int:
    """Return the length of the JSON from the first bytes of a file of `size` bytes.

    Raises:
        BadHeaderError: no file of that size can start like this.
    """
    if size < LENGTH_PREFIX_BYTES or len(head) < LENGTH_PREFIX_BYTES:
        raise BadHeaderError(f"it has {size} bytes, less than a header")
    length = int.from_bytes(head[:LENGTH_PREFIX_BYTES], "little")
    if length > MAX_HEADER_BYTES:
        raise BadHeaderError(
            "its first bytes are not the length of a header: it is not a safetensors file"
        )
    if LENGTH_PREFIX_BYTES + length > size:
        raise BadHeaderError(
            f"its header has {length} bytes, and the file only {size}: it is truncated"
        )
    return length


def parse_header(content: bytes) -> Header:
    """Parse the JSON of a header.

    Raises:
        BadHeaderError: it is not a JSON object of tensors, or they overlap or leave gaps.
    """
    import msgspec

    objects, entries = _decoders()
    try:
        raw: dict[str, Any] = objects.decode(content)
        raw.pop("__metadata__", None)
        offsets = {name: entries.decode(entry).data_offsets for name, entry in raw.items()}
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as err:
        detail = " ".join(str(err).split())[:120]
        raise BadHeaderError(f"its header is not a JSON object of tensors ({detail})") from err
    end = 0
    for name, (start, stop) in sorted(offsets.items(), key=lambda item: (item[1], item[0])):
        if start != end or stop < start:
            raise BadHeaderError(f"its header has a gap or an overlap at tensor {name[:80]!r}")
        end = stop
    return Header(len(content), frozenset(offsets), end)


@cache
def _decoders() -> tuple[Any, Any]:
    """Return the decoders for the object and for one tensor; imports msgspec only when needed."""
    import msgspec

    class Entry(msgspec.Struct):
        data_offsets: tuple[int, int]

    return msgspec.json.Decoder(dict[str, msgspec.Raw]), msgspec.json.Decoder(Entry)
