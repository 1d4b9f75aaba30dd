"""Why a pod does not fit on a node, one row for each rule of the scheduler.

`tests/cluster/test_scheduler.py` compares the same with kube-scheduler itself.
"""

from __future__ import annotations

import copy
from decimal import Decimal
from typing import Any, ClassVar

import pytest

from kubectl_fluidmodel.objects.access import Object
from kubectl_fluidmodel.objects.pods import claim_names
from kubectl_fluidmodel.objects.scheduler import Filter, SchedulerView, host_ports

GPU_TAINT = {"key": "nvidia.com/gpu", "value": "present", "effect": "NoSchedule"}
HOST = "kubernetes.io/hostname"


def node(name: str = "a", *taints: Object, cordoned: bool = False, **labels: str) -> Object:
    spec: Object = {"taints": list(taints)} if taints else {}
    if cordoned:
        spec["unschedulable"] = True
    shown = {key.replace("__", "/").replace("_", "."): value for key, value in labels.items()}
    return {
        "metadata": {"name": name, "labels": {HOST: name, **shown}},
        "spec": spec,
        "status": {
            "allocatable": {
                "cpu": "4",
                "memory": "100Gi",
                "ephemeral-storage": "50Gi",
                "nvidia.com/gpu": "2",
                "pods": "3",
            },
            "conditions": [{"type": "Ready", "status": "True"}],
        },
    }


def container(ports: list[Object] | None = None, **requests: str) -> Object:
    spec: Object = {"name": "c", "resources": {"requests": requests}}
    return {**spec, "ports": ports} if ports else spec


def pod(
    name: str = "p",
    *containers: Object,
    on: str = "",
    phase: str = "Running",
    labels: dict[str, str] | None = None,
    namespace: str = "ns",
    **spec: Any,
) -> Object:
    body: Object = {"containers": list(containers) or [container()], **spec}
    if on:
        body["nodeName"] = on
    return {
        "kind": "Pod",
        "metadata": {"name": name, "namespace": namespace, "labels": labels or {}},
        "spec": body,
        "status": {"phase": phase},
    }


def required(*terms: Object) -> Object:
    return {
        "nodeAffinity": {
            "requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": list(terms)}
        }
    }


