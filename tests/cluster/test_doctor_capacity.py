"""Doctor's checks of room, nodes and speed, each broken for real and mended by the printed fix."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from kubectl_fluidmodel.fluid.names import PREHEATED_ANNOTATION
from kubectl_fluidmodel.inventory.preheat_record import PreheatRecord, format_records
from tests.cluster import objects
from tests.cluster.api import Object
from tests.cluster.broken_caches import BrokenCaches, create_healthy_cache, manage_broken_caches
from tests.cluster.cluster import Cluster
from tests.cluster.objects import until

pytestmark = pytest.mark.cluster

DAY = 86_400.0
HEAPS = {"worker": {"jvmOptions": ["-Xmx12G"]}, "fuse": {"jvmOptions": ["-Xmx16G"]}}
"""What Fluid takes by default, said outright."""
EMPTY = ("FM601",)
"""Found beside the rest where nothing is loaded: Fluid takes 20 s longer to end a cache that is."""


@pytest.fixture(scope="module")
def caches(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[BrokenCaches]:
    yield from manage_broken_caches(cluster, tmp_path_factory.mktemp("capacity"))


@pytest.fixture(scope="module")
def healthy(caches: BrokenCaches) -> str:
    return create_healthy_cache(caches)


# -- room -------------------------------------------------------------------------------------


@pytest.mark.breaks("FM801")
def test_quota_below_the_model_is_reported(caches: BrokenCaches) -> None:
    caches.create_cache("small", level={"quota": "1Mi"})
    caches.wait_until_bound("small")
    caches.api.apply(objects.dataload(caches.namespace, "small"))
    found = caches.wait_for_root(
        "FM801", "small", caches.reference("alluxioruntime", "small"), later=300
    )
    assert found.cause == "its workers have a capacity of 1.0 MiB, and the model needs 3.0 MiB"
    caches.doctor.run(found.fix, timeout=240)
    caches.wait_until_healthy("small")


@pytest.mark.breaks("FM802")
def test_quota_filled_by_the_model_is_reported(caches: BrokenCaches) -> None:
    caches.create_cache("tight", level={"quota": str(int(caches.bytes / 0.97))})
    caches.wait_until_bound("tight")
    found = caches.wait_for_root(
        "FM802", "tight", caches.reference("alluxioruntime", "tight"), beside=EMPTY
    )
    assert found.cause == "the model fills 97% of the quota, and Alluxio evicts above 95%"
    caches.doctor.run(found.fix, timeout=240)
    caches.wait_until_healthy("tight")


@pytest.mark.breaks("FM803")
def test_overcommitted_node_memory_is_reported(caches: BrokenCaches) -> None:
    """The quota fits, which is all that the scheduler sees; the heaps beside it do not."""
    node = caches.add_node("memory", memory="40Gi")
    memory = {"mediumtype": "MEM", "path": "/dev/shm", "quota": "20Gi"}
    caches.create_cache("memory", node=node, level=memory, runtime=HEAPS)
    caches.wait_until_bound("memory")
    found = caches.wait_for_root("FM803", "memory", f"node {node}", beside=EMPTY)
    assert found.cause == "this cache may take 48.0 GiB of its memory, and it has 40.0 GiB"
    caches.doctor.run(found.fix, timeout=240)
    caches.wait_until_healthy("memory")


@pytest.mark.breaks("FM804")
def test_default_heaps_on_a_small_node_are_reported(caches: BrokenCaches) -> None:
    node = caches.add_node("heaps", memory="64Gi")
    caches.create_cache("heaps", node=node)
    caches.wait_until_bound("heaps")
    found = caches.wait_for_root("FM804", "heaps", f"node {node}", beside=EMPTY)
    assert "default heaps of worker and fuse take 28.0 GiB of the 64.0 GiB" in found.cause
    caches.doctor.run(found.fix, timeout=240)
    caches.wait_until_healthy("heaps")


# -- nodes ------------------------------------------------------------------------------------


@pytest.mark.breaks("FM811")
def test_cordoned_cache_node_is_reported(caches: BrokenCaches, healthy: str) -> None:
    node = caches.wait_for_node(f"{healthy}-worker-0")
    caches.cluster.kubectl("cordon", node)
    found = caches.wait_for_root("FM811", healthy, f"node {node}")
    caches.doctor.run(found.fix)
    caches.wait_until_healthy(healthy)


@pytest.mark.breaks("FM815")
def test_node_removed_by_an_autoscaler_is_reported(caches: BrokenCaches) -> None:
    """Deleted, and held by a finalizer as Karpenter's are: it still says Ready."""
    node = caches.add_node("taken")
    caches.create_cache("drained", node=node)
    caches.load_completely("drained")
    caches.api.patch("v1", "Node", node, {"metadata": {"finalizers": ["example.com/drain"]}})
    caches.api.delete("v1", "Node", node)
    try:
        found = caches.wait_for_root("FM815", "drained", f"node {node}")
        assert "is being deleted, since" in found.cause and "example.com/drain" in found.cause
    finally:
        caches.api.patch("v1", "Node", node, {"metadata": {"finalizers": None}})
        caches.cluster.remove_node(node)
        caches.nodes.remove(node)
    caches.delete_cache("drained")


