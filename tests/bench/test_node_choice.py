"""The nodes on which `bench` reads."""

from __future__ import annotations

import pytest

from kubectl_fluidmodel.bench.node_choice import choose_cache_node, choose_other_node
from kubectl_fluidmodel.bench.plan import OTHER_NODE_CASES, Source
from kubectl_fluidmodel.bench.run import find_readable_cache, readable_cases
from kubectl_fluidmodel.errors import FluidModelError
from kubectl_fluidmodel.fluid.names import CSI_DRIVER, cache_label
from kubectl_fluidmodel.inventory.cache import build_caches
from tests.inventory import samples

LABEL = cache_label("default", "demo")
OTHERS = [
    samples.node("cpu-1", spec={"taints": [{"key": "team", "effect": "NoSchedule"}]}),
    samples.node("cpu-2"),
    samples.node("cordoned", spec={"unschedulable": True}),
    samples.node("down", status={"conditions": [{"type": "Ready", "status": "False"}]}),
]


def snapshot_of(*nodes: str, **dataset: object):  # type: ignore[no-untyped-def]
    cache = samples.cache(nodes=nodes, **dataset)
    return samples.snapshot(*cache, *(samples.node(name, LABEL) for name in nodes))


def test_the_node_of_the_cache_is_read_on() -> None:
    snapshot = snapshot_of("gpu-0")
    (cache,) = build_caches(snapshot)
    assert choose_cache_node(snapshot, cache).name == "gpu-0"


def test_a_cordoned_node_is_not_the_first_choice() -> None:
    objects = samples.cache(nodes=("gpu-0", "gpu-1"))
    nodes = [
        samples.node("gpu-0", LABEL, spec={"unschedulable": True}),
        samples.node("gpu-1", LABEL),
    ]
    snapshot = samples.snapshot(*objects, *nodes)
    (cache,) = build_caches(snapshot)
    assert choose_cache_node(snapshot, cache).name == "gpu-1"
    assert choose_cache_node(snapshot, cache, "gpu-0").name == "gpu-0"


def test_a_node_without_the_cache_is_refused_with_those_that_have_it() -> None:
    snapshot = snapshot_of("gpu-0", "gpu-1")
    (cache,) = build_caches(snapshot)
    with pytest.raises(FluidModelError, match="it is on gpu-0, gpu-1; try: --off-node"):
        choose_cache_node(snapshot, cache, "cpu-0")


def csi_node(name: str, *drivers: str) -> dict[str, object]:
    return {
        "metadata": {"name": name},
        "spec": {"drivers": [{"name": driver} for driver in drivers]},
    }


def test_the_other_node_is_ready_stays_and_has_the_fewest_taints() -> None:
    snapshot = snapshot_of("gpu-0")
    (cache,) = build_caches(snapshot)
    nodes = [*OTHERS, samples.node("gpu-0", LABEL)]
    assert choose_other_node(nodes, cache, None).name == "cpu-2"
    with pytest.raises(FluidModelError, match="no other node to read on"):
        choose_other_node([samples.node("gpu-0", LABEL)], cache, None)


def test_the_other_node_has_fluids_csi_plugin() -> None:
    snapshot = snapshot_of("gpu-0")
    (cache,) = build_caches(snapshot)
    plugins = [csi_node("cpu-1", "ebs.csi.aws.com", CSI_DRIVER), csi_node("cpu-2", "other")]
    assert choose_other_node(OTHERS, cache, plugins).name == "cpu-1"
    with pytest.raises(FluidModelError, match="no other node is ready and has"):
        choose_other_node(OTHERS, cache, [])


def test_only_a_bound_cache_can_be_read() -> None:
    assert find_readable_cache(snapshot_of("gpu-0"), "default", "demo").name == "demo"
    with pytest.raises(FluidModelError, match=r"it is NotBound; try: .* doctor demo"):
        find_readable_cache(snapshot_of("gpu-0", phase="NotBound"), "default", "demo")
    with pytest.raises(FluidModelError, match="is being deleted"):
        find_readable_cache(
            snapshot_of("gpu-0", deletionTimestamp="2026-03-02T11:09:00Z"), "default", "demo"
        )
    with pytest.raises(FluidModelError, match="there is no cache nope in namespace default"):
        find_readable_cache(snapshot_of("gpu-0"), "default", "nope")


def test_a_claim_that_is_gone_is_said() -> None:
    objects = [obj for obj in samples.cache() if obj["kind"] != "PersistentVolumeClaim"]
    with pytest.raises(FluidModelError, match="its PersistentVolumeClaim is missing"):
        find_readable_cache(samples.snapshot(*objects), "default", "demo")


def test_only_what_keeps_pods_away_is_tolerated() -> None:
    taints = [
        {"key": "nvidia.com/gpu", "value": "present", "effect": "NoSchedule"},
        {"key": "team", "value": "a", "effect": "PreferNoSchedule"},
    ]
    snapshot = samples.snapshot(
        *samples.cache(), samples.node("gpu-0", LABEL, spec={"taints": taints})
    )
    (cache,) = build_caches(snapshot)
    (toleration,) = choose_cache_node(snapshot, cache).place.tolerations
    assert toleration == {
        "key": "nvidia.com/gpu",
        "operator": "Equal",
        "value": "present",
        "effect": "NoSchedule",
    }


def test_where_nodes_cannot_be_read_the_workers_tolerations_do() -> None:
    objects = [obj for obj in samples.cache() if obj["kind"] != "Node"]
    gpu = {"key": "nvidia.com/gpu", "operator": "Exists"}
    default = {"key": "node.kubernetes.io/not-ready", "operator": "Exists"}
    for obj in objects:
        if obj["kind"] == "Pod" and "worker" in obj["metadata"]["name"]:
            obj["spec"]["tolerations"] = [gpu, default]
    snapshot = samples.snapshot(*objects)
    (cache,) = build_caches(snapshot)
    assert choose_cache_node(snapshot, cache).place.tolerations == (gpu,)


@pytest.mark.parametrize("on", [False, True])
def test_the_page_cache_is_not_measured_where_the_client_keeps_none(on: bool) -> None:
    objects = samples.high_concurrency(samples.cache()) if on else samples.cache()
    (cache,) = build_caches(samples.snapshot(*objects))
    cases, left_out = readable_cases(cache, holds_cache=True)
    assert any(case.source is Source.PAGE_CACHE for case in cases) is not on
    assert [name for name, _ in left_out] == ["page cache"] * on
    elsewhere = readable_cases(cache, holds_cache=False)
    assert elsewhere == (OTHER_NODE_CASES, ())
