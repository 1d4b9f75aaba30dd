"""Threads that share connections while that is quicker than to make more of them."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")

_MAX_REQUESTS = 8
"""Requests under way at the same time."""
_MIN_REQUESTS = 2
"""As many as that while each is answered at once."""
_GROW_AFTER = 0.03
"""Seconds that a request waits for one of the few to end. A connection more costs its TLS handshake
(4 ms of work for us, and two round trips), a list of a small cluster 1 ms: with eight at once the
handshakes would be most of the work. Where answers take longer than this, all eight go."""


class AdaptiveExecutor:
    """Runs requests side by side; a context manager that waits for all of them."""

    def __init__(self) -> None:
        self._threads = ThreadPoolExecutor(_MAX_REQUESTS)
        self._slots = threading.Semaphore(_MIN_REQUESTS)

    def __enter__(self) -> AdaptiveExecutor:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, err: BaseException | None, at: TracebackType | None
    ) -> None:
        self._threads.shutdown()

    def submit(self, work: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """Begin it, now or when its turn comes."""

        def in_turn() -> T:
            turn = self._slots.acquire(timeout=_GROW_AFTER)
            try:
                return work(*args, **kwargs)
            finally:
                if turn:
                    self._slots.release()

        return self._threads.submit(in_turn)
