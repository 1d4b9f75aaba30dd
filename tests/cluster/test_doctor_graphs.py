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


class Ward:
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

    def worker(self, name: str = "A", *, bound: bool = False, at: str = "", **more: Any) -> Object:
        """A worker that stays in the ward; bound ones mount the cache and require its nodes."""
        settings = {key: more.pop(key) for key in ("gpus", "replicas", "kind") if key in more}
        pod: Object = {"nodeSelector": {"ward": self.stem, **({HOST: at} if at else {})}, **more}
        made = component(name, **settings, **pod)
        if bound:
            self.mount(made)
            self.require(made, self.key)
        return made

    def mount(self, made: Object, path: str = "/model", **mount: Any) -> Object:
        pod = made["podTemplate"]["spec"]
        claim = {"claimName": "llama", "readOnly": True}
        pod["volumes"] = [{"name": "llama", "persistentVolumeClaim": claim}]
        entry = {"name": "llama", "mountPath": path, "readOnly": True, **mount}
        pod["containers"][0]["volumeMounts"] = [entry]
        return made

    def require(self, made: Object, *keys: str) -> Object:
        terms = [
            {"matchExpressions": [{"key": key, "operator": "In", "values": ["true"]}]}
            for key in keys
        ]
        affinity = {"nodeAffinity": {REQUIRED: {"nodeSelectorTerms": terms}}}
        made["podTemplate"]["spec"]["affinity"] = affinity
        return made

    def engine(self, made: Object, *args: str, **env: str) -> Object:
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

    def running(self, name: str, count: int = 1) -> list[Object]:
        return running(self.cluster, self.namespace, name, count)

    def pin(self, name: str, *flags: str) -> None:
        words = f"kubectl fluidmodel pin llama dgd/{name} -n {self.namespace}"
        self.doctor.run(Fix(" ".join([words, *flags])))

    # -- doctor ------------------------------------------------------------------------------

    def see(self, what: str, *codes: str) -> None:
        self.doctor.see(what, *codes)

    def one(self, code: str) -> Any:
        (found,) = self.doctor.found()[code]
        return found

    def heal(self, code: str) -> None:
        self.doctor.run(self.one(code).fix)

    def roots(self) -> list[str]:
        return sorted({each.check.code for each in self.doctor.diagnosis.roots})

    def empty(self) -> None:
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
def rooms(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ward]:
    with Operator(cluster.api) as operator:
        made = Ward(cluster, operator, tmp_path_factory.mktemp("doctor"))
        yield made
        made.close()


@pytest.fixture
def ward(rooms: Ward) -> Iterator[Ward]:
    rooms.see("nothing wrong before")
    yield rooms
    rooms.empty()


def test_a_pinned_graph_is_well(ward: Ward) -> None:
    ward.create("well", ward.worker(), ward.worker("Front", kind="frontend", gpus=0))
    ward.running("well", 2)
    ward.pin("well")
    ward.see("a pinned graph is well")
    (reader,) = [
        reader
        for outcome in ward.doctor.diagnosis.outcomes
        if outcome.check.code == "FM720" and not outcome.skipped
        for reader in [outcome]
    ]
    assert reader.cache == (ward.namespace, "llama")


# -- what pin did ------------------------------------------------------------------------------


def without_affinity(found: Object) -> None:
    for each in found["spec"]["components"]:
        each["podTemplate"]["spec"]["affinity"] = None


@pytest.mark.breaks("FM701")
def test_an_affinity_that_somebody_took_away(ward: Ward) -> None:
    ward.create("edited", ward.worker(at=ward.here))
    ward.running("edited")
    ward.pin("edited", "--recreate")
    ward.see("pinned")
    ward.edit("edited", without_affinity)
    ward.see("what is gone", "FM701")
    assert ward.one("FM701").about == f"dynamographdeployment {ward.namespace}/edited"
    ward.heal("FM701")
    ward.see("pinned again")


@pytest.mark.breaks("FM702")
def test_a_tool_that_took_the_pin_away(ward: Ward) -> None:
    labels = {"argocd.argoproj.io/instance": "apps"}
    ward.create("synced", ward.worker(at=ward.here), labels=labels)
    ward.running("synced")
    ward.pin("synced", "--recreate")
    ward.see("pinned")
    ward.edit("synced", without_affinity)
    ward.see("what Argo CD did", "FM702")
    assert ward.one("FM702").cause.startswith("Argo CD manages the graph")


@pytest.mark.breaks("FM703")
def test_a_worker_that_was_left_out(ward: Ward) -> None:
    ward.create("half", ward.worker(), ward.worker("B", kind="decode"))
    ward.running("half", 2)
    ward.pin("half", "--component A")
    ward.see("the one that lacks it", "FM703")
    ward.heal("FM703")
    ward.see("both pinned")


