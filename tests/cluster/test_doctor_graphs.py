"""Doctor's checks of graphs, each broken in the control plane: real CRDs, scheduler, API server."""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from kubectl_fluidmodel.doctor.check import Fix
from tests.cluster import pinning
from tests.cluster.api import Object
from tests.cluster.cluster import Cluster
from tests.cluster.fixtures import clear
from tests.cluster.in_process_doctor import Doctor
from tests.cluster.objects import until
from tests.cluster.operator import Operator
from tests.cluster.pinning import GRAPHS, KEEP_OUT, LITTLE, component, graph, running

pytestmark = pytest.mark.cluster

REQUIRED = "requiredDuringSchedulingIgnoredDuringExecution"
HOST = "kubernetes.io/hostname"
TAINT = {"key": KEEP_OUT, "effect": "NoSchedule"}
GRAPH = "DynamoGraphDeployment"


class GraphFaults:
    """A namespace with a cache on one of two nodes of its own, each with 8 GPUs."""

    def __init__(self, cluster: Cluster, operator: Operator, folder: Path) -> None:
        self.cluster, self.operator = cluster, operator
        self.stem = secrets.token_hex(3)
        self.namespace = f"t-{self.stem}-doctor-graphs"
        self.here, self.there = f"near-{self.stem}", f"far-{self.stem}"
        cluster.api.create(
            {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": self.namespace}}
        )
        for name in (self.here, self.there):
            cluster.add_node(
                name, gpus=8, memory=LITTLE, taints=[TAINT], labels={"ward": self.stem}
            )
        pinning.schedulable(cluster, {self.here, self.there})
        self.key = pinning.cache(cluster, self.namespace, "llama", [self.here])
        self.doctor = Doctor(cluster, self.namespace, "7", folder / "bin")

    # -- graphs ------------------------------------------------------------------------------

    def worker_component(
        self, name: str = "A", *, bound: bool = False, at: str = "", **more: Any
    ) -> Object:
        """A worker that stays in the ward; bound ones mount the cache and require its nodes."""
        settings = {key: more.pop(key) for key in ("gpus", "replicas", "kind") if key in more}
        pod: Object = {"nodeSelector": {"ward": self.stem, **({HOST: at} if at else {})}, **more}
        made = component(name, **settings, **pod)
        if bound:
            self.add_mount(made)
            self.add_node_affinity(made, self.key)
        return made

    def add_mount(self, made: Object, path: str = "/model", **mount: Any) -> Object:
        pod = made["podTemplate"]["spec"]
        claim = {"claimName": "llama", "readOnly": True}
        pod["volumes"] = [{"name": "llama", "persistentVolumeClaim": claim}]
        entry = {"name": "llama", "mountPath": path, "readOnly": True, **mount}
        pod["containers"][0]["volumeMounts"] = [entry]
        return made

    def add_node_affinity(self, made: Object, *keys: str) -> Object:
        terms = [
            {"matchExpressions": [{"key": key, "operator": "In", "values": ["true"]}]}
            for key in keys
        ]
        affinity = {"nodeAffinity": {REQUIRED: {"nodeSelectorTerms": terms}}}
        made["podTemplate"]["spec"]["affinity"] = affinity
        return made

    def set_engine(self, made: Object, *args: str, **env: str) -> Object:
        main = made["podTemplate"]["spec"]["containers"][0]
        main["command"] = ["python3", "-m", "dynamo.vllm"]
        main["args"] = list(args)
        main["env"] = [{"name": name, "value": value} for name, value in env.items()]
        return made

    def create(self, name: str, *components: Object, **metadata: Any) -> str:
        self.cluster.api.create(graph(self.namespace, name, *components, **metadata))
        return name

    def edit(self, name: str, change: Callable[[Object], None]) -> None:
        """Change a graph as `kubectl edit` would."""
        found = self.cluster.api.get(GRAPHS, GRAPH, name, self.namespace)
        change(found)
        body = {"spec": found["spec"], "metadata": {"labels": found["metadata"].get("labels")}}
        self.cluster.api.patch(GRAPHS, GRAPH, name, body, self.namespace)

    def wait_until_running(self, name: str, count: int = 1) -> list[Object]:
        return running(self.cluster, self.namespace, name, count)

    def pin(self, name: str, *flags: str) -> None:
        words = f"kubectl fluidmodel pin llama dgd/{name} -n {self.namespace}"
        self.doctor.run(Fix(" ".join([words, *flags])))

    # -- doctor ------------------------------------------------------------------------------

    def wait_for_roots(self, what: str, *codes: str) -> None:
        self.doctor.see(what, *codes)

    def only_finding(self, code: str) -> Any:
        (found,) = self.doctor.found()[code]
        return found

    def heal(self, code: str) -> None:
        self.doctor.run(self.only_finding(code).fix)

    def root_codes(self) -> list[str]:
        return sorted({each.check.code for each in self.doctor.diagnosis.roots})

    def delete_graphs(self) -> None:
        """Take all graphs and pods away."""
        api = self.cluster.api
        for kind in (GRAPH, "DynamoComponentDeployment"):
            for each in api.list(GRAPHS, kind, self.namespace):
                api.delete(GRAPHS, kind, each["metadata"]["name"], self.namespace)
        for version, kind in (("apps/v1", "Deployment"), ("v1", "Pod")):
            for each in api.list(version, kind, self.namespace):
                api.delete(version, kind, each["metadata"]["name"], self.namespace)
        until("the pods to go", lambda: not api.list("v1", "Pod", self.namespace))

    def close(self) -> None:
        clear(self.cluster, self.namespace)
        for name in (self.here, self.there):
            self.cluster.remove_node(name)


@pytest.fixture(scope="module")
def graph_faults(
    cluster: Cluster, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[GraphFaults]:
    with Operator(cluster.api) as operator:
        made = GraphFaults(cluster, operator, tmp_path_factory.mktemp("doctor"))
        yield made
        made.close()


@pytest.fixture
def faults(graph_faults: GraphFaults) -> Iterator[GraphFaults]:
    graph_faults.wait_for_roots("nothing wrong before")
    yield graph_faults
    graph_faults.delete_graphs()


def test_pinned_graph_is_healthy(faults: GraphFaults) -> None:
    faults.create(
        "well", faults.worker_component(), faults.worker_component("Front", kind="frontend", gpus=0)
    )
    faults.wait_until_running("well", 2)
    faults.pin("well")
    faults.wait_for_roots("a pinned graph is well")
    (reader,) = [
        reader
        for outcome in faults.doctor.diagnosis.results
        if outcome.check.code == "FM720" and not outcome.skip_reason
        for reader in [outcome]
    ]
    assert reader.cache == (faults.namespace, "llama")


# -- what pin did ------------------------------------------------------------------------------


def without_affinity(found: Object) -> None:
    for each in found["spec"]["components"]:
        each["podTemplate"]["spec"]["affinity"] = None


@pytest.mark.breaks("FM701")
def test_removed_affinity_is_reported(faults: GraphFaults) -> None:
    faults.create("edited", faults.worker_component(at=faults.here))
    faults.wait_until_running("edited")
    faults.pin("edited", "--recreate")
    faults.wait_for_roots("pinned")
    faults.edit("edited", without_affinity)
    faults.wait_for_roots("what is gone", "FM701")
    assert faults.only_finding("FM701").about == f"dynamographdeployment {faults.namespace}/edited"
    faults.heal("FM701")
    faults.wait_for_roots("pinned again")


@pytest.mark.breaks("FM702")
def test_pin_reverted_by_a_tool_is_reported(faults: GraphFaults) -> None:
    labels = {"argocd.argoproj.io/instance": "apps"}
    faults.create("synced", faults.worker_component(at=faults.here), labels=labels)
    faults.wait_until_running("synced")
    faults.pin("synced", "--recreate")
    faults.wait_for_roots("pinned")
    faults.edit("synced", without_affinity)
    faults.wait_for_roots("what Argo CD did", "FM702")
    assert faults.only_finding("FM702").cause.startswith("Argo CD manages the graph")


@pytest.mark.breaks("FM703")
def test_worker_without_the_mount_is_reported(faults: GraphFaults) -> None:
    faults.create("half", faults.worker_component(), faults.worker_component("B", kind="decode"))
    faults.wait_until_running("half", 2)
    faults.pin("half", "--component A")
    faults.wait_for_roots("the one that lacks it", "FM703")
    faults.heal("FM703")
    faults.wait_for_roots("both pinned")


@pytest.mark.breaks("FM704")
def test_misspelled_claim_is_reported(faults: GraphFaults) -> None:
    made = faults.worker_component(bound=True)
    made["podTemplate"]["spec"]["volumes"][0]["persistentVolumeClaim"]["claimName"] = "lama"
    faults.create("typo", made)
    faults.wait_for_roots("the claim that is not there", "FM704")
    assert "there is a cache llama" in faults.only_finding("FM704").cause
    faults.heal("FM704")
    faults.wait_for_roots("the pod's start")
    faults.wait_until_running("typo")


def test_missing_claim_is_reported_before_there_is_a_pod(faults: GraphFaults) -> None:
    made = faults.worker_component(bound=True)
    made["replicas"] = 0
    made["podTemplate"]["spec"]["volumes"][0]["persistentVolumeClaim"]["claimName"] = "lama"
    faults.create("early", made)
    faults.wait_for_roots("the claim in the spec", "FM704")
    assert faults.only_finding("FM704").evidence[0].text == "claim lama"
    faults.heal("FM704")
    faults.wait_for_roots("the right claim")


@pytest.mark.breaks("FM711")
def test_terminating_graph_is_reported(faults: GraphFaults) -> None:
    faults.create("leaving", faults.worker_component(bound=True), finalizers=["example.com/hold"])
    faults.wait_until_running("leaving")
    faults.wait_for_roots("nothing yet")
    faults.cluster.api.delete(GRAPHS, GRAPH, "leaving", faults.namespace)
    try:
        faults.wait_for_roots("its end", "FM711")
        assert "held by example.com/hold" in faults.only_finding("FM711").cause
    finally:
        body = {"metadata": {"finalizers": None}}
        faults.cluster.api.patch(GRAPHS, GRAPH, "leaving", body, faults.namespace)


@pytest.mark.breaks("FM705")
def test_claim_of_another_namespace_is_reported(faults: GraphFaults, namespace: str) -> None:
    pinning.cache(faults.cluster, namespace, "far-model", [])
    made = faults.worker_component(bound=True)
    made["podTemplate"]["spec"]["volumes"][0]["persistentVolumeClaim"]["claimName"] = "far-model"
    faults.create("abroad", made)
    everywhere = Doctor(faults.cluster, "", "705", faults.doctor.bin)
    everywhere.diagnose(everywhere=True)
    (found,) = [f for f in everywhere.found()["FM705"] if faults.namespace in f.about]
    assert namespace in found.cause
    assert found.fix.text.endswith(f" -n {faults.namespace}")


@pytest.mark.breaks("FM707")
def test_mount_in_an_owned_component_is_reported(faults: GraphFaults) -> None:
    faults.create("owner", faults.worker_component(at=faults.here))
    faults.wait_until_running("owner")
    api = faults.cluster.api
    owner = api.get(GRAPHS, GRAPH, "owner", faults.namespace)
    faults.operator.held.add(faults.namespace)
    try:
        api.create(
            {
                "apiVersion": GRAPHS,
                "kind": "DynamoComponentDeployment",
                "metadata": {
                    "name": "owner-a",
                    "namespace": faults.namespace,
                    "ownerReferences": [
                        {
                            "apiVersion": GRAPHS,
                            "kind": GRAPH,
                            "name": "owner",
                            "uid": owner["metadata"]["uid"],
                        }
                    ],
                },
                "spec": faults.worker_component(bound=True),
            }
        )
        faults.wait_for_roots("the mount in the wrong object", "FM707")
        faults.doctor.run(Fix(f"{faults.only_finding('FM707').fix.text} --force"))
        faults.wait_for_roots("pods of before", "FM733")
    finally:
        faults.operator.held.discard(faults.namespace)


@pytest.mark.breaks("FM708")
def test_writable_mount_is_reported(faults: GraphFaults) -> None:
    made = faults.worker_component(bound=True)
    pod = made["podTemplate"]["spec"]
    pod["volumes"][0]["persistentVolumeClaim"].pop("readOnly")
    pod["containers"][0]["volumeMounts"][0].pop("readOnly")
    faults.create("writable", made)
    faults.wait_for_roots("the mount", "FM708")

    def mend(found: Object) -> None:
        mounts = found["spec"]["components"][0]["podTemplate"]["spec"]["containers"][0]
        mounts["volumeMounts"][0]["readOnly"] = True

    faults.edit("writable", mend)
    faults.wait_for_roots("read-only")


@pytest.mark.breaks("FM710")
def test_second_pod_template_is_reported(faults: GraphFaults) -> None:
    made = faults.worker_component(bound=True)
    job = {"podTemplate": {"spec": {"containers": [{"name": "main", "image": "x"}]}}}
    made["experimental"] = {"checkpoint": {"enabled": True, "job": job}}
    faults.create("frozen", made)
    faults.wait_for_roots("the template that is not pinned", "FM710")


# -- where they run ----------------------------------------------------------------------------


@pytest.mark.breaks("FM720", "FM721")
def test_worker_off_the_cache_nodes_is_reported(faults: GraphFaults) -> None:
    faults.create("astray", faults.add_mount(faults.worker_component(at=faults.there)))
    faults.wait_until_running("astray")
    faults.wait_for_roots("where it runs", "FM720", "FM721")
    assert faults.root_codes() == ["FM721"]
    assert "~18 min" in faults.only_finding("FM720").cause

    def let_it_go(found: Object) -> None:
        selector = found["spec"]["components"][0]["podTemplate"]["spec"]["nodeSelector"]
        selector[HOST] = None

    faults.edit("astray", let_it_go)
    faults.wait_for_roots("still loose", "FM720", "FM721")
    faults.heal("FM721")
    faults.wait_for_roots("the node with the cache")


@pytest.mark.breaks("FM722")
def test_preferred_affinity_is_reported(faults: GraphFaults) -> None:
    faults.create("rather", faults.worker_component())
    faults.wait_until_running("rather")
    faults.pin("rather", "--preferred")
    faults.wait_for_roots("a preference", "FM722")
    assert faults.doctor.errors() == []
    faults.heal("FM722")
    faults.wait_for_roots("a requirement")


@pytest.mark.breaks("FM723")
def test_outdated_label_is_reported(faults: GraphFaults) -> None:
    api, old = faults.cluster.api, faults.key
    faults.create("stale", faults.worker_component())
    faults.wait_until_running("stale")
    faults.pin("stale")
    faults.wait_for_roots("pinned")
    # As after `uncache` and `cache` with a name so long that the key has the Dataset's UID.
    new = f"fluid.io/s-{secrets.token_hex(8)}"
    labels = {"metadata": {"labels": {old: None, new: "true"}}}
    api.patch("v1", "PersistentVolumeClaim", "llama", labels, faults.namespace)
    api.patch("v1", "Node", faults.here, labels)
    try:
        faults.wait_for_roots("the key that no node has", "FM723")
        assert (
            old in faults.only_finding("FM723").cause and new in faults.only_finding("FM723").cause
        )
        faults.heal("FM723")
        faults.wait_for_roots("the new key")
    finally:
        labels = {"metadata": {"labels": {old: "true", new: None}}}
        api.patch("v1", "PersistentVolumeClaim", "llama", labels, faults.namespace)
        api.patch("v1", "Node", faults.here, labels)


@pytest.mark.breaks("FM724")
def test_label_in_one_term_only_is_reported(faults: GraphFaults) -> None:
    made = faults.add_mount(faults.worker_component())
    expression = {"key": "ward", "operator": "In", "values": [faults.stem]}
    faults.add_node_affinity(made, faults.key)
    affinity = made["podTemplate"]["spec"]["affinity"]["nodeAffinity"][REQUIRED]
    affinity["nodeSelectorTerms"].append({"matchExpressions": [expression]})
    faults.create("either", made)
    faults.wait_until_running("either")
    faults.doctor.diagnose()
    assert "FM724" in faults.doctor.codes()
    assert set(faults.doctor.codes()) <= {"FM720", "FM724"}
    faults.heal("FM724")
    faults.wait_for_roots("both alternatives")


@pytest.mark.breaks("FM725")
def test_cordoned_node_is_reported(faults: GraphFaults) -> None:
    api = faults.cluster.api
    api.patch("v1", "Node", faults.here, {"spec": {"unschedulable": True}})
    try:
        faults.create("cordoned", faults.worker_component(bound=True))
        faults.wait_for_roots("the cordon", "FM725", "FM730")
        assert faults.root_codes() == ["FM725"]
        faults.heal("FM725")
        faults.wait_for_roots("the pod's start")
    finally:
        api.patch("v1", "Node", faults.here, {"spec": {"unschedulable": None}})


@pytest.mark.breaks("FM726")
def test_untolerated_taint_is_reported(faults: GraphFaults) -> None:
    api = faults.cluster.api
    before = api.get("v1", "Node", faults.here)["spec"]["taints"]
    taint = {"key": "example.com/service", "value": "due", "effect": "NoSchedule"}
    api.patch("v1", "Node", faults.here, {"spec": {"taints": [*before, taint]}})
    try:
        faults.create("tainted", faults.worker_component(bound=True))
        faults.wait_for_roots("the taint", "FM726", "FM730")
        assert faults.root_codes() == ["FM726"]
        assert "example.com/service=due:NoSchedule" in faults.only_finding("FM726").cause
    finally:
        api.patch("v1", "Node", faults.here, {"spec": {"taints": before}})
    faults.wait_for_roots("the pod's start")


@pytest.mark.breaks("FM727")
def test_replica_over_too_many_nodes_is_reported(faults: GraphFaults) -> None:
    made = faults.worker_component(bound=True, gpus=8)
    made["multinode"] = {"nodeCount": 2}
    faults.create("wide", made)
    faults.wait_for_roots("too few nodes", "FM727", "FM730")
    assert faults.root_codes() == ["FM727"]


@pytest.mark.breaks("FM729")
def test_replicas_that_an_autoscaler_may_add_are_reported(faults: GraphFaults) -> None:
    made = faults.worker_component("Work", bound=True, gpus=8)
    made["scalingAdapter"] = {}
    faults.create("growing", made)
    target = {
        "apiVersion": "nvidia.com/v1beta1",
        "kind": "DynamoGraphDeploymentScalingAdapter",
        "name": "growing-work",
    }
    faults.cluster.api.create(
        {
            "apiVersion": "autoscaling/v2",
            "kind": "HorizontalPodAutoscaler",
            "metadata": {"name": "by-load", "namespace": faults.namespace},
            "spec": {"scaleTargetRef": target, "minReplicas": 1, "maxReplicas": 3},
        }
    )
    faults.wait_for_roots("more replicas than the cache's node holds", "FM729")
    assert "HorizontalPodAutoscaler by-load" in faults.only_finding("FM729").cause


@pytest.mark.breaks("FM728")
def test_bound_planner_is_reported(faults: GraphFaults) -> None:
    made = faults.add_node_affinity(
        faults.worker_component("Planner", kind="planner", gpus=0), faults.key
    )
    faults.create("planned", faults.worker_component(bound=True), made)
    faults.wait_for_roots("the planner", "FM728")


# -- how they come up --------------------------------------------------------------------------


@pytest.mark.breaks("FM730")
def test_occupied_gpus_are_reported(faults: GraphFaults) -> None:
    faults.create("holder", faults.worker_component(gpus=8, at=faults.here))
    faults.wait_until_running("holder")
    faults.create("waiting", faults.worker_component(bound=True))
    faults.wait_for_roots("the pod that waits", "FM730")
    found = faults.only_finding("FM730")
    assert "Insufficient nvidia.com/gpu" in found.evidence[0].text
    assert "holder" in faults.doctor.run(found.fix)
    faults.cluster.api.delete(GRAPHS, GRAPH, "holder", faults.namespace)
    for each in faults.cluster.api.list("apps/v1", "Deployment", faults.namespace):
        if each["metadata"]["name"].startswith("holder"):
            name = each["metadata"]["name"]
            faults.cluster.api.delete("apps/v1", "Deployment", name, faults.namespace)
    faults.wait_for_roots("the pod's start")


@pytest.mark.breaks("FM735")
def test_quota_that_forbids_graph_pods_is_reported(faults: GraphFaults) -> None:
    quota = {
        "apiVersion": "v1",
        "kind": "ResourceQuota",
        "metadata": {"name": "no-pods", "namespace": faults.namespace},
        "spec": {"hard": {"pods": "0"}},
    }
    faults.cluster.api.apply(quota)
    try:
        until(
            "the quota to count",
            lambda: (
                faults.cluster.api.get("v1", "ResourceQuota", "no-pods", faults.namespace)
                .get("status", {})
                .get("hard")
            ),
        )
        faults.create("refused", faults.worker_component(bound=True))
        faults.wait_for_roots("the refusal", "FM735")
        assert "ResourceQuota no-pods does not allow more" in faults.only_finding("FM735").cause
    finally:
        faults.cluster.api.delete("v1", "ResourceQuota", "no-pods", faults.namespace)


@pytest.mark.breaks("FM731")
def test_deadlocked_rollout_is_reported(faults: GraphFaults) -> None:
    faults.create("stuck", faults.worker_component(gpus=8, at=faults.here))
    faults.wait_until_running("stuck")
    faults.pin("stuck", "--force")
    faults.wait_for_roots("the deadlock", "FM730", "FM731", "FM733")
    assert faults.root_codes() == ["FM731"]
    assert faults.only_finding("FM731").fix.text.endswith("--recreate")
    faults.heal("FM731")
    faults.wait_for_roots("the new pod")


@pytest.mark.breaks("FM732", "FM733")
def test_outdated_pods_are_reported(faults: GraphFaults) -> None:
    faults.create("left", faults.worker_component(at=faults.here))
    faults.wait_until_running("left")
    faults.operator.held.add(faults.namespace)
    try:
        faults.pin("left", "--recreate")
        faults.wait_for_roots("the old pod", "FM733")
        note = {"metadata": {"annotations": {"nvidia.com/grove-update-strategy": "OnDelete"}}}
        faults.cluster.api.patch(GRAPHS, GRAPH, "left", note, faults.namespace)
        faults.wait_for_roots("why it stays", "FM732", "FM733")
        assert faults.root_codes() == ["FM732"]
    finally:
        faults.operator.held.discard(faults.namespace)
    faults.heal("FM732")
    faults.wait_for_roots("the new pod")


# -- what they read ----------------------------------------------------------------------------

OFFLINE = {"HF_HUB_OFFLINE": "1"}
SERVED = ("--served-model-name", "org/llama")


@pytest.mark.parametrize(
    ("args", "env", "code", "heals"),
    [
        pytest.param(
            ("--model", "org/llama"), {}, "FM740", True, marks=pytest.mark.breaks("FM740")
        ),
        pytest.param(
            ("--model", "/models/llama", *SERVED),
            OFFLINE,
            "FM741",
            True,
            marks=pytest.mark.breaks("FM741"),
        ),
        pytest.param(
            ("--model", "/model/model", *SERVED),
            OFFLINE,
            "FM742",
            True,
            marks=pytest.mark.breaks("FM742"),
        ),
        pytest.param(
            ("--model", "/model", *SERVED),
            {**OFFLINE, "HF_HOME": "/model"},
            "FM743",
            False,
            marks=pytest.mark.breaks("FM743"),
        ),
        pytest.param(
            ("--model", "/model"), OFFLINE, "FM744", False, marks=pytest.mark.breaks("FM744")
        ),
        pytest.param(
            ("--model", "/model", *SERVED), {}, "FM745", False, marks=pytest.mark.breaks("FM745")
        ),
        pytest.param(
            (
                *("--model", "/model", *SERVED, "--model-loader-extra-config"),
                '{"enable_multithread_load": true, "num_threads": 64}',
            ),
            OFFLINE,
            "FM748",
            True,
            marks=pytest.mark.breaks("FM748"),
        ),
    ],
)
def test_engine_configuration_fault_is_reported(
    faults: GraphFaults, args: tuple[str, ...], env: dict[str, str], code: str, heals: bool
) -> None:
    faults.create("engine", faults.set_engine(faults.worker_component(bound=True), *args, **env))
    faults.wait_until_running("engine")
    faults.wait_for_roots("what it reads", code)
    if heals:
        faults.heal(code)
    else:
        fix = faults.only_finding(code).fix
        assert fix.how in ("command", "advice") and fix.text

        def mend(found: Object) -> None:
            main = found["spec"]["components"][0]["podTemplate"]["spec"]["containers"][0]
            main["args"] = ["--model", "/model", *SERVED]
            main["env"] = [{"name": name, "value": value} for name, value in OFFLINE.items()]

        faults.edit("engine", mend)
    faults.wait_for_roots("the mount being read")


@pytest.mark.breaks("FM747")
def test_startup_probe_shorter_than_the_load_is_reported(faults: GraphFaults) -> None:
    worker = faults.worker_component(bound=True)
    probe = {"httpGet": {"path": "/live", "port": 9090}, "periodSeconds": 1}
    main = worker["podTemplate"]["spec"]["containers"][0]
    main["startupProbe"] = {**probe, "failureThreshold": 60}  # 10 GiB take 83 s
    faults.create("probed", worker)
    faults.wait_until_running("probed")
    faults.wait_for_roots("a probe of 60 s", "FM747")
    faults.heal("FM747")
    faults.wait_for_roots("a probe that allows the load")


@pytest.mark.breaks("FM749")
def test_default_loader_for_a_large_model_is_reported(faults: GraphFaults) -> None:
    api, large = faults.cluster.api, {"ufsTotal": "100.00GiB", "cacheStates": {"cached": "100GiB"}}
    before = api.get(pinning.FLUID, "Dataset", "llama", faults.namespace)["status"]
    worker = faults.set_engine(
        faults.worker_component(bound=True, gpus=4), "--model", "/model", *SERVED, "-tp", "4"
    )
    main = worker["podTemplate"]["spec"]["containers"][0]
    main["image"] = "nvcr.io/nvidia/ai-dynamo/vllm-runtime:1.6.0"
    main["env"] = [{"name": name, "value": value} for name, value in OFFLINE.items()]
    faults.create("large", worker)
    faults.wait_until_running("large")
    api.patch(pinning.FLUID, "Dataset", "llama", {"status": large}, faults.namespace, "status")
    try:
        faults.wait_for_roots("a default loader", "FM749")
        faults.heal("FM749")
        faults.wait_for_roots("a fast loader")
    finally:
        api.patch(pinning.FLUID, "Dataset", "llama", {"status": before}, faults.namespace, "status")
    found = api.get(GRAPHS, GRAPH, "large", faults.namespace)
    args = found["spec"]["components"][0]["podTemplate"]["spec"]["containers"][0]["args"]
    assert args[-4:] == [
        *("--safetensors-load-strategy", "prefetch"),
        *("--safetensors-prefetch-num-threads", "6"),
    ]


@pytest.mark.breaks("FM746")
def test_frontend_without_the_mount_is_reported(faults: GraphFaults) -> None:
    worker = faults.set_engine(
        faults.worker_component(bound=True), "--model", "/model", *SERVED, **OFFLINE
    )
    faults.create("front", worker, faults.worker_component("Front", kind="frontend", gpus=0))
    faults.wait_until_running("front", 2)
    faults.wait_for_roots("the frontend", "FM746")
    faults.heal("FM746")
    faults.wait_for_roots("the frontend with the mount")


# -- v1alpha1, on a cluster that serves nothing else --------------------------------------------


@pytest.fixture(scope="module")
def older() -> Iterator[Cluster]:
    cluster = Cluster(f"doctor-ages-{os.getpid()}")
    try:
        yield cluster.up(dynamo="v1alpha1")
    finally:
        cluster.down()


@pytest.mark.alone
@pytest.mark.breaks("FM706", "FM709")
def test_v1alpha1_service_faults_are_reported(older: Cluster, tmp_path: Path) -> None:
    api = older.api
    api.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "ages"}})
    key = pinning.cache(older, "ages", "llama", ["gpu-0"])
    doctor = Doctor(older, "ages", "7", tmp_path / "bin")
    term = {"matchExpressions": [{"key": key, "operator": "In", "values": ["true"]}]}
    affinity = {"nodeAffinity": {REQUIRED: {"nodeSelectorTerms": [term]}}}
    service = {
        "componentType": "worker",
        "resources": {"limits": {"gpu": "1"}},
        "volumeMounts": [{"name": "llama", "mountPoint": "/model"}],
        "extraPodSpec": {"affinity": affinity, "mainContainer": {"image": "example.com/vllm:1"}},
    }
    made = {
        "apiVersion": "nvidia.com/v1alpha1",
        "kind": GRAPH,
        "metadata": {"name": "old", "namespace": "ages"},
        "spec": {"services": {"A": service}},
    }
    api.create(made)
    doctor.see("nothing wrong")
    api.patch(
        made["apiVersion"],
        GRAPH,
        "old",
        {
            "spec": {
                "pvcs": [
                    {
                        "name": "llama",
                        "create": True,
                        "size": "1Ti",
                        "storageClass": "x",
                        "volumeAccessMode": "ReadWriteMany",
                    }
                ]
            }
        },
        "ages",
    )
    doctor.see("the claim that it makes", "FM706")
    listed: Object = {"spec": {"pvcs": [{"name": "llama", "create": False}]}}
    api.patch(made["apiVersion"], GRAPH, "old", listed, "ages")
    doctor.see("the claim that it takes")
    mount = [{"name": "scratch", "mountPath": "/scratch"}]
    pod = {
        "volumes": [{"name": "scratch", "emptyDir": {}}],
        "mainContainer": {"volumeMounts": mount},
    }
    body = {"spec": {"services": {"A": {"extraPodSpec": pod}}}}
    api.patch(made["apiVersion"], GRAPH, "old", body, "ages")
    doctor.see("both styles", "FM709")
