"""A hundred clusters and graphs at once, each pinned, each placed by the real scheduler."""

from __future__ import annotations

import concurrent.futures
import contextlib
import random
import time
from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest

from kubectl_fluidmodel.kube.config import ConfigFlags
from kubectl_fluidmodel.pin.cluster_reader import MAX_REQUESTS, CountingClient, read_cache
from kubectl_fluidmodel.pin.graph_patch import GraphChange, apply_change, dry_run_on_server
from kubectl_fluidmodel.pin.graph_reader import read_graph
from kubectl_fluidmodel.pin.pin_request import PinRequest
from kubectl_fluidmodel.pin.pinning import pin_graph
from kubectl_fluidmodel.pin.preflight import REFUSE, PreflightContext, run_preflight
from tests.cluster import fleet
from tests.cluster.api import ApiError, Object
from tests.cluster.cluster import Cluster
from tests.cluster.operator import Operator
from tests.cluster.pinning import cache, component, graph, pods, schedulable
from tests.dynamo.nodes import allowed

pytestmark = pytest.mark.cluster

CASES = 110
SEED = 20261004
RACK = "example.com/rack"
TAINT = {"key": "example.com/reserved", "effect": "NoSchedule"}
OURS = {"key": "example.com/case", "effect": "NoSchedule"}
"""On every node here, so that other tests' pods stay away."""


@dataclass
class Case:
    """One small cluster inside the big one, and a graph whose pods stay inside it."""

    name: str
    nodes: list[Object]
    cached: list[str]
    graph: Object
    preferred: bool
    refused: bool = False
    pods: list[Object] = field(default_factory=list)


def expression(dice: random.Random) -> Object:
    operator = dice.choice(["In", "NotIn", "Exists", "DoesNotExist"])
    found: Object = {"key": RACK, "operator": operator}
    if operator in ("In", "NotIn"):
        found["values"] = dice.sample(["a", "b", "c"], dice.randint(1, 2))
    return found


