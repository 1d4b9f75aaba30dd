"""Which requests a switched-on fault strikes, whatever the fault is."""

from __future__ import annotations

import re
import threading
from dataclasses import dataclass, field


@dataclass
class FaultRule:
    """Requests by method and path: all but the first `skip`, and at most `times`."""

    kind: str
    match: str = ""
    """Regular expression searched in the path with its query."""
    method: str = ""
    """GET, PUT …; all where empty."""
    times: int | None = None
    skip: int = 0
    """Matching requests that pass before the first."""
    hits: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def applies_to(self, method: str, path: str) -> bool:
        """Whether it happens to this request; counts it."""
        if self.method not in ("", method) or not re.search(self.match, path):
            return False
        with self._lock:
            if self.skip > 0:
                self.skip -= 1
                return False
            if self.times is not None and self.hits >= self.times:
                return False
            self.hits += 1
            return True
