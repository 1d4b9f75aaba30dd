"""Why a pod does not fit on a node, compared with kube-scheduler itself.

Each case is one node, the pods that are on it, and one pod that may run nowhere else: all drawn
from dice, so that what the filters do together is tried and not only each alone.
"""

from __future__ import annotations

import concurrent.futures
import contextlib
import random
import re
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest

from kubectl_fluidmodel.objects.scheduler import Filter, SchedulerView
from tests.cluster import fleet
from tests.cluster.api import ApiError, Object
from tests.cluster.cluster import Cluster
from tests.cluster.pinning import schedulable

pytestmark = pytest.mark.cluster

CASES = 160
SEED = 20261128
OURS = {"key": "example.com/case", "effect": "NoSchedule"}
"""On every node here, so that other tests' pods stay away."""
TAINTS: list[Object] = [
    {"key": "nvidia.com/gpu", "value": "present", "effect": "NoSchedule"},
    {"key": "example.com/soft", "effect": "PreferNoSchedule"},
    {"key": "example.com/drain", "value": "now", "effect": "NoExecute"},
    {"key": "example.com/sla", "value": "900", "effect": "NoSchedule"},
]
TOLERATIONS: list[Object] = [
    {"key": "nvidia.com/gpu", "operator": "Exists"},
    {"key": "nvidia.com/gpu", "operator": "Equal", "value": "other"},
    {"key": "example.com/drain", "operator": "Exists", "effect": "NoSchedule"},
    {"key": "example.com/drain", "value": "now"},
    {"key": "example.com/sla", "value": "900", "effect": "NoSchedule"},
    {"operator": "Exists"},
]
RACK = "example.com/rack"
REQUIRED = "requiredDuringSchedulingIgnoredDuringExecution"
SAID: dict[Filter, str] = {
    Filter.CORDON: "unschedulable",
    Filter.TAINT: "untolerated taint",
    Filter.AFFINITY: "affinity/selector|node affinity",
    Filter.PORTS: "free ports",
    Filter.ROOM: "Insufficient|Too many pods",
    Filter.PODS: "Insufficient|Too many pods",
    Filter.VOLUME: "PersistentVolume",
    Filter.OTHERS: "anti-affinity|pod affinity",
}
"""What the scheduler says of the first filter that a node fails."""


@dataclass
class Case:
    """One node, what is on it, and a pod that may run nowhere else."""

    name: str
    node: Object
    residents: list[Object] = field(default_factory=list)
    pod: Object = field(default_factory=dict)
    volume: Object | None = None


def container(dice: random.Random, name: str, often: float = 0.6) -> Object:
    requests = {
        "cpu": dice.choice(["500m", "1", "2500m", "4"]),
        "memory": dice.choice(["256Mi", "1Gi", "3G", "6Gi"]),
        "ephemeral-storage": dice.choice(["1Gi", "8Gi"]),
        "nvidia.com/gpu": dice.choice(["1", "2"]),
    }
    chosen = {key: value for key, value in requests.items() if dice.random() < often * 0.6}
    gpu = chosen.get("nvidia.com/gpu")
    found: Object = {
        "name": name,
        "image": "example.com/x:1",
        "resources": {
            "requests": chosen,
            **({"limits": {"nvidia.com/gpu": gpu}} if gpu else {}),
        },
    }
    if dice.random() < 0.25:
        number = dice.choice([20001, 20002])
        port: Object = {"containerPort": number, "hostPort": number}
        if dice.random() < 0.3:
            port["protocol"] = "UDP"
        if dice.random() < 0.3:
            port["hostIP"] = dice.choice(["10.0.0.1", "10.0.0.2"])
        found["ports"] = [port]
    return found


def spec(dice: random.Random) -> Object:
    found: Object = {
        "terminationGracePeriodSeconds": 0,
        "containers": [container(dice, f"c{n}") for n in range(dice.choice([1, 1, 2]))],
    }
    if dice.random() < 0.4:
        inits = [container(dice, f"i{n}") for n in range(dice.choice([1, 2]))]
        for each in inits:
            if dice.random() < 0.5:
                each["restartPolicy"] = "Always"
            else:
                each.pop("ports", None)
        found["initContainers"] = inits
    return found