@pytest.mark.breaks("FM814")
def test_removed_node_with_listed_pods_is_reported(caches: BrokenCaches) -> None:
    node = caches.add_node("gone")
    caches.create_cache("ground", node=node)
    caches.load_completely("ground")
    caches.cluster.remove_node(node)
    caches.nodes.remove(node)
    caches.doctor.diagnose()
    assert "FM814" in caches.doctor.errors("ground"), caches.doctor.causes_by_code("ground")
    assert "FM814" in caches.doctor.roots("ground")
    (found,) = caches.doctor.found("ground")["FM814"]
    assert found.about == f"node {node}"


@pytest.mark.breaks("FM812")
def test_disk_pressure_is_reported(caches: BrokenCaches, healthy: str) -> None:
    node = caches.wait_for_node(f"{healthy}-worker-0")
    before = caches.api.get("v1", "Node", node)["status"]["conditions"]
    words = {"reason": "KubeletHasDiskPressure", "message": "kubelet has disk pressure"}
    full = [
        {**each, "status": "True", **words} if each["type"] == "DiskPressure" else each
        for each in before
    ]
    caches.api.patch("v1", "Node", node, {"status": {"conditions": full}}, None, "status")
    found = caches.wait_for_root("FM812", healthy, f"node {node}")
    assert found.cause == "it holds the cache and is under DiskPressure"
    assert "KubeletHasDiskPressure" in found.evidence[0].text
    caches.api.patch("v1", "Node", node, {"status": {"conditions": before}}, None, "status")
    caches.wait_until_healthy(healthy)


@pytest.mark.breaks("FM813")
def test_evicted_worker_is_reported(caches: BrokenCaches, healthy: str) -> None:
    """The kubelet's event outlives the pod, of whose name there is another one soon."""
    pod = f"{healthy}-worker-0"
    caches.create_warning_event(
        "Pod", pod, "Evicted", "The node was low on resource: ephemeral-storage."
    )
    found = caches.wait_for_root("FM813", healthy, caches.reference("pod", pod))
    assert found.cause == "the worker was evicted from its node"
    assert "low on resource: ephemeral-storage" in found.evidence[0].text
    for event in caches.api.list("v1", "Event", caches.namespace):
        if event["reason"] == "Evicted":
            caches.api.delete("v1", "Event", event["metadata"]["name"], caches.namespace)
    caches.wait_until_healthy(healthy)


# -- speed ------------------------------------------------------------------------------------


@dataclass(frozen=True)
class SlowCache:
    """A cache whose settings make it slow, and what is found."""

    code: str
    cause: str
    settings: dict[str, Any]
    """Arguments of `create_cache`."""


SLOW_CACHES = [
    SlowCache("FM820", "2 workers share one copy of the model", {"runtime": {"replicas": 2}}),
    SlowCache("FM821", "its tier is an emptyDir", {"level": {"volumeType": "emptyDir"}}),
    SlowCache(
        "FM821",
        "short-circuit reads are turned off",
        {"runtime": {"properties": {"alluxio.user.short.circuit.enabled": "false"}}},
    ),
    SlowCache("FM822", "its tier at /mnt/cache is a hard disk", {"level": {"mediumtype": "HDD"}}),
    SlowCache(
        "FM828",
        "its mount options are slow: direct_io",
        {"runtime": {"fuse": {"args": ["fuse", "--fuse-opts=ro,direct_io,max_background=1"]}}},
    ),
]


