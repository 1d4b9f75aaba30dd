"""The Hub's protocol, against the stand-in."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass

import pytest
import urllib3

from kubectl_fluidmodel.errors import FluidModelError, UnreachableError
from kubectl_fluidmodel.hub.client import HubClient, _next_page_url
from kubectl_fluidmodel.hub.http import HubCredentials, error_from_response, load_credentials
from tests.hub import FakeHub as Server
from tests.hub import Repo

NAME = "acme/model"


@pytest.fixture
def server() -> Iterator[Server]:
    files = {f"f{n:03}.json": b"%d" % n for n in range(45)} | {"m.safetensors": bytes(70_000)}
    with Server(Repo(NAME, files), page_size=7) as running:
        yield running


def hub(server: Server, token: str = "", patience: float = 3.0) -> HubClient:
    return HubClient(
        HubCredentials(server.endpoint, token), stall_timeout=2.0, retry_timeout=patience
    )


def test_a_revision_is_resolved_once_and_all_pages_are_read_at_it(server: Server) -> None:
    plan = hub(server).plan(NAME)
    repo = server.repos[NAME]
    assert plan.commit == repo.head and len(plan.files) == 46
    assert len(server.requests_matching("/revision/")) == 1
    assert len(server.requests_matching("/tree/")) == 7
    assert all(repo.head in request.path for request in server.requests_matching("/tree/"))
    big = next(file for file in plan.files if file.path == "m.safetensors")
    assert (big.kind, big.digest) == ("sha256", repo.files["m.safetensors"].sha256)


def test_a_branch_that_moves_between_two_pages_changes_nothing(server: Server) -> None:
    repo = server.repos[NAME]
    first = repo.head
    server.add_fault("move", "cursor=7", action=lambda: repo.commit({"other": b""}))
    assert len(hub(server).plan(NAME).files) == 46
    assert repo.head != first


def test_branches_and_commit_ids_are_resolved(server: Server) -> None:
    repo = server.repos[NAME]
    old = repo.head
    repo.commit({"new": b"1"}, branch="refs/pr/1")
    assert hub(server).resolve_commit(NAME, "refs/pr/1") == repo.branches["refs/pr/1"]
    assert hub(server).resolve_commit(NAME, old) == old


@dataclass(frozen=True)
class Refusal:
    """A request that the Hub refuses, and the error's message."""

    repo: str
    message: str
    token: str = ""
    revision: str = ""


@pytest.mark.parametrize(
    "case",
    [
        Refusal("acme/none", "no public model acme/none"),
        Refusal("acme/none", "no model acme/none", token="t"),
        Refusal(NAME, "no revision 'nope'", revision="nope"),
        Refusal("acme/private", "no public model acme/private"),
        Refusal("acme/private", "no model acme/private", token="other"),
        Refusal(NAME, "does not accept the token", token="bad"),
        Refusal("acme/gated", "acme/gated is gated"),
        Refusal("acme/gated", "acme/gated is gated", token="other"),
    ],
    ids=lambda case: f"{case.repo} {case.token or 'anonymous'}",
)
def test_each_refusal_has_its_own_error(server: Server, case: Refusal) -> None:
    for other in ("acme/private", "acme/gated"):
        server.repos[other] = Repo(other, {"config.json": b"{}"})
    server.private["acme/private"] = {"owner"}
    server.gated["acme/gated"] = {"owner"}
    server.bad_tokens.add("bad")
    with pytest.raises(FluidModelError, match=case.message) as caught:
        hub(server, case.token).plan(case.repo, case.revision)
    assert caught.value.exit_code == 1 and caught.value.hint
    assert hub(server, "owner").plan("acme/private").files
    assert hub(server, "owner").plan("acme/gated").files


@pytest.mark.parametrize(
    ("headers", "code", "message"),
    [
        ({"X-Error-Code": "GatedRepo"}, 403, "is gated"),
        ({"X-Error-Code": "RevisionNotFound"}, 404, "has no revision"),
        ({"X-Error-Code": "EntryNotFound"}, 404, "does not exist at"),
        ({"X-Error-Code": "RepoNotFound"}, 404, "model o/m"),
        ({"X-Error-Message": "Access to this resource is disabled."}, 403, "has disabled"),
        ({}, 401, "model o/m"),
        ({}, 403, "the Hub refuses o/m"),
    ],
)
def test_a_refusal_is_translated_without_another_http_library(
    monkeypatch: pytest.MonkeyPatch, headers: dict[str, str], code: int, message: str
) -> None:
    """huggingface_hub 0.x came with requests, 1.x with httpx, 2.x with httpx2."""
    for name in ("requests", "httpx", "httpx2"):
        monkeypatch.setitem(sys.modules, name, None)
    answer = urllib3.HTTPResponse(status=code, headers=headers)
    who = HubCredentials("https://hub.example.com", "")
    error = error_from_response(who, "o/m", "main", "https://hub.example.com/o/m", answer)
    assert message in error.message


def test_transient_errors_are_retried_after_the_requested_delay(server: Server) -> None:
    limit = server.add_fault("status", "tree", status=429, times=1, headers={"Retry-After": "1"})
    error = server.add_fault("status", "revision", status=503, times=2)
    began = time.monotonic()
    assert hub(server).plan(NAME).files
    assert limit.hits == 1 and error.hits == 2 and time.monotonic() - began > 1


def test_a_lasting_server_error_is_unreachable(server: Server) -> None:
    server.add_fault("status", "", status=502)
    began = time.monotonic()
    with pytest.raises(UnreachableError, match="cannot read from the Hub") as caught:
        hub(server, patience=0.5).resolve_commit(NAME)
    assert caught.value.exit_code == 3 and time.monotonic() - began < 5


def test_a_closed_port_is_unreachable() -> None:
    with pytest.raises(UnreachableError):
        HubClient(HubCredentials("http://127.0.0.1:9"), retry_timeout=0.3).resolve_commit(NAME)


def test_a_next_page_on_another_host_is_not_followed(server: Server) -> None:
    there = {"Link": f'<{server.cdn}/api/models/x>; rel="next"'}
    with Server(Repo(NAME, {"a": b""})) as other:
        other.page_size = 0
        other.add_fault("status", "tree", status=200, headers=there)
        with pytest.raises(FluidModelError):
            list(
                HubClient(HubCredentials(other.endpoint, "secret"), retry_timeout=0.5).list_tree(
                    NAME, "c" * 40
                )
            )
    assert not server.requests_matching(on="cdn")


def test_the_next_page_is_parsed_from_the_link_header() -> None:
    assert _next_page_url('<https://h/a?b=1>; rel="next"') == "https://h/a?b=1"
    assert _next_page_url('<https://h/1>; rel="prev", <https://h/2>; rel="next"') == "https://h/2"
    assert _next_page_url("<https://h/2>; rel=next") == "https://h/2"
    assert _next_page_url("") == "" and _next_page_url('<x>; rel="last"') == ""


def test_the_token_is_never_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_very_secret")
    credentials = load_credentials("http://hub.example/")
    assert credentials.token == "hf_very_secret" and "very_secret" not in repr(credentials)
    assert credentials.endpoint == "http://hub.example"


@pytest.mark.parametrize("url", ["hub.example", "ftp://h", "http://", "http://u:p@h"])
def test_invalid_endpoints_are_refused(url: str) -> None:
    with pytest.raises(FluidModelError, match="is not a URL"):
        load_credentials(url)
