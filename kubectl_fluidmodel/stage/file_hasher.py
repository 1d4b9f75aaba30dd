"""Hashes of a file: incremental over the whole, and checksums of single parts.

A file's hash is the one that the plan lists: SHA-256 of the bytes, or git's blob ID.
"""

from __future__ import annotations

import base64
import hashlib
import struct
from typing import Any

from zlib_ng import zlib_ng

from kubectl_fluidmodel.model.plan import SHA256, PlanFile
from kubectl_fluidmodel.stage import resumable_sha256

BytesLike = bytes | bytearray | memoryview


class FileHasher:
    """Hashes a file in order.

    A SHA-256 goes through libcrypto where that is available, so that another run can resume from
    the exported state. Where it is not, or for git's blob IDs (files below 10 MB), the exported
    state is empty: a later run then reads the file from the Hub again to hash it, and uploads only
    what the store does not have.
    """

    def __init__(self, file: PlanFile, state: bytes = b"", count: int = 0) -> None:
        """Start at the beginning, or after `count` bytes from an exported `state`."""
        self._expected = file.digest
        self._sha256: resumable_sha256.Sha256 | None = None
        self._hash: Any = None
        if file.kind == SHA256:
            if resumable_sha256.is_available():
                self._sha256 = resumable_sha256.Sha256(state, count)
            else:
                self._hash = hashlib.sha256()
        else:
            # git names blobs by SHA-1, and the Hub lists no other hash of small files
            self._hash = hashlib.sha1(b"blob %d\0" % file.size, usedforsecurity=False)

    def update(self, data: memoryview) -> None:
        """Hash the next bytes."""
        (self._sha256 or self._hash).update(data)

    def export_state(self) -> bytes:
        """The state after the bytes hashed so far; empty if it cannot be exported."""
        if self._sha256 is None or self._sha256.count % resumable_sha256.BLOCK:
            return b""
        return self._sha256.export_state()

    def matches(self) -> bool:
        """Whether the bytes hashed so far have the hash that the plan lists."""
        digest = (self._sha256 or self._hash).hexdigest()
        return bool(digest == self._expected)


class Crc32:
    """A CRC-32, best computed block by block while the processor's cache holds the bytes.

    zlib-ng uses the processor's carry-less multiplication: 57 GB/s on one core, where Python's
    zlib has 4. So its time is negligible beside the hash of the file.
    """

    def __init__(self) -> None:
        self._value = 0

    def update(self, block: memoryview) -> None:
        """Add the next bytes."""
        self._value = zlib_ng.crc32(block, self._value)

    def base64(self) -> str:
        """The value as the header `x-amz-checksum-crc32` has it."""
        return base64.b64encode(struct.pack(">I", self._value)).decode()


def content_md5(data: BytesLike) -> str:
    """The MD5 of a body as the header `Content-MD5` has it."""
    return base64.b64encode(hashlib.md5(data, usedforsecurity=False).digest()).decode()