@pytest.mark.breaks("FM820", "FM821", "FM822", "FM828")
@pytest.mark.parametrize("slow", SLOW_CACHES, ids=lambda slow: f"{slow.code}-{slow.cause}")
def test_slow_settings_are_reported_and_mended_by_the_fix(
    caches: BrokenCaches, slow: SlowCache
) -> None:
    name = f"slow-{slow.code.lower()}-{SLOW_CACHES.index(slow)}"
    caches.create_cache(name, **slow.settings)
    caches.wait_until_bound(name)
    found = caches.wait_for_root(
        slow.code, name, caches.reference("alluxioruntime", name), beside=EMPTY
    )
    assert found.cause.startswith(slow.cause)
    caches.doctor.run(found.fix, timeout=240)
    caches.wait_until_healthy(name)


@pytest.mark.breaks("FM825")
def test_unread_copy_is_reported(caches: BrokenCaches) -> None:
    caches.create_cache("twice", runtime={"replicas": 2, "data": {"replicas": 2}})
    caches.load_completely("twice", 2)
    read, idle = caches.wait_for_node("twice-worker-0"), caches.wait_for_node("twice-worker-1")
    caches.create_reader("only-reader", "twice", read)
    caches.wait_until_ready("only-reader")
    caches.wait_until_healthy("twice")
    found = caches.wait_for_root(
        "FM825", "twice", caches.reference("alluxioruntime", "twice"), later=2 * DAY
    )
    assert found.cause == f"nothing reads the copy on {idle}"
    assert found.fix is not None and "--replicas 1" in found.fix.text
    caches.api.delete("v1", "Pod", "only-reader", caches.namespace)
    until("the reader to go", lambda: not caches.find("Pod", "only-reader"))
    caches.doctor.run(found.fix, timeout=240)
    caches.wait_until_healthy("twice", later=2 * DAY)


@pytest.mark.breaks("FM826")
def test_unused_cache_is_reported(caches: BrokenCaches) -> None:
    caches.create_cache("unused")
    caches.load_completely("unused")
    found = caches.wait_for_root(
        "FM826", "unused", caches.reference("dataset", "unused"), later=8 * DAY
    )
    assert found.cause == "nothing reads it, and it is 8d old and holds 3.0 MiB"
    caches.doctor.run(found.fix)
    caches.doctor.diagnose(later=8 * DAY)
    assert "FM826" not in caches.doctor.codes("unused")


@pytest.mark.breaks("FM827")
def test_preheated_node_that_has_lost_its_pages_is_reported(caches: BrokenCaches) -> None:
    """Recorded as by a FUSE client that is gone."""
    caches.create_cache("warm")
    caches.load_completely("warm")
    node = caches.wait_for_node("warm-worker-0")
    record = PreheatRecord("abc", "gone/0", 3 << 20, 1.0, 3 << 20, "2026-11-29T08:00:00Z")
    notes = {"metadata": {"annotations": {PREHEATED_ANNOTATION: format_records({node: record})}}}
    caches.api.patch(objects.FLUID, "Dataset", "warm", notes, caches.namespace)
    found = caches.wait_for_root("FM827", "warm", f"node {node}")
    assert "its FUSE client is gone" in found.cause
    assert found.fix is not None and "--preheat on" in found.fix.text


# -- reads ------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.breaks("FM823", "FM824")
def test_low_hit_ratios_are_reported(caches: BrokenCaches, cluster: Cluster) -> None:
    """Fluid asks Alluxio once a minute what was read from where."""
    stand_in = cluster.alluxio(caches.namespace, "reads")
    caches.create_cache("reads")
    caches.load_completely("reads")
    caches.wait_until_healthy("reads")
    stand_in.set_knobs(reads={"Local": 200 << 20, "Remote": 300 << 20, "UfsAll": 500 << 20})

    def counted() -> Object | None:
        states: Object = caches.status_of("Dataset", "reads").get("cacheStates") or {}
        return states if states.get("cacheHitRatio") not in (None, "", "0.0%") else None

    until("Fluid's count", counted, 90)
    about = caches.reference("dataset", "reads")
    found = caches.wait_for_root("FM823", "reads", about, beside=("FM824",), later=300)
    assert found.cause == "50% of the reads of the last minute went to the store"
    [far] = caches.doctor.found("reads")["FM824"]
    assert far.about == about
    assert far.cause == "30% of the reads of the last minute came from another node's worker"
