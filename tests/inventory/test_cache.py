"""What belongs to a cache, for each kind of runtime, and with every field odd."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kubectl_fluidmodel.fluid import names
from kubectl_fluidmodel.inventory.cache import FUSE, MASTER, WORKER, build_caches
from kubectl_fluidmodel.snapshot.snapshot import Snapshot
from tests.fluid import junk
from tests.inventory import samples

RUNTIMES = [kind.name for kind in names.RUNTIME_KINDS]


@pytest.mark.parametrize("kind", RUNTIMES)
def test_every_runtime_finds_its_own(kind: str) -> None:
    parts = samples.workloads(kind, nodes=["gpu-0", "gpu-1"], fuse=["gpu-0"])
    reader = samples.reader()
    (cache,) = build_caches(
        samples.snapshot(samples.dataset(), samples.runtime(kind), *parts, reader)
    )
    masters = 0 if kind in ("JuiceFSRuntime", "ThinRuntime") else 1
    assert {part: len(pods) for part, pods in cache.pods.items()} == {
        **({MASTER: 1} if masters else {}),
        WORKER: 2,
        FUSE: 1,
    }
    assert set(cache.workloads) == set(cache.pods)
    assert cache.node_names == ["gpu-0", "gpu-1"]
    assert [(reader.name, reader.is_local) for reader in cache.readers] == [("chat-0", True)]


def test_pods_of_another_cache_or_namespace_are_not_its_own() -> None:
    objects = [
        *samples.cache(),
        *samples.cache("demo-2", nodes=["gpu-1"]),
        *samples.cache(namespace="other", nodes=["gpu-2"]),
    ]
    caches = build_caches(samples.snapshot(*objects, namespace=None))
    assert [(cache.namespace, cache.name, cache.node_names) for cache in caches] == [
        ("default", "demo", ["gpu-0"]),
        ("default", "demo-2", ["gpu-1"]),
        ("other", "demo", ["gpu-2"]),
    ]


OLD_GRAPH = {"services": {"VllmWorker": {}, "Processor": {}}}


@pytest.mark.parametrize(
    ("selector", "owner"),
    [
        ("chat-vllmworker", ("chat", "VllmWorker")),
        ("chat-two-processor", ("chat-two", "Processor")),
        ("chat-gone", ("chat", "")),
        ("alone", ("alone", "")),
        ("other-graph", ("other-graph", "")),
        ("", ("", "")),
    ],
)
def test_pods_of_old_operators_belong_to_their_graph(selector: str, owner: tuple[str, str]) -> None:
    """Up to 0.5, their only label has graph and component in one."""
    pod = samples.reader()
    pod["metadata"]["labels"] = {"nvidia.com/selector": selector} if selector else {}
    objects = [
        *samples.cache(),
        *(
            samples.make_object("DynamoGraphDeployment", name, spec=OLD_GRAPH)
            for name in ("chat", "chat-two")
        ),
        samples.make_object("DynamoComponentDeployment", "alone", spec={}),
        pod,
    ]
    (cache,) = build_caches(samples.snapshot(*objects))
    assert [(reader.graph, reader.component) for reader in cache.readers] == [owner]


def test_a_runtime_without_a_dataset_is_a_cache_too() -> None:
    (cache,) = build_caches(samples.snapshot(samples.runtime()))
    assert cache.dataset is None and cache.runtime is not None


def test_an_evicted_worker_has_no_cached_bytes() -> None:
    labels = samples.component_labels("AlluxioRuntime", "demo", "worker")
    evicted = samples.pod("demo-worker-0", node="gpu-7", labels=labels, phase="Failed")
    (cache,) = build_caches(samples.snapshot(samples.dataset(), samples.runtime(), evicted))
    assert cache.node_names == []


def test_without_readable_pods_the_labels_name_the_nodes() -> None:
    objects = [
        samples.dataset(),
        samples.claim(),
        samples.node("gpu-3", "fluid.io/s-default-demo"),
    ]
    (cache,) = build_caches(samples.snapshot(*objects))
    assert cache.node_names == ["gpu-3"]


def test_a_reader_without_a_node_is_neither_near_nor_far() -> None:
    (cache,) = build_caches(samples.snapshot(*samples.cache(), samples.reader(node="")))
    assert [reader.is_local for reader in cache.readers] == [None]


def test_a_reader_that_has_ended_reads_no_more() -> None:
    over = samples.reader(phase="Succeeded")
    (cache,) = build_caches(samples.snapshot(*samples.cache(), over))
    assert cache.readers == []


def test_a_reader_with_two_mounts_counts_once() -> None:
    reader = samples.reader()
    mount = {"name": "model", "mountPath": "/again"}
    reader["spec"]["containers"][0]["volumeMounts"].append(mount)
    (cache,) = build_caches(samples.snapshot(*samples.cache(), reader))
    (one,) = cache.readers
    assert one.mounts == (("main", "/model"), ("main", "/again"))


def test_a_reference_is_where_its_origin_is() -> None:
    objects = [
        *samples.cache("real", "data", nodes=["gpu-1"]),
        samples.dataset("demo", source="dataset://data/real"),
        samples.runtime("ThinRuntime", "demo"),
        samples.reader(node="gpu-1"),
    ]
    caches = {
        cache.name: cache for cache in build_caches(samples.snapshot(*objects, namespace=None))
    }
    assert caches["demo"].origin is caches["real"]
    assert caches["demo"].node_names == ["gpu-1"]
    assert caches["demo"].readers[0].is_local is True
    assert caches["demo"].node_label == caches["real"].node_label == "fluid.io/s-data-real"


def test_a_reference_has_its_sources_label_although_its_claim_has_another() -> None:
    """Also where the source's namespace was not read."""
    labels = {"fluid.io/s-default-demo": "true"}
    claim = samples.make_object("PersistentVolumeClaim", "demo", labels=labels)
    dataset = samples.dataset("demo", source="dataset://data/real")
    (cache,) = build_caches(samples.snapshot(dataset, claim))
    assert cache.node_label == "fluid.io/s-data-real"


