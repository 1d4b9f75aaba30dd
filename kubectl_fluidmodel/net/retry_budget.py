"""What may go away by itself, and how long it is waited for: the same at the Hub and at stores.

Which answers pass is one list, whoever gives them: both stand behind the same kinds of gateways.
Codes 520 to 530 are Cloudflare's, which both the Hub's mirrors and R2 sit behind.
"""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Mapping

from kubectl_fluidmodel.errors import FluidModelError

MAX_REQUESTED_DELAY = 900.0
"""Seconds of a pause that a server asks for that we are ready to wait; the Hub counts in windows
of five minutes."""
_MAX_REQUESTED_DELAYS = 3
"""Times in a row that such a pause is waited for, where that is longer than the patience."""
_MAX_BACKOFF = 20.0
"""Seconds of the longest pause of our own."""
_PERMANENT_STATUSES = (501, 505, 506, 507, 508, 510, 511)
"""Of the 5xx, those that say what the server cannot do, or that it is full."""


class CancelledError(Exception):
    """The work was stopped from outside; never shown."""


class TransientError(Exception):
    """Something that may go away: tried again by Patience, and `final` when it does not."""

    def __init__(
        self,
        reason: str,
        final_error: FluidModelError,
        retry_after: float | None = None,
        *,
        answered: bool = False,
    ) -> None:
        """`answered`: somebody is there and said so, whom it makes sense to wait for."""
        super().__init__(reason)
        self.reason = reason
        self.final_error = final_error
        self.retry_after = retry_after
        self.answered = answered


def is_transient_status(status: int) -> bool:
    """Whether an HTTP status may be another one the next time."""
    return status in (408, 425, 429) or (500 <= status < 600 and status not in _PERMANENT_STATUSES)


def requested_delay(headers: Mapping[str, str], now: float | None = None) -> float | None:
    """Seconds that a server asks to wait, or None.

    By `Retry-After` (RFC 9110, a number or a date), else by the `t` of a `RateLimit` header
    (draft-ietf-httpapi-ratelimit-headers: seconds until the quota is there again) whose `r`, the
    requests that are left, is 0 or not told. `now` is what a date without `Date` is against.
    """
    from email.utils import parsedate_to_datetime

    lowercase_headers = {key.lower(): value for key, value in headers.items()}
    text = lowercase_headers.get("retry-after", "").strip()
    if re.fullmatch(r"\d+(\.\d*)?", text):
        return float(text)
    if text:
        try:
            at = parsedate_to_datetime(text).timestamp()
            # Against the server's own clock: ours may be off.
            here = lowercase_headers.get("date")
            base = parsedate_to_datetime(here).timestamp() if here else (now or time.time())
            return max(0.0, at - base)
        except (TypeError, ValueError, OverflowError):
            pass  # neither a number nor a date: as if it were not there
    waits = []
    for each in lowercase_headers.get("ratelimit", "").split(","):
        fields = dict(re.findall(r"(?:^|;)\s*([a-z]+)\s*=\s*(\d{1,9})", each))
        if "t" in fields and int(fields.get("r", 0)) == 0:
            waits.append(float(fields["t"]))
    return max(waits, default=None)


class RetryBudget:
    """Attempts with growing pauses, bounded by the seconds without progress."""

    def __init__(
        self,
        timeout: float,
        stop: threading.Event | None = None,
        no_answer_timeout: float | None = None,
    ) -> None:
        """`limit`: seconds without progress; `silent`: those without as much as an answer."""
        self.timeout = timeout
        self.no_answer_timeout = (
            timeout if no_answer_timeout is None else min(timeout, no_answer_timeout)
        )
        self._stop = stop or threading.Event()
        self.reset()

    def reset(self) -> None:
        """Something moved: start to count anew."""
        self._failures = 0
        self._since = time.monotonic()

    def wait(self, err: TransientError) -> float:
        """Wait before the next attempt; returns the seconds waited.

        A pause that the server asks for is waited for, and again where it asks again, for as
        long as three of them take; without one they double, and the last attempt is at the end.

        Raises:
            FluidModelError: `err.final`, when there was no progress for too long.
            CancelledError: stopped while waiting.
        """
        self._failures += 1
        asked = err.retry_after
        waited = time.monotonic() - self._since
        limit = self.timeout if err.answered else self.no_answer_timeout
        if asked is not None:
            limit = max(limit, _MAX_REQUESTED_DELAYS * asked)
        if waited >= limit or (asked or 0.0) > MAX_REQUESTED_DELAY:
            raise err.final_error from err
        delay = min(_MAX_BACKOFF, 0.2 * float(1 << min(self._failures - 1, 10)), limit - waited)
        if asked is not None:
            delay = max(delay, asked)
        if self._stop.wait(delay):
            raise CancelledError
        return delay
