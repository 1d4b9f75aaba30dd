"""Reads the body of a response directly into the caller's buffer.

urllib3 returns a body as new bytes objects, which the caller has to copy. Here, the socket fills
the caller's buffer itself, unless the body is chunked or encoded, which urllib3 has to decode.
Blocks start small, so a connection that breaks early has delivered something, and grow until the
overhead per block is negligible.
"""

from __future__ import annotations

import http.client
from typing import Any

_MIN_BLOCK = 16 << 10
_MAX_BLOCK = 512 << 10
"""Size of a block in bytes: it fits into the processor's cache for the next step."""


class ResponseReader:
    """The body of one urllib3 response that was not preloaded."""

    def __init__(self, response: Any) -> None:
        self._response = response
        raw = getattr(response, "_fp", None)  # urllib3 keeps http.client's response there
        is_plain = isinstance(raw, http.client.HTTPResponse) and not raw.chunked
        self._raw = raw if is_plain and not response.headers.get("Content-Encoding") else None
        self._block = _MIN_BLOCK
        self._broken = False

    def readinto(self, view: memoryview) -> int:
        """Fill `view` from its start with at most one block.

        After an exception the rest of the body is lost, because it is unknown how much of the block
        had arrived.

        Returns:
            The bytes read; 0 at the end of the body.
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
        """Return the connection to its pool if the body was read to its end, else close it."""
        raw, response = self._raw, self._response
        remaining = raw.length if raw is not None else response.length_remaining
        if remaining == 0:
            response.release_conn()
        else:
            response.close()
