"""A server that asks to come later is asked later."""

from __future__ import annotations

import pytest

from kubectl_fluidmodel.kube.client import Client
from kubectl_fluidmodel.kube.config import ConfigFlags
from kubectl_fluidmodel.kube.errors import ClusterUnreachableError
from kubectl_fluidmodel.objects.kinds import PODS
from tests.kube.conformance.comparison import Comparison
from tests.kube.conformance.servers import Refusal
from tests.proxyserver import breaking_relay


@pytest.mark.parametrize("status", [429, 503, 500])
def test_retry_after(comparison: Comparison, status: int) -> None:
    comparison.config()
    comparison.before = lambda: comparison.https.script.extend(
        [Refusal(status, {"Retry-After": "0"}), Refusal(status, {"Retry-After": "1"})]
    )
    comparison.assert_same_request()


def test_ten_times(comparison: Comparison) -> None:
    comparison.config()
    comparison.before = lambda: comparison.https.script.extend(
        [Refusal(429, {"Retry-After": "0"})] * 99
    )
    expected, ours = comparison.both((), {})
    assert not expected.worked
    assert not ours.worked
    assert len(ours.requests) == len(expected.requests) == 11


@pytest.mark.parametrize(
    ("status", "headers"),
    [(429, {}), (503, {"Retry-After": "soon"}), (403, {"Retry-After": "0"}), (404, {})],
    ids=str,
)
def test_no_word_of_it(comparison: Comparison, status: int, headers: dict[str, str]) -> None:
    comparison.config()
    comparison.before = lambda: comparison.https.script.extend([Refusal(status, headers)])
    expected, ours = comparison.both((), {})
    assert (expected.worked, ours.worked) == (False, False)
    assert len(ours.requests) == len(expected.requests) == 1


class TestBrokenConnections:
    """A balancer closes connections that were idle: a GET may be made again, and is."""

    def test_a_get_is_made_again(self, comparison: Comparison) -> None:
        for run in (comparison.kubectl, comparison.ours):
            with breaking_relay(comparison.http.server_port, 2) as relay:
                comparison.plain(server=f"http://127.0.0.1:{relay.port}")
                outcome = run()
                assert outcome.worked, outcome.message
                assert len(relay.requests) == 3

    @pytest.mark.parametrize("flag", ["--request-timeout=500ms", "--request-timeout=5s"])
    def test_not_for_ever(self, comparison: Comparison, flag: str) -> None:
        with breaking_relay(comparison.http.server_port, 99) as relay:
            comparison.plain(server=f"http://127.0.0.1:{relay.port}")
            run = comparison.ours(flag)
            assert "no response from" in run.message
            assert len(relay.requests) <= 3

    def test_a_post_is_not(self, comparison: Comparison) -> None:
        """It may have been carried out."""
        with breaking_relay(comparison.http.server_port, 1) as relay:
            kube = Client.connect(ConfigFlags(server=f"http://127.0.0.1:{relay.port}"))
            with pytest.raises(ClusterUnreachableError, match="no response from"):
                kube.create(PODS, {"metadata": {"name": "a", "namespace": "ns"}})
            assert len(relay.requests) == 1
