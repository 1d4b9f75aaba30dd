"""The running hash of one file, as the plan names it: sha256 of the bytes, or git's blob id."""

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
    """Hashes a file in order; where it can, its state may be taken out after each part.

    A sha256 goes through libcrypto where that is available, so that another run can go on from
    the state. Where it is not, or for git's blob ids (files below 10 MB), `state` is empty: a
    later run then reads the file from the Hub from its beginning to hash it, and only uploads
    what the store does not have.
    """

    def __init__(self, file: PlanFile, state: bytes = b"", count: int = 0) -> None:
        self._expected = file.digest
        self._sha: resumable_sha256.Sha256 | None = None
        self._hash: Any = None
        if file.kind == SHA256:
            if resumable_sha256.is_available():
                self._sha = resumable_sha256.Sha256(state, count)
            else:
                self._hash = hashlib.sha256()
        else:
            # git names blobs by SHA-1: what there is to compare with, not a choice of ours.
            self._hash = hashlib.sha1(b"blob %d\0" % file.size)  # noqa: S324

    def update(self, data: memoryview) -> None:
        if self._sha is not None:
            self._sha.update(data)
        else:
            self._hash.update(data)

    def export_state(self) -> bytes:
        """The state after what was hashed so far; empty where it cannot be had."""
        if self._sha is None or self._sha.count % resumable_sha256.BLOCK:
            return b""
        return self._sha.export_state()

    def matches(self) -> bool:
        """Whether what was hashed is the file that the plan means."""
        digest = self._sha.hexdigest() if self._sha is not None else self._hash.hexdigest()
        return bool(digest == self._expected)


class Crc32:
    """A running CRC-32: cheapest block by block, while the processor's cache has the bytes.

    By zlib-ng, which uses the processor's own multiplication for it: 57 GB/s on one core where
    Python's zlib has 4, so that it does not show beside the hash of the file.
    """

    def __init__(self) -> None:
        self._sum = 0

    def update(self, block: memoryview) -> None:
        self._sum = zlib_ng.crc32(block, self._sum)

    def base64(self) -> str:
        """As `x-amz-checksum-crc32` has it."""
        return base64.b64encode(struct.pack(">I", self._sum)).decode()


def content_md5(data: BytesLike) -> str:
    """MD5 as `Content-MD5` has it."""
    return base64.b64encode(hashlib.md5(data, usedforsecurity=False).digest()).decode()
