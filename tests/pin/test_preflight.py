"""The judges, from dicts: one row for each thing that can be wrong."""

from __future__ import annotations

import pytest

from kubectl_fluidmodel.dynamo import scheduling
from kubectl_fluidmodel.pin.pinning import PinRequest, pin_graph
from kubectl_fluidmodel.pin.preflight import NOTE, REFUSE, WARN, PreflightContext, run_preflight
from kubectl_fluidmodel.pin.preflight.context import CacheInfo

KEY = "fluid.io/s-ns-llama"
HOME = {"kubernetes.io/hostname": "n0", KEY: "true"}


def node(name="n0", gpus=8, taints=None, labels=None, cordoned=False):
    return {
        "metadata": {"name": name, "labels": {**HOME, **(labels or {})}},
        "spec": {"taints": taints or [], "unschedulable": cordoned},
        "status": {"allocatable": {"nvidia.com/gpu": str(gpus)}},
    }


def worker(name="W", gpus=4, replicas=1, nodes=1, annotations=None, kind="worker", **pod):
    main = {"name": "main", "resources": {"limits": {"nvidia.com/gpu": gpus}}}
    component = {
        "name": name,
        "type": kind,
        "replicas": replicas,
        "podTemplate": {"spec": {"containers": [main], **pod}},
    }
    if annotations:
        component["podTemplate"]["metadata"] = {"annotations": annotations}
    if nodes > 1:
        component["multinode"] = {"nodeCount": nodes}
    return component


def graph(*components, metadata=None, kinds=None):
    made = {
        "apiVersion": "nvidia.com/v1beta1",
        "kind": "DynamoGraphDeployment",
        "metadata": {"name": "chat", "namespace": "ns", **(metadata or {})},
        "spec": {"components": list(components)},
    }
    if kinds:
        made["status"] = {"components": {n: {"componentKind": k} for n, k in kinds.items()}}
    return made


def pod(owner="chat", gpus=4, node_name="n0"):
    limits = {"nvidia.com/gpu": str(gpus)}
    return {
        "metadata": {
            "name": f"{owner}-w-1",
            "namespace": "ns",
            "labels": {"nvidia.com/dynamo-graph-deployment-name": owner},
        },
        "spec": {"nodeName": node_name, "containers": [{"resources": {"limits": limits}}]},
        "status": {"phase": "Running"},
    }


def facts(nodes=None, pods=None, phase="Bound", cached="10.00GiB", **more):
    status = {"phase": phase, "ufsTotal": "10.00GiB", "cacheStates": {"cached": cached}}
    listed = [node()] if nodes is None else nodes
    return CacheInfo(
        **{
            "model": "llama",
            "namespace": "ns",
            "dataset": {"metadata": {"name": "llama"}, "status": status},
            "claim": {"status": {"phase": "Bound"}},
            "key": KEY,
            "nodes": listed,
            "pods": {n["metadata"]["name"]: (pods or []) for n in listed},
            **more,
        }
    )


def verdicts(obj, cache=None, **wish):
    asked = PinRequest("llama", KEY, **wish)
    return run_preflight(PreflightContext(cache or facts(), obj, pin_graph(obj, asked), asked))


def words(found, level):
    return " | ".join(str(verdict) for verdict in found if verdict.level == level)


def test_nothing_wrong_says_nothing():
    assert verdicts(graph(worker())) == []


