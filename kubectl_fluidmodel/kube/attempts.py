"""When a request is made again: once with a new login, or when the server asks to come later."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

from kubectl_fluidmodel.kube.credentials import AuthHeaders, Credentials

T = TypeVar("T")

_MAX_ATTEMPTS = 10
"""Times that a server may say "later" to one request; client-go's (rest/request.go)."""


@dataclass(frozen=True)
class Response(Generic[T]):
    """What came back."""

    status: int
    retry_after: str
    """The header of that name; empty for none."""
    content: T

    @property
    def retry_delay(self) -> int | None:
        """Seconds after which the server wants to be asked again; None where it says nothing.

        As client-go reads it (rest/with_retry.go): with 429 and 5xx, as a number.
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
    """The answer to a request that `once` makes: the first that is final, within `seconds`.

    A server that answers 429 has not carried the request out, so a POST may be repeated, too.
    `discard` gets each answer that is not returned.
    """
    end = time.monotonic() + seconds
    renewed = False
    for attempt in range(_MAX_ATTEMPTS + 1):
        login = credentials.auth_headers()
        answer = once(login)
        wait = answer.retry_delay
        if answer.status == 401 and not renewed and credentials.renew(login):
            renewed, wait = True, 0
        if wait is None or attempt == _MAX_ATTEMPTS or time.monotonic() + wait > end:
            break
        discard(answer.content)
        time.sleep(wait)
    return answer
