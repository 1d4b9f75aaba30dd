"""What can go wrong at the Hub, as values that a test switches on."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass
class Fault:
    """One fault, for the requests that it matches, at most `times` times.

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

    kind: str
    match: str = ""
    """Regular expression searched in the path with its query."""
    on: str = "any"
    """`hub`, `cdn` or `any`."""
    method: str = ""
    times: int | None = None
    skip: int = 0
    """Matching requests that pass before the first."""
    status: int = 500
    headers: Mapping[str, str] = field(default_factory=dict)
    after: int = 0
    count: int = 1
    seconds: float = 0.0
    action: object = None
    hits: int = 0

    def __post_init__(self) -> None:
        self._lock = threading.Lock()
        self._pattern = re.compile(self.match)

    def strikes(self, on: str, method: str, path: str) -> bool:
        """Whether it happens to this request; counts it."""
        if self.on not in ("any", on) or self.method not in ("", method):
            return False
        if not self._pattern.search(path):
            return False
        with self._lock:
            if self.skip > 0:
                self.skip -= 1
                return False
            if self.times is not None and self.hits >= self.times:
                return False
            self.hits += 1
            return True


class Bucket:
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
