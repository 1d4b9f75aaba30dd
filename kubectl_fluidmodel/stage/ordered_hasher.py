"""Hashes the parts of a file in order, regardless of their order of arrival."""

from __future__ import annotations

import threading
from collections.abc import Callable

from kubectl_fluidmodel.stage.file_hasher import FileHasher


class OrderedHasher:
    """Hashes parts on the threads that add them, one thread at a time. Thread-safe.

    The thread that adds the next part in order hashes it and all consecutive parts that have
    arrived. The other threads add their part and return.
    """

    def __init__(
        self, hasher: FileHasher, parts_hashed: int, release_buffer: Callable[[bytearray], None]
    ) -> None:
        """Start after `parts_hashed` parts; `release_buffer` receives each part's buffer."""
        self.parts_hashed = parts_hashed
        self._hasher = hasher
        self._release_buffer = release_buffer
        self._lock = threading.Lock()
        self._waiting: dict[int, bytearray] = {}
        self._states = {parts_hashed: hasher.export_state()} if parts_hashed else {}
        self._is_hashing = False
        self._cancelled = False

    def add(self, number: int, buffer: bytearray) -> None:
        """Hash a part now, or leave it for the thread that is hashing."""
        with self._lock:
            cancelled = self._cancelled
            if not cancelled:
                self._waiting[number] = buffer
                if self._is_hashing:
                    return
                self._is_hashing = True
        if cancelled:
            self._release_buffer(buffer)
        else:
            self._hash_waiting()

    def _hash_waiting(self) -> None:
        while True:
            with self._lock:
                buffer = self._waiting.pop(self.parts_hashed, None)
                if buffer is None:
                    self._is_hashing = False
                    return
            self._hasher.update(memoryview(buffer))
            with self._lock:
                self.parts_hashed += 1
                self._states[self.parts_hashed] = self._hasher.export_state()
            self._release_buffer(buffer)

    def cancel(self) -> None:
        """Release the waiting buffers, and those of parts that are added later."""
        with self._lock:
            self._cancelled = True
            buffers = list(self._waiting.values())
            self._waiting.clear()
        for buffer in buffers:
            self._release_buffer(buffer)

    def state_after(self, parts: int) -> bytes:
        """The hash state after so many parts, empty if unknown; forget the states before it."""
        with self._lock:
            for old in [count for count in self._states if count < parts]:
                del self._states[old]
            return self._states.get(parts, b"")

    def matches(self) -> bool:
        """Whether the parts hashed so far are the whole file that the plan lists."""
        return self._hasher.matches()