def affinity(dice: random.Random) -> Object | None:
    """None, empty, or required terms that are ORed, an empty one among them at times."""
    kind = dice.randrange(5)
    if kind == 0:
        return {}
    if kind in (1, 2):
        return None
    terms = [
        {"matchExpressions": [expression(dice) for _ in range(dice.randint(1, 2))]}
        for _ in range(dice.randint(1, 3))
    ]
    required = {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": terms}}
    return {"nodeAffinity": required}


def generate(dice: random.Random, namespace: str, index: int) -> Case:
    name = f"c{index:03}"
    mine = {"case": f"{name}-{namespace[2:8]}"}
    nodes = []
    for n in range(dice.randint(2, 4)):
        labels = dict(mine)
        if dice.random() < 0.8:
            labels[RACK] = dice.choice(["a", "b", "c"])
        taints = [OURS, TAINT] if dice.random() < 0.2 else [OURS]
        gpus = dice.choice([1, 2, 4, 8, 8])
        nodes.append(
            fleet.node(f"{name}-n{n}-{namespace[2:8]}", gpus, labels=labels, taints=taints)
        )
    names = [node["metadata"]["name"] for node in nodes]
    cached = dice.sample(names, dice.randint(1, len(names)))
    for node in nodes:
        if node["metadata"]["name"] in cached:
            node["metadata"]["labels"][f"fluid.io/s-{namespace}-{name}"] = "true"
    workers = []
    for w in range(dice.choice([1, 1, 2, 2, 3])):
        more: Object = {"nodeSelector": mine}
        found = affinity(dice)
        if found is not None:
            more["affinity"] = found
        keys = [OURS["key"], TAINT["key"]] if dice.random() < 0.6 else [OURS["key"]]
        more["tolerations"] = [{"key": key, "operator": "Exists"} for key in keys]
        kind = dice.choice(["worker", "prefill", "decode"])
        workers.append(
            component(
                f"W{w}", kind, gpus=dice.choice([1, 2, 4]), replicas=dice.choice([1, 1, 2]), **more
            )
        )
    if dice.random() < 0.2:
        workers.append(component("Front", "frontend", gpus=0))
    made = graph(namespace, name, *workers)
    return Case(name, nodes, cached, made, preferred=dice.random() < 0.15)


def tolerated(pod: Object, node: Object) -> bool:
    tolerations = {each.get("key") for each in pod["spec"].get("tolerations") or []}
    return all(t["key"] in tolerations for t in node["spec"].get("taints") or [])


def gpus(pod: Object) -> int:
    limits = (pod["spec"]["containers"][0].get("resources") or {}).get("limits") or {}
    return int(limits.get("nvidia.com/gpu", 0))


def worker(pod: Object) -> bool:
    return pod["metadata"]["labels"]["nvidia.com/dynamo-component"] != "Front"


@pytest.fixture(scope="module")
def operator(cluster: Cluster) -> Iterator[Operator]:
    with Operator(cluster.api) as found:
        yield found


@pytest.fixture
def cases(cluster: Cluster, namespace: str, operator: Operator) -> Iterator[list[Case]]:
    operator.held.add(namespace)
    dice = random.Random(SEED)
    made = [generate(dice, namespace, index) for index in range(CASES)]
    everything = [node for case in made for node in case.nodes]
    fleet.create(cluster.api, everything, csi=False)
    with concurrent.futures.ThreadPoolExecutor(12) as pool:
        list(pool.map(lambda c: cache(cluster, namespace, c.name, [], wait=False), made))
        list(pool.map(lambda c: cluster.api.create(c.graph), made))
    schedulable(cluster, {node["metadata"]["name"] for node in everything})
    yield made
    with concurrent.futures.ThreadPoolExecutor(12) as pool, contextlib.suppress(ApiError):
        list(
            pool.map(lambda n: cluster.api.delete("v1", "Node", n["metadata"]["name"]), everything)
        )


def settle(cluster: Cluster, namespace: str, count: int) -> list[Object]:
    """Wait until every pod has a node or has been turned away, and that stays so."""
    deadline = time.monotonic() + 120  # a busy machine
    last: list[tuple[str, str]] = []
    since = time.monotonic()
    while True:
        found = pods(cluster, namespace)
        state = sorted((p["metadata"]["name"], p["spec"].get("nodeName", "")) for p in found)
        settled = all(
            p["spec"].get("nodeName")
            or any(c.get("reason") == "Unschedulable" for c in p["status"].get("conditions") or [])
            for p in found
        )
        if state != last:
            last, since = state, time.monotonic()
        if settled and len(found) == count and time.monotonic() - since > 3:
            return found
        assert time.monotonic() < deadline, f"{len(found)} of {count} pods, not settled"
        time.sleep(0.5)


def test_workers_are_placed_on_the_cache_wherever_they_can_be(
    cluster: Cluster,
    namespace: str,
    operator: Operator,
    cases: list[Case],
) -> None:
    with concurrent.futures.ThreadPoolExecutor(6) as pool:
        list(pool.map(lambda case: pin_one(cluster, namespace, case), cases))
    operator.held.discard(namespace)
    count = sum(c["replicas"] for case in cases for c in case.graph["spec"]["components"])
    found = settle(cluster, namespace, count)
    for case in cases:
        case.pods = [p for p in found if p["metadata"]["name"].startswith(f"{case.name}-")]
        check(case)
    assert sum(case.refused for case in cases) >= 10
    assert sum(not case.refused for case in cases) >= 40
    assert sum(1 for pod in found if worker(pod) and pod["spec"].get("nodeName")) >= CASES


def pin_one(cluster: Cluster, namespace: str, case: Case) -> None:
    """What `pin --force` does, without its output, so that many can be done at once."""
    client = CountingClient.connect(
        ConfigFlags(kubeconfig=str(cluster.kubeconfig), namespace=namespace)
    )
    info = read_cache(client, case.name, namespace)
    request = PinRequest(case.name, info.label, preferred=case.preferred)
    served = read_graph(client, case.name, namespace)
    change = GraphChange.of(served, lambda obj, schema: pin_graph(obj, request, schema), case.name)
    context = PreflightContext(info, change.before, change.result, request)
    case.refused = any(finding.level == REFUSE for finding in run_preflight(context))
    assert client.requests + 2 <= MAX_REQUESTS
    change, _ = dry_run_on_server(client, change)
    apply_change(client, change)


def check(case: Case) -> None:
    nodes = {node["metadata"]["name"]: node for node in case.nodes}
    free = {
        name: int(node["status"]["allocatable"]["nvidia.com/gpu"]) for name, node in nodes.items()
    }
    for pod in case.pods:
        if worker(pod) and pod["spec"].get("nodeName"):
            free[pod["spec"]["nodeName"]] -= gpus(pod)
    specs = {c["name"]: c["podTemplate"]["spec"] for c in case.graph["spec"]["components"]}
    pending = 0
    for pod in case.pods:
        if not worker(pod):
            continue
        where = pod["spec"].get("nodeName")
        if where:
            assert case.preferred or where in case.cached, (case.name, pod["metadata"]["name"])
            continue
        pending += 1
        before = specs[pod["metadata"]["labels"]["nvidia.com/dynamo-component"]]
        for name in nodes if case.preferred else case.cached:
            node = {"name": name, "labels": nodes[name]["metadata"]["labels"]}
            could = (
                allowed(before.get("affinity"), node)
                and tolerated(pod, nodes[name])
                and free[name] >= gpus(pod)
            )
            assert not could, f"{case.name}: {pod['metadata']['name']} would fit on {name}"
    if case.refused:
        assert pending, f"{case.name} was refused, and everything was placed"
    elif not case.preferred and len(specs.keys() - {"Front"}) == 1:
        assert not pending, f"{case.name} was not refused, and {pending} pods are Pending"