def term(dice: random.Random) -> Object:
    operator = dice.choice(["In", "NotIn", "Exists", "DoesNotExist", "Gt", "Lt"])
    key = "example.com/number" if operator in ("Gt", "Lt") else RACK
    values = {"In": ["a", "b"], "NotIn": ["b"], "Gt": ["3"], "Lt": ["3"]}.get(operator)
    expression: Object = {"key": key, "operator": operator}
    return {"matchExpressions": [expression | ({"values": values} if values else {})]}


def near(dice: random.Random, kind: str) -> Object:
    label = {"matchLabels": {"app": dice.choice(["x", "y"])}}
    topology = dice.choice(["kubernetes.io/hostname", "example.com/case"])
    return {kind: {REQUIRED: [{"labelSelector": label, "topologyKey": topology}]}}


def generate(dice: random.Random, namespace: str, index: int) -> Case:
    name = f"s{index:03}-{namespace[2:8]}"
    labels = {"example.com/case": name, "example.com/number": dice.choice(["2", "3", "4"])}
    if dice.random() < 0.7:
        labels[RACK] = dice.choice(["a", "b", "c"])
    taints = [OURS, *(each for each in TAINTS if dice.random() < 0.15)]
    where = fleet.node(
        name, gpus=2, memory="8Gi", cpu=8, ephemeral="20Gi", labels=labels, taints=taints, pods=4
    )
    if dice.random() < 0.08:
        where["spec"]["unschedulable"] = True
    found = Case(name, where)
    tolerant = {**OURS, "operator": "Exists"}
    for number in range(dice.choice([0, 0, 1, 1, 2, 4])):
        body = {**spec(dice), "nodeName": name, "tolerations": [{"operator": "Exists"}]}
        if dice.random() < 0.15:
            body["affinity"] = near(dice, "podAntiAffinity")
        found.residents.append(pod(namespace, f"{name}-r{number}", dice, body))
    body = spec(dice)
    body["nodeSelector"] = {"example.com/case": name}
    body["tolerations"] = [tolerant, *(t for t in TOLERATIONS if dice.random() < 0.25)]
    affinity: Object = {}
    if dice.random() < 0.3:
        affinity["nodeAffinity"] = {
            REQUIRED: {"nodeSelectorTerms": [term(dice) for _ in range(dice.choice([1, 2]))]}
        }
    if dice.random() < 0.2:
        affinity |= near(dice, dice.choice(["podAffinity", "podAntiAffinity"]))
    if affinity:
        body["affinity"] = affinity
    if dice.random() < 0.2:
        body["resources"] = {"requests": {"memory": dice.choice(["2Gi", "7Gi", "9Gi"])}}
        body["resources"]["requests"]["cpu"] = "8"
        for each in [*body["containers"], *body.get("initContainers", [])]:
            each["resources"]["requests"].pop("cpu", None)
            each["resources"]["requests"].pop("memory", None)
    if dice.random() < 0.12:
        found.volume = volume(name, dice.choice(["a", "b"]))
        claim = {"persistentVolumeClaim": {"claimName": name}}
        body["volumes"] = [{"name": "data", **claim}]
    found.pod = pod(namespace, f"{name}-p", dice, body)
    return found


def pod(namespace: str, name: str, dice: random.Random, body: Object) -> Object:
    labels = {"app": dice.choice(["x", "y", "z"])}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": namespace, "labels": labels},
        "spec": body,
    }


def volume(name: str, rack: str) -> Object:
    terms = [{"matchExpressions": [{"key": RACK, "operator": "In", "values": [rack]}]}]
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolume",
        "metadata": {"name": name},
        "spec": {
            "capacity": {"storage": "1Gi"},
            "accessModes": ["ReadOnlyMany"],
            "storageClassName": "",
            "persistentVolumeReclaimPolicy": "Retain",
            "local": {"path": "/data"},
            "nodeAffinity": {"required": {"nodeSelectorTerms": terms}},
        },
    }


def claim(namespace: str, name: str) -> Object:
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {
            "accessModes": ["ReadOnlyMany"],
            "storageClassName": "",
            "volumeName": name,
            "resources": {"requests": {"storage": "1Gi"}},
        },
    }


