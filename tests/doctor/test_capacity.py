"""8xx: one row for each way in which a cache does not fit, stands badly or is slow."""

from __future__ import annotations

import pytest

from kubectl_fluidmodel.doctor.checks.performance import RATIO_DELAY
from kubectl_fluidmodel.fluid import names
from kubectl_fluidmodel.inventory.preheat_record import PreheatRecord, format_records
from kubectl_fluidmodel.objects import kinds
from kubectl_fluidmodel.objects.access import Object
from kubectl_fluidmodel.snapshot import queries
from kubectl_fluidmodel.snapshot.snapshot import Snapshot
from tests.doctor import builders as b
from tests.doctor import fluid, pods
from tests.doctor.fault_cases import Fault, FaultCase
from tests.doctor.fluid import NAME, NS
from tests.doctor.test_loading import one_copy

LONG_AGO = "2026-09-01T12:00:00Z"


def runtime(snapshot: Snapshot) -> Object:
    return b.get_object(snapshot, names.ALLUXIO_RUNTIMES, "demo")


def level(snapshot: Snapshot, **values: str) -> None:
    runtime(snapshot)["spec"]["tieredstore"]["levels"][0].update(values)


def mounted(options: str) -> Fault:
    """Let the FUSE client mount with these options."""

    def fault(snapshot: Snapshot) -> None:
        runtime(snapshot)["spec"]["fuse"]["args"] = ["fuse", f"--fuse-opts={options}"]

    return fault


def domain_socket(snapshot: Snapshot) -> None:
    spec = runtime(snapshot)["spec"]
    spec["fuse"]["volumeMounts"] = [{"name": "socket", "mountPath": "/opt/domain"}]
    spec["properties"]["alluxio.worker.data.server.domain.socket.address"] = "/opt/domain"


def states(snapshot: Snapshot, **values: str) -> None:
    b.get_object(snapshot, names.DATASETS, "demo")["status"]["cacheStates"].update(values)


def node(snapshot: Snapshot, name: str = "gpu-0") -> Object:
    return b.get_object(snapshot, kinds.NODES, name, "")


def small(snapshot: Snapshot) -> None:
    level(snapshot, quota="60Gi")
    states(snapshot, cacheCapacity="60.00GiB", cached="58.00GiB", cachedPercentage="58.0%")


def tight(snapshot: Snapshot) -> None:
    level(snapshot, quota="103Gi")
    states(snapshot, cacheCapacity="103.00GiB", cached="97.85GiB", cachedPercentage="97.8%")


def two_tiers(snapshot: Snapshot) -> None:
    """Half in memory, half on a disk: together too small."""
    small(snapshot)
    levels = runtime(snapshot)["spec"]["tieredstore"]["levels"]
    levels.append({"mediumtype": "SSD", "path": "/a,/b", "quotaList": "10Gi,20Gi"})
    states(snapshot, cacheCapacity="90.00GiB")


def memory(snapshot: Snapshot) -> None:
    level(snapshot, mediumtype="MEM", path="/dev/shm")
    node(snapshot)["status"]["allocatable"]["memory"] = "110Gi"


def beside(snapshot: Snapshot) -> None:
    """Two caches in memory that fit alone, and not together."""
    level(snapshot, mediumtype="MEM", path="/dev/shm")
    node(snapshot)["status"]["allocatable"]["memory"] = "200Gi"
    other = fluid.runtime("other")
    other["spec"]["tieredstore"]["levels"][0].update(mediumtype="MEM")
    b.add_objects(snapshot, names.ALLUXIO_RUNTIMES, other)
    b.add_objects(snapshot, kinds.PODS, pods.worker_pod(name="other"))
    b.add_objects(snapshot, kinds.STATEFUL_SETS, pods.stateful_set("worker", "other"))
    node(snapshot)["metadata"]["labels"]["fluid.io/s-models-other"] = "true"


def default_heaps(snapshot: Snapshot) -> None:
    del runtime(snapshot)["spec"]["worker"]["jvmOptions"]
    del runtime(snapshot)["spec"]["fuse"]["jvmOptions"]
    node(snapshot)["status"]["allocatable"]["memory"] = "96Gi"


def tainted(key: str, effect: str) -> Fault:
    def broken(snapshot: Snapshot) -> None:
        node(snapshot)["spec"]["taints"].append({"key": key, "effect": effect})

    return broken


