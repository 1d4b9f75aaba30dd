"""What passes, and how long it is waited for: with a clock that the test turns."""

from __future__ import annotations

import threading
from email.utils import formatdate

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kubectl_fluidmodel.errors import FluidModelError, UnreachableError
from kubectl_fluidmodel.net import retry_budget
from kubectl_fluidmodel.net.retry_budget import (
    MAX_REQUESTED_DELAY,
    CancelledError,
    RetryBudget,
    TransientError,
    is_transient_status,
    requested_delay,
)


class Clock(threading.Event):
    """An Event whose waiting takes no time, and turns the clock instead."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0
        self.waits: list[float] = []

    def wait(self, timeout: float | None = None) -> bool:
        self.waits.append(timeout or 0.0)
        self.now += timeout or 0.0
        return self.is_set()


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(retry_budget.time, "monotonic", lambda: made.now)
    return made


def passing(retry_after: float | None = None, answered: bool = True) -> TransientError:
    return TransientError(
        "busy", UnreachableError("cannot", "busy"), retry_after, answered=answered
    )


def until_the_end(waits: RetryBudget, err: TransientError, most: int = 10_000) -> int:
    """Fail again and again; returns the attempts until it is given up."""
    for attempt in range(1, most):
        try:
            waits.wait(err)
        except FluidModelError:
            return attempt
    raise AssertionError("it never ends")


@pytest.mark.parametrize(
    "status", [408, 425, 429, 500, 502, 503, 504, 509, *range(520, 531), 598, 599]
)
def test_transient_statuses(status: int) -> None:
    assert is_transient_status(status)


@pytest.mark.parametrize(
    "status", [200, 206, 301, 400, 401, 403, 404, 405, 407, 409, 410, 416, 451, 501, 505, 507, 511]
)
def test_permanent_statuses(status: int) -> None:
    assert not is_transient_status(status)


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, None),
        ({"Retry-After": "12"}, 12.0),
        ({"retry-after": " 0.5 "}, 0.5),
        ({"Retry-After": formatdate(1060, usegmt=True), "Date": formatdate(1000)}, 60.0),
        ({"Retry-After": formatdate(1060, usegmt=True)}, 50.0),
        ({"Retry-After": formatdate(900, usegmt=True)}, 0.0),
        ({"Retry-After": "soon"}, None),
        ({"Retry-After": "-5"}, None),
        ({"RateLimit": '"api";r=0;t=55'}, 55.0),
        ({"ratelimit": '"api"; r=0; t=55'}, 55.0),
        ({"RateLimit": '"api";r=3;t=55'}, None),
        ({"RateLimit": '"api";t=55'}, 55.0),
        ({"RateLimit": '"resolvers";r=9;t=7, "api";r=0;t=55'}, 55.0),
        ({"RateLimit": "limit=100, remaining=0"}, None),
        ({"RateLimit": '"api";r=0;t=55', "Retry-After": "3"}, 3.0),
        ({"RateLimit": '"api";r=0;t=55', "Retry-After": "soon"}, 55.0),
    ],
)
def test_the_requested_delay_is_parsed(headers: dict[str, str], seconds: float | None) -> None:
    assert requested_delay(headers, now=1010.0) == seconds


@given(st.text(), st.text())
def test_no_header_crashes_the_parser(retry_after: str, limit: str) -> None:
    delay = requested_delay({"Retry-After": retry_after, "RateLimit": limit})
    assert delay is None or delay >= 0


@pytest.mark.parametrize("limit", [1.0, 15.0, 300.0, 3600.0])
def test_retries_end_at_the_timeout_not_after_a_count(clock: Clock, limit: float) -> None:
    waits = RetryBudget(limit, clock)
    attempts = until_the_end(waits, passing())
    assert clock.now == pytest.approx(limit)  # the last attempt is at its very end
    assert max(clock.waits) <= 20.0
    assert attempts > limit / 21


def test_delays_grow(clock: Clock) -> None:
    waits = RetryBudget(300.0, clock)
    for _ in range(5):
        waits.wait(passing())
    assert clock.waits == pytest.approx([0.2, 0.4, 0.8, 1.6, 3.2])


def test_a_server_without_an_answer_is_retried_for_a_shorter_time(clock: Clock) -> None:
    until_the_end(RetryBudget(300.0, clock, no_answer_timeout=15.0), passing(answered=False))
    assert clock.now == pytest.approx(15.0)
    until_the_end(RetryBudget(300.0, clock, no_answer_timeout=15.0), passing(answered=True))
    assert clock.now == pytest.approx(315.0)


def test_a_requested_delay_longer_than_the_timeout_is_waited_for(clock: Clock) -> None:
    assert RetryBudget(15.0, clock).wait(passing(55.0)) == 55.0
    attempts = until_the_end(RetryBudget(15.0, clock), passing(55.0))
    assert attempts <= 4


def test_a_lasting_rate_limit_ends_at_the_timeout(clock: Clock) -> None:
    until_the_end(RetryBudget(15.0, clock), passing(1.0))
    assert 15.0 <= clock.now <= 36.0  # pauses are at least our own


def test_a_requested_delay_of_zero_is_no_hot_loop(clock: Clock) -> None:
    assert until_the_end(RetryBudget(60.0, clock), passing(0.0)) < 15


def test_a_requested_delay_that_is_too_long_ends_retries(clock: Clock) -> None:
    assert until_the_end(RetryBudget(300.0, clock), passing(MAX_REQUESTED_DELAY + 1)) == 1
    assert clock.waits == []


def test_progress_resets_the_time(clock: Clock) -> None:
    waits = RetryBudget(2.0, clock)
    for _ in range(50):
        waits.wait(passing())
        waits.reset()
    assert clock.now == pytest.approx(10.0)


def test_a_stopped_wait_is_cancelled(clock: Clock) -> None:
    clock.set()
    with pytest.raises(CancelledError):
        RetryBudget(300.0, clock).wait(passing())


@given(
    st.floats(0.1, 1000),
    st.lists(st.tuples(st.none() | st.floats(0, 2000), st.booleans()), min_size=1, max_size=60),
)
def test_retries_always_end_in_bounded_time(
    limit: float, failures: list[tuple[float | None, bool]]
) -> None:
    clock = Clock()
    real = retry_budget.time.monotonic
    retry_budget.time.monotonic = lambda: clock.now
    try:
        waits = RetryBudget(limit, clock, no_answer_timeout=20.0)
        for asked, answered in failures * 400:
            try:
                waits.wait(passing(asked, answered))
            except FluidModelError:
                break
        else:
            raise AssertionError("it never ends")
    finally:
        retry_budget.time.monotonic = real
    assert clock.now <= max(limit, 3 * MAX_REQUESTED_DELAY) + MAX_REQUESTED_DELAY
