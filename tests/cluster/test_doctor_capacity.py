"""Doctor's checks of room, nodes and speed, each broken for real and mended by the printed fix."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.cluster import objects
from tests.cluster.api import Object
from tests.cluster.broken_caches import Ward, ward_of, whole_of
from tests.cluster.cluster import Cluster
from tests.cluster.objects import until

pytestmark = pytest.mark.cluster

DAY = 86_400.0
HEAPS = {"worker": {"jvmOptions": ["-Xmx12G"]}, "fuse": {"jvmOptions": ["-Xmx16G"]}}
"""What Fluid takes by default, said outright."""
EMPTY = ("FM601",)
"""Found beside the rest where nothing is loaded: Fluid takes 20 s longer to end a cache that is."""


@pytest.fixture(scope="module")
def ward(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ward]:
    yield from ward_of(cluster, tmp_path_factory.mktemp("capacity"))


@pytest.fixture(scope="module")
def whole(ward: Ward) -> str:
    return whole_of(ward)


# -- room -------------------------------------------------------------------------------------


@pytest.mark.breaks("FM801")
def test_a_quota_below_the_model(ward: Ward) -> None:
    ward.cache("small", level={"quota": "1Mi"})
    ward.bound("small")
    ward.api.apply(objects.dataload(ward.namespace, "small"))
    found = ward.sees("FM801", "small", ward.ref("alluxioruntime", "small"), later=300)
    assert found.cause == "its workers have room for 1.0 MiB, and the model takes 3.0 MiB"
    ward.doctor.run(found.fix, timeout=240)
    ward.well("small")


@pytest.mark.breaks("FM802")
def test_a_quota_that_the_model_fills(ward: Ward) -> None:
    ward.cache("tight", level={"quota": str(int(ward.bytes / 0.97))})
    ward.bound("tight")
    found = ward.sees("FM802", "tight", ward.ref("alluxioruntime", "tight"), beside=EMPTY)
    assert found.cause == "the model fills 97% of the quota, and Alluxio evicts above 95%"
    ward.doctor.run(found.fix, timeout=240)
    ward.well("tight")


@pytest.mark.breaks("FM803")
def test_memory_that_is_promised_twice(ward: Ward) -> None:
    """The quota fits, which is all that the scheduler sees; the heaps beside it do not."""
    node = ward.node("memory", memory="40Gi")
    memory = {"mediumtype": "MEM", "path": "/dev/shm", "quota": "20Gi"}
    ward.cache("memory", node=node, level=memory, runtime=HEAPS)
    ward.bound("memory")
    found = ward.sees("FM803", "memory", f"node {node}", beside=EMPTY)
    assert found.cause == "this cache may take 48.0 GiB of its memory, and it has 40.0 GiB"
    ward.doctor.run(found.fix, timeout=240)
    ward.well("memory")


@pytest.mark.breaks("FM804")
def test_heaps_that_nobody_chose(ward: Ward) -> None:
    node = ward.node("heaps", memory="64Gi")
    ward.cache("heaps", node=node)
    ward.bound("heaps")
    found = ward.sees("FM804", "heaps", f"node {node}", beside=EMPTY)
    assert "default heaps of worker and fuse take 28.0 GiB of the 64.0 GiB" in found.cause
    ward.doctor.run(found.fix, timeout=240)
    ward.well("heaps")


# -- nodes ------------------------------------------------------------------------------------


@pytest.mark.breaks("FM811")
def test_a_cordon(ward: Ward, whole: str) -> None:
    node = ward.placed(f"{whole}-worker-0")
    ward.cluster.kubectl("cordon", node)
    found = ward.sees("FM811", whole, f"node {node}")
    ward.doctor.run(found.fix)
    ward.well(whole)


@pytest.mark.breaks("FM815")
def test_a_node_that_an_autoscaler_takes_away(ward: Ward) -> None:
    """Deleted, and held by a finalizer as Karpenter's are: it still says Ready."""
    node = ward.node("taken")
    ward.cache("drained", node=node)
    ward.loaded("drained")
    ward.api.patch("v1", "Node", node, {"metadata": {"finalizers": ["example.com/drain"]}})
    ward.api.delete("v1", "Node", node)
    try:
        found = ward.sees("FM815", "drained", f"node {node}")
        assert "is being deleted, since" in found.cause and "example.com/drain" in found.cause
    finally:
        ward.api.patch("v1", "Node", node, {"metadata": {"finalizers": None}})
        ward.cluster.remove_node(node)
        ward.nodes.remove(node)
    ward.gone("drained")


@pytest.mark.breaks("FM814")
def test_a_node_that_is_gone_with_its_pods_in_the_list(ward: Ward) -> None:
    node = ward.node("gone")
    ward.cache("ground", node=node)
    ward.loaded("ground")
    ward.cluster.remove_node(node)
    ward.nodes.remove(node)
    ward.doctor.look()
    assert "FM814" in ward.doctor.errors("ground"), ward.doctor.told("ground")
    assert "FM814" in ward.doctor.roots("ground")
    (found,) = ward.doctor.found("ground")["FM814"]
    assert found.about == f"node {node}"