def apart(key: str, value: str, **more: Any) -> Object:
    term = {"labelSelector": {"matchLabels": {key: value}}, "topologyKey": HOST, **more}
    return {"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [term]}}


def together(key: str, value: str) -> Object:
    term = {"labelSelector": {"matchLabels": {key: value}}, "topologyKey": HOST}
    return {"podAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [term]}}


def expression(key: str, operator: str, *values: str) -> Object:
    return {"key": key, "operator": operator, "values": list(values)}


def obstacle_texts(one: Object, where: Object, *others: Object) -> list[str]:
    return [
        obstacle.text for obstacle in SchedulerView([where], list(others)).obstacles(one, where)
    ]


TAINTS: dict[str, tuple[list[Object], list[Object], list[str]]] = {
    "none": ([], [], []),
    "not tolerated": ([GPU_TAINT], [], ["nvidia.com/gpu=present:NoSchedule"]),
    "no execute": ([{"key": "k", "effect": "NoExecute"}], [], ["k:NoExecute"]),
    "only preferred": ([{"key": "k", "effect": "PreferNoSchedule"}], [], []),
    "exists": ([GPU_TAINT], [{"key": "nvidia.com/gpu", "operator": "Exists"}], []),
    "equal": ([GPU_TAINT], [{"key": "nvidia.com/gpu", "value": "present"}], []),
    "other value": (
        [GPU_TAINT],
        [{"key": "nvidia.com/gpu", "operator": "Equal", "value": "true"}],
        ["nvidia.com/gpu=present:NoSchedule"],
    ),
    "other effect": (
        [GPU_TAINT],
        [{"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoExecute"}],
        ["nvidia.com/gpu=present:NoSchedule"],
    ),
    "everything": ([GPU_TAINT, {"key": "k", "effect": "NoExecute"}], [{"operator": "Exists"}], []),
    "one of two": (
        [GPU_TAINT, {"key": "k", "effect": "NoSchedule"}],
        [{"key": "k", "operator": "Exists"}],
        ["nvidia.com/gpu=present:NoSchedule"],
    ),
    "greater": (
        [{"key": "sla", "value": "950", "effect": "NoSchedule"}],
        [{"key": "sla", "operator": "Gt", "value": "900"}],
        [],
    ),
    "not greater": (
        [{"key": "sla", "value": "850", "effect": "NoSchedule"}],
        [{"key": "sla", "operator": "Gt", "value": "900"}],
        ["sla=850:NoSchedule"],
    ),
    "no number": (
        [{"key": "sla", "value": "much", "effect": "NoSchedule"}],
        [{"key": "sla", "operator": "Lt", "value": "900"}],
        ["sla=much:NoSchedule"],
    ),
}


@pytest.mark.parametrize("case", TAINTS)
def test_taints(case: str) -> None:
    taints, tolerations, against = TAINTS[case]
    texts = obstacle_texts(pod(tolerations=tolerations), node("a", *taints))
    assert texts == [f"untolerated taint {taint}" for taint in against]


class TestACordon:
    TAINT: ClassVar = {"key": "node.kubernetes.io/unschedulable", "effect": "NoSchedule"}

    def test_is_reported_once(self) -> None:
        """The field and the taint that the node controller adds for it are one fact."""
        assert obstacle_texts(pod(), node("a", self.TAINT, cordoned=True)) == [
            "the node is cordoned"
        ]

    def test_counts_before_its_taint_is_there(self) -> None:
        assert obstacle_texts(pod(), node("a", cordoned=True)) == ["the node is cordoned"]

    def test_is_tolerated_with_its_taint(self) -> None:
        tolerant = pod(tolerations=[{**self.TAINT, "operator": "Exists"}])
        assert obstacle_texts(tolerant, node("a", self.TAINT, cordoned=True)) == []


LABELS: dict[str, tuple[Object, bool]] = {
    "selector": ({"nodeSelector": {"zone": "x"}}, True),
    "other selector": ({"nodeSelector": {"zone": "y"}}, False),
    "in": ({"affinity": required({"matchExpressions": [expression("zone", "In", "x")]})}, True),
    "or": (
        {
            "affinity": required(
                {"matchExpressions": [expression("zone", "In", "y")]},
                {"matchExpressions": [expression("zone", "Exists")]},
            )
        },
        True,
    ),
    "and": (
        {
            "affinity": required(
                {"matchExpressions": [expression("zone", "In", "x"), expression("gpu", "Exists")]}
            )
        },
        False,
    ),
    "not in": (
        {"affinity": required({"matchExpressions": [expression("gpu", "NotIn", "8")]})},
        True,
    ),
    "does not exist": (
        {"affinity": required({"matchExpressions": [expression("zone", "DoesNotExist")]})},
        False,
    ),
    "greater": ({"affinity": required({"matchExpressions": [expression("n", "Gt", "3")]})}, True),
    "not less": ({"affinity": required({"matchExpressions": [expression("n", "Lt", "4")]})}, False),
    "no number": (
        {"affinity": required({"matchExpressions": [expression("zone", "Gt", "3")]})},
        False,
    ),
    "by name": (
        {"affinity": required({"matchFields": [expression("metadata.name", "In", "a")]})},
        True,
    ),
    "not by name": (
        {"affinity": required({"matchFields": [expression("metadata.name", "NotIn", "a")]})},
        False,
    ),
    "an empty term": ({"affinity": required({})}, False),
    "no terms": ({"affinity": required()}, False),
    "both": (
        {
            "nodeSelector": {"zone": "x"},
            "affinity": required({"matchExpressions": [expression("zone", "In", "y")]}),
        },
        False,
    ),
}


@pytest.mark.parametrize("case", LABELS)
def test_labels_and_names(case: str) -> None:
    spec, fits = LABELS[case]
    where = node("a", zone="x", n="4")
    assert (obstacle_texts(pod(**spec), where) == []) is fits


ROOM: dict[str, tuple[Object, list[str]]] = {
    "fits exactly": (pod("p", container(memory="100Gi", cpu="4")), []),
    "memory": (
        pod("p", container(memory="300Gi")),
        ["300.0 GiB of memory needed, 100.0 GiB free"],
    ),
    "each resource": (
        pod("p", container(cpu="4500m", **{"ephemeral-storage": "60Gi"})),
        ["4.5 cpu needed, 4 free", "60.0 GiB of ephemeral storage needed, 50.0 GiB free"],
    ),
    "GPUs": (
        pod("p", container(**{"nvidia.com/gpu": "4"})),
        ["4 nvidia.com/gpu needed, 2 free"],
    ),
    "a resource that the node does not have": (
        pod("p", container(**{"amd.com/gpu": "1"})),
        ["1 amd.com/gpu needed, 0 free"],
    ),
    "containers add up": (
        pod("p", container(cpu="3"), container(cpu="3")),
        ["6 cpu needed, 4 free"],
    ),
    "overhead": (
        pod("p", container(cpu="3"), overhead={"cpu": "2"}),
        ["5 cpu needed, 4 free"],
    ),
    "an init container alone": (
        pod("p", container(cpu="1"), initContainers=[container(cpu="6")]),
        ["6 cpu needed, 4 free"],
    ),
    "init containers one after the other": (
        pod("p", container(cpu="1"), initContainers=[container(cpu="3"), container(cpu="3")]),
        [],
    ),
    "a sidecar beside all": (
        pod(
            "p",
            container(cpu="3"),
            initContainers=[{**container(cpu="2"), "restartPolicy": "Always"}],
        ),
        ["5 cpu needed, 4 free"],
    ),
    "an init container beside a sidecar": (
        pod(
            "p",
            container(cpu="1"),
            initContainers=[{**container(cpu="2"), "restartPolicy": "Always"}, container(cpu="3")],
        ),
        ["5 cpu needed, 4 free"],
    ),
    "the pod's own resources": (
        pod("p", container(cpu="1"), resources={"requests": {"cpu": "6"}}),
        ["6 cpu needed, 4 free"],
    ),
    "the pod's own are less than its containers'": (
        pod("p", container(cpu="5"), resources={"requests": {"cpu": "3"}}),
        [],
    ),
    "the pod's own and overhead": (
        pod("p", resources={"requests": {"memory": "99Gi"}}, overhead={"memory": "2Gi"}),
        ["101.0 GiB of memory needed, 100.0 GiB free"],
    ),
    "only a limit": (
        pod("p", {"name": "c", "resources": {"limits": {"cpu": "6"}}}),
        ["6 cpu needed, 4 free"],
    ),
    "zero of what the node lacks": (pod("p", container(**{"amd.com/gpu": "0"})), []),
}


@pytest.mark.parametrize("case", ROOM)
def test_room_on_an_empty_node(case: str) -> None:
    one, against = ROOM[case]
    assert obstacle_texts(one, node()) == against


class TestRoomBesideOthers:
    def test_resources_requested_by_pods_are_used_and_their_holders_named(self) -> None:
        others = [
            pod("small", container(memory="1Gi"), on="a"),
            pod("large", container(memory="60Gi"), on="a"),
        ]
        [obstacle] = SchedulerView([node()], others).obstacles(
            pod("p", container(memory="50Gi")), node()
        )
        assert obstacle.text == (
            "50.0 GiB of memory needed, 39.0 GiB free (ns/large, ns/small hold the rest)"
        )
        assert (obstacle.filter, obstacle.subject) == (Filter.ROOM, "memory")
        assert obstacle.free == Decimal(39 << 30)

    def test_no_holder_is_named_for_what_the_node_never_had(self) -> None:
        holder = pod("large", container(memory="60Gi"), on="a")
        [obstacle] = SchedulerView([node()], [holder]).obstacles(
            pod("p", container(memory="101Gi")), node()
        )
        assert obstacle.text == "101.0 GiB of memory needed, 40.0 GiB free"

    @pytest.mark.parametrize("phase", ["Succeeded", "Failed"])
    def test_terminated_pods_use_no_resources(self, phase: str) -> None:
        over = pod("x", container(memory="60Gi"), on="a", phase=phase)
        assert obstacle_texts(pod("p", container(memory="100Gi")), node(), over) == []

    def test_a_pod_is_not_in_its_own_way(self) -> None:
        own = pod("p", container(memory="60Gi"), on="a")
        assert obstacle_texts(own, node(), own) == []

    def test_a_pod_that_is_being_resized_requests_the_maximum(self) -> None:
        other = pod("x", container(memory="10Gi"), on="a")
        other["status"]["containerStatuses"] = [
            {
                "name": "c",
                "resources": {"requests": {"memory": "70Gi"}},
                "allocatedResources": {"memory": "20Gi"},
            }
        ]
        assert obstacle_texts(pod("p", container(memory="40Gi")), node(), other) == [
            "40.0 GiB of memory needed, 30.0 GiB free (ns/x holds the rest)"
        ]

    def test_a_node_runs_at_most_its_allocatable_pods(self) -> None:
        others = [pod(f"x{n}", on="a") for n in range(3)]
        assert obstacle_texts(pod(), node(), *others) == ["it runs 3 pods, its maximum"]

    def test_without_pods_a_node_counts_as_empty(self) -> None:
        view = SchedulerView([node()], None)
        assert view.obstacles(pod("p", container(memory="100Gi")), node()) == []


def port(number: int, **more: str) -> Object:
    return {"containerPort": number, "hostPort": number, **more}


PORTS: dict[str, tuple[Object, Object, bool]] = {
    "the same": (port(20000), port(20000), False),
    "another": (port(20000), port(20001), True),
    "another protocol": (port(20000), port(20000, protocol="UDP"), True),
    "another address": (port(20000, hostIP="10.0.0.1"), port(20000, hostIP="10.0.0.2"), True),
    "one of all addresses": (port(20000, hostIP="10.0.0.1"), port(20000), False),
    "none of the node": (port(20000), {"containerPort": 20000}, True),
}


@pytest.mark.parametrize("case", PORTS)
def test_ports_of_the_node(case: str) -> None:
    mine, theirs, fits = PORTS[case]
    other = pod("x", container([theirs]), on="a")
    texts = obstacle_texts(pod("p", container([mine])), node(), other)
    assert texts == ([] if fits else ["port 20000 is in use by ns/x"])


def test_ports_of_a_sidecar_count_and_of_an_init_container_do_not() -> None:
    sidecar = {**container([port(1)]), "restartPolicy": "Always"}
    one = pod("p", container([port(2)]), initContainers=[sidecar, container([port(3)])])
    assert [used[0] for used in host_ports(one)] == [1, 2]


def test_many_ports_are_one_obstacle_with_its_holders() -> None:
    ports = [port(n) for n in range(20000, 20005)]
    others = [pod("x", container(ports[:3]), on="a"), pod("y", container(ports[3:]), on="a")]
    [obstacle] = SchedulerView([node()], others).obstacles(pod("p", container(ports)), node())
    assert obstacle.text == "ports 20000, 20001, 20002 and 2 more are in use by ns/x, ns/y"
    assert [holder["metadata"]["name"] for holder in obstacle.holders] == ["x", "y"]


class TestVolumes:
    CLAIM: ClassVar = {
        "metadata": {"name": "data", "namespace": "ns"},
        "spec": {"volumeName": "pv"},
    }
    VOLUME: ClassVar = {
        "metadata": {"name": "pv"},
        "spec": {
            "nodeAffinity": {
                "required": {
                    "nodeSelectorTerms": [{"matchExpressions": [expression("zone", "In", "x")]}]
                }
            }
        },
    }
    POD = pod(volumes=[{"name": "v", "persistentVolumeClaim": {"claimName": "data"}}])

    def against(self, where: Object, claim: Object, volume: Object) -> list[str]:
        view = SchedulerView([where], [], [claim], [volume])
        return [obstacle.text for obstacle in view.obstacles(self.POD, where)]

    def test_a_volume_of_other_nodes(self) -> None:
        assert self.against(node(zone="y"), self.CLAIM, self.VOLUME) == [
            "volume pv is available only on nodes with zone In (x)"
        ]

    def test_a_volume_of_this_node(self) -> None:
        assert self.against(node(zone="x"), self.CLAIM, self.VOLUME) == []

    def test_a_volume_of_all_nodes(self) -> None:
        volume = copy.deepcopy(self.VOLUME)
        del volume["spec"]["nodeAffinity"]
        assert self.against(node(), self.CLAIM, volume) == []

    def test_another_namespaces_claim_of_the_name(self) -> None:
        claim = {**self.CLAIM, "metadata": {"name": "data", "namespace": "other"}}
        assert self.against(node(zone="y"), claim, self.VOLUME) == []

    def test_the_claims_of_a_pod_are_found(self) -> None:
        assert claim_names(self.POD) == ["data"]


OTHERS: dict[str, tuple[Object, Object, str]] = {
    "it wants to be apart": (
        pod(affinity=apart("app", "x")),
        pod("x", on="a", labels={"app": "x"}),
        "anti-affinity of the pod to ns/x",
    ),
    "the other does": (
        pod(labels={"app": "p"}),
        pod("x", on="a", affinity=apart("app", "p")),
        "anti-affinity of ns/x",
    ),
    "not of each other": (
        pod(labels={"app": "p"}, affinity=apart("app", "z")),
        pod("x", on="a", affinity=apart("app", "z")),
        "",
    ),
    "another namespace": (
        pod(affinity=apart("app", "x")),
        pod("x", on="a", labels={"app": "x"}, namespace="far"),
        "",
    ),
    "another namespace that is named": (
        pod(affinity=apart("app", "x", namespaces=["far"])),
        pod("x", on="a", labels={"app": "x"}, namespace="far"),
        "anti-affinity of the pod to far/x",
    ),
    "all namespaces": (
        pod(affinity=apart("app", "x", namespaceSelector={})),
        pod("x", on="a", labels={"app": "x"}, namespace="far"),
        "anti-affinity of the pod to far/x",
    ),
    "on another node": (
        pod(affinity=apart("app", "x")),
        pod("x", on="b", labels={"app": "x"}),
        "",
    ),
    "by a topology that nodes share": (
        pod(affinity=apart("app", "x", topologyKey="zone")),
        pod("x", on="b", labels={"app": "x"}),
        "anti-affinity of the pod to ns/x",
    ),
    "by a topology that the node lacks": (
        pod(affinity=apart("app", "x", topologyKey="rack")),
        pod("x", on="a", labels={"app": "x"}),
        "",
    ),
    "it wants to be near": (
        pod(affinity=together("app", "x")),
        pod("x", on="a", labels={"app": "x"}),
        "",
    ),
    "what it wants to be near is elsewhere": (
        pod(affinity=together("app", "x")),
        pod("x", on="b", labels={"app": "x"}),
        "required pod affinity: no matching pod is there",
    ),
    "the first of its kind": (
        pod(labels={"app": "p"}, affinity=together("app", "p")),
        pod("x", on="a"),
        "",
    ),
}


@pytest.mark.parametrize("case", OTHERS)
def test_affinity_between_pods(case: str) -> None:
    one, other, against = OTHERS[case]
    nodes = [node("a", zone="z"), node("b", zone="z")]
    obstacles = SchedulerView(nodes, [other]).obstacles_by_node(one)["a"]
    assert [obstacle.text for obstacle in obstacles] == ([against] if against else [])


def test_all_obstacles_of_a_pod_are_reported() -> None:
    """The scheduler names the first filter only, which need not be the one to mend."""
    where = node("a", GPU_TAINT, cordoned=True)
    one = pod("p", container([port(7)], memory="1Ti"), nodeSelector={"disk": "ssd"}, nodeName="b")
    other = pod("x", container([port(7)]), on="a")
    obstacles = SchedulerView([where], [other]).obstacles(one, where)
    assert [obstacle.filter for obstacle in obstacles] == [
        Filter.CORDON,
        Filter.NAME,
        Filter.TAINT,
        Filter.AFFINITY,
        Filter.PORTS,
        Filter.ROOM,
    ]


def test_objects_without_kind_and_name() -> None:
    assert SchedulerView([{}], [{}]).obstacles_by_node({}) == {"": []}
