"""A line on stderr for what takes its time."""

from __future__ import annotations

import sys
import threading
import time


class Progress:
    """A line when it starts, one every 15 seconds, and one when it is done."""

    def __init__(self, what: str, say: bool = True) -> None:
        self.what, self.say = what, say
        self.started = time.monotonic()
        self._done = threading.Event()

    def __enter__(self) -> None:
        if self.say:
            print(f"{self.what} …", file=sys.stderr, flush=True)
            threading.Thread(target=self._tick, daemon=True).start()

    def _tick(self) -> None:
        while not self._done.wait(15):
            spent = time.monotonic() - self.started
            print(f"{self.what} … {spent:.0f} s", file=sys.stderr, flush=True)

    def __exit__(self, kind: object, *_: object) -> None:
        self._done.set()
        if self.say:
            word = "failed" if kind else "done"
            spent = time.monotonic() - self.started
            print(f"{self.what}: {word} in {spent:.0f} s", file=sys.stderr, flush=True)
