"""Reading a file from the Hub in ranges, whatever happens on the way.

Large files are redirected to storage by links that expire: the link is kept until it is refused
and then asked for anew. The token goes to the Hub's own host only (`Http` sees to that). A
connection that breaks is taken up where it broke; one that brings nothing for `stall` seconds
counts as broken, a slow one does not. A server that ignores Range is read once, in order; one
that only does so now and then, as an edge of a CDN may, is asked again.
"""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable, Iterable
from typing import Any
from urllib.parse import urljoin, urlsplit

from kubectl_fluidmodel.errors import UnreachableError
from kubectl_fluidmodel.hub.client import HubClient
from kubectl_fluidmodel.hub.http import error_from_response
from kubectl_fluidmodel.hub.response_reader import ResponseReader
from kubectl_fluidmodel.model.plan import PlanFile
from kubectl_fluidmodel.net.retry_budget import (
    MAX_REQUESTED_DELAY,
    CancelledError,
    RetryBudget,
    TransientError,
)
from kubectl_fluidmodel.stage.errors import FileStagingError

_SKIP_BUFFER = 256 << 10
"""Bytes of a block that is read over."""
_REDIRECTS = (301, 302, 303, 307, 308)
_EXPIRED_STATUSES = (400, 401, 403, 404, 410)
"""How storage hosts say that a signed link is over."""
_MAX_SIZE_MISMATCHES = 4
"""Answers of another size than the tree's in a row, before they are the Hub's last word."""
_MAX_IGNORED_RANGES = 3
"""Whole files in a row, of a server that has sent ranges before, until it is read in order."""


OnBlock = Callable[[memoryview], None]


class RangeNotSupportedError(Exception):
    """The server sends the whole file whatever part is asked for."""


