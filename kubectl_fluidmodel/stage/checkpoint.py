"""The checkpoint of an unfinished upload: what another run, on any machine, resumes from.

There is one small object per file, beside the model. It names the upload, so that `--abort-stale`
recognizes our own, and records how many leading parts are both stored and hashed, with the hash
state at that point. Those parts are not listed one by one: `parts_digest` is a hash of their
numbers, sizes and ETags as the store reported them after it had verified what we sent. Another run
lists the parts in the store and resumes only if it computes the same digest.

Other versions of this package read and write the same objects, so the names in the JSON are fixed:
`_STORED_NAMES` maps them to the names used here.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from kubectl_fluidmodel.model.plan import PlanFile
from kubectl_fluidmodel.records import dataclass

CHECKPOINT_VERSION = 1
REFRESH_INTERVAL = 20.0
"""Seconds after which the checkpoint of an active upload is rewritten to show that it is."""
ACTIVE_FOR = 3 * REFRESH_INTERVAL
"""Seconds for which a checkpoint shows that its upload is active."""
CRC32, MD5 = "crc32", "md5"
"""Checksums with which the store verifies a part."""


@dataclass(frozen=True)
class UploadedPart:
    """A part as the store lists it."""

    etag: str
    size: int
    checksum: str = ""
    """Its CRC-32 where the store keeps one."""


@dataclass(frozen=True)
class UploadCheckpoint:
    """Progress of one file's upload."""

    path: str
    identity: str
    size: int
    upload_id: str
    part_size: int
    checksum: str
    """CRC32 or MD5."""
    parts_done: int = 0
    """Number of leading parts that are stored and hashed."""
    parts_digest: str = ""
    hash_state: bytes = b""
    """State of the hash after `parts_done` parts; empty if it could not be exported."""
    verified: bool = False
    """All parts are stored and have the file's hash: only CompleteMultipartUpload is missing."""

    def advanced_to(
        self, parts_done: int, parts: Mapping[int, UploadedPart], hash_state: bytes
    ) -> UploadCheckpoint:
        """The checkpoint of the same upload after `parts_done` parts."""
        return replace(
            self,
            parts_done=parts_done,
            parts_digest=digest_of_parts(parts, parts_done),
            hash_state=hash_state,
        )

    def completed(self, parts: Mapping[int, UploadedPart]) -> UploadCheckpoint:
        """The checkpoint of the same upload once the hash of all parts is verified."""
        return replace(self.advanced_to(len(parts), parts, b""), verified=True)

    def is_for(self, file: PlanFile) -> bool:
        """Whether the upload is of this file with this content."""
        return (self.path, self.identity, self.size) == (file.path, file.identity, file.size)

    def matches_parts(self, parts: Mapping[int, UploadedPart]) -> bool:
        """Whether the parts in the store are those that were uploaded and hashed."""
        if self.parts_done == 0:
            return True
        return digest_of_parts(parts, self.parts_done) == self.parts_digest

    def to_json(self) -> bytes:
        """The object's content; `parse_checkpoint` is the inverse."""
        fields = {_STORED_NAMES.get(name, name): value for name, value in self.__dict__.items()}
        fields |= {"state": self.hash_state.hex(), "version": CHECKPOINT_VERSION}
        return json.dumps(fields, sort_keys=True).encode()


_STORED_NAMES = {
    "parts_done": "done",
    "parts_digest": "proof",
    "hash_state": "state",
    "verified": "proven",
}
_ATTRIBUTES = {stored: attribute for attribute, stored in _STORED_NAMES.items()}


def parse_checkpoint(text: bytes) -> UploadCheckpoint | None:
    """Parse a checkpoint.

    Returns:
        The checkpoint, or None if it is damaged or of another version: the upload then restarts.
    """
    try:
        document: dict[str, Any] = json.loads(text)
        if document.pop("version") != CHECKPOINT_VERSION:
            return None
        fields = {_ATTRIBUTES.get(name, name): value for name, value in document.items()}
        fields["hash_state"] = bytes.fromhex(fields["hash_state"])
        checkpoint = UploadCheckpoint(**fields)
        return checkpoint if _is_valid(checkpoint) else None
    except (ValueError, TypeError, KeyError, AttributeError):
        return None


def _is_valid(checkpoint: UploadCheckpoint) -> bool:
    bytes_done = checkpoint.parts_done * checkpoint.part_size
    return (
        isinstance(checkpoint.path, str)
        and isinstance(checkpoint.upload_id, str)
        and bool(checkpoint.upload_id)
        and checkpoint.part_size > 0
        and checkpoint.parts_done >= 0
        and bytes_done - checkpoint.size < checkpoint.part_size
        and (not checkpoint.verified or bytes_done >= checkpoint.size)
    )


def digest_of_parts(parts: Mapping[int, UploadedPart], count: int) -> str:
    """A SHA-256 over the first `count` parts, which count from 0; empty if one is missing."""
    hasher = hashlib.sha256()
    for number in range(count):
        part = parts.get(number)
        if part is None:
            return ""
        hasher.update(f"{number} {part.size} {part.etag} {part.checksum}\n".encode())
    return hasher.hexdigest()
