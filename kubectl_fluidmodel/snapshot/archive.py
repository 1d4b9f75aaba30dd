"""Reads a Snapshot from a support bundle, for `--from-bundle`.

The archive is untrusted: nothing is unpacked to disk, and reading is bounded, whatever sizes the
archive claims.
"""

from __future__ import annotations

import gzip
import io
import json
import tarfile
import zlib
from pathlib import Path
from typing import IO, cast

from kubectl_fluidmodel.errors import FluidModelError
from kubectl_fluidmodel.snapshot.document import snapshot_from_document
from kubectl_fluidmodel.snapshot.snapshot import Snapshot

SNAPSHOT_MEMBER = "snapshot.json"
MAX_SNAPSHOT_BYTES = 1 << 28
"""Maximum size of a snapshot in bytes, unpacked: 20,000 pods are about 200 MB."""
_MAX_MEMORY_BYTES = 3 << 29
"""Maximum memory in bytes for its lists and objects, without their strings. 20,000 pods take half
of that; `[[],[],…` takes 25 times its own size."""
_MEMORY_COSTS = ((b"{", 200), (b"[", 64), (b",", 60))
"""Maximum memory in bytes that CPython 3.11 uses for a value that begins with this character."""
_MAX_UNPACKED_BYTES = 2 * MAX_SNAPSHOT_BYTES
"""Maximum unpacked bytes of an archive that are searched for the snapshot."""
_GZIP_MAGIC = b"\x1f\x8b"


class _BoundedReader(io.RawIOBase):
    """A stream that raises OverflowError after a number of bytes."""

    def __init__(self, inner: gzip.GzipFile, limit: int) -> None:
        self._inner, self._left = inner, limit

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        data = self._inner.read(min(size, self._left + 1) if size >= 0 else self._left + 1)
        self._left -= len(data)
        if self._left < 0:
            raise OverflowError
        return data


def load_snapshot(path: str | Path) -> Snapshot:
    """Read the Snapshot of a bundle, or of a bare `snapshot.json`.

    Raises:
        FluidModelError: the file contains no snapshot, or one that exceeds the limits.
    """
    message = f"cannot read {path}"
    try:
        with Path(path).open("rb") as file:
            compressed = file.read(2) == _GZIP_MAGIC
            file.seek(0)
            data = _read_member(file) if compressed else _read_bounded(file)
        if sum(data.count(mark) * cost for mark, cost in _MEMORY_COSTS) > _MAX_MEMORY_BYTES:
            raise OverflowError
        document = json.loads(data)
    except (OverflowError, MemoryError) as err:
        raise FluidModelError(message, "it is larger than any real snapshot") from err
    except FileNotFoundError as err:
        raise FluidModelError(message, "there is no such file") from err
    except RecursionError as err:
        raise FluidModelError(message, "it is nested deeper than any real snapshot") from err
    except (OSError, EOFError, ValueError, zlib.error, tarfile.TarError) as err:
        raise FluidModelError(message, " ".join(str(err).split())[:200] or "it is damaged") from err
    try:
        return snapshot_from_document(document)
    except FluidModelError as err:
        raise FluidModelError(message, f"{err.message}: {err.reason}") from err
    except (TypeError, ValueError, AttributeError) as err:
        raise FluidModelError(message, f"its snapshot is damaged: {err}") from err


def _read_member(file: IO[bytes]) -> bytes:
    with gzip.GzipFile(fileobj=file) as unpacked:
        stream = _BoundedReader(unpacked, _MAX_UNPACKED_BYTES)
        with tarfile.open(fileobj=cast(IO[bytes], stream), mode="r|") as archive:
            for member in archive:
                if member.isfile() and Path(member.name).name == SNAPSHOT_MEMBER:
                    snapshot_file = archive.extractfile(member)
                    if snapshot_file is not None:
                        return _read_bounded(snapshot_file)
    raise ValueError(f"it has no {SNAPSHOT_MEMBER}")


def _read_bounded(file: IO[bytes]) -> bytes:
    data = file.read(MAX_SNAPSHOT_BYTES + 1)
    if len(data) > MAX_SNAPSHOT_BYTES:
        raise OverflowError
    return data