@pytest.mark.breaks("FM812")
def test_a_node_whose_disk_is_full(ward: Ward, whole: str) -> None:
    node = ward.placed(f"{whole}-worker-0")
    before = ward.api.get("v1", "Node", node)["status"]["conditions"]
    words = {"reason": "KubeletHasDiskPressure", "message": "kubelet has disk pressure"}
    full = [
        {**each, "status": "True", **words} if each["type"] == "DiskPressure" else each
        for each in before
    ]
    ward.api.patch("v1", "Node", node, {"status": {"conditions": full}}, None, "status")
    found = ward.sees("FM812", whole, f"node {node}")
    assert found.cause == "it holds the cache and is under DiskPressure"
    assert "KubeletHasDiskPressure" in found.evidence[0].text
    ward.api.patch("v1", "Node", node, {"status": {"conditions": before}}, None, "status")
    ward.well(whole)


@pytest.mark.breaks("FM813")
def test_a_worker_that_was_evicted(ward: Ward, whole: str) -> None:
    """The kubelet's event outlives the pod, of whose name there is another one soon."""
    pod = f"{whole}-worker-0"
    ward.event("Pod", pod, "Evicted", "The node was low on resource: ephemeral-storage.")
    found = ward.sees("FM813", whole, ward.ref("pod", pod))
    assert found.cause == "the worker was evicted from its node"
    assert "low on resource: ephemeral-storage" in found.evidence[0].text
    for event in ward.api.list("v1", "Event", ward.namespace):
        if event["reason"] == "Evicted":
            ward.api.delete("v1", "Event", event["metadata"]["name"], ward.namespace)
    ward.well(whole)


# -- speed ------------------------------------------------------------------------------------


@pytest.mark.breaks("FM820")
def test_parts_on_two_nodes(ward: Ward) -> None:
    ward.cache("spread", runtime={"replicas": 2})
    ward.bound("spread")
    found = ward.sees("FM820", "spread", ward.ref("alluxioruntime", "spread"), beside=EMPTY)
    assert found.cause.startswith("2 workers share one copy of the model")
    ward.doctor.run(found.fix, timeout=240)
    ward.well("spread")


@pytest.mark.breaks("FM821", "FM822")
@pytest.mark.parametrize(
    ("code", "level", "cause"),
    [
        ("FM821", {"volumeType": "emptyDir"}, "its tier is an emptyDir"),
        ("FM822", {"mediumtype": "HDD"}, "its tier at /mnt/cache is a hard disk"),
    ],
)
def test_a_slow_tier(ward: Ward, code: str, level: dict[str, Any], cause: str) -> None:
    name = f"slow-{code.lower()}"
    ward.cache(name, level=level)
    ward.bound(name)
    found = ward.sees(code, name, ward.ref("alluxioruntime", name), beside=EMPTY)
    assert found.cause.startswith(cause)
    ward.doctor.run(found.fix, timeout=240)
    ward.well(name)


@pytest.mark.breaks("FM825")
def test_a_copy_that_nobody_reads(ward: Ward) -> None:
    ward.cache("twice", runtime={"replicas": 2, "data": {"replicas": 2}})
    ward.loaded("twice", 2)
    read, idle = ward.placed("twice-worker-0"), ward.placed("twice-worker-1")
    ward.reader("only-reader", "twice", read)
    ward.running("only-reader")
    ward.well("twice")
    found = ward.sees("FM825", "twice", ward.ref("alluxioruntime", "twice"), later=2 * DAY)
    assert found.cause == f"nothing reads the copy on {idle}"
    assert found.fix is not None and "--replicas 1" in found.fix.text
    ward.api.delete("v1", "Pod", "only-reader", ward.namespace)
    until("the reader to go", lambda: not ward.find("Pod", "only-reader"))
    ward.doctor.run(found.fix, timeout=240)
    ward.well("twice", later=2 * DAY)


@pytest.mark.breaks("FM826")
def test_a_cache_that_nobody_reads(ward: Ward) -> None:
    ward.cache("unused")
    ward.loaded("unused")
    found = ward.sees("FM826", "unused", ward.ref("dataset", "unused"), later=8 * DAY)
    assert found.cause == "nothing reads it, and it is 8d old and holds 3.0 MiB"
    ward.doctor.run(found.fix)
    ward.doctor.look(later=8 * DAY)
    assert "FM826" not in ward.doctor.codes("unused")


# -- reads ------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.breaks("FM823", "FM824")
def test_reads_that_go_elsewhere(ward: Ward, cluster: Cluster) -> None:
    """Fluid asks Alluxio once a minute what was read from where."""
    stand_in = cluster.alluxio(ward.namespace, "reads")
    ward.cache("reads")
    ward.loaded("reads")
    ward.well("reads")
    stand_in.set_knobs(reads={"Local": 200 << 20, "Remote": 300 << 20, "UfsAll": 500 << 20})

    def counted() -> Object | None:
        states: Object = ward.status("Dataset", "reads").get("cacheStates") or {}
        return states if states.get("cacheHitRatio") not in (None, "", "0.0%") else None

    until("Fluid's count", counted, 90)
    about = ward.ref("dataset", "reads")
    found = ward.sees("FM823", "reads", about, beside=("FM824",))
    assert found.cause == "50% of the reads of the last minute went to the store"
    [far] = ward.doctor.found("reads")["FM824"]
    assert far.about == about
    assert far.cause == "30% of the reads of the last minute came from another node's worker"
