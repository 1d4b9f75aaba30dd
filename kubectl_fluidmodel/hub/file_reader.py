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

from kubectl_fluidmodel.errors import Unreachable
from kubectl_fluidmodel.hub.client import Hub
from kubectl_fluidmodel.hub.http import refusal
from kubectl_fluidmodel.hub.response_reader import Body
from kubectl_fluidmodel.model.plan import PlanFile
from kubectl_fluidmodel.net.retry_budget import LONGEST_WAIT, Cancelled, Passing, Patience
from kubectl_fluidmodel.stage.errors import FileError

_SKIPPED = 256 << 10
"""Bytes of a block that is read over."""
_REDIRECTS = (301, 302, 303, 307, 308)
_EXPIRED = (400, 401, 403, 404, 410)
"""How storage hosts say that a signed link is over."""
_ODD_ANSWERS = 4
"""Answers of another size than the tree's in a row, before they are the Hub's last word."""
_WHOLE_ANSWERS = 3
"""Whole files in a row, of a server that has sent ranges before, until it is read in order."""


OnBlock = Callable[[memoryview], None]


class NoRanges(Exception):
    """The server sends the whole file whatever part is asked for."""


class Origin:
    """One file at the Hub."""

    def __init__(
        self,
        hub: Hub,
        repo: str,
        commit: str,
        file: PlanFile,
        *,
        patience: float,
        stop: threading.Event,
        on_bytes: Callable[[int], None],
        on_retry: Callable[[str], None],
    ) -> None:
        self.hub, self.repo, self.commit, self.file = hub, repo, commit, file
        self._first = hub.file_url(repo, commit, file.path)
        self._link = self._first
        self._lock = threading.Lock()
        self._patience, self._stop = patience, stop
        self._on_bytes, self._on_retry = on_bytes, on_retry
        self._in_turn = self._ranged = False
        self._killed = False
        self._turn = threading.Condition()
        self._stream: Body | None = None
        self._position = 0
        self._left: list[int] = []
        self._moved = time.monotonic()

    def expect(self, starts: Iterable[int]) -> None:
        """Say where the parts begin that will be read, in their order.

        A server that ignores Range is read in that order, whatever else has come by ranges.
        """
        with self._turn:
            self._left = sorted(starts, reverse=True)

    def read(self, start: int, view: memoryview, each: OnBlock | None = None) -> None:
        """Fill `view` with the bytes from `start` on; `each` sees every block as it comes.

        Raises:
            FluidModelError: the Hub refuses, or the file is not what its tree says.
            Unreachable: no progress for too long.
            Cancelled: stopped.
        """
        try:
            if not self._in_turn:
                try:
                    return self._read_range(start, view, each)
                except NoRanges:
                    self._in_turn = True
                    self._on_retry("the server ignores Range: reading in order")
            self._read_in_turn(start, view, each)
        finally:
            self._over(start)
        return None

    def _over(self, start: int) -> None:
        """A part is read, or has failed: the next one's turn does not wait for it."""
        with self._turn:
            if start in self._left:
                self._left.remove(start)
            self._turn.notify_all()

    def kill(self) -> None:
        """Let go of those who wait for their turn: the file has failed."""
        with self._turn:
            self._killed = True
            self._turn.notify_all()

    def close(self) -> None:
        if self._stream is not None:
            self._stream.close()
            self._stream = None

    # -- by range ----------------------------------------------------------------------------

    def _read_range(self, start: int, view: memoryview, each: OnBlock | None) -> None:
        patience = Patience(self._patience, self._stop)
        got, odd, whole = 0, 0, 0
        while got < len(view):
            try:
                body = Body(self._open(start + got, start + len(view)))
                begun = got
                try:
                    got += self._fill(body, view[got:], patience, each)
                finally:
                    body.close()
                whole = 0
                if got == begun:
                    raise self._broke("the body ended before it began")
            except NoRanges:
                whole += 1
                if not self._ranged or whole >= _WHOLE_ANSWERS:
                    raise
                self._on_retry("the server ignores Range for once")
                if self._stop.wait(0.2 * whole):
                    raise Cancelled from None
            except Passing as err:
                odd = odd + 1 if isinstance(err, _Odd) else 0
                if odd >= _ODD_ANSWERS:
                    raise err.final from err
                self._on_retry(err.why)
                patience.pause(err)

    def _fill(
        self, body: Body, view: memoryview, patience: Patience, each: OnBlock | None = None
    ) -> int:
        """Read into the view until it is full or the body is over; returns how far it came.

        Raises:
            Passing: the connection broke before anything came.
        """
        import urllib3

        got = 0
        try:
            while got < len(view):
                count = body.into(view[got:])
                if not count:
                    break
                if each is not None:
                    each(view[got : got + count])
                got += count
                self._on_bytes(count)
                self._moved = time.monotonic()
                patience.progress()
                if self._stop.is_set():
                    raise Cancelled
        except (urllib3.exceptions.HTTPError, OSError) as err:
            broken = self.hub.http.no_answer(self._link, err)
            if not got:
                raise broken from err
            self._on_retry(broken.why)
        return got

    def _open(self, start: int, end: int) -> Any:
        """The response to a request for bytes from `start` up to before `end`.

        Raises:
            NoRanges: it would send the whole file.
            Passing: another attempt may do.
        """
        whole = start == 0 and end == self.file.size
        headers = {} if whole else {"Range": f"bytes={start}-{end - 1}"}
        with self._lock:
            url = self._link
        for _ in range(6):
            response = self.hub.http.send("GET", url, headers=headers, whole=False, stop=self._stop)
            if response.status not in _REDIRECTS:
                break
            target = urljoin(url, response.headers.get("Location", ""))
            response.drain_conn()
            response.release_conn()
            self._check_link(response)
            with self._lock:
                self._link = url = target
        else:
            raise self._broke("it redirects in a circle")
        if response.status >= 400 and response.status != 416:
            self._refused(url, response)
        return self._checked(response, start, end, whole)

    def _refused(self, url: str, response: Any) -> None:
        status = response.status
        if url != self._first and status in _EXPIRED:
            response.close()
            with self._lock:
                if self._link == url:
                    self._link = self._first
            raise Passing(
                f"{urlsplit(url).netloc} refuses the hub's link ({status})",
                Unreachable(
                    f"cannot read {self.file.path}",
                    f"the hub's links to its storage are refused ({status})",
                    "check this machine's clock and proxy",
                ),
                answered=True,
            )
        response.close()
        raise refusal(self.hub.who, self.repo, self.commit, url, response)

    def _checked(self, response: Any, start: int, end: int, whole: bool) -> Any:
        """The response, if its headers speak of the file that the tree has."""
        size = self.file.size
        if response.status == 206:
            told = re.fullmatch(
                r"bytes (\d+)-(\d+)/(\d+|\*)", response.headers.get("Content-Range", "").strip()
            )
            if told and told[3] not in ("*", str(size)):
                response.close()
                raise self._odd(told[3])
            length = response.headers.get("Content-Length", "")
            if int(told[1]) != start if told else length != str(end - start):
                response.close()
                where = f"bytes from {told[1]}" if told else "a part that it does not name"
                raise self._broke(f"it sent {where} instead of those from {start}")
            self._ranged = True
            return response
        if response.status == 416:
            response.close()
            raise self._odd("fewer")
        if response.status != 200:
            response.close()
            raise self._broke(f"it answers {response.status}")
        length = response.headers.get("Content-Length")
        if length is not None and int(length) != size:
            response.close()
            raise self._odd(length)
        if not whole:
            response.close()
            raise NoRanges
        return response

    def _check_link(self, response: Any) -> None:
        """What the redirect itself says of the file."""
        told = response.headers.get("X-Linked-Size")
        if told and told != str(self.file.size):
            raise self._odd(told)

    # -- in order ----------------------------------------------------------------------------

    def _read_in_turn(self, start: int, view: memoryview, each: OnBlock | None) -> None:
        """As `read`, from the one stream that all parts of the file share."""
        with self._turn:
            self._wait_for_turn(start)
            patience = Patience(self._patience, self._stop)
            got = 0
            while got < len(view):
                try:
                    got += self._advance(start + got, view[got:], patience, each)
                except Passing as err:
                    self.close()
                    self._on_retry(err.why)
                    patience.pause(err)
            if self._left == [start]:
                self.close()

    def _wait_for_turn(self, start: int) -> None:
        """Until no part before this one is still to come; as long as any of them moves.

        Raises:
            Unreachable: none has moved for as long as one alone may take.
        """
        began = time.monotonic()
        while self._left and self._left[-1] < start:
            if self._stop.is_set() or self._killed:
                raise Cancelled
            still = time.monotonic() - max(began, self._moved)
            if still > LONGEST_WAIT + self._patience + self.hub.http.stall:
                raise self._broke("the parts before this one do not come").final
            self._turn.wait(0.2)

    def _advance(
        self, offset: int, view: memoryview, patience: Patience, each: OnBlock | None
    ) -> int:
        """Fill the view from `offset` on, reading over what the stream has before it."""
        if self._stream is None or self._position > offset:
            self.close()
            self._stream = Body(self._open(0, self.file.size))
            self._position = 0
        spare = memoryview(bytearray(min(_SKIPPED, offset - self._position)))
        while self._position < offset:
            self._take(spare[: offset - self._position], patience, None)
        return self._take(view, patience, each)

    def _take(self, view: memoryview, patience: Patience, each: OnBlock | None) -> int:
        stream = self._stream
        count = self._fill(stream, view, patience, each) if stream is not None else 0
        if not count:
            raise self._broke("the body ended early")
        self._position += count
        return count

    # -- words -------------------------------------------------------------------------------

    def _broke(self, why: str) -> Passing:
        return Passing(why, Unreachable(f"cannot read {self.file.path} from the hub", why))

    def _odd(self, told: str) -> Passing:
        why = f"the hub has {told} bytes of it, its tree says {self.file.size}"
        return _Odd(why, FileError(f"cannot stage {self.file.path}", why))


class _Odd(Passing):
    """An answer of another size than the tree's."""
