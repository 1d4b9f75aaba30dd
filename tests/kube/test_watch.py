"""A Feed against a loopback server: what happens to watches, and that it goes on."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest

from kubectl_fluidmodel.kube.client import Client
from kubectl_fluidmodel.kube.watch import Informer
from kubectl_fluidmodel.objects.access import get_path, name_of
from kubectl_fluidmodel.objects.kinds import EVENTS, PODS
from tests.kube.server import Stream, client, listed, pod, status
from tests.loopback import HttpRequest, HttpResponse, free_port, serve

SOON = 5.0
"""Seconds in which anything here must happen; most takes milliseconds."""


@dataclass
class Api:
    """Pods of one namespace: lists and watches in the order they are asked for."""

    lists: list[HttpResponse]
    watches: list[Stream | HttpResponse] = field(default_factory=list)
    listed: int = 0
    watched: int = 0
    broken: bool = False
    """Whether a watch's connection breaks at its end instead of ending."""

    def __call__(self, asked: HttpRequest) -> HttpResponse:
        if "watch" not in asked.query:
            self.listed += 1
            return self.lists[min(self.listed, len(self.lists)) - 1]
        self.watched += 1
        watch = self.watches[min(self.watched, len(self.watches)) - 1]
        return watch.answer(asked, clean=not self.broken) if isinstance(watch, Stream) else watch


def eventually(condition: Callable[[], Any]) -> None:
    deadline = time.monotonic() + SOON
    while not condition():
        assert time.monotonic() < deadline, "it does not happen"
        time.sleep(0.01)


@pytest.fixture
def closing() -> Iterator[list[Informer | Stream]]:
    """Feeds and streams to end with the test."""
    made: list[Informer | Stream] = []
    yield made
    for closable in made:
        closable.close() if isinstance(closable, Informer) else closable.end()


def follow(kube: Client, closing: list[Informer | Stream], **selectors: str) -> Informer:
    feed = Informer(kube)
    closing.append(feed)
    feed.start(PODS, "ns", **selectors)
    return feed


def names(feed: Informer) -> list[str]:
    return sorted(name_of(obj) for obj in feed.list_objects(PODS))


def changes(feed: Informer, count: int) -> list[str]:
    events = [feed.next_event(SOON) for _ in range(count)]
    return [change.type if change else "none" for change in events]


def test_the_list_then_its_changes(closing: list[Informer | Stream]) -> None:
    stream = Stream()
    closing.append(stream)
    api = Api([listed(pod("a"), pod("b"), version=5)], [stream])
    with serve(api) as server:
        feed = follow(client(server), closing, labels="x=y", fields="f=g")
        assert changes(feed, 1) == ["SYNCED"]
        assert names(feed) == ["a", "b"]
        stream.event("ADDED", pod("c", 6))
        stream.event("MODIFIED", pod("a", 7, phase="Running"))
        stream.event("DELETED", pod("b", 8))
        assert changes(feed, 3) == ["ADDED", "MODIFIED", "DELETED"]
        assert names(feed) == ["a", "c"]
        assert get_path(feed.get(PODS, "a"), "status", "phase") == "Running"
        assert feed.get(PODS, "b") is None
        assert stream.query["resourceVersion"] == "5"
        assert stream.query["labelSelector"] == "x=y"
        assert stream.query["fieldSelector"] == "f=g"
        assert stream.query["allowWatchBookmarks"] == "true"


def test_a_change_wakes_the_reader_at_once(closing: list[Informer | Stream]) -> None:
    stream = Stream()
    closing.append(stream)
    with serve(Api([listed()], [stream])) as server:
        feed = follow(client(server), closing)
        assert changes(feed, 1) == ["SYNCED"]
        assert stream.opened.wait(SOON)
        threading.Timer(0.2, lambda: stream.event("ADDED", pod("a", 2))).start()
        began = time.monotonic()
        change = feed.next_event(SOON)
        assert change is not None
        assert change.type == "ADDED"
        assert time.monotonic() - began < 1.0


def test_next_returns_none_when_nothing_happens(closing: list[Informer | Stream]) -> None:
    stream = Stream()
    closing.append(stream)
    with serve(Api([listed()], [stream])) as server:
        feed = follow(client(server), closing)
        assert changes(feed, 1) == ["SYNCED"]
        assert feed.next_event(0.05) is None
        assert feed.next_event(-1) is None


def test_a_watch_that_ends_resumes_from_the_last_bookmark(closing: list[Informer | Stream]) -> None:
    first, second = Stream(), Stream()
    closing += [first, second]
    api = Api([listed(pod("a"), version=5)], [first, second])
    with serve(api) as server:
        feed = follow(client(server), closing)
        first.event("BOOKMARK", {"kind": "Pod", "metadata": {"resourceVersion": "90"}})
        first.end()
        assert second.opened.wait(SOON)
        assert second.query["resourceVersion"] == "90"
        second.event("ADDED", pod("b", 91))
        assert changes(feed, 2) == ["SYNCED", "ADDED"]  # a bookmark is no change
        assert names(feed) == ["a", "b"]
        assert api.listed == 1