def test_references_in_a_ring_end() -> None:
    objects = [
        samples.dataset("a", source="dataset://default/b"),
        samples.dataset("b", source="dataset://default/a"),
    ]
    assert [cache.node_names for cache in build_caches(samples.snapshot(*objects))] == [[], []]


@pytest.mark.parametrize(
    "spec",
    [
        {"services": {"W": {"pvc": {"name": "demo", "mountPoint": "/m"}}}},
        {"pvcs": [{"name": "demo"}], "services": {}},
        {"services": {"W": {"volumeMounts": [{"name": "demo", "mountPoint": "/m"}]}}},
        {
            "components": [
                {
                    "podTemplate": {
                        "spec": {"volumes": [{"persistentVolumeClaim": {"claimName": "demo"}}]}
                    }
                }
            ]
        },
    ],
)
def test_a_graph_of_any_shape_that_names_the_claim(spec: dict[str, Any]) -> None:
    graph = samples.make_object("DynamoGraphDeployment", "chat", spec=spec)
    (cache,) = build_caches(samples.snapshot(*samples.cache(), graph))
    assert cache.graphs == [graph]


def test_a_component_of_a_graph_is_no_graph() -> None:
    spec = {"pvcs": [{"name": "demo"}]}
    owner = [{"kind": "DynamoGraphDeployment", "name": "chat"}]
    owned = samples.make_object("DynamoComponentDeployment", "a", spec=spec, ownerReferences=owner)
    free = samples.make_object("DynamoComponentDeployment", "b", spec=spec)
    (cache,) = build_caches(samples.snapshot(*samples.cache(), owned, free))
    assert cache.graphs == [free]


@st.composite
def odd_snapshots(draw: st.DrawFn) -> Snapshot:
    """A healthy cluster in which anything may be anything."""
    kind = draw(st.sampled_from(RUNTIMES))
    graph = samples.make_object("DynamoGraphDeployment", "g", spec={"pvcs": [{"name": "demo"}]})
    load = samples.make_object("DataLoad", "demo", spec={"dataset": {"name": "demo"}})
    objects = [
        *samples.cache(kind=kind),
        samples.reader(),
        samples.reader("chat-1", node=""),
        graph,
        load,
        samples.make_object("Event", "e", involvedObject={"kind": "Pod", "name": "chat-0"}),
    ]
    for obj in objects:
        if draw(st.booleans()):
            junk.corrupt(draw, obj)
    return samples.snapshot(*[obj for obj in objects if isinstance(obj.get("kind"), str)])


@settings(max_examples=120, deadline=None)
@given(odd_snapshots())
def test_nothing_odd_raises(snapshot: Snapshot) -> None:
    for cache in build_caches(snapshot):
        assert isinstance(cache.node_names, list)
        assert isinstance(cache.node_label, str)
        for reader in cache.readers:
            assert all(isinstance(text, str) for text in (reader.graph, reader.component))


@settings(max_examples=80, deadline=None)
@given(st.lists(junk.any_object, max_size=4), st.sampled_from(sorted(samples.KINDS)))
def test_junk_of_any_kind_raises_nothing(objects: list[dict[str, Any]], kind: str) -> None:
    snapshot = samples.snapshot(*samples.cache())
    snapshot.objects[samples.KINDS[kind].resource] += objects
    assert build_caches(snapshot)
