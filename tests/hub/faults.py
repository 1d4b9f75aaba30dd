"""What can go wrong at the Hub, as values that a test switches on."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field

from tests.fault_rule import FaultRule


@dataclass
class Fault(FaultRule):
    """One fault.

    kinds:
        status   answer with `status` and `headers` (429, 5xx, 403 …)
        drop     reset the connection after `after` bytes of the body
        stall    stop sending after `after` bytes for `seconds`, then go on
        short    a whole answer whose body lacks its last `count` bytes
        long     a whole answer whose body has `count` bytes more
        wrong    flip a byte at `after`; the size stays
        norange  answer 200 with the whole file whatever Range says
        nolength no Content-Length: the body ends with the connection
        move     move the branch before answering (`action` does it)
    """

    on: str = "any"
    """`hub`, `cdn` or `any`."""
    status: int = 500
    headers: Mapping[str, str] = field(default_factory=dict)
    after: int = 0
    count: int = 1
    seconds: float = 0.0
    action: object = None

    def applies_on(self, server: str, method: str, path: str) -> bool:
        """Whether it happens to this request of one of the two servers; counts it."""
        return self.on in ("any", server) and self.applies_to(method, path)


class TokenBucket:
    """A token bucket: `take` waits until so many bytes may go. A rate of 0 is no limit."""

    def __init__(self, rate: float) -> None:
        self.rate = rate
        self._lock = threading.Lock()
        self._free_at = 0.0

    def take(self, count: int) -> None:
        if not self.rate:
            return
        with self._lock:
            now = time.monotonic()
            # Idle time is worth at most 20 ms of tokens: a cap that bursts is none.
            start = max(self._free_at, now - 0.02)
            self._free_at = start + count / self.rate
            wait = self._free_at - now
        if wait > 0:
            time.sleep(wait)
