"""Which of many reasons is said for a pod without a node, and which fix is offered for it."""

from __future__ import annotations

import json
import shlex
from typing import Any

import pytest

from kubectl_fluidmodel.doctor.check import Finding
from kubectl_fluidmodel.doctor.collect import occupants
from kubectl_fluidmodel.fluid import names
from kubectl_fluidmodel.objects import kinds
from kubectl_fluidmodel.objects.access import Object
from kubectl_fluidmodel.snapshot.snapshot import Snapshot
from tests.doctor import builders as b
from tests.doctor import fluid, platform, pods
from tests.doctor.fluid import LABEL, NAME

WORDS = "0/5 nodes are available: 2 Insufficient memory, 3 node(s) had untolerated taint(s)."
KARPENTER = {"key": "karpenter.sh/disrupted", "effect": "NoSchedule"}
HOST = "kubernetes.io/hostname"


def cluster(
    *nodes: Object,
    requests: dict[str, str] | None = None,
    quota: str = "300Gi",
    total: str = "2.00MiB",
    medium: str = "MEM",
    ours: bool = False,
    read: bool = True,
    **spec: Any,
) -> Snapshot:
    """A Dataset by hand whose worker waits for one of some nodes."""
    snapshot = b.healthy_snapshot()
    snapshot.objects["nodes"] = list(nodes)
    dataset = b.get_object(snapshot, names.DATASETS, "demo")
    dataset["spec"].pop("nodeAffinity", None)
    dataset["spec"].pop("tolerations", None)
    dataset["status"]["ufsTotal"] = total
    if not ours:
        dataset["metadata"].update(labels={}, annotations={})
    runtime = b.get_object(snapshot, names.ALLUXIO_RUNTIMES, "demo")
    runtime["spec"]["tieredstore"]["levels"][0].update(mediumtype=medium, quota=quota)
    runtime["spec"]["worker"]["resources"]["requests"] = dict(requests or {"memory": "300Gi"})
    worker = b.make_unschedulable(b.get_object(snapshot, kinds.PODS, "demo-worker-0"), WORDS)
    worker["spec"].update(tolerations=[], **spec)
    worker["spec"]["containers"][0]["resources"] = {"requests": requests or {"memory": "300Gi"}}
    if read:
        snapshot.pods_on_nodes = [
            occupants.strip_pod(pod)
            for pod in snapshot.of_kind(kinds.PODS)
            if pod["spec"].get("nodeName")
        ]
    return snapshot


def gpu(number: int, *taints: Object, memory: str = "1Ti") -> Object:
    node = platform.node(f"gpu-{number}", memory=memory)
    node["spec"]["taints"] += taints
    return node


def cpu(number: int, memory: str = "256Gi") -> Object:
    return platform.node(f"cpu-{number}", gpus=0, memory=memory)


def only(snapshot: Snapshot, code: str) -> Finding:
    """The one finding about a pod without a node."""
    codes = [
        found_code for found_code in b.found_codes(snapshot, "3") if "FM301" <= found_code < "FM310"
    ]
    assert codes == [code]
    [finding] = b.findings_of(snapshot, code)
    return finding


def fix(finding: Finding) -> str:
    assert finding.fix is not None and finding.fix.how == "command"
    return finding.fix.text


def patches(command: str) -> list[Any]:
    """What the `kubectl patch` steps of a command change."""
    commands = [
        shlex.split(step) for step in command.split(" && ") if step.startswith("kubectl patch")
    ]
    return [json.loads(arguments[arguments.index("-p") + 1]) for arguments in commands]


FLEET = (gpu(0), cpu(0), gpu(1), cpu(1), gpu(2))


