"""Reads a file from the Hub in parts, with retries.

A broken connection resumes at the byte where it broke. A connection without data for the stall
timeout counts as broken; a slow one does not. If a server ignores Range, the file is read once, in
order. If it does so only occasionally, as an edge of a CDN may, the request is retried.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable

from kubectl_fluidmodel.hub.client import HubClient
from kubectl_fluidmodel.hub.range_request import (
    RangeNotSupportedError,
    RangeRequester,
    SizeMismatchError,
)
from kubectl_fluidmodel.hub.response_reader import ResponseReader
from kubectl_fluidmodel.model.plan import PlanFile, StagingPlan
from kubectl_fluidmodel.net.retry_budget import (
    MAX_REQUESTED_DELAY,
    CancelledError,
    RetryBudget,
    TransientError,
)

_SKIP_BUFFER = 256 << 10
"""Bytes that are skipped at a time."""
_MAX_SIZE_MISMATCHES = 4
"""Consecutive responses with a size that differs from the tree's, before the file fails."""
_MAX_IGNORED_RANGES = 3
"""Consecutive times that a server which has sent ranges before may ignore Range, before the file is
read in order."""

OnBlock = Callable[[memoryview], None]


class HubFileReader:
    """Reads parts of one file. Safe to share between threads."""

    def __init__(
        self,
        hub: HubClient,
        plan: StagingPlan,
        file: PlanFile,
        *,
        retry_timeout: float,
        stop: threading.Event,
        on_bytes: Callable[[int], None],
        on_retry: Callable[[str], None],
    ) -> None:
        """Create the reader; nothing is sent.

        Args:
            hub: the Hub, with its credentials.
            plan: the repository and the commit.
            file: the file.
            retry_timeout: seconds to retry without any progress.
            stop: ends reads and waits when it is set.
            on_bytes: receives the number of bytes of each block.
            on_retry: receives the reason of each retry.
        """
        self._requests = RangeRequester(hub, plan, file)
        self._size = file.size
        self._retry_timeout, self._stop = retry_timeout, stop
        self._turn_timeout = MAX_REQUESTED_DELAY + retry_timeout + hub.http.stall_timeout
        self._on_bytes, self._on_retry = on_bytes, on_retry
        self._is_sequential = self._is_cancelled = False
        self._turn_changed = threading.Condition()
        self._pending_starts: list[int] = []
        self._stream: ResponseReader | None = None
        self._position = 0
        self._last_read_at = time.monotonic()

    def set_read_order(self, starts: Iterable[int]) -> None:
        """Set where the parts start that will be read.

        If the server ignores Range, they are read in this order, even if other parts have been read
        by range.
        """
        with self._turn_changed:
            self._pending_starts = sorted(starts, reverse=True)

    def read(self, start: int, view: memoryview, on_block: OnBlock | None = None) -> None:
        """Fill `view` with the bytes from `start` on; `on_block` receives every block as it comes.

        Raises:
            HubFileError: the file is not what the Hub's tree lists.
            FluidModelError: the Hub refuses the request.
            UnreachableError: there was no progress for the retry timeout.
            CancelledError: the run or this file is stopped.
        """
        try:
            received = 0 if self._is_sequential else self._read_range(start, view, on_block)
            if received < len(view):
                self._read_sequentially(start, received, view, on_block)
        finally:
            self._end_turn(start)

    def cancel(self) -> None:
        """End the waits of all parts: the file has failed."""
        with self._turn_changed:
            self._is_cancelled = True
            self._turn_changed.notify_all()

    def close(self) -> None:
        """Close the connection of a file that is read in order."""
        if self._stream is not None:
            self._stream.close()
            self._stream = None

    # -- by range ----------------------------------------------------------------------------

    def _read_range(self, start: int, view: memoryview, on_block: OnBlock | None) -> int:
        """Like `read`, but ends early if the server ignores Range.

        Returns:
            The bytes read; the rest has to be read in order. `on_block` has received these bytes,
            so none of them may be read again.
        """
        budget = RetryBudget(self._retry_timeout, self._stop)
        received = size_mismatches = ignored_ranges = 0
        while received < len(view):
            try:
                received += self._read_body(start + received, view[received:], budget, on_block)
                ignored_ranges = 0
            except RangeNotSupportedError:
                ignored_ranges += 1
                if not self._requests.ranges_worked or ignored_ranges >= _MAX_IGNORED_RANGES:
                    self._is_sequential = True
                    self._on_retry("the server ignores Range: reading the file in order")
                    break
                self._on_retry("the server ignored Range")
                if self._stop.wait(0.2 * ignored_ranges):
                    raise CancelledError from None
            except TransientError as err:
                is_mismatch = isinstance(err, SizeMismatchError)
                size_mismatches = size_mismatches + 1 if is_mismatch else 0
                if size_mismatches >= _MAX_SIZE_MISMATCHES:
                    raise err.final_error from err
                self._on_retry(err.reason)
                budget.wait(err)
        return received

    def _read_body(
        self, start: int, view: memoryview, budget: RetryBudget, on_block: OnBlock | None
    ) -> int:
        """Request the bytes of `view`, and read what one response delivers of them."""
        body = self._requests.open(start, start + len(view), self._stop)
        try:
            received = self._fill(body, view, budget, on_block)
        finally:
            body.close()
        if not received:
            raise self._requests.read_error("the body ended before its first byte")
        return received

    def _fill(
        self, body: ResponseReader, view: memoryview, budget: RetryBudget, on_block: OnBlock | None
    ) -> int:
        """Read into `view` until it is full, the body ends or the connection breaks.

        Returns:
            The bytes read.

        Raises:
            TransientError: the connection broke before the first byte.
        """
        import urllib3

        received = 0
        try:
            while received < len(view):
                count = body.readinto(view[received:])
                if not count:
                    break
                if on_block is not None:
                    on_block(view[received : received + count])
                received += count
                self._on_bytes(count)
                self._last_read_at = time.monotonic()
                budget.reset()
                if self._stop.is_set():
                    raise CancelledError
        except (urllib3.exceptions.HTTPError, OSError) as err:
            error = self._requests.connection_error(err)
            if not received:
                raise error from err
            self._on_retry(error.reason)
        return received

    # -- in order ----------------------------------------------------------------------------

    def _read_sequentially(
        self, start: int, received: int, view: memoryview, on_block: OnBlock | None
    ) -> None:
        """Read what `view` lacks after `received` bytes, from the response that all parts share."""
        with self._turn_changed:
            self._wait_for_turn(start)
            budget = RetryBudget(self._retry_timeout, self._stop)
            while received < len(view):
                try:
                    received += self._advance(start + received, view[received:], budget, on_block)
                except TransientError as err:
                    self.close()
                    self._on_retry(err.reason)
                    budget.wait(err)
            if self._pending_starts == [start]:
                self.close()

    def _wait_for_turn(self, start: int) -> None:
        """Wait until all earlier parts are read, as long as any part makes progress.

        Raises:
            UnreachableError: no part made progress for longer than one may take.
            CancelledError: the run or this file is stopped.
        """
        began = time.monotonic()
        while self._pending_starts and self._pending_starts[-1] < start:
            if self._stop.is_set() or self._is_cancelled:
                raise CancelledError
            if time.monotonic() - max(began, self._last_read_at) > self._turn_timeout:
                raise self._requests.read_error("the parts before this one are missing").final_error
            self._turn_changed.wait(0.2)

    def _end_turn(self, start: int) -> None:
        """The part is read or has failed, so the next one does not have to wait for it."""
        with self._turn_changed:
            if start in self._pending_starts:
                self._pending_starts.remove(start)
            self._turn_changed.notify_all()

    def _advance(
        self, offset: int, view: memoryview, budget: RetryBudget, on_block: OnBlock | None
    ) -> int:
        """Read into `view` from `offset` on, skipping what the response has before it."""
        if self._stream is None or self._position > offset:
            self.close()
            self._stream = self._requests.open(0, self._size, self._stop)
            self._position = 0
        skip_buffer = memoryview(bytearray(min(_SKIP_BUFFER, offset - self._position)))
        while self._position < offset:
            self._read_stream(self._stream, skip_buffer[: offset - self._position], budget, None)
        return self._read_stream(self._stream, view, budget, on_block)

    def _read_stream(
        self,
        stream: ResponseReader,
        view: memoryview,
        budget: RetryBudget,
        on_block: OnBlock | None,
    ) -> int:
        count = self._fill(stream, view, budget, on_block)
        if not count:
            raise self._requests.read_error("the body ended early")
        self._position += count
        return count
