"""Pages of a list: what has no mark is never parsed, and what is no page is an error."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kubectl_fluidmodel.kube import list_decoder
from kubectl_fluidmodel.kube.errors import ClusterUnreachableError
from kubectl_fluidmodel.objects import kinds
from kubectl_fluidmodel.objects.access import Object
from tests.kube.server import client, listed, pod
from tests.loopback import HttpRequest, serve

MARKS = (b'"claimName"', b'"release"')


@pytest.fixture(autouse=True)
def large(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pages of any size are taken for large ones."""
    monkeypatch.setattr(list_decoder, "_SMALL", -1)


class TestSmall:
    @pytest.fixture(autouse=True)
    def small(self, large: None, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(list_decoder, "_SMALL", 1000)

    def test_it_is_read_completely(self) -> None:
        assert list_decoder.decode_matching(page({"a": 1}), MARKS, "x")["items"] == [{"a": 1}]
        assert list_decoder.decode_matching(page({"a": "x" * 1000}), MARKS, "x")["items"] == []

    @pytest.mark.parametrize("data", [b"<html>", b"[]", b'{"items":3}', b'{"items":[}'])
    def test_what_is_no_page(self, data: bytes) -> None:
        with pytest.raises(ClusterUnreachableError, match=r"not a Kubernetes API|not an object"):
            list_decoder.decode_matching(data, MARKS, "cannot list")


def page(*items: Any) -> bytes:
    body = {"kind": "List", "items": list(items), "metadata": {"continue": "x"}}
    return json.dumps(body, separators=(",", ":")).encode()


def test_only_what_is_marked() -> None:
    claims = {"spec": {"volumes": [{"persistentVolumeClaim": {"claimName": "a"}}]}}
    matching = list_decoder.decode_matching(
        page({"a": 1}, claims, {"labels": {"release": "b"}}), MARKS, "x"
    )
    assert matching == {
        "metadata": {"continue": "x"},
        "items": [claims, {"labels": {"release": "b"}}],
    }


@pytest.mark.parametrize("items", [b"null", b"[]"])
def test_an_empty_page(items: bytes) -> None:
    assert list_decoder.decode_matching(b'{"items":' + items + b"}", MARKS, "x") == {
        "metadata": {},
        "items": [],
    }


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"<html>",
        b"[]",
        b"3",
        b'{"items":[}',
        b'{"items":3}',
        b'{"items":[{"release":]}',
        b"\xff",
    ],
)
def test_what_is_no_page(data: bytes) -> None:
    with pytest.raises(ClusterUnreachableError, match="not a Kubernetes API server"):
        list_decoder.decode_matching(data, MARKS, "cannot list")


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text() | st.sampled_from(["release", "a"]),
    lambda inner: st.lists(inner) | st.dictionaries(st.sampled_from(["release", "x", "é"]), inner),
    max_leaves=10,
)


@given(st.lists(st.dictionaries(st.text(max_size=3), _JSON, max_size=4), max_size=6))
def test_the_same_as_parsing_all_and_looking_at_each(items: list[Any]) -> None:
    expected = [
        item
        for item in items
        if any(mark in json.dumps(item, separators=(",", ":")).encode() for mark in MARKS)
    ]
    assert list_decoder.decode_matching(page(*items), MARKS, "x")["items"] == expected


def test_a_list_skips_objects_without_the_prefilter_and_follows_its_pages() -> None:
    seen: list[str] = []

    def respond(asked: HttpRequest) -> Any:
        if asked.query.get("continue"):
            return listed(pod("c", message="marked"))
        return listed(pod("a", message="marked"), pod("b"), token="next")

    def keep(obj: Object) -> Object:
        seen.append(obj["metadata"]["name"])
        return obj

    with serve(respond) as server:
        objects = client(server).list_objects(kinds.PODS, transform=keep, prefilter=(b'"marked"',))
    assert seen == ["a", "c"]
    assert [(obj["kind"], obj["metadata"]["name"]) for obj in objects] == [
        ("Pod", "a"),
        ("Pod", "c"),
    ]
