"""A server that asks to come later is asked later."""

from __future__ import annotations

import pytest

from tests.kube.conformance.judge import Court
from tests.kube.conformance.servers import Refusal


@pytest.mark.parametrize("status", [429, 503, 500])
def test_retry_after(court: Court, status: int) -> None:
    court.config()
    court.before = lambda: court.https.script.extend(
        [Refusal(status, {"Retry-After": "0"}), Refusal(status, {"Retry-After": "1"})]
    )
    court.agree()


def test_ten_times(court: Court) -> None:
    court.config()
    court.before = lambda: court.https.script.extend([Refusal(429, {"Retry-After": "0"})] * 99)
    judge, ours = court.both((), {})
    assert not judge.worked
    assert not ours.worked
    assert len(ours.seen) == len(judge.seen) == 11


@pytest.mark.parametrize(
    ("status", "headers"),
    [(429, {}), (503, {"Retry-After": "soon"}), (403, {"Retry-After": "0"}), (404, {})],
    ids=str,
)
def test_no_word_of_it(court: Court, status: int, headers: dict[str, str]) -> None:
    court.config()
    court.before = lambda: court.https.script.extend([Refusal(status, headers)])
    judge, ours = court.both((), {})
    assert (judge.worked, ours.worked) == (False, False)
    assert len(ours.seen) == len(judge.seen) == 1


def test_it_is_not_waited_for_longer_than_a_request_may_take(court: Court) -> None:
    court.config()
    court.before = lambda: court.https.script.extend([Refusal(429, {"Retry-After": "9999"})])
    found = court.ours("--request-timeout=5s")
    assert not found.worked
    assert "asks to come again after 9999 s" in found.words


def test_a_redirect_would_take_the_credentials_along(court: Court) -> None:
    """kubectl follows it."""
    place = {"Location": f"{court.http.url}/login?secret=1"}
    court.config()
    court.before = lambda: court.https.script.extend([Refusal(302, place)])
    found = court.ours()
    assert "it sends to http://127.0.0.1" in found.words
    assert "secret" not in found.words
    assert [seen.door for seen in found.seen] == ["https"]
