"""A thread pool that starts with 2 connections and grows to 8 when responses are slow."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")

_MAX_REQUESTS = 8
"""Maximum number of parallel requests."""
_MIN_REQUESTS = 2
"""Parallel requests while responses are fast."""
_GROW_AFTER = 0.03
"""Seconds that a request waits for a free connection before it opens one more. A connection costs a
TLS handshake (4 ms of CPU and two round trips), a list of a small cluster 1 ms: with eight
connections the handshakes would be most of the work."""


class AdaptiveExecutor:
    """Runs requests in parallel; as a context manager it waits for all of them."""

    def __init__(self) -> None:
        self._threads = ThreadPoolExecutor(_MAX_REQUESTS)
        self._slots = threading.Semaphore(_MIN_REQUESTS)

    def __enter__(self) -> AdaptiveExecutor:
        return self

    def __exit__(self, *_: object) -> None:
        self._threads.shutdown()

    def submit(self, work: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """Run a function now, or as soon as a connection is free or `_GROW_AFTER` has passed."""

        def in_turn() -> T:
            turn = self._slots.acquire(timeout=_GROW_AFTER)
            try:
                return work(*args, **kwargs)
            finally:
                if turn:
                    self._slots.release()

        return self._threads.submit(in_turn)
