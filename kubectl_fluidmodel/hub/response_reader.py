"""The body of a response, read straight into memory of ours.

urllib3 hands a body out as new bytes objects, which have to be copied to where they belong. Here
the socket fills that place itself, unless the body is chunked or encoded and needs urllib3's
reading. Blocks begin small, so that a connection that breaks soon has still moved something, and
grow until a block's own cost does not show.
"""

from __future__ import annotations

import http.client
from typing import Any

_MIN_BLOCK = 16 << 10
_MAX_BLOCK = 512 << 10
"""Bytes of a block: within the processor's cache, for whoever looks at it next."""


class ResponseReader:
    """One response that is not read yet."""

    def __init__(self, response: Any) -> None:
        self._response = response
        raw = getattr(response, "_fp", None)  # urllib3 keeps http.client's response there
        plain = isinstance(raw, http.client.HTTPResponse) and not raw.chunked
        self._raw = raw if plain and not response.headers.get("Content-Encoding") else None
        self._block = _MIN_BLOCK
        self._broken = False

    def readinto(self, view: memoryview) -> int:
        """Fill `view` from its start, a block at the most; returns the bytes, 0 at the end.

        What comes after an exception is lost: how much of the block had come is not known.
        """
        if self._broken:
            return 0
        block = view[: self._block]
        self._block = min(_MAX_BLOCK, self._block * 2)
        try:
            return self._read(block)
        except BaseException:
            self._broken = True
            raise

    def _read(self, block: memoryview) -> int:
        if self._raw is not None:
            return int(self._raw.readinto(block))
        chunk = self._response.read1(len(block))
        block[: len(chunk)] = chunk
        return len(chunk)

    def close(self) -> None:
        """Give the connection back if the body was read to its end, else drop it."""
        remaining = self._raw.length if self._raw is not None else self._response.length_remaining
        if remaining == 0:
            self._response.release_conn()
        else:
            self._response.close()