ROWS = [
    (graph(worker()), facts(phase="NotBound"), REFUSE, "not Bound but NotBound"),
    (
        graph(worker()),
        facts(dataset=None, elsewhere=["other"]),
        REFUSE,
        "it is in other, and a pod mounts claims of its own namespace only",
    ),
    (graph(worker()), facts(dataset=None), REFUSE, "there is no cache llama in namespace ns"),
    (graph(worker()), facts(claim=None), REFUSE, "the claim llama in namespace ns is absent"),
    (
        graph(worker()),
        facts(claim={"status": {"phase": "Pending"}}),
        REFUSE,
        "the claim llama in namespace ns is Pending",
    ),
    (graph(worker()), facts(cached="4.00GiB"), WARN, "holds 4.0 GiB of 10.0 GiB"),
    (graph(worker()), facts(nodes=[]), REFUSE, f"no node carries the label {KEY}=true"),
    (graph(worker(gpus=16)), facts(), REFUSE, "16 GPUs needed, the node has 8"),
    (
        graph(worker(replicas=3)),
        facts(),
        REFUSE,
        "1 cache node with 8 GPUs cannot hold the graph: W needs 3 pods with 4 GPUs (3 replicas), "
        "1 too many",
    ),
    (
        graph(worker(gpus=8, nodes=2)),
        facts(),
        REFUSE,
        "W spreads each replica over 2 nodes, and only 1 cache node suits it",
    ),
    (
        graph(worker("P", kind="prefill", gpus=8), worker("D", kind="decode", gpus=8)),
        facts(),
        REFUSE,
        "cannot hold the graph",
    ),
    (graph(worker()), facts(nodes=[node(cordoned=True)]), REFUSE, "the node is cordoned"),
    (
        graph(worker(nodeSelector={"disk": "nvme"})),
        facts(),
        REFUSE,
        "component W can run on no cache node (n0): nodeSelector disk=nvme",
    ),
    (
        graph(
            worker(
                affinity={
                    "nodeAffinity": {
                        "requiredDuringSchedulingIgnoredDuringExecution": {
                            "nodeSelectorTerms": [
                                {
                                    "matchExpressions": [
                                        {"key": "zone", "operator": "In", "values": ["b"]}
                                    ]
                                }
                            ]
                        }
                    }
                }
            )
        ),
        facts(),
        REFUSE,
        "required node affinity zone In (b)",
    ),
    (
        graph(worker()),
        facts(nodes=[node(taints=[{"key": "team", "value": "a", "effect": "NoSchedule"}])]),
        REFUSE,
        "untolerated taint team=a:NoSchedule",
    ),
    (
        graph(worker()),
        facts(nodes=[node(taints=[{"key": "nvidia.com/gpu", "effect": "NoSchedule"}])]),
        WARN,
        "does not tolerate nvidia.com/gpu:NoSchedule, which every cache node",
    ),
    (
        graph(worker(gpus=8)),
        facts(pods=[pod("other")]),
        REFUSE,
        "no free GPUs for 1 pod (1 of W): held by ns/other-w-1",
    ),
    (
        graph(worker(gpus=8), kinds={"W": "Deployment"}),
        facts(pods=[pod(gpus=8)]),
        REFUSE,
        "the roll-out of W would wait for ever",
    ),
    (
        graph(worker(gpus=8)),
        facts(pods=[pod(gpus=8)]),
        WARN,
        "(unless Grove runs the graph: it does not surge); try: --recreate",
    ),
    (
        graph(worker("A", gpus=1), worker("B", kind="prefill", gpus=1)),
        facts(),
        NOTE,
        "all workers of dgd/chat roll: A, B",
    ),
    (
        graph(worker(), metadata={"annotations": {"nvidia.com/grove-update-strategy": "OnDelete"}}),
        facts(),
        WARN,
        "Grove does not replace the pods of chat: nvidia.com/grove-update-strategy is OnDelete; "
        "try: kubectl delete pod -n ns -l nvidia.com/dynamo-graph-deployment-name=chat",
    ),
    (
        graph(worker(), metadata={"labels": {"helm.toolkit.fluxcd.io/name": "x"}}),
        facts(),
        WARN,
        "Flux manages dgd/chat and will undo this",
    ),
    (
        graph(
            worker(),
            metadata={"ownerReferences": [{"kind": "DynamoGraphDeploymentRequest", "name": "r"}]},
        ),
        facts(),
        WARN,
        "DynamoGraphDeploymentRequest r manages dgd/chat",
    ),
    (
        graph(
            worker(),
            metadata={"annotations": {"kubectl.kubernetes.io/last-applied-configuration": "{}"}},
        ),
        facts(),
        NOTE,
        "was made with kubectl apply, and applying its file again undoes this",
    ),
]


@pytest.mark.parametrize(("obj", "cache", "level", "expected"), ROWS)
def test_each_judge(obj, cache, level, expected):
    assert expected in words(verdicts(obj, cache), level)