def condition(kind: str, status: str) -> Fault:
    def broken(snapshot: Snapshot) -> None:
        for entry in node(snapshot)["status"]["conditions"]:
            if entry["type"] == kind:
                entry.update(status=status, reason="Kubelet", message="says so")

    return broken


def cordoned(snapshot: Snapshot) -> None:
    node(snapshot)["spec"]["unschedulable"] = True


def evicted(snapshot: Snapshot) -> None:
    worker = b.get_object(snapshot, kinds.PODS, "demo-worker-0")
    b.add_warning_event(snapshot, worker, "Evicted", "The node was low on resource: memory.")


def spread(snapshot: Snapshot) -> None:
    one_copy(snapshot)
    runtime(snapshot)["spec"]["data"]["replicas"] = 1
    level(snapshot, quota="54Gi")
    states(snapshot, cacheCapacity="108.00GiB")


def idle(snapshot: Snapshot) -> None:
    one_copy(snapshot)
    states(snapshot, cached="200.00GiB")
    b.get_object(snapshot, names.DATA_LOADS, "demo")["spec"]["target"][0]["replicas"] = 2
    b.remove_object(snapshot, kinds.PODS, "chat-decode-1")
    runtime(snapshot)["metadata"]["creationTimestamp"] = LONG_AGO


def unused(snapshot: Snapshot) -> None:
    b.remove_object(snapshot, kinds.PODS, "chat-decode-0")
    b.remove_object(snapshot, queries.GRAPHS, "chat")
    b.get_object(snapshot, names.DATASETS, "demo")["metadata"]["creationTimestamp"] = LONG_AGO


def preheated(*, client: str = "", resident: int = 100) -> Fault:
    """A record of preheating, by the present FUSE client or another, with this share in memory."""

    def broken(snapshot: Snapshot) -> None:
        pod = b.get_object(snapshot, kinds.PODS, "demo-fuse-gpu-0")
        made_by = client or f"{pod['metadata']['uid']}/0"
        record = PreheatRecord("abc", made_by, 100, 5.0, resident, LONG_AGO)
        dataset = b.get_object(snapshot, names.DATASETS, "demo")
        annotations = dataset["metadata"].setdefault("annotations", {})
        annotations[names.PREHEATED_ANNOTATION] = format_records({"gpu-0": record})

    return broken


