"""SHA-256 whose state can be exported and restored: OpenSSL's, by ctypes.

Python's hashlib cannot save an unfinished hash, and a file that is staged in two runs has to be
hashed across both. OpenSSL's SHA256_CTX is plain memory: eight 32-bit words of state, the bit count
in two words, 64 bytes of pending input, and two counters. After a whole number of 64-byte blocks no
input is pending, so the eight words and the count are the complete state. FIPS 180-4 defines them,
so they are the same on every machine.

OpenSSL does not guarantee the layout. `is_available()` therefore checks on first use that a state
exported and restored yields hashlib's digest, and returns False where it does not, or where there
is no libcrypto. Staging works without it, too; `FileHasher` says at what cost.
"""

from __future__ import annotations

import ctypes
import hashlib
import struct
import sys
import threading
from typing import Any

BLOCK = 64
STATE_BYTES = 32
_CONTEXT_SIZE = 112
_ALLOCATED_SIZE = 512
"""Bytes allocated for a context: more than `_CONTEXT_SIZE`, in case a build has a larger one."""
_BIT_COUNT_OFFSET, _PENDING_OFFSET = 32, 104

_lock = threading.Lock()
_library: Any = None
_tried = False


class Sha256:
    """A SHA-256 computed by OpenSSL's low-level functions, which release the GIL."""

    def __init__(self, state: bytes = b"", count: int = 0) -> None:
        """Start at the beginning, or after `count` bytes from an exported `state`."""
        self._lib = _load_library()
        self._context = ctypes.create_string_buffer(_ALLOCATED_SIZE)
        self._lib.SHA256_Init(self._context)
        self.count = count
        if state:
            if len(state) != STATE_BYTES or count % BLOCK:
                raise ValueError("not a state after whole blocks")
            words = struct.unpack(">8I", state)
            bits = count * 8
            struct.pack_into("=8I", self._context, 0, *words)
            struct.pack_into("=2I", self._context, _BIT_COUNT_OFFSET, bits & 0xFFFFFFFF, bits >> 32)

    def update(self, data: memoryview | bytearray | bytes) -> None:
        """Hash the next bytes; a memoryview has to be writable."""
        size = len(data)
        if isinstance(data, bytes):
            self._lib.SHA256_Update(self._context, data, ctypes.c_size_t(size))
        elif size:
            view = (ctypes.c_char * size).from_buffer(data)
            self._lib.SHA256_Update(self._context, view, ctypes.c_size_t(size))
        self.count += size

    def export_state(self) -> bytes:
        """The state to resume from.

        Raises:
            ValueError: the bytes hashed so far are not a whole number of blocks.
        """
        pending = struct.unpack_from("=I", self._context, _PENDING_OFFSET)[0]
        if self.count % BLOCK or pending:
            raise ValueError("bytes are pending")
        return struct.pack(">8I", *struct.unpack_from("=8I", self._context, 0))

    def hexdigest(self) -> str:
        """The digest of the bytes so far; hashing can continue."""
        copy = ctypes.create_string_buffer(self._context.raw, _ALLOCATED_SIZE)
        digest = ctypes.create_string_buffer(32)
        self._lib.SHA256_Final(digest, copy)
        return digest.raw.hex()


def is_available() -> bool:
    """Whether states can be exported on this machine; checked on the first call."""
    return _load_library() is not None


def _load_library() -> Any:
    global _library, _tried
    with _lock:
        if not _tried:
            _tried = True
            for name in _library_candidates():
                try:
                    candidate = ctypes.CDLL(name)
                    for function in ("SHA256_Init", "SHA256_Update", "SHA256_Final"):
                        getattr(candidate, function)
                except (OSError, AttributeError):
                    continue
                _library = candidate
                break
            if _library is not None and not _is_compatible(_library):
                _library = None
        return _library


def _library_candidates() -> list[str]:
    """Paths and names of libcrypto; first the one that Python's own hashlib has loaded.

    None on macOS: loading the system's unversioned library aborts the process.
    """
    if sys.platform != "linux":
        return []
    candidates: list[str] = []
    try:
        import _hashlib  # noqa: F401 - maps its library into the process
        from pathlib import Path

        for line in Path("/proc/self/maps").read_text().splitlines():
            path = line.split(" ", 5)[-1].strip()
            if "libcrypto" in path and path.startswith("/") and path not in candidates:
                candidates.append(path)
    except (ImportError, OSError):
        pass
    return [*candidates, "libcrypto.so.3", "libcrypto.so.1.1"]


def _is_compatible(library: Any) -> bool:
    """Hash a known text in two contexts, with the state copied from the first to the second."""
    text = bytes(range(256)) * 5 + b"tail"
    cut = 11 * BLOCK
    first = ctypes.create_string_buffer(_ALLOCATED_SIZE)
    library.SHA256_Init(first)
    library.SHA256_Update(first, text[:cut], ctypes.c_size_t(cut))
    pending = struct.unpack_from("=I", first, _PENDING_OFFSET)[0]
    low, high = struct.unpack_from("=2I", first, _BIT_COUNT_OFFSET)
    if pending or low != cut * 8 or high or any(first.raw[_CONTEXT_SIZE:]):
        return False
    second = ctypes.create_string_buffer(_ALLOCATED_SIZE)
    library.SHA256_Init(second)
    struct.pack_into("=8I", second, 0, *struct.unpack_from("=8I", first, 0))
    struct.pack_into("=2I", second, _BIT_COUNT_OFFSET, low, high)
    library.SHA256_Update(second, text[cut:], ctypes.c_size_t(len(text) - cut))
    digest = ctypes.create_string_buffer(32)
    library.SHA256_Final(digest, second)
    return digest.raw == hashlib.sha256(text).digest()