class TestMostCommonObstacle:
    def test_taint_wins_over_memory_in_the_scheduler_message(self) -> None:
        finding = only(cluster(*FLEET), "FM304")
        assert finding.cause == (
            "it does not tolerate the taint nvidia.com/gpu=present:NoSchedule of nodes gpu-0, "
            "gpu-1, gpu-2, which fit otherwise; cpu-0, cpu-1: 300.0 GiB of memory needed, 256.0 "
            "GiB free; the quota of 300.0 GiB is 153,600 times the model's 2.0 MiB"
        )
        tolerations, quota = patches(fix(finding))
        assert tolerations == {"spec": {"tolerations": [fluid.GPU_TOLERATION]}}
        assert quota == [
            {"op": "add", "path": "/spec/tieredstore/levels/0/quota", "value": "2240Mi"},
            {"op": "remove", "path": "/spec/worker/resources/requests/memory"},
        ]

    def test_fix_keeps_existing_tolerations(self) -> None:
        snapshot = cluster(*FLEET)
        mine = {"key": "team", "operator": "Exists"}
        b.get_object(snapshot, names.DATASETS, "demo")["spec"]["tolerations"] = [mine]
        [change, _] = patches(fix(only(snapshot, "FM304")))
        assert change == {"spec": {"tolerations": [mine, fluid.GPU_TOLERATION]}}

    def test_fix_keeps_a_quota_that_the_model_needs(self) -> None:
        finding = only(cluster(*FLEET, total="250.00GiB"), "FM304")
        assert "times the model" not in finding.cause
        assert len(patches(fix(finding))) == 1

    def test_fix_recreates_our_cache_where_it_fits(self) -> None:
        command = fix(only(cluster(*FLEET, ours=True), "FM304"))
        assert command.startswith("kubectl fluidmodel uncache demo -n models && ")

    def test_missing_memory_is_found(self) -> None:
        finding = only(cluster(cpu(0), cpu(1), cpu(2), total="250.00GiB"), "FM301")
        assert finding.cause == (
            "no node has enough free memory for the worker: "
            "cpu-0, cpu-1, cpu-2: 300.0 GiB of memory needed, 256.0 GiB free"
        )
        assert "--medium SSD" in fix(finding)

    def test_fix_reduces_an_oversized_quota(self) -> None:
        finding = only(cluster(cpu(0), cpu(1), gpu(0)), "FM301")
        assert "is 153,600 times the model's 2.0 MiB" in finding.cause
        [quota] = patches(fix(finding))
        assert quota[0]["value"] == "2240Mi"

    def test_fix_tolerates_gpu_nodes_with_enough_memory(self) -> None:
        finding = only(cluster(cpu(0), cpu(1), gpu(0), total="250.00GiB"), "FM301")
        assert patches(fix(finding)) == [{"spec": {"tolerations": [fluid.GPU_TOLERATION]}}]

    def test_fix_reduces_the_request_of_the_missing_resource(self) -> None:
        snapshot = cluster(cpu(0), cpu(1), requests={"cpu": "200", "memory": "1Gi"})
        finding = only(snapshot, "FM301")
        assert "cpu-0, cpu-1: 200 cpu needed, 128 free" in finding.cause
        assert patches(fix(finding)) == [
            {"spec": {"worker": {"resources": {"requests": {"cpu": "128000m"}}}}}
        ]

    def test_pods_that_hold_the_resource_are_named(self) -> None:
        snapshot = cluster(cpu(0), total="250.00GiB", requests={"memory": "200Gi"})
        other = pods.pod("big", namespace="far", node="cpu-0")
        other["spec"]["containers"][0]["resources"] = {"requests": {"memory": "100Gi"}}
        snapshot.pods_on_nodes = [occupants.strip_pod(other)]
        assert "156.0 GiB free (far/big holds the rest)" in only(snapshot, "FM301").cause

    def test_unreadable_pods_are_mentioned(self) -> None:
        finding = only(cluster(cpu(0), total="250.00GiB", read=False), "FM301")
        assert finding.cause.endswith("what pods of other namespaces hold could not be read")


class TestExcludedNodes:
    def test_only_the_node_in_the_dataset_affinity_counts(self) -> None:
        affinity = {
            "nodeAffinity": {
                "requiredDuringSchedulingIgnoredDuringExecution": {
                    "nodeSelectorTerms": [
                        {"matchExpressions": [{"key": HOST, "operator": "In", "values": ["cpu-0"]}]}
                    ]
                }
            }
        }
        finding = only(cluster(*FLEET, affinity=affinity, total="250.00GiB"), "FM301")
        assert "cpu-0: 300.0 GiB of memory needed" in finding.cause and "gpu" not in finding.cause

    def test_node_about_to_be_removed_is_not_suggested(self) -> None:
        nodes = (gpu(0, KARPENTER), gpu(1, KARPENTER), gpu(2, KARPENTER), cpu(0))
        finding = only(cluster(*nodes, total="250.00GiB"), "FM301")
        assert "--medium SSD" in fix(finding)
        assert "karpenter.sh/disrupted" not in fix(finding)

    def test_custom_taint_is_not_suggested_if_another_node_fits_better(self) -> None:
        mine = {"key": "dedicated", "value": "db", "effect": "NoSchedule"}
        strange = cpu(1, "1Ti")
        strange["spec"]["taints"] = [mine]
        finding = only(cluster(cpu(0), strange, total="250.00GiB"), "FM301")
        assert "cpu-1: untolerated taint dedicated=db:NoSchedule" in finding.cause
        assert "dedicated" not in fix(finding)