@pytest.mark.parametrize(("obj", "cache"), [(row[0], row[1]) for row in ROWS[6:19]])
def test_a_preference_is_never_refused_for_placement(obj, cache):
    assert words(verdicts(obj, cache, preferred=True), REFUSE) == ""


@pytest.mark.parametrize(
    "annotations",
    [
        {"nvidia.com/deployment-strategy": "Recreate"},
        {"nvidia.com/deployment-rolling-update-max-unavailable": "1"},
        {"nvidia.com/deployment-rolling-update-max-unavailable": "100%"},
    ],
)
def test_no_deadlock_where_old_pods_go_first(annotations):
    obj = graph(worker(gpus=8, annotations=annotations), kinds={"W": "Deployment"})
    assert words(verdicts(obj, facts(pods=[pod(gpus=8)])), REFUSE) == ""


@pytest.mark.parametrize("gpus", [2, 8])
def test_a_replica_over_more_nodes_than_hold_the_cache(gpus):
    """Also where its pods have GPUs enough on fewer nodes: that is not what it was made for."""
    cache = facts(nodes=[node("n0"), node("n1")])
    found = verdicts(graph(worker(gpus=gpus, nodes=4)), cache)
    assert "component W spreads each replica over 4 nodes, and only 2 cache nodes suit it" in words(
        found, REFUSE
    )
    assert "gang scheduling need not hold its pods back" in words(found, REFUSE)
    assert words(verdicts(graph(worker(gpus=gpus, nodes=4)), cache, preferred=True), REFUSE) == ""
    assert words(verdicts(graph(worker(gpus=gpus, nodes=2)), cache), REFUSE) == ""


def test_without_sight_of_the_nodes_it_says_so():
    cache = facts(unread=["nodes (forbidden)"])
    cache.nodes = None
    assert "was not checked whether the pods fit: nodes (forbidden)" in words(
        verdicts(graph(worker()), cache), WARN
    )


def test_no_deadlock_with_recreate_or_grove_or_a_free_node():
    obj = graph(worker(gpus=8), kinds={"W": "Deployment"})
    full = facts(pods=[pod(gpus=8)])
    assert words(verdicts(obj, full, recreate=True), REFUSE) == ""
    assert words(verdicts(graph(worker(gpus=8), kinds={"W": "PodClique"}), full), REFUSE) == ""
    spare = facts(nodes=[node(), node("n1")])
    spare.pods["n0"] = [pod(gpus=8)]
    assert words(verdicts(obj, spare), REFUSE) == ""


def test_a_worker_that_is_not_pinned_rolls_too():
    obj = graph(worker("A"), worker("B"))
    found = verdicts(obj, components=("A",))
    assert "the operator replaces B too when one worker changes" in words(found, WARN)


def test_a_checkpoint_has_a_pod_template_of_its_own():
    component = worker()
    component["experimental"] = {"checkpoint": {"job": {"podTemplate": {"spec": {}}}}}
    assert "pods made from it are not pinned" in words(verdicts(graph(component)), WARN)


def test_nodes_that_were_not_looked_at_make_it_a_warning():
    cache = facts(nodes=[node("n0"), node("n1")])
    cache.pods = {"n0": [pod("other", gpus=8)]}
    found = verdicts(graph(worker(gpus=8)), cache)
    assert words(found, REFUSE) == ""
    assert "(looked at 1 of 2)" in words(found, WARN)


def test_placing_is_exact_where_biggest_first_fails():
    room = {"a": {"g": 2}, "b": {"g": 2}}
    pods = [("big", {"g": 2}, ("a", "b")), ("small", {"g": 1}, ("a",))]
    assert scheduling.pack_pods(pods, room) == []
    assert scheduling.pack_pods([*pods, ("more", {"g": 2}, ("a", "b"))], room) == ["small"]


def test_an_unchanged_graph_has_no_roll_out():
    obj = graph(worker(gpus=8), kinds={"W": "Deployment"})
    done = pin_graph(obj, PinRequest("llama", KEY)).object
    found = run_preflight(
        PreflightContext(
            facts(pods=[pod(gpus=8)]),
            done,
            pin_graph(done, PinRequest("llama", KEY)),
            PinRequest("llama", KEY),
        )
    )
    assert "wait for ever" not in words(found, REFUSE)
