"""Retries of a request: once with new credentials, and when the server asks to come back later."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Generic, TypeVar

from kubectl_fluidmodel.kube.credentials import AuthHeaders, Credentials
from kubectl_fluidmodel.records import dataclass

T = TypeVar("T")

_MAX_ATTEMPTS = 10
"""Retry-After responses to accept for one request (client-go, rest/request.go)."""


@dataclass(frozen=True)
class Response(Generic[T]):
    """One response of a server."""

    status: int
    retry_after: str
    """The Retry-After header; empty if absent."""
    content: T

    @property
    def retry_delay(self) -> int | None:
        """Seconds to wait before a retry; None if the server does not ask for one.

        As in client-go (rest/with_retry.go): only with 429 and 5xx, and only a number.
        """
        if self.status != 429 and self.status < 500:
            return None
        try:
            return max(0, int(self.retry_after))
        except ValueError:
            return None


def send_with_retries(
    credentials: Credentials,
    once: Callable[[AuthHeaders], Response[T]],
    seconds: float,
    discard: Callable[[T], None] = lambda _: None,
) -> Response[T]:
    """Call `once` until its response is final, for at most `seconds`.

    A server that responds 429 has not handled the request, so a POST may be repeated, too.
    `discard` is called with each response that is not returned.
    """
    end = time.monotonic() + seconds
    renewed = False
    for attempt in range(_MAX_ATTEMPTS + 1):
        login = credentials.auth_headers()
        response = once(login)
        wait = response.retry_delay
        if response.status == 401 and not renewed and credentials.renew(login):
            renewed, wait = True, 0
        if wait is None or attempt == _MAX_ATTEMPTS or time.monotonic() + wait > end:
            break
        discard(response.content)
        time.sleep(wait)
    return response