@pytest.fixture
def cases(cluster: Cluster, namespace: str) -> Iterator[list[Case]]:
    dice = random.Random(SEED)
    made = [generate(dice, namespace, index) for index in range(CASES)]
    shut = {each.name for each in made if each.node["spec"].pop("unschedulable", False)}
    fleet.create(cluster.api, [each.node for each in made], csi=False)
    schedulable(cluster, {each.name for each in made})
    for name in shut:
        cluster.api.patch("v1", "Node", name, {"spec": {"unschedulable": True}})
    volumes = [each.volume for each in made if each.volume]
    for each in volumes:
        cluster.api.create(each)
        cluster.api.create(claim(namespace, each["metadata"]["name"]))
    everyone(cluster, [each for case in made for each in case.residents])
    yield made
    with concurrent.futures.ThreadPoolExecutor(12) as pool, contextlib.suppress(ApiError):
        list(pool.map(lambda c: cluster.api.delete("v1", "Node", c.name), made))
        list(
            pool.map(
                lambda v: cluster.api.delete("v1", "PersistentVolume", v["metadata"]["name"]),
                volumes,
            )
        )


def everyone(cluster: Cluster, pods: list[Object]) -> None:
    with concurrent.futures.ThreadPoolExecutor(12) as pool:
        list(pool.map(cluster.api.create, pods))


def settled_pods(cluster: Cluster, namespace: str, names: set[str]) -> list[Object]:
    """All pods, once each of those was placed or turned away, and that stays so."""
    deadline = time.monotonic() + 180
    last: Any = None
    since = time.monotonic()
    while True:
        found = cluster.api.list("v1", "Pod", namespace)
        asked = [each for each in found if each["metadata"]["name"] in names]
        state = sorted((p["metadata"]["name"], p["spec"].get("nodeName", "")) for p in asked)
        told = all(p["spec"].get("nodeName") or scheduler_message(p) for p in asked)
        if state != last:
            last, since = state, time.monotonic()
        if told and len(asked) == len(names) and time.monotonic() - since > 4:
            return found
        assert time.monotonic() < deadline, "the scheduler has not handled all pods"
        time.sleep(0.5)


def scheduler_message(one: Object) -> str:
    listed = (one.get("status") or {}).get("conditions") or []
    return next((str(c.get("message")) for c in listed if c.get("reason") == "Unschedulable"), "")


def test_the_scheduler_view_agrees_with_the_scheduler(
    cluster: Cluster, namespace: str, cases: list[Case]
) -> None:
    everyone(cluster, [each.pod for each in cases])
    every = settled_pods(cluster, namespace, {each.pod["metadata"]["name"] for each in cases})
    pods = {each["metadata"]["name"]: each for each in every}
    nodes = [
        node
        for node in cluster.api.list("v1", "Node")
        if node["metadata"]["name"] in {each.name for each in cases}
    ]
    view = SchedulerView(
        nodes,
        every,
        cluster.api.list("v1", "PersistentVolumeClaim", namespace),
        cluster.api.list("v1", "PersistentVolume"),
    )
    wrong, seen = [], dict.fromkeys(Filter, 0)
    for case in cases:
        one = pods[case.pod["metadata"]["name"]]
        placed = one["spec"].pop("nodeName", "")
        obstacles = view.obstacles_by_node(one)
        against = obstacles.pop(case.name)
        assert all(obstacles.values()), f"{case.name}: its selector lets it go elsewhere"
        said = scheduler_message(one)
        if bool(placed) is not (not against):
            wrong.append(f"{case.name}: placed on {placed!r}, but {against}; scheduler: {said}")
        elif against:
            first = against[0].filter
            seen[first] += 1
            if not re.search(SAID[first], said):
                wrong.append(f"{case.name}: {against[0].text}, but the scheduler: {said}")
    assert not wrong, "\n".join(wrong)
    fits = CASES - sum(seen.values())
    assert fits >= 25, f"only {fits} pods fit"
    rare = [each.name for each, count in seen.items() if count < 2 and each in SAID]
    assert not [name for name in rare if name != "PODS"], f"hardly tried: {rare} of {seen}"