class TestPorts:
    PORT = [{"containerPort": 21497, "hostPort": 21497}]  # noqa: RUF012

    def cluster(self, *nodes: Object, replicas: int = 3) -> Snapshot:
        snapshot = cluster(*nodes, requests={"memory": "1Gi"}, quota="4Gi")
        b.get_object(snapshot, names.ALLUXIO_RUNTIMES, "demo")["spec"].update(
            replicas=replicas, data={"replicas": 1}
        )
        b.get_object(snapshot, kinds.PODS, "demo-worker-0")["spec"]["containers"][0]["ports"] = (
            self.PORT
        )
        return snapshot

    def sibling(self, snapshot: Snapshot, number: int, node: str) -> None:
        other = pods.worker_pod(number, node=node)
        other["spec"]["containers"][0]["ports"] = self.PORT
        b.add_objects(snapshot, kinds.PODS, other)
        assert snapshot.pods_on_nodes is not None
        snapshot.pods_on_nodes.append(occupants.strip_pod(other))

    def test_more_workers_than_nodes_is_found(self) -> None:
        snapshot = self.cluster(cpu(0), cpu(1), gpu(0), gpu(1), gpu(2))
        self.sibling(snapshot, 1, "cpu-0")
        self.sibling(snapshot, 2, "cpu-1")
        finding = only(snapshot, "FM305")
        assert finding.cause == (
            "3 workers, and only 2 nodes take one each (cpu-0, cpu-1); tolerations on the Dataset "
            "for nvidia.com/gpu=present:NoSchedule would add gpu-0, gpu-1, gpu-2"
        )
        assert patches(fix(finding)) == [{"spec": {"replicas": 2}}]

    def test_workers_of_an_exclusive_cache_count_as_siblings(self) -> None:
        snapshot = self.cluster(cpu(0), replicas=2)
        worker = b.get_object(snapshot, kinds.PODS, "demo-worker-0")
        worker["spec"]["affinity"] = {
            "podAntiAffinity": {
                "requiredDuringSchedulingIgnoredDuringExecution": [
                    {
                        "labelSelector": {
                            "matchExpressions": [{"key": "fluid.io/dataset", "operator": "Exists"}]
                        },
                        "topologyKey": HOST,
                    }
                ]
            }
        }
        self.sibling(snapshot, 1, "cpu-0")
        assert only(snapshot, "FM305").cause == "2 workers, and only 1 node takes one (cpu-0)"

    def test_port_fix_does_not_contradict_fm820(self) -> None:
        snapshot = self.cluster(cpu(0), cpu(1))
        self.sibling(snapshot, 1, "cpu-0")
        self.sibling(snapshot, 2, "cpu-1")
        assert "FM820" in b.found_codes(snapshot) and "FM820" not in b.root_codes(snapshot)

    def test_ports_held_by_another_pod_are_found(self) -> None:
        snapshot = self.cluster(cpu(0))
        hog = pods.pod("hog", namespace="far", node="cpu-0")
        hog["spec"]["containers"][0]["ports"] = self.PORT
        snapshot.pods_on_nodes = [occupants.strip_pod(hog)]
        finding = only(snapshot, "FM305")
        assert finding.cause == "cpu-0: port 21497 is in use by far/hog"
        assert "--replicas 3" in fix(finding), "made again with as many workers"


def test_repelling_cache_is_named() -> None:
    snapshot = cluster(cpu(0), requests={"memory": "1Gi"})
    other = fluid.dataset("other")
    del other["spec"]["placement"]
    b.add_objects(snapshot, names.DATASETS, other)
    b.add_objects(snapshot, names.ALLUXIO_RUNTIMES, fluid.runtime("other"))
    theirs = pods.worker_pod(name="other", node="cpu-0")
    theirs["spec"]["affinity"] = {
        "podAntiAffinity": {
            "requiredDuringSchedulingIgnoredDuringExecution": [
                {
                    "labelSelector": {
                        "matchExpressions": [{"key": "fluid.io/dataset", "operator": "Exists"}]
                    },
                    "topologyKey": HOST,
                }
            ]
        }
    }
    b.add_objects(snapshot, kinds.PODS, theirs)
    assert snapshot.pods_on_nodes is not None
    snapshot.pods_on_nodes.append(occupants.strip_pod(theirs))
    finding = only(snapshot, "FM302")
    assert "the placement of models/other is Exclusive" in finding.cause
    assert "cpu-0: anti-affinity of models/other-worker-0" in finding.cause