class HubFileReader:
    """One file at the Hub."""

    def __init__(
        self,
        hub: HubClient,
        repo: str,
        commit: str,
        file: PlanFile,
        *,
        retry_timeout: float,
        stop: threading.Event,
        on_bytes: Callable[[int], None],
        on_retry: Callable[[str], None],
    ) -> None:
        self.hub, self.repo, self.commit, self.file = hub, repo, commit, file
        self._resolve_url = hub.file_url(repo, commit, file.path)
        self._link = self._resolve_url
        self._lock = threading.Lock()
        self._retry_timeout, self._stop = retry_timeout, stop
        self._on_bytes, self._on_retry = on_bytes, on_retry
        self._sequential = self._ranges_worked = False
        self._cancelled = False
        self._turn_changed = threading.Condition()
        self._stream: ResponseReader | None = None
        self._position = 0
        self._pending_starts: list[int] = []
        self._last_read_at = time.monotonic()

    def set_read_order(self, starts: Iterable[int]) -> None:
        """Say where the parts begin that will be read, in their order.

        A server that ignores Range is read in that order, whatever else has come by ranges.
        """
        with self._turn_changed:
            self._pending_starts = sorted(starts, reverse=True)

    def read(self, start: int, view: memoryview, on_block: OnBlock | None = None) -> None:
        """Fill `view` with the bytes from `start` on; `each` sees every block as it comes.

        Raises:
            FluidModelError: the Hub refuses, or the file is not what its tree says.
            UnreachableError: no progress for too long.
            CancelledError: stopped.
        """
        try:
            if not self._sequential:
                try:
                    return self._read_range(start, view, on_block)
                except RangeNotSupportedError:
                    self._sequential = True
                    self._on_retry("the server ignores Range: reading in order")
            self._read_sequentially(start, view, on_block)
        finally:
            self._end_turn(start)
        return None

    def _end_turn(self, start: int) -> None:
        """A part is read, or has failed: the next one's turn does not wait for it."""
        with self._turn_changed:
            if start in self._pending_starts:
                self._pending_starts.remove(start)
            self._turn_changed.notify_all()

    def cancel(self) -> None:
        """Let go of those who wait for their turn: the file has failed."""
        with self._turn_changed:
            self._cancelled = True
            self._turn_changed.notify_all()

    def close(self) -> None:
        if self._stream is not None:
            self._stream.close()
            self._stream = None

    # -- by range ----------------------------------------------------------------------------

    def _read_range(self, start: int, view: memoryview, on_block: OnBlock | None) -> None:
        budget = RetryBudget(self._retry_timeout, self._stop)
        got, size_mismatches, ignored_ranges = 0, 0, 0
        while got < len(view):
            try:
                body = ResponseReader(self._request_range(start + got, start + len(view)))
                start_of_body = got
                try:
                    got += self._fill(body, view[got:], budget, on_block)
                finally:
                    body.close()
                ignored_ranges = 0
                if got == start_of_body:
                    raise self._read_error("the body ended before it began")
            except RangeNotSupportedError:
                ignored_ranges += 1
                if not self._ranges_worked or ignored_ranges >= _MAX_IGNORED_RANGES:
                    raise
                self._on_retry("the server ignores Range for once")
                if self._stop.wait(0.2 * ignored_ranges):
                    raise CancelledError from None
            except TransientError as err:
                size_mismatches = size_mismatches + 1 if isinstance(err, _SizeMismatchError) else 0
                if size_mismatches >= _MAX_SIZE_MISMATCHES:
                    raise err.final_error from err
                self._on_retry(err.reason)
                budget.wait(err)

    def _fill(
        self,
        body: ResponseReader,
        view: memoryview,
        budget: RetryBudget,
        on_block: OnBlock | None = None,
    ) -> int:
        """Read into the view until it is full or the body is over; returns how far it came.

        Raises:
            TransientError: the connection broke before anything came.
        """
        import urllib3

        got = 0
        try:
            while got < len(view):
                count = body.readinto(view[got:])
                if not count:
                    break
                if on_block is not None:
                    on_block(view[got : got + count])
                got += count
                self._on_bytes(count)
                self._last_read_at = time.monotonic()
                budget.reset()
                if self._stop.is_set():
                    raise CancelledError
        except (urllib3.exceptions.HTTPError, OSError) as err:
            broken = self.hub.http.connection_error(self._link, err)
            if not got:
                raise broken from err
            self._on_retry(broken.reason)
        return got

    def _request_range(self, start: int, end: int) -> Any:
        """The response to a request for bytes from `start` up to before `end`.

        Raises:
            RangeNotSupportedError: it would send the whole file.
            TransientError: another attempt may do.
        """
        is_whole_file = start == 0 and end == self.file.size
        headers = {} if is_whole_file else {"Range": f"bytes={start}-{end - 1}"}
        with self._lock:
            url = self._link
        for _ in range(6):
            response = self.hub.http.send(
                "GET", url, headers=headers, preload=False, stop=self._stop
            )
            if response.status not in _REDIRECTS:
                break
            target = urljoin(url, response.headers.get("Location", ""))
            response.drain_conn()
            response.release_conn()
            self._check_linked_size(response)
            with self._lock:
                self._link = url = target
        else:
            raise self._read_error("it redirects in a circle")
        if response.status >= 400 and response.status != 416:
            self._raise_refusal(url, response)
        return self._validate_response(response, start, end, is_whole_file)

    def _raise_refusal(self, url: str, response: Any) -> None:
        status = response.status
        if url != self._resolve_url and status in _EXPIRED_STATUSES:
            response.close()
            with self._lock:
                if self._link == url:
                    self._link = self._resolve_url
            raise TransientError(
                f"{urlsplit(url).netloc} refuses the hub's link ({status})",
                UnreachableError(
                    f"cannot read {self.file.path}",
                    f"the hub's links to its storage are refused ({status})",
                    "check this machine's clock and proxy",
                ),
                answered=True,
            )
        response.close()
        raise error_from_response(self.hub.credentials, self.repo, self.commit, url, response)

    def _validate_response(self, response: Any, start: int, end: int, is_whole_file: bool) -> Any:
        """The response, if its headers speak of the file that the tree has."""
        size = self.file.size
        if response.status == 206:
            content_range = re.fullmatch(
                r"bytes (\d+)-(\d+)/(\d+|\*)", response.headers.get("Content-Range", "").strip()
            )
            if content_range and content_range[3] not in ("*", str(size)):
                response.close()
                raise self._size_mismatch(content_range[3])
            length = response.headers.get("Content-Length", "")
            if int(content_range[1]) != start if content_range else length != str(end - start):
                response.close()
                where = (
                    f"bytes from {content_range[1]}"
                    if content_range
                    else "a part that it does not name"
                )
                raise self._read_error(f"it sent {where} instead of those from {start}")
            self._ranges_worked = True
            return response
        if response.status == 416:
            response.close()
            raise self._size_mismatch("fewer")
        if response.status != 200:
            response.close()
            raise self._read_error(f"it answers {response.status}")
        length = response.headers.get("Content-Length")
        if length is not None and int(length) != size:
            response.close()
            raise self._size_mismatch(length)
        if not is_whole_file:
            response.close()
            raise RangeNotSupportedError
        return response

    def _check_linked_size(self, response: Any) -> None:
        """What the redirect itself says of the file."""
        linked_size = response.headers.get("X-Linked-Size")
        if linked_size and linked_size != str(self.file.size):
            raise self._size_mismatch(linked_size)

    # -- in order ----------------------------------------------------------------------------

    def _read_sequentially(self, start: int, view: memoryview, on_block: OnBlock | None) -> None:
        """As `read`, from the one stream that all parts of the file share."""
        with self._turn_changed:
            self._wait_for_turn(start)
            budget = RetryBudget(self._retry_timeout, self._stop)
            got = 0
            while got < len(view):
                try:
                    got += self._advance(start + got, view[got:], budget, on_block)
                except TransientError as err:
                    self.close()
                    self._on_retry(err.reason)
                    budget.wait(err)
            if self._pending_starts == [start]:
                self.close()

    def _wait_for_turn(self, start: int) -> None:
        """Until no part before this one is still to come; as long as any of them moves.

        Raises:
            UnreachableError: none has moved for as long as one alone may take.
        """
        began = time.monotonic()
        while self._pending_starts and self._pending_starts[-1] < start:
            if self._stop.is_set() or self._cancelled:
                raise CancelledError
            idle_seconds = time.monotonic() - max(began, self._last_read_at)
            if (
                idle_seconds
                > MAX_REQUESTED_DELAY + self._retry_timeout + self.hub.http.stall_timeout
            ):
                raise self._read_error("the parts before this one do not come").final_error
            self._turn_changed.wait(0.2)

    def _advance(
        self, offset: int, view: memoryview, budget: RetryBudget, on_block: OnBlock | None
    ) -> int:
        """Fill the view from `offset` on, reading over what the stream has before it."""
        if self._stream is None or self._position > offset:
            self.close()
            self._stream = ResponseReader(self._request_range(0, self.file.size))
            self._position = 0
        skip_buffer = memoryview(bytearray(min(_SKIP_BUFFER, offset - self._position)))
        while self._position < offset:
            self._read_stream(skip_buffer[: offset - self._position], budget, None)
        return self._read_stream(view, budget, on_block)

    def _read_stream(self, view: memoryview, budget: RetryBudget, on_block: OnBlock | None) -> int:
        stream = self._stream
        count = self._fill(stream, view, budget, on_block) if stream is not None else 0
        if not count:
            raise self._read_error("the body ended early")
        self._position += count
        return count

    # -- words -------------------------------------------------------------------------------

    def _read_error(self, reason: str) -> TransientError:
        return TransientError(
            reason, UnreachableError(f"cannot read {self.file.path} from the hub", reason)
        )

    def _size_mismatch(self, hub_size: str) -> TransientError:
        reason = f"the hub has {hub_size} bytes of it, its tree says {self.file.size}"
        return _SizeMismatchError(
            reason, FileStagingError(f"cannot stage {self.file.path}", reason)
        )


class _SizeMismatchError(TransientError):
    """An answer of another size than the tree's."""
