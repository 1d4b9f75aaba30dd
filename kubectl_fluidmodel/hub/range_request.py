"""Requests for byte ranges of one file at the Hub.

The Hub redirects requests for large files to storage by signed links that expire. A link is reused
until the storage host refuses it, and then requested again. The token goes to the Hub's own host
only; HubHttpClient sees to that.
"""

from __future__ import annotations

import re
import threading
from typing import Any
from urllib.parse import urljoin, urlsplit

from kubectl_fluidmodel.errors import FluidModelError, UnreachableError
from kubectl_fluidmodel.hub.client import HubClient
from kubectl_fluidmodel.hub.http import MAX_REDIRECTS, REDIRECT_STATUSES, error_from_response
from kubectl_fluidmodel.hub.response_reader import ResponseReader
from kubectl_fluidmodel.model.plan import PlanFile, StagingPlan
from kubectl_fluidmodel.net.retry_budget import TransientError

_EXPIRED_STATUSES = (400, 401, 403, 404, 410)
"""Statuses of storage hosts for an expired signed link."""


class HubFileError(FluidModelError):
    """The Hub's file differs from its tree's entry."""


class RangeNotSupportedError(Exception):
    """The server sends the whole file for any range."""


class SizeMismatchError(TransientError):
    """A response whose size differs from the tree's; it may be an error of one server."""


class RangeRequester:
    """Requests ranges of one file. Safe to share between threads."""

    def __init__(self, hub: HubClient, plan: StagingPlan, file: PlanFile) -> None:
        self.file = file
        self.ranges_worked = False
        """Whether the server has sent a range before."""
        self._hub, self._plan = hub, plan
        self._resolve_url = hub.file_url(plan.repo, plan.commit, file.path)
        self._link = self._resolve_url
        self._lock = threading.Lock()

    def open(self, start: int, end: int, stop: threading.Event) -> ResponseReader:
        """Request the bytes from `start` up to before `end`.

        Raises:
            RangeNotSupportedError: the server would send the whole file.
            TransientError: another attempt may succeed.
            CancelledError: `stop` was set while a limit of the server was waited for.
            FluidModelError: the Hub refuses the request.
        """
        is_whole_file = start == 0 and end == self.file.size
        headers = {} if is_whole_file else {"Range": f"bytes={start}-{end - 1}"}
        url, response = self._follow_redirects(headers, stop)
        if response.status >= 400 and response.status != 416:
            raise self._refusal(url, response)
        try:
            self._validate(response, start, end, is_whole_file)
        except BaseException:
            response.close()
            raise
        return ResponseReader(response)

    def connection_error(self, err: BaseException) -> TransientError | UnreachableError:
        """Return the error for a connection that broke while the body was read."""
        return self._hub.http.connection_error(self._link, err)

    def read_error(self, reason: str) -> TransientError:
        """A transient error in reading this file."""
        message = f"cannot read {self.file.path} from the Hub"
        return TransientError(reason, UnreachableError(message, reason))

    def _follow_redirects(self, headers: dict[str, str], stop: threading.Event) -> tuple[str, Any]:
        with self._lock:
            url = self._link
        for _ in range(MAX_REDIRECTS + 1):
            response = self._hub.http.send("GET", url, headers=headers, preload=False, stop=stop)
            if response.status not in REDIRECT_STATUSES:
                return url, response
            target = urljoin(url, response.headers.get("Location", ""))
            response.drain_conn()
            response.release_conn()
            self._check_linked_size(response)
            with self._lock:
                self._link = url = target
        raise self.read_error("the Hub redirects in a loop")

    def _refusal(self, url: str, response: Any) -> Exception:
        status = response.status
        response.close()
        if url == self._resolve_url or status not in _EXPIRED_STATUSES:
            return error_from_response(
                self._hub.credentials, self._plan.repo, self._plan.commit, url, response
            )
        with self._lock:
            if self._link == url:
                self._link = self._resolve_url
        return TransientError(
            f"{urlsplit(url).netloc} refuses the Hub's link ({status})",
            UnreachableError(
                f"cannot read {self.file.path}",
                f"the Hub's storage refuses its links ({status})",
                "check this machine's clock and proxy",
            ),
            answered=True,
        )

    def _validate(self, response: Any, start: int, end: int, is_whole_file: bool) -> None:
        """Check that the headers describe the requested bytes of the listed file."""
        if response.status == 206:
            self._validate_range(response, start, end)
            self.ranges_worked = True
        elif response.status == 416:
            raise self._size_mismatch("fewer")
        elif response.status != 200:
            raise self.read_error(f"the Hub responds with {response.status}")
        else:
            length = response.headers.get("Content-Length")
            if length is not None and int(length) != self.file.size:
                raise self._size_mismatch(length)
            if not is_whole_file:
                raise RangeNotSupportedError

    def _validate_range(self, response: Any, start: int, end: int) -> None:
        header = response.headers.get("Content-Range", "").strip()
        content_range = re.fullmatch(r"bytes (\d+)-(\d+)/(\d+|\*)", header)
        if content_range is None:
            if response.headers.get("Content-Length", "") != str(end - start):
                raise self.read_error("the Hub sent a range without a Content-Range header")
            return
        first, size = int(content_range[1]), content_range[3]
        if size not in ("*", str(self.file.size)):
            raise self._size_mismatch(size)
        if first != start:
            raise self.read_error(f"the Hub sent bytes from {first} instead of from {start}")

    def _check_linked_size(self, response: Any) -> None:
        """Check the size that a redirect reports."""
        linked_size = response.headers.get("X-Linked-Size")
        if linked_size and linked_size != str(self.file.size):
            raise self._size_mismatch(linked_size)

    def _size_mismatch(self, hub_size: str) -> SizeMismatchError:
        reason = f"the Hub has {hub_size} bytes of it, but its tree lists {self.file.size}"
        return SizeMismatchError(reason, HubFileError(f"cannot stage {self.file.path}", reason))