def test_volume_in_another_zone_is_found() -> None:
    volumes = [{"name": "v", "persistentVolumeClaim": {"claimName": "weights"}}]
    snapshot = cluster(cpu(0), requests={"memory": "1Gi"}, volumes=volumes)
    claim = {
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": "weights", "namespace": "models"},
        "spec": {"volumeName": "pv-weights"},
    }
    zone = {"key": "topology.kubernetes.io/zone", "operator": "In", "values": ["zone-b"]}
    terms = {"required": {"nodeSelectorTerms": [{"matchExpressions": [zone]}]}}
    b.add_objects(snapshot, kinds.PVCS, claim)
    b.add_objects(
        snapshot,
        kinds.PVS,
        {
            "kind": "PersistentVolume",
            "metadata": {"name": "pv-weights"},
            "spec": {"nodeAffinity": terms},
        },
    )
    finding = only(snapshot, "FM306")
    assert (
        "cpu-0: volume pv-weights is available only on nodes with "
        "topology.kubernetes.io/zone In (zone-b)" in finding.cause
    )


def test_waiting_engine_lists_obstacles_per_node() -> None:
    snapshot = b.healthy_snapshot()
    reader = b.make_unschedulable(
        b.get_object(snapshot, kinds.PODS, "chat-decode-0"),
        "0/3 nodes: 1 Insufficient nvidia.com/gpu.",
    )
    reader["spec"]["containers"][0]["resources"] = {"limits": {"nvidia.com/gpu": "8"}}
    reader["spec"]["nodeSelector"] = {HOST: "gpu-0"}
    holder = pods.pod("trainer", namespace="far", node="gpu-0")
    holder["spec"]["containers"][0]["resources"] = {"limits": {"nvidia.com/gpu": "6"}}
    snapshot.pods_on_nodes = [occupants.strip_pod(holder)]
    [finding] = b.findings_of(snapshot, "FM730")
    assert finding.cause.endswith(
        "gpu-0: 8 nvidia.com/gpu needed, 2 free (far/trainer holds the rest)"
    )


def occupied(snapshot: Snapshot, *others: str) -> Object:
    """A bound worker that waits for GPUs; a pod holds those of each of these nodes."""
    waiting = b.make_unschedulable(
        b.get_object(snapshot, kinds.PODS, "chat-decode-0"),
        "0/3 nodes: 1 Insufficient nvidia.com/gpu.",
    )
    waiting["spec"]["containers"][0]["resources"] = {"limits": {"nvidia.com/gpu": "8"}}
    waiting["spec"]["nodeSelector"] = {LABEL: "true"}
    waiting["spec"]["tolerations"] = [{"operator": "Exists"}]
    holders = []
    for name in others:
        holder = pods.pod(f"trainer-{name}", namespace="far", node=name)
        holder["spec"]["containers"][0]["resources"] = {"limits": {"nvidia.com/gpu": "6"}}
        holders.append(occupants.strip_pod(holder))
    snapshot.pods_on_nodes = holders
    return waiting


def test_a_copy_on_another_node_is_the_fix_where_the_waiting_engine_fits_each() -> None:
    snapshot = b.healthy_snapshot()
    occupied(snapshot, "gpu-0")
    [finding] = b.findings_of(snapshot, "FM730")
    assert finding.fix is not None and finding.fix.how == "command"
    assert "cache " in finding.fix.text and "--replicas 2" in finding.fix.text


@pytest.mark.parametrize("change", ["others are full", "made by hand", "not known"])
def test_whoever_holds_the_gpus_is_named_where_a_copy_might_not_help(change: str) -> None:
    snapshot = b.healthy_snapshot()
    occupied(snapshot, "gpu-0", *(["gpu-1"] if change == "others are full" else []))
    if change == "made by hand":
        b.get_object(snapshot, names.DATASETS, NAME)["metadata"]["labels"] = {}
    if change == "not known":
        snapshot.pods_on_nodes = None
    [finding] = b.findings_of(snapshot, "FM730")
    assert finding.fix is not None and finding.fix.how == "advice"
    assert "kubectl get pods -A" in finding.fix.text and "spec.nodeName=gpu-0" in finding.fix.text


def test_loader_fix_does_not_tolerate_a_node_about_to_be_removed() -> None:
    snapshot = b.healthy_snapshot()
    snapshot.objects["nodes"] = [gpu(0), gpu(1, KARPENTER)]
    b.get_object(snapshot, names.DATA_LOADS, "demo")["status"]["phase"] = "Executing"
    loader = b.make_unschedulable(b.get_object(snapshot, kinds.PODS, "demo-loader-job-x"), WORDS)
    loader["spec"]["tolerations"] = []
    [finding] = b.findings_of(snapshot, "FM607")
    assert finding.fix is not None
    assert "nvidia.com/gpu" in finding.fix.text and "karpenter" not in finding.fix.text
    assert "karpenter.sh/disrupted" in finding.cause


@pytest.mark.parametrize("field", ["env", "args", "command", "image"])
def test_only_scheduling_fields_of_other_pods_are_kept(field: str) -> None:
    pod = pods.worker_pod()
    pod["spec"]["containers"][0][field] = ["planted"]
    assert "planted" not in json.dumps(occupants.strip_pod(pod))