@pytest.mark.breaks("FM704")
def test_a_claim_with_a_typing_error(ward: Ward) -> None:
    made = ward.worker(bound=True)
    made["podTemplate"]["spec"]["volumes"][0]["persistentVolumeClaim"]["claimName"] = "lama"
    ward.create("typo", made)
    ward.see("the claim that is not there", "FM704")
    assert "there is a cache llama" in ward.one("FM704").cause
    ward.heal("FM704")
    ward.see("the pod's start")
    ward.running("typo")


def test_a_claim_that_is_not_there_is_seen_before_there_is_a_pod(ward: Ward) -> None:
    made = ward.worker(bound=True)
    made["replicas"] = 0
    made["podTemplate"]["spec"]["volumes"][0]["persistentVolumeClaim"]["claimName"] = "lama"
    ward.create("early", made)
    ward.see("the claim in the spec", "FM704")
    assert ward.one("FM704").evidence[0].text == "claim lama"
    ward.heal("FM704")
    ward.see("the right claim")


@pytest.mark.breaks("FM711")
def test_a_graph_that_is_being_deleted(ward: Ward) -> None:
    ward.create("leaving", ward.worker(bound=True), finalizers=["example.com/hold"])
    ward.running("leaving")
    ward.see("nothing yet")
    ward.cluster.api.delete(GRAPHS, GRAPH, "leaving", ward.namespace)
    try:
        ward.see("its end", "FM711")
        assert "held by example.com/hold" in ward.one("FM711").cause
    finally:
        body = {"metadata": {"finalizers": None}}
        ward.cluster.api.patch(GRAPHS, GRAPH, "leaving", body, ward.namespace)


@pytest.mark.breaks("FM705")
def test_a_claim_of_another_namespace(ward: Ward, namespace: str) -> None:
    pinning.cache(ward.cluster, namespace, "far-model", [])
    made = ward.worker(bound=True)
    made["podTemplate"]["spec"]["volumes"][0]["persistentVolumeClaim"]["claimName"] = "far-model"
    ward.create("abroad", made)
    everywhere = Doctor(ward.cluster, "", "705", ward.doctor.bin)
    everywhere.look(everywhere=True)
    (found,) = [f for f in everywhere.found()["FM705"] if ward.namespace in f.about]
    assert namespace in found.cause
    assert found.fix.text.endswith(f" -n {ward.namespace}")


@pytest.mark.breaks("FM707")
def test_a_mount_in_what_the_graph_owns(ward: Ward) -> None:
    ward.create("owner", ward.worker(at=ward.here))
    ward.running("owner")
    api = ward.cluster.api
    owner = api.get(GRAPHS, GRAPH, "owner", ward.namespace)
    ward.operator.held.add(ward.namespace)
    try:
        api.create(
            {
                "apiVersion": GRAPHS,
                "kind": "DynamoComponentDeployment",
                "metadata": {
                    "name": "owner-a",
                    "namespace": ward.namespace,
                    "ownerReferences": [
                        {
                            "apiVersion": GRAPHS,
                            "kind": GRAPH,
                            "name": "owner",
                            "uid": owner["metadata"]["uid"],
                        }
                    ],
                },
                "spec": ward.worker(bound=True),
            }
        )
        ward.see("the mount in the wrong object", "FM707")
        ward.doctor.run(Fix(f"{ward.one('FM707').fix.text} --force"))
        ward.see("pods of before", "FM733")
    finally:
        ward.operator.held.discard(ward.namespace)


@pytest.mark.breaks("FM708")
def test_a_writable_mount(ward: Ward) -> None:
    made = ward.worker(bound=True)
    pod = made["podTemplate"]["spec"]
    pod["volumes"][0]["persistentVolumeClaim"].pop("readOnly")
    pod["containers"][0]["volumeMounts"][0].pop("readOnly")
    ward.create("writable", made)
    ward.see("the mount", "FM708")

    def mend(found: Object) -> None:
        mounts = found["spec"]["components"][0]["podTemplate"]["spec"]["containers"][0]
        mounts["volumeMounts"][0]["readOnly"] = True

    ward.edit("writable", mend)
    ward.see("read-only")


@pytest.mark.breaks("FM710")
def test_a_second_pod_template(ward: Ward) -> None:
    made = ward.worker(bound=True)
    job = {"podTemplate": {"spec": {"containers": [{"name": "main", "image": "x"}]}}}
    made["experimental"] = {"checkpoint": {"enabled": True, "job": job}}
    ward.create("frozen", made)
    ward.see("the template that is not pinned", "FM710")


