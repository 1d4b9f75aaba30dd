"""A snapshot answers look-ups, knows what it does not know, and goes through a file and back."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kubectl_fluidmodel.errors import FluidModelError
from kubectl_fluidmodel.fluid import names
from kubectl_fluidmodel.objects import kinds
from kubectl_fluidmodel.snapshot.document import snapshot_from_document, snapshot_to_document
from kubectl_fluidmodel.snapshot.snapshot import (
    CommandKey,
    LogKey,
    ReadFailure,
    Snapshot,
    summarize_failures,
)
from tests.fluid import junk
from tests.inventory import samples


def test_look_ups() -> None:
    snapshot = samples.snapshot(*samples.cache(), namespace=None)
    assert snapshot.get(names.DATASETS, "demo", "default") is not None
    assert snapshot.get(names.DATASETS, "demo", "other") is None
    assert snapshot.get(kinds.NODES, "gpu-0", "anything") is not None
    assert snapshot.is_served(kinds.PODS) and not snapshot.is_served(kinds.WEBHOOKS)


def test_what_was_not_read_is_not_known_to_be_absent() -> None:
    denied = ReadFailure("pods", "default", "forbidden", True)
    snapshot = samples.snapshot(read_failures=[denied], selectors={"nodes": "a=b"})
    assert not snapshot.was_read(kinds.PODS)
    assert not snapshot.was_read(kinds.PODS, "default")
    assert snapshot.was_read(kinds.PODS, "other")
    assert not snapshot.was_read(kinds.NODES), "only some were asked for"
    assert snapshot.was_read(kinds.PVCS)
    assert not snapshot.was_read(kinds.WEBHOOKS), "not asked for at all"
    assert str(denied) == "pods in namespace default: forbidden"


def test_events_of_an_object_and_not_of_its_namesake_before() -> None:
    pod = samples.pod("p", uid="2")
    events = [
        samples.make_object(
            "Event", f"e{uid}", involvedObject={"kind": "Pod", "name": "p", "uid": uid}
        )
        for uid in ("1", "2", "")
    ]
    snapshot = samples.snapshot(pod, *events)
    assert [event["metadata"]["name"] for event in snapshot.events_about(pod)] == ["e2", "e"]
    assert len(snapshot.events_by_name("Pod", "default", "p")) == 3


def test_what_is_added_is_found_though_looked_for_before() -> None:
    snapshot = samples.snapshot()
    pod = samples.pod("p")
    event = samples.make_object("Event", "e", involvedObject={"kind": "Pod", "name": "p"})
    assert snapshot.get(kinds.PODS, "p", "default") is None and not snapshot.events_about(pod)
    snapshot.add(kinds.PODS, [pod])
    snapshot.add(kinds.EVENTS, [event])
    assert snapshot.get(kinds.PODS, "p", "default") == pod
    assert snapshot.events_about(pod) == [event]


def test_through_a_file_and_back() -> None:
    snapshot = samples.snapshot(
        *samples.cache(),
        read_failures=[ReadFailure("nodes", "", "no", True)],
        selectors={"nodes": "a"},
        logs={LogKey("a", "b", "c"): "d\n", LogKey("a", "b", "c", previous=True): "e"},
        command_outputs={CommandKey("a", "b", "alluxio fs ls -R /"): "y\n"},
    )
    assert (
        snapshot_from_document(json.loads(json.dumps(snapshot_to_document(snapshot)))) == snapshot
    )


@pytest.mark.parametrize(
    ("document", "message"),
    [
        (None, "this is not a snapshot"),
        ([], "this is not a snapshot"),
        ({"kind": "Snapshot", "apiVersion": "fluidmodel.io/v2"}, "fluidmodel.io/v2"),
        (
            {"kind": "Snapshot", "apiVersion": "fluidmodel.io/v1", "objects": []},
            "the snapshot is damaged",
        ),
        (
            {"kind": "Snapshot", "apiVersion": "fluidmodel.io/v1", "taken": "now"},
            "the snapshot is damaged",
        ),
    ],
)
def test_what_is_no_snapshot(document: Any, message: str) -> None:
    with pytest.raises(FluidModelError, match=message):
        snapshot_from_document(document)


@given(st.dictionaries(st.sampled_from(list(vars(Snapshot(None, 0.0)))), junk.any_value))
def test_a_damaged_file_is_a_one_line_error(parts: dict[str, Any]) -> None:
    document = {**parts, "kind": "Snapshot", "apiVersion": "fluidmodel.io/v1"}
    try:
        snapshot = snapshot_from_document(document)
    except FluidModelError:
        return
    assert all(isinstance(obj, dict) for objects in snapshot.objects.values() for obj in objects)


def test_all_rights_that_lack_are_one_line_and_each_failure_its_own() -> None:
    rights = [ReadFailure(f"kind{i}.group", "ns", "forbidden " * 20, True) for i in range(15)]
    failed = ReadFailure("pods", "ns", "the server timed out", False)
    lines = summarize_failures([*rights, failed, rights[0]])
    assert lines == [
        "no permission to list kind0, kind1, kind2, kind3 and 11 more (docs/rbac.md)",
        "pods in namespace ns: the server timed out",
    ]
    assert len(lines[0]) <= 80
    assert summarize_failures(rights[:5])[0].startswith(
        "no permission to list kind0, kind1, kind2, kind3, kind4 ("
    )
    assert summarize_failures([]) == []