@pytest.mark.parametrize("how", ["event", "answer"])
def test_an_expired_version_starts_a_new_list(closing: list[Informer | Stream], how: str) -> None:
    first, second = Stream(), Stream()
    closing += [first, second]
    expired: Stream | HttpResponse = first if how == "event" else status(410, "too old", "Expired")
    api = Api([listed(pod("a"), version=5), listed(pod("b"), version=50)], [expired, second])
    if how == "event":
        gone = {"kind": "Status", "code": 410, "message": "too old resource version: 5 (50)"}
        first.event("ERROR", gone)
    with serve(api) as server:
        feed = follow(client(server), closing)
        assert second.opened.wait(SOON)
        assert changes(feed, 2) == ["SYNCED", "SYNCED"]
        assert names(feed) == ["b"]  # what vanished in between is gone
        assert second.query["resourceVersion"] == "50"


@pytest.mark.parametrize(
    "cut",
    [
        b'{"type": "ADDED", "object": {"metadata": {"na',
        b"upstream request timeout",
        b"[]",
        b'{"type": "ADDED", "object": "text"}',
        b"\xff\xfe\n",
    ],
)
def test_a_line_that_is_no_event_ends_the_watch_and_nothing_else(
    closing: list[Informer | Stream], cut: bytes
) -> None:
    """A proxy that gives up in the middle of an event ends the stream as if it were complete."""
    first, second = Stream(), Stream()
    closing += [first, second]
    with serve(Api([listed(pod("a"))], [first, second])) as server:
        feed = follow(client(server), closing)
        first.raw(cut)
        first.end()
        assert second.opened.wait(SOON)
        second.event("ADDED", pod("b", 9))
        eventually(lambda: names(feed) == ["a", "b"])


def test_a_broken_connection_is_reestablished_within_a_second(
    closing: list[Informer | Stream],
) -> None:
    first, second = Stream(), Stream()
    closing += [first, second]
    api = Api([listed(pod("a"))], [first, second], broken=True)
    with serve(api) as server:
        feed = follow(client(server), closing)
        assert first.opened.wait(SOON)
        began = time.monotonic()
        first.end()
        assert second.opened.wait(SOON)
        assert time.monotonic() - began < 1.0
        second.event("ADDED", pod("b", 9))
        eventually(lambda: names(feed) == ["a", "b"])
        assert feed.last_error == ""


@pytest.mark.parametrize("code", [429, 500, 502, 503, 504])
def test_a_server_that_is_overloaded_is_asked_again(
    closing: list[Informer | Stream], code: int
) -> None:
    stream = Stream()
    closing.append(stream)
    api = Api([status(code, "try later"), status(code, "try later"), listed(pod("a"))], [stream])
    with serve(api) as server:
        feed = follow(client(server), closing)
        eventually(lambda: names(feed) == ["a"])
        assert feed.last_error == ""
        assert feed.denied == {}


def test_a_restarting_server_is_unreachable_until_it_responds(
    closing: list[Informer | Stream],
) -> None:
    """Back again and nothing new to tell: the trouble is over all the same."""
    first, second = Stream(), Stream()
    closing += [first, second]
    port = free_port()
    api = Api([listed(pod("a"), version=5)], [first, second], broken=True)
    with serve(api, port) as server:
        feed = follow(client(server), closing)
        assert first.opened.wait(SOON)
    first.end()
    eventually(lambda: feed.last_error)
    assert "refused" in feed.last_error
    with serve(api, port):
        began = time.monotonic()
        eventually(lambda: second.opened.is_set() and not feed.last_error)
        assert time.monotonic() - began < 2.5
        assert names(feed) == ["a"]
    second.end()


@pytest.mark.parametrize("code", [403, 404])
def test_unreadable_objects_are_reported_and_not_changed(
    closing: list[Informer | Stream], code: int
) -> None:
    api = Api([status(code, "pods is forbidden")])
    with serve(api) as server:
        feed = follow(client(server), closing)
        assert changes(feed, 1) == ["ERROR"]
        assert feed.denied == {PODS: "pods is forbidden"}
        assert feed.next_event(0.3) is None
        assert api.listed == 1


def test_one_kind_that_is_denied_leaves_the_others(closing: list[Informer | Stream]) -> None:
    stream = Stream()
    closing.append(stream)
    pods = Api([listed(pod("a"))], [stream])

    def respond(asked: HttpRequest) -> HttpResponse:
        return status(403, "events is forbidden") if "events" in asked.path else pods(asked)

    with serve(respond) as server:
        feed = follow(client(server), closing)
        feed.start(EVENTS, "ns")
        eventually(lambda: names(feed) == ["a"] and EVENTS in feed.denied)
        assert PODS not in feed.denied


def test_a_closed_feed_asks_no_more(closing: list[Informer | Stream]) -> None:
    stream = Stream()
    closing.append(stream)
    api = Api([listed()], [stream])
    with serve(api) as server:
        feed = follow(client(server), closing)
        assert stream.opened.wait(SOON)
        feed.close()
        stream.end()
        time.sleep(0.3)
        assert (api.listed, api.watched) == (1, 1)
