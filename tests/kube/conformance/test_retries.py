"""A server that asks to come later is asked later."""

from __future__ import annotations

import pytest

from kubectl_fluidmodel.kube.client import Client
from kubectl_fluidmodel.kube.config import ConfigFlags
from kubectl_fluidmodel.kube.errors import ClusterUnreachableError
from kubectl_fluidmodel.objects.kinds import PODS
from tests.kube.conformance.judge import Court
from tests.kube.conformance.servers import Refusal
from tests.proxyserver import breaking_relay


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


class TestBrokenConnections:
    """A balancer closes connections that were idle: a GET may be made again, and is."""

    def test_a_get_is_made_again(self, court: Court) -> None:
        for run in (court.kubectl, court.ours):
            with breaking_relay(court.http.server_port, 2) as relay:
                court.plain(server=f"http://127.0.0.1:{relay.port}")
                outcome = run()
                assert outcome.worked, outcome.words
                assert len(relay.requests) == 3

    @pytest.mark.parametrize("flag", ["--request-timeout=500ms", "--request-timeout=5s"])
    def test_not_for_ever(self, court: Court, flag: str) -> None:
        with breaking_relay(court.http.server_port, 99) as relay:
            court.plain(server=f"http://127.0.0.1:{relay.port}")
            found = court.ours(flag)
            assert "no response from" in found.words
            assert len(relay.requests) <= 3

    def test_a_post_is_not(self, court: Court) -> None:
        """It may have been carried out."""
        with breaking_relay(court.http.server_port, 1) as relay:
            kube = Client.connect(ConfigFlags(server=f"http://127.0.0.1:{relay.port}"))
            with pytest.raises(ClusterUnreachableError, match="no response from"):
                kube.create(PODS, {"metadata": {"name": "a", "namespace": "ns"}})
            assert len(relay.requests) == 1
