"""The diff of a graph: what changes, and not in which order it is written."""

from __future__ import annotations

from kubectl_fluidmodel.pin.diff import object_diff
from kubectl_fluidmodel.pin.pinning import pin_graph
from tests.cache.adoption.samples import load_fixture
from tests.pin.test_by_hand import request


def test_keys_in_another_order_are_no_change() -> None:
    one, two = {"name": "one", "v": 1}, {"name": "two"}
    before = {"spec": {"a": 1, "b": [one, two], "c": [{"d": 1, "e": 2}]}}
    after = {"spec": {"c": [{"e": 2, "d": 1}], "b": [{"v": 2, "name": "one"}], "new": 0, "a": 1}}
    lines = object_diff(before, after, "dgd/chat").splitlines()
    changed = [" ".join(line.split()) for line in lines[2:] if line[:1] in "+-"]
    assert changed == ["- v: 1", "- - name: two", "+ v: 2", "+ new: 0"]


def test_an_adopted_pin_that_is_pinned_with_more_flags_shows_only_these() -> None:
    (graph,) = load_fixture("graph-2025")
    adopted = pin_graph(graph, request("ns", "llama-by-hand", adopt=True)).object
    more = pin_graph(adopted, request("ns", "llama-by-hand", use_model_path=True)).object
    assert object_diff(adopted, more, "dgd/chat") == ""
