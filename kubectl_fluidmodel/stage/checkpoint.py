"""The record of an unfinished upload: what another run, on any machine, goes on from.

One small object per file, beside the model. It names the upload, so that `--abort-stale` knows
ours, and how far the file is both hashed and stored, with the state of the hash at that point.
The parts before that point are not listed one by one: `proof` is a hash over their numbers,
sizes and ETags as the store told them after it had checked what we sent. Another run asks the
store what it holds, and goes on only if that gives the same.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from kubectl_fluidmodel.model.plan import PlanFile

CHECKPOINT_VERSION = 1
BEAT = 20.0
"""Seconds after which the record of an upload that is alive is written again, if it was not."""
ALIVE = 3 * BEAT
"""Seconds for which a record says that somebody is at it."""
CRC32, MD5 = "crc32", "md5"
"""How parts are checked on their way."""


@dataclass(frozen=True)
class UploadedPart:
    """A part as the store holds it."""

    etag: str
    size: int
    checksum: str = ""
    """Its CRC-32 where the store keeps it."""


@dataclass(frozen=True)
class UploadCheckpoint:
    """Where a file stands."""

    path: str
    identity: str
    size: int
    upload_id: str
    part_size: int
    checksum: str
    """CRC32 or MD5."""
    done: int = 0
    """Parts from the first on that are stored and hashed."""
    proof: str = ""
    state: bytes = b""
    """The hash after `done` parts; empty where it could not be taken out."""
    proven: bool = False
    """All parts are stored, and their hash is the file's: the store has only to be told."""

    def advanced_to(
        self, done: int, parts: Mapping[int, UploadedPart], state: bytes
    ) -> UploadCheckpoint:
        """The same upload, further on."""
        return replace(self, done=done, proof=parts_digest(parts, done), state=state)

    def completed(self, parts: Mapping[int, UploadedPart]) -> UploadCheckpoint:
        """The same upload at its end, after the hash of all parts was compared."""
        return replace(self.advanced_to(len(parts), parts, b""), proven=True)

    def is_for(self, file: PlanFile) -> bool:
        """Whether it is about this very file."""
        mine = (self.path, self.identity, self.size)
        return mine == (file.path, file.identity, file.size)

    def matches_parts(self, parts: Mapping[int, UploadedPart]) -> bool:
        """Whether what the store holds is what was uploaded and hashed."""
        return self.done == 0 or parts_digest(parts, self.done) == self.proof

    def to_json(self) -> bytes:
        fields = {**self.__dict__, "state": self.state.hex(), "version": CHECKPOINT_VERSION}
        return json.dumps(fields, sort_keys=True).encode()


def parse_checkpoint(text: bytes) -> UploadCheckpoint | None:
    """The record, or None where it is damaged or another version's: the file starts anew."""
    try:
        fields: dict[str, Any] = json.loads(text)
        if fields.pop("version") != CHECKPOINT_VERSION:
            return None
        fields["state"] = bytes.fromhex(fields["state"])
        checkpoint = UploadCheckpoint(**fields)
        is_valid = (
            isinstance(checkpoint.path, str)
            and isinstance(checkpoint.upload_id, str)
            and bool(checkpoint.upload_id)
            and checkpoint.part_size > 0
            and checkpoint.done >= 0
            and checkpoint.done * checkpoint.part_size - checkpoint.size < checkpoint.part_size
            and (not checkpoint.proven or checkpoint.done * checkpoint.part_size >= checkpoint.size)
        )
        return checkpoint if is_valid else None
    except (ValueError, TypeError, KeyError, AttributeError):
        return None


def parts_digest(parts: Mapping[int, UploadedPart], done: int) -> str:
    """A hash over the first `done` parts; empty where one is missing. Parts count from 0."""
    hasher = hashlib.sha256()
    for number in range(done):
        part = parts.get(number)
        if part is None:
            return ""
        hasher.update(f"{number} {part.size} {part.etag} {part.checksum}\n".encode())
    return hasher.hexdigest()