# -- where they run ----------------------------------------------------------------------------


@pytest.mark.breaks("FM720", "FM721")
def test_a_worker_that_runs_elsewhere(ward: Ward) -> None:
    ward.create("astray", ward.mount(ward.worker(at=ward.there)))
    ward.running("astray")
    ward.see("where it runs", "FM720", "FM721")
    assert ward.roots() == ["FM721"]
    assert "~18 min" in ward.one("FM720").cause

    def let_it_go(found: Object) -> None:
        selector = found["spec"]["components"][0]["podTemplate"]["spec"]["nodeSelector"]
        selector[HOST] = None

    ward.edit("astray", let_it_go)
    ward.see("still loose", "FM720", "FM721")
    ward.heal("FM721")
    ward.see("the node with the cache")


@pytest.mark.breaks("FM722")
def test_a_preference(ward: Ward) -> None:
    ward.create("rather", ward.worker())
    ward.running("rather")
    ward.pin("rather", "--preferred")
    ward.see("a preference", "FM722")
    assert ward.doctor.errors() == []
    ward.heal("FM722")
    ward.see("a requirement")


@pytest.mark.breaks("FM723")
def test_a_label_of_a_cache_that_was(ward: Ward) -> None:
    api, old = ward.cluster.api, ward.key
    ward.create("stale", ward.worker())
    ward.running("stale")
    ward.pin("stale")
    ward.see("pinned")
    # As after `uncache` and `cache` with a name so long that the key has the Dataset's UID.
    new = f"fluid.io/s-{secrets.token_hex(8)}"
    labels = {"metadata": {"labels": {old: None, new: "true"}}}
    api.patch("v1", "PersistentVolumeClaim", "llama", labels, ward.namespace)
    api.patch("v1", "Node", ward.here, labels)
    try:
        ward.see("the key that no node has", "FM723")
        assert old in ward.one("FM723").cause and new in ward.one("FM723").cause
        ward.heal("FM723")
        ward.see("the new key")
    finally:
        labels = {"metadata": {"labels": {old: "true", new: None}}}
        api.patch("v1", "PersistentVolumeClaim", "llama", labels, ward.namespace)
        api.patch("v1", "Node", ward.here, labels)


@pytest.mark.breaks("FM724")
def test_a_label_in_one_alternative_only(ward: Ward) -> None:
    made = ward.mount(ward.worker())
    expression = {"key": "ward", "operator": "In", "values": [ward.stem]}
    ward.require(made, ward.key)
    affinity = made["podTemplate"]["spec"]["affinity"]["nodeAffinity"][REQUIRED]
    affinity["nodeSelectorTerms"].append({"matchExpressions": [expression]})
    ward.create("either", made)
    ward.running("either")
    ward.doctor.look()
    assert "FM724" in ward.doctor.codes()
    assert set(ward.doctor.codes()) <= {"FM720", "FM724"}
    ward.heal("FM724")
    ward.see("both alternatives")


@pytest.mark.breaks("FM725")
def test_a_cordoned_node(ward: Ward) -> None:
    api = ward.cluster.api
    api.patch("v1", "Node", ward.here, {"spec": {"unschedulable": True}})
    try:
        ward.create("cordoned", ward.worker(bound=True))
        ward.see("the cordon", "FM725", "FM730")
        assert ward.roots() == ["FM725"]
        ward.heal("FM725")
        ward.see("the pod's start")
    finally:
        api.patch("v1", "Node", ward.here, {"spec": {"unschedulable": None}})


@pytest.mark.breaks("FM726")
def test_a_taint(ward: Ward) -> None:
    api = ward.cluster.api
    before = api.get("v1", "Node", ward.here)["spec"]["taints"]
    taint = {"key": "example.com/service", "value": "due", "effect": "NoSchedule"}
    api.patch("v1", "Node", ward.here, {"spec": {"taints": [*before, taint]}})
    try:
        ward.create("tainted", ward.worker(bound=True))
        ward.see("the taint", "FM726", "FM730")
        assert ward.roots() == ["FM726"]
        assert "example.com/service=due:NoSchedule" in ward.one("FM726").cause
    finally:
        api.patch("v1", "Node", ward.here, {"spec": {"taints": before}})
    ward.see("the pod's start")


@pytest.mark.breaks("FM727")
def test_a_replica_over_more_nodes_than_hold_it(ward: Ward) -> None:
    made = ward.worker(bound=True, gpus=8)
    made["multinode"] = {"nodeCount": 2}
    ward.create("wide", made)
    ward.see("too few nodes", "FM727", "FM730")
    assert ward.roots() == ["FM727"]


