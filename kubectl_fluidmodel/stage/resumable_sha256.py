"""SHA-256 whose state can be taken out and put back: OpenSSL's, by ctypes.

Python's hashlib cannot save a half-done hash, and a file that is staged in two runs has to be
hashed across both. OpenSSL's SHA256_CTX is plain memory: eight 32-bit words of state, the count
of bits in two words, 64 bytes of pending input, and two counters. After a whole number of
64-byte blocks nothing is pending, so the eight words and the count are all there is; they mean
the same on every machine, as FIPS 180-4 defines them.

The layout is no promise of OpenSSL's. `available()` therefore proves on first use that a state
taken out and put back yields hashlib's digest, and says no where it does not (or where there is
no libcrypto). Without it staging still works; see `digest.py` for what it costs.
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
"""Bytes to allocate for a context: more than it has, should a build have a larger one."""
_BIT_COUNT_OFFSET, _PENDING_OFFSET = 32, 104
"""Offsets of the bit count and of the number of pending bytes."""

_lock = threading.Lock()
_library: Any = None
_tried = False


class Sha256:
    """A running SHA-256 over OpenSSL's low-level functions; they release the GIL."""

    def __init__(self, state: bytes = b"", count: int = 0) -> None:
        """Begin anew, or after `count` bytes from a `state` that `take` gave."""
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
        size = len(data)
        if isinstance(data, bytes):
            self._lib.SHA256_Update(self._context, data, ctypes.c_size_t(size))
        elif size:
            view = (ctypes.c_char * size).from_buffer(data)
            self._lib.SHA256_Update(self._context, view, ctypes.c_size_t(size))
        self.count += size

    def export_state(self) -> bytes:
        """The state, to go on from later; only after a whole number of blocks."""
        if self.count % BLOCK or struct.unpack_from("=I", self._context, _PENDING_OFFSET)[0]:
            raise ValueError("bytes are pending")
        return struct.pack(">8I", *struct.unpack_from("=8I", self._context, 0))

    def hexdigest(self) -> str:
        """The digest of all so far; the hash can go on."""
        copy = ctypes.create_string_buffer(self._context.raw, _ALLOCATED_SIZE)
        out = ctypes.create_string_buffer(32)
        self._lib.SHA256_Final(out, copy)
        return out.raw.hex()


def is_available() -> bool:
    """Whether states can be taken out here; proven on the first call."""
    return _load_library() is not None


def _load_library() -> Any:
    global _library, _tried
    with _lock:
        if not _tried:
            _tried = True
            for name in _library_candidates():
                try:
                    found = ctypes.CDLL(name)
                    for function in ("SHA256_Init", "SHA256_Update", "SHA256_Final"):
                        getattr(found, function)
                except (OSError, AttributeError):
                    continue
                _library = found
                break
            if _library is not None and not _is_compatible(_library):
                _library = None
        return _library


def _library_candidates() -> list[str]:
    """Where libcrypto may be; first the very one that Python's own hashlib has loaded.

    On macOS none is tried: loading the system's unversioned library ends the process.
    """
    if sys.platform != "linux":
        return []
    found: list[str] = []
    try:
        import _hashlib  # noqa: F401 - to have its library mapped
        from pathlib import Path

        for line in Path("/proc/self/maps").read_text().splitlines():
            path = line.split(" ", 5)[-1].strip()
            if "libcrypto" in path and path.startswith("/") and path not in found:
                found.append(path)
    except (ImportError, OSError):
        pass
    return [*found, "libcrypto.so.3", "libcrypto.so.1.1"]


def _is_compatible(library: Any) -> bool:
    """Hash a known text across a state that is taken out and put back, as two contexts."""
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
    out = ctypes.create_string_buffer(32)
    library.SHA256_Final(out, second)
    return out.raw == hashlib.sha256(text).digest()
