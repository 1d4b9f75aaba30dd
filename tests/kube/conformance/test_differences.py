"""What differs from kubectl on purpose: the table at the top of `kube/client.py`."""

from __future__ import annotations

import json
import subprocess

import pytest

from tests.kube.conformance.judge import Court, kubectl_path
from tests.kube.conformance.servers import Refusal


def test_who_judges() -> None:
    """The rules are those of kubectl 1.36 and later: before, there was no --proxy-url, for one."""
    printed = subprocess.run(
        [kubectl_path(), "version", "--client", "-o", "json"], capture_output=True, check=True
    ).stdout
    found = json.loads(printed)["clientVersion"]
    assert (int(found["major"]), int(found["minor"])) >= (1, 36), found["gitVersion"]


def test_nothing_names_a_server(court: Court) -> None:
    assert "there is no kubeconfig" in court.ours().words


def test_files_that_are_not_there_are_named(court: Court) -> None:
    assert "there is no kubeconfig at /nope" in court.ours(KUBECONFIG="/nope").words


@pytest.mark.parametrize("what", ["cluster", "user"])
def test_a_context_names_what_is_not_there(court: Court, what: str) -> None:
    court.config(context={what: "gone"})
    assert f"it has no {what} 'gone'" in court.ours().words


def test_a_cluster_without_a_server(court: Court) -> None:
    court.config(server=None)
    assert "the cluster 'c' has no server" in court.ours().words


def test_a_user_without_a_way_to_log_in(court: Court) -> None:
    court.config({})
    judge, ours = court.both((), {})
    assert "Please enter Username" in judge.words
    assert ours.seen[0].header("authorization") == []


def test_a_redirect_is_not_followed(court: Court) -> None:
    place = {"Location": f"{court.https.url}/elsewhere?secret=1"}
    court.config()
    court.before = lambda: court.https.script.extend([Refusal(302, place)])
    judge, ours = court.both((), {})
    assert [seen.path for seen in judge.seen] == ["/version", "/elsewhere"]
    assert judge.seen[1].header("authorization")  # to whoever that is
    assert [seen.path for seen in ours.seen] == ["/version"]
    assert f"it redirects to {court.https.url}/elsewhere;" in ours.words


def test_a_long_retry_after_is_not_waited_for(court: Court) -> None:
    court.config()
    court.before = lambda: court.https.script.extend([Refusal(429, {"Retry-After": "9999"})])
    assert "asks to retry after 9999 s" in court.ours().words