@pytest.mark.breaks("FM728")
def test_a_planner_on_the_node(ward: Ward) -> None:
    made = ward.require(ward.worker("Planner", kind="planner", gpus=0), ward.key)
    ward.create("planned", ward.worker(bound=True), made)
    ward.see("the planner", "FM728")


# -- how they come up --------------------------------------------------------------------------


@pytest.mark.breaks("FM730")
def test_gpus_that_others_hold(ward: Ward) -> None:
    ward.create("holder", ward.worker(gpus=8, at=ward.here))
    ward.running("holder")
    ward.create("waiting", ward.worker(bound=True))
    ward.see("the pod that waits", "FM730")
    found = ward.one("FM730")
    assert "Insufficient nvidia.com/gpu" in found.evidence[0].text
    assert "holder" in ward.doctor.run(found.fix)
    ward.cluster.api.delete(GRAPHS, GRAPH, "holder", ward.namespace)
    for each in ward.cluster.api.list("apps/v1", "Deployment", ward.namespace):
        if each["metadata"]["name"].startswith("holder"):
            name = each["metadata"]["name"]
            ward.cluster.api.delete("apps/v1", "Deployment", name, ward.namespace)
    ward.see("the pod's start")


@pytest.mark.breaks("FM735")
def test_a_quota_that_allows_no_pod_of_a_graph(ward: Ward) -> None:
    quota = {
        "apiVersion": "v1",
        "kind": "ResourceQuota",
        "metadata": {"name": "no-pods", "namespace": ward.namespace},
        "spec": {"hard": {"pods": "0"}},
    }
    ward.cluster.api.apply(quota)
    try:
        until(
            "the quota to count",
            lambda: (
                ward.cluster.api.get("v1", "ResourceQuota", "no-pods", ward.namespace)
                .get("status", {})
                .get("hard")
            ),
        )
        ward.create("refused", ward.worker(bound=True))
        ward.see("the refusal", "FM735")
        assert "ResourceQuota no-pods does not allow more" in ward.one("FM735").cause
    finally:
        ward.cluster.api.delete("v1", "ResourceQuota", "no-pods", ward.namespace)


@pytest.mark.breaks("FM731")
def test_a_roll_out_that_waits_for_itself(ward: Ward) -> None:
    ward.create("stuck", ward.worker(gpus=8, at=ward.here))
    ward.running("stuck")
    ward.pin("stuck", "--force")
    ward.see("the deadlock", "FM730", "FM731", "FM733")
    assert ward.roots() == ["FM731"]
    assert ward.one("FM731").fix.text.endswith("--recreate")
    ward.heal("FM731")
    ward.see("the new pod")


@pytest.mark.breaks("FM732", "FM733")
def test_pods_of_before(ward: Ward) -> None:
    ward.create("left", ward.worker(at=ward.here))
    ward.running("left")
    ward.operator.held.add(ward.namespace)
    try:
        ward.pin("left", "--recreate")
        ward.see("the old pod", "FM733")
        note = {"metadata": {"annotations": {"nvidia.com/grove-update-strategy": "OnDelete"}}}
        ward.cluster.api.patch(GRAPHS, GRAPH, "left", note, ward.namespace)
        ward.see("why it stays", "FM732", "FM733")
        assert ward.roots() == ["FM732"]
    finally:
        ward.operator.held.discard(ward.namespace)
    ward.heal("FM732")
    ward.see("the new pod")


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
    ],
)
def test_what_an_engine_reads(
    ward: Ward, args: tuple[str, ...], env: dict[str, str], code: str, heals: bool
) -> None:
    ward.create("engine", ward.engine(ward.worker(bound=True), *args, **env))
    ward.running("engine")
    ward.see("what it reads", code)
    if heals:
        ward.heal(code)
    else:
        fix = ward.one(code).fix
        assert fix.how in ("command", "advice") and fix.text

        def mend(found: Object) -> None:
            main = found["spec"]["components"][0]["podTemplate"]["spec"]["containers"][0]
            main["args"] = ["--model", "/model", *SERVED]
            main["env"] = [{"name": name, "value": value} for name, value in OFFLINE.items()]

        ward.edit("engine", mend)
    ward.see("the mount being read")


@pytest.mark.breaks("FM746")
def test_a_frontend_without_the_files(ward: Ward) -> None:
    worker = ward.engine(ward.worker(bound=True), "--model", "/model", *SERVED, **OFFLINE)
    ward.create("front", worker, ward.worker("Front", kind="frontend", gpus=0))
    ward.running("front", 2)
    ward.see("the frontend", "FM746")
    ward.heal("FM746")
    ward.see("the frontend with the mount")


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
def test_services_of_v1alpha1(older: Cluster, tmp_path: Path) -> None:
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
