"""What differs from kubectl on purpose: the table at the top of `kube/client.py`."""

from __future__ import annotations

import json
import subprocess

import pytest

from tests.kube.conformance.comparison import Comparison, kubectl_path
from tests.kube.conformance.servers import Refusal


def test_kubectl_is_the_real_one() -> None:
    """The rules are those of kubectl 1.36 and later: before, there was no --proxy-url, for one."""
    printed = subprocess.run(
        [kubectl_path(), "version", "--client", "-o", "json"], capture_output=True, check=True
    ).stdout
    document = json.loads(printed)["clientVersion"]
    assert (int(document["major"]), int(document["minor"])) >= (1, 36), document["gitVersion"]


def test_nothing_names_a_server(comparison: Comparison) -> None:
    assert "there is no kubeconfig" in comparison.ours().message


def test_files_that_are_not_there_are_named(comparison: Comparison) -> None:
    assert "there is no kubeconfig at /nope" in comparison.ours(KUBECONFIG="/nope").message


@pytest.mark.parametrize("what", ["cluster", "user"])
def test_a_context_names_what_is_not_there(comparison: Comparison, what: str) -> None:
    comparison.config(context={what: "gone"})
    assert f"it has no {what} 'gone'" in comparison.ours().message


def test_a_cluster_without_a_server(comparison: Comparison) -> None:
    comparison.config(server=None)
    assert "the cluster 'c' has no server" in comparison.ours().message


def test_a_user_without_a_way_to_log_in(comparison: Comparison) -> None:
    comparison.config({})
    expected, ours = comparison.both((), {})
    assert "Please enter Username" in expected.message
    assert ours.requests[0].header("authorization") == []


def test_a_redirect_is_not_followed(comparison: Comparison) -> None:
    place = {"Location": f"{comparison.https.url}/elsewhere?secret=1"}
    comparison.config()
    comparison.before = lambda: comparison.https.script.extend([Refusal(302, place)])
    expected, ours = comparison.both((), {})
    assert [request.path for request in expected.requests] == ["/version", "/elsewhere"]
    assert expected.requests[1].header("authorization")  # to whoever that is
    assert [request.path for request in ours.requests] == ["/version"]
    assert f"it redirects to {comparison.https.url}/elsewhere;" in ours.message


def test_a_long_retry_after_is_not_waited_for(comparison: Comparison) -> None:
    comparison.config()
    comparison.before = lambda: comparison.https.script.extend(
        [Refusal(429, {"Retry-After": "9999"})]
    )
    assert "asks to retry after 9999 s" in comparison.ours().message
