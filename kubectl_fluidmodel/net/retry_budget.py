"""Which failures are transient, and how long they are retried: the same for the Hub and for stores.

Which HTTP statuses are transient is one list for both, because both are behind the same kinds of
gateways. 520 to 530 are Cloudflare's, which serves mirrors of the Hub and R2.
"""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Mapping

from kubectl_fluidmodel.errors import FluidModelError

MAX_REQUESTED_DELAY = 900.0
"""Maximum delay in seconds that a server may request; the Hub counts requests in five-minute
windows."""
_MAX_REQUESTED_DELAYS = 3
"""How many consecutive times a requested delay may be longer than the timeout."""
_MAX_BACKOFF = 20.0
"""Maximum backoff in seconds."""
_PERMANENT_STATUSES = (501, 505, 506, 507, 508, 510, 511)
"""Statuses from 500 on that are permanent: the server lacks a feature, or is full."""


class CancelledError(Exception):
    """The work was cancelled; never shown to the user."""


class TransientError(Exception):
    """A failure that may not recur; RetryBudget raises `final_error` when it gives up."""

    def __init__(
        self,
        reason: str,
        final_error: FluidModelError,
        retry_after: float | None = None,
        *,
        answered: bool = False,
    ) -> None:
        """Create the error.

        Args:
            reason: why the attempt failed.
            final_error: what to raise when there are no more retries.
            retry_after: seconds that the server asks to wait.
            answered: whether the server responded; a server that does is retried longer.
        """
        super().__init__(reason)
        self.reason = reason
        self.final_error = final_error
        self.retry_after = retry_after
        self.answered = answered


def is_transient_status(status: int) -> bool:
    """Return whether a request with this HTTP status may succeed when it is retried."""
    return status in (408, 425, 429) or (500 <= status < 600 and status not in _PERMANENT_STATUSES)


def requested_delay(headers: Mapping[str, str], now: float | None = None) -> float | None:
    """Parse how long a server asks to wait before the next request.

    `Retry-After` (RFC 9110) has a number or a date. Else the `t` of a `RateLimit` header counts
    (draft-ietf-httpapi-ratelimit-headers: seconds until the quota is reset) if its `r`, the number
    of requests left, is 0 or missing.

    Args:
        headers: the response's headers.
        now: the time to compare a date with if the response has no `Date`; by default the clock's.

    Returns:
        Seconds, or None if the server does not ask for a delay.
    """
    from email.utils import parsedate_to_datetime

    lowercase_headers = {key.lower(): value for key, value in headers.items()}
    text = lowercase_headers.get("retry-after", "").strip()
    if re.fullmatch(r"\d+(\.\d*)?", text):
        return float(text)
    if text:
        try:
            until = parsedate_to_datetime(text).timestamp()
            # use the server's clock, because ours may be wrong
            date = lowercase_headers.get("date")
            base = parsedate_to_datetime(date).timestamp() if date else (now or time.time())
            return max(0.0, until - base)
        except (TypeError, ValueError, OverflowError):
            pass  # neither a number nor a date: ignore it
    delays = []
    for policy in lowercase_headers.get("ratelimit", "").split(","):
        fields = dict(re.findall(r"(?:^|;)\s*([a-z]+)\s*=\s*(\d{1,9})", policy))
        if "t" in fields and int(fields.get("r", 0)) == 0:
            delays.append(float(fields["t"]))
    return max(delays, default=None)


class RetryBudget:
    """Delays between attempts, with exponential backoff, limited by the time without progress."""

    def __init__(
        self,
        timeout: float,
        stop: threading.Event | None = None,
        no_answer_timeout: float | None = None,
    ) -> None:
        """Start the clock.

        Args:
            timeout: seconds without progress after which retries end.
            stop: ends a wait when it is set.
            no_answer_timeout: the same for a server that does not respond; at most `timeout`.
        """
        self.timeout = timeout
        self.no_answer_timeout = (
            timeout if no_answer_timeout is None else min(timeout, no_answer_timeout)
        )
        self._stop = stop or threading.Event()
        self.reset()

    def reset(self) -> None:
        """Restart the clock, because there was progress."""
        self._failures = 0
        self._since = time.monotonic()

    def wait(self, err: TransientError) -> float:
        """Wait before the next attempt.

        If the server requests a delay, wait that long, up to three times in a row if it is longer
        than the timeout. Otherwise delays double, and the last attempt is at the timeout.

        Returns:
            The seconds waited.

        Raises:
            FluidModelError: `err.final_error`, after too long without progress.
            CancelledError: cancelled while waiting.
        """
        self._failures += 1
        requested = err.retry_after
        elapsed = time.monotonic() - self._since
        limit = self.timeout if err.answered else self.no_answer_timeout
        if requested is not None:
            limit = max(limit, _MAX_REQUESTED_DELAYS * requested)
        if elapsed >= limit or (requested or 0.0) > MAX_REQUESTED_DELAY:
            raise err.final_error from err
        backoff = 0.2 * float(1 << min(self._failures - 1, 10))
        delay = min(_MAX_BACKOFF, backoff, limit - elapsed)
        if requested is not None:
            delay = max(delay, requested)
        if self._stop.wait(delay):
            raise CancelledError
        return delay