CASES: dict[str, FaultCase] = {
    "a quota below the model": FaultCase(
        fault=small,
        code="FM801",
        about="alluxioruntime models/demo",
        cause="its workers have a capacity of 60.0 GiB, and the model needs 100.0 GiB",
        fix="--quota 108Gi",
    ),
    "two tiers below the model": FaultCase(
        fault=two_tiers,
        code="FM801",
        about="alluxioruntime models/demo",
        cause="a capacity of 90.0 GiB",
        fix="--quota 108Gi",
    ),
    "a quota just above the model": FaultCase(
        fault=tight,
        code="FM802",
        about="alluxioruntime models/demo",
        cause="the model fills 97% of the quota",
        fix="--quota 108Gi",
    ),
    "a node with less memory": FaultCase(
        fault=memory,
        code="FM803",
        about="node gpu-0",
        cause="this cache may take 116.0 GiB of its memory, and it has 110.0 GiB",
        fix="--medium SSD",
    ),
    "two caches in one memory": FaultCase(
        fault=beside,
        code="FM803",
        about="node gpu-0",
        cause="this cache and models/other may take 232.0 GiB",
        fix="--medium SSD",
    ),
    "default heaps": FaultCase(
        fault=default_heaps,
        code="FM804",
        about="node gpu-0",
        cause="default heaps of worker and fuse take 28.0 GiB of the 96.0 GiB",
        fix="uncache demo",
    ),
    "a node that is not ready": FaultCase(
        fault=condition("Ready", "Unknown"),
        code="FM810",
        about="node gpu-0",
        cause="it holds the cache and is not ready",
        fix="kubectl describe node gpu-0",
    ),
    "a cordon": FaultCase(
        fault=cordoned,
        code="FM811",
        about="node gpu-0",
        cause="it holds the cache and is cordoned",
        fix="kubectl uncordon gpu-0",
    ),
    "a node that Karpenter takes away": FaultCase(
        fault=tainted("karpenter.sh/disrupted", "NoSchedule"),
        code="FM811",
        about="node gpu-0",
        cause="it holds the cache, and Karpenter is about to remove it",
        fix="kubectl fluidmodel cache s3://hf-models/demo",
    ),
    "a node that may go": FaultCase(
        fault=tainted("DeletionCandidateOfClusterAutoscaler", "PreferNoSchedule"),
        code="FM811",
        about="node gpu-0",
        cause="it holds the cache, and the cluster autoscaler may remove it",
        fix="kubectl describe node gpu-0",
    ),
    "pressure": FaultCase(
        fault=condition("DiskPressure", "True"),
        code="FM812",
        about="node gpu-0",
        cause="is under DiskPressure",
        fix="kubectl describe node gpu-0",
    ),
    "an eviction": FaultCase(
        fault=evicted,
        code="FM813",
        about="pod models/demo-worker-0",
        cause="the worker was evicted from its node",
        fix="kubectl describe pod demo-worker-0",
    ),
    "parts on several nodes": FaultCase(
        fault=spread,
        code="FM820",
        about="alluxioruntime models/demo",
        cause="2 workers share one copy of the model",
        fix="--replicas 2",
    ),
    "an emptyDir": FaultCase(
        fault=lambda snapshot: level(snapshot, volumeType="emptyDir"),
        code="FM821",
        about="alluxioruntime models/demo",
        cause="its tier is an emptyDir",
        fix="uncache demo",
    ),
    "no short-circuit reads": FaultCase(
        fault=lambda snapshot: runtime(snapshot)["spec"]["fuse"].update(
            properties={"alluxio.user.short.circuit.enabled": "false"}
        ),
        code="FM821",
        about="alluxioruntime models/demo",
        cause="short-circuit reads are turned off, so readers on its node read through a socket",
        fix="uncache demo",
    ),
    "a domain socket": FaultCase(
        fault=domain_socket,
        code="FM821",
        about="alluxioruntime models/demo",
        cause="the FUSE client prefers the domain socket that it mounts",
        fix="uncache demo",
    ),
    "a hard disk": FaultCase(
        fault=lambda snapshot: level(snapshot, mediumtype="HDD"),
        code="FM822",
        about="alluxioruntime models/demo",
        cause="its tier at /var/lib/fluidmodel/cache is a hard disk",
        fix="--medium auto",
    ),
    "misses": FaultCase(
        fault=lambda snapshot: states(snapshot, cacheHitRatio="40.0%"),
        code="FM823",
        about="dataset models/demo",
        cause="60% of the reads of the last minute went to the store",
        fix="kubectl fluidmodel cache",
    ),
    "reads from afar": FaultCase(
        fault=lambda snapshot: states(snapshot, cacheHitRatio="100.0%", remoteHitRatio="70.0%"),
        code="FM824",
        about="dataset models/demo",
        cause="70% of the reads of the last minute came from another node's worker",
        fix="kubectl fluidmodel pin demo GRAPH -n models",
    ),
    "a copy that nobody reads": FaultCase(
        fault=idle,
        code="FM825",
        about="alluxioruntime models/demo",
        cause="nothing reads the copy on gpu-1",
        fix="--replicas 1",
    ),
    "a cache that nobody reads": FaultCase(
        fault=unused,
        code="FM826",
        about="dataset models/demo",
        cause="nothing reads it, and it is 20d2h old and holds 100.0 GiB",
        fix="kubectl fluidmodel uncache demo -n models",
    ),
    "a FUSE client that has not read the model": FaultCase(
        fault=preheated(client="another/0"),
        code="FM827",
        about="node gpu-0",
        cause="no longer in its page cache: its FUSE client is another one since",
        fix="--preheat on --image IMAGE",
    ),
    "a model that does not fit into the page cache": FaultCase(
        fault=preheated(resident=40),
        code="FM827",
        about="node gpu-0",
        cause="only 40% of the model stayed in its page cache",
        fix="--medium SSD",
    ),
    "a mount without a page cache": FaultCase(
        fault=mounted("kernel_cache,ro,direct_io"),
        code="FM828",
        about="alluxioruntime models/demo",
        cause="its mount options are slow: direct_io keeps the model out of the page cache",
        fix="uncache demo",
    ),
    "a mount that drops pages and reads one by one": FaultCase(
        fault=mounted("ro,max_background=1"),
        code="FM828",
        about="alluxioruntime models/demo",
        cause="without kernel_cache, each open of a file drops its pages; max_background=1 makes",
        fix="uncache demo",
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_capacity_fault_is_found(case: str) -> None:
    row = CASES[case]
    snapshot = b.healthy_snapshot()
    row.fault(snapshot)
    finding = next(f for f in b.findings_of(snapshot, row.code) if f.about == row.about)
    assert row.cause in finding.cause, finding.cause
    assert finding.evidence and all(evidence.text for evidence in finding.evidence)
    assert finding.fix is not None and row.fix in finding.fix.text, finding.fix
    assert b.root_codes(snapshot, "3", "4", "6", "8") == [row.code]


def test_mount_options_of_a_reference_are_those_of_its_source() -> None:
    snapshot = b.healthy_snapshot()
    source_runtime = b.refer_to_source(snapshot)
    assert b.findings_of(snapshot, "FM828") == []
    source_runtime["spec"]["fuse"]["args"] = ["fuse", "--fuse-opts=kernel_cache,ro,direct_io"]
    diagnosis = b.run_checks(snapshot, "FM828")
    assert {problem.cache for problem in diagnosis.problems} == {(NS, NAME), (NS, "source")}
    for problem in diagnosis.problems:
        assert problem.finding.about == "alluxioruntime models/source"
        assert problem.finding.fix is not None
        assert "uncache source" in problem.finding.fix.text


@pytest.mark.parametrize(
    "states_",
    [{"cacheHitRatio": "0.0%"}, {"cacheHitRatio": "96.0%", "remoteHitRatio": "10.0%"}, {}],
)
def test_meaningless_hit_ratios_are_ignored(states_: dict[str, str]) -> None:
    snapshot = b.healthy_snapshot()
    states(snapshot, **states_)
    assert b.found_codes(snapshot, "8") == []


def test_misses_during_a_load_are_ignored() -> None:
    snapshot = b.healthy_snapshot()
    states(snapshot, cacheHitRatio="10.0%")
    b.get_object(snapshot, names.DATA_LOADS, "demo")["status"] = {"phase": "Executing"}
    assert "FM823" not in b.found_codes(snapshot, "8")


def test_hit_ratios_right_after_a_load_are_the_load_s_own() -> None:
    snapshot = b.healthy_snapshot()
    states(snapshot, cacheHitRatio="44.0%", remoteHitRatio="44.0%")
    ended = {"type": "Complete", "status": "True", "lastTransitionTime": b.RECENT}
    b.get_object(snapshot, names.DATA_LOADS, "demo")["status"]["conditions"] = [ended]
    assert b.found_codes(snapshot, "8") == []
    snapshot.taken_at += RATIO_DELAY
    assert b.found_codes(snapshot, "8") == ["FM823", "FM824"]


def test_new_cache_without_readers_is_healthy() -> None:
    snapshot = b.healthy_snapshot()
    unused(snapshot)
    b.get_object(snapshot, names.DATASETS, "demo")["metadata"]["creationTimestamp"] = b.RECENT
    assert b.found_codes(snapshot, "8") == []


def test_problems_of_nodes_without_the_cache_are_ignored() -> None:
    snapshot = b.healthy_snapshot()
    node(snapshot, "gpu-1")["spec"]["unschedulable"] = True
    node(snapshot, "gpu-1")["status"]["conditions"][0]["status"] = "False"
    assert b.found_codes(snapshot, "8") == []


def test_unset_quota_is_not_checked() -> None:
    snapshot = b.healthy_snapshot()
    small(snapshot)
    del runtime(snapshot)["spec"]["tieredstore"]["levels"][0]["quota"]
    assert b.found_codes(snapshot, "8") == []


def test_old_eviction_is_ignored() -> None:
    snapshot = b.healthy_snapshot()
    worker = b.get_object(snapshot, kinds.PODS, "demo-worker-0")
    b.add_warning_event(snapshot, worker, "Evicted", "The node was low on memory.", when=LONG_AGO)
    assert b.found_codes(snapshot, "8") == []


def test_preheated_node_that_was_read_again_is_healthy() -> None:
    """A worker that became ready after the new FUSE client has read what it needs."""
    snapshot = b.healthy_snapshot()
    preheated(client="another/0")(snapshot)
    for name, started in (("demo-fuse-gpu-0", b.RECENT), ("chat-decode-0", "2026-09-21T14:12:05Z")):
        status = b.get_object(snapshot, kinds.PODS, name)["status"]["containerStatuses"][0]
        status["state"] = {"running": {"startedAt": started}}
    assert b.found_codes(snapshot, "8") == []


def test_preheated_node_that_kept_its_pages_is_healthy() -> None:
    snapshot = b.healthy_snapshot()
    preheated()(snapshot)
    assert b.found_codes(snapshot, "8") == []
