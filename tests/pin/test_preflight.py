"""The preflight checks: one row for each thing that can be wrong."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import pytest

from kubectl_fluidmodel.dynamo import scheduling
from kubectl_fluidmodel.fluid.names import cache_label, node_label_keys
from kubectl_fluidmodel.pin.pin_request import PinRequest
from kubectl_fluidmodel.pin.pinning import pin_graph
from kubectl_fluidmodel.pin.preflight import NOTE, REFUSE, WARN, PreflightContext, run_preflight
from kubectl_fluidmodel.pin.preflight.context import CacheInfo
from tests.cache.adoption.samples import load_fixture

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


def cache_info(nodes=None, pods=None, phase="Bound", cached="10.00GiB", total="10.00GiB", **more):
    status = {"phase": phase, "ufsTotal": total, "cacheStates": {"cached": cached}}
    listed = [node()] if nodes is None else nodes
    return CacheInfo(
        **{
            "name": "llama",
            "namespace": "ns",
            "dataset": {"metadata": {"name": "llama"}, "status": status},
            "claim": {"status": {"phase": "Bound"}},
            "label": KEY,
            "nodes": listed,
            "pods": {n["metadata"]["name"]: (pods or []) for n in listed},
            **more,
        }
    )


def findings(obj, cache=None, **options):
    request = PinRequest("llama", KEY, **options)
    return run_preflight(
        PreflightContext(cache or cache_info(), obj, pin_graph(obj, request), request)
    )


def messages(reported, level):
    return " | ".join(str(finding) for finding in reported if finding.level == level)


def test_nothing_wrong_finds_nothing():
    assert findings(graph(worker())) == []


PROBE = {"tcpSocket": {"port": 1}, "periodSeconds": 30, "failureThreshold": 150}


def slow_to_load():
    obj = graph(worker())
    main = obj["spec"]["components"][0]["podTemplate"]["spec"]["containers"][0]
    main["startupProbe"] = dict(PROBE)
    return obj


def test_a_startup_probe_that_is_too_short_for_the_model_warns():
    large = cache_info(total="1044.00GiB", cached="1044.00GiB")
    assert messages(findings(slow_to_load(), cache_info()), WARN) == ""
    warning = messages(findings(slow_to_load(), large), WARN)
    assert warning.startswith("the kubelet may kill component W before its model is loaded: ")
    assert "startupProbe allows 150 x 30 s = 1h15m; loading 1.0 TiB at 124.0 MiB/s" in warning
    assert "--probe-budget" in warning


def test_a_raised_probe_budget_warns_no_more():
    large = cache_info(total="1044.00GiB", cached="1044.00GiB")
    options = {"probe_budget": True, "model_bytes": large.model_bytes}
    assert messages(findings(slow_to_load(), large, **options), WARN) == ""


@dataclass(frozen=True)
class Row:
    """A graph and a cache, and what the preflight finds."""

    name: str
    graph: dict[str, Any]
    cache: CacheInfo
    level: str
    expected: str


ROWS = (
    Row(
        "cache not bound",
        graph(worker()),
        cache_info(phase="NotBound"),
        REFUSE,
        "not Bound but NotBound",
    ),
    Row(
        "cache in another namespace",
        graph(worker()),
        cache_info(dataset=None, other_namespaces=("other",)),
        REFUSE,
        "it is in other, and a pod can mount only claims in its own namespace",
    ),
    Row(
        "no cache",
        graph(worker()),
        cache_info(dataset=None),
        REFUSE,
        "there is no cache llama in namespace ns",
    ),
    Row(
        "no claim",
        graph(worker()),
        cache_info(claim=None),
        REFUSE,
        "the claim llama in namespace ns is absent",
    ),
    Row(
        "claim pending",
        graph(worker()),
        cache_info(claim={"status": {"phase": "Pending"}}),
        REFUSE,
        "the claim llama in namespace ns is Pending",
    ),
    Row(
        "cache incomplete",
        graph(worker()),
        cache_info(cached="4.00GiB"),
        WARN,
        "holds 4.0 GiB of 10.0 GiB",
    ),
    Row(
        "no labelled node",
        graph(worker()),
        cache_info(nodes=[]),
        REFUSE,
        f"no node has the label {KEY}=true",
    ),
    Row(
        "too many GPUs for one node",
        graph(worker(gpus=16)),
        cache_info(),
        REFUSE,
        "16 GPUs needed, the node has 8",
    ),
    Row(
        "too many replicas",
        graph(worker(replicas=3)),
        cache_info(),
        REFUSE,
        "1 cache node with 8 GPUs cannot hold the graph: W needs 3 pods with 4 GPUs (3 replicas), "
        "1 too many",
    ),
    Row(
        "too many nodes per replica",
        graph(worker(gpus=8, nodes=2)),
        cache_info(),
        REFUSE,
        "W spreads each replica over 2 nodes, and only 1 cache node suits it",
    ),
    Row(
        "too many GPUs in all",
        graph(worker("P", kind="prefill", gpus=8), worker("D", kind="decode", gpus=8)),
        cache_info(),
        REFUSE,
        "cannot hold the graph",
    ),
    Row(
        "cordoned",
        graph(worker()),
        cache_info(nodes=[node(cordoned=True)]),
        REFUSE,
        "the node is cordoned",
    ),
    Row(
        "node selector",
        graph(worker(nodeSelector={"disk": "nvme"})),
        cache_info(),
        REFUSE,
        "component W cannot run on any cache node (n0): nodeSelector disk=nvme",
    ),
    Row(
        "node affinity",
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
        cache_info(),
        REFUSE,
        "required node affinity zone In (b)",
    ),
    Row(
        "untolerated taint",
        graph(worker()),
        cache_info(nodes=[node(taints=[{"key": "team", "value": "a", "effect": "NoSchedule"}])]),
        REFUSE,
        "untolerated taint team=a:NoSchedule",
    ),
    Row(
        "GPU taint that the cluster may tolerate",
        graph(worker()),
        cache_info(nodes=[node(taints=[{"key": "nvidia.com/gpu", "effect": "NoSchedule"}])]),
        WARN,
        "does not tolerate nvidia.com/gpu:NoSchedule, which every matching cache node",
    ),
    Row(
        "GPUs held by others",
        graph(worker(gpus=8)),
        cache_info(pods=[pod("other")]),
        REFUSE,
        "no free GPUs for 1 pod (1 of W): held by ns/other-w-1",
    ),
    Row(
        "surge deadlock",
        graph(worker(gpus=8), kinds={"W": "Deployment"}),
        cache_info(pods=[pod(gpus=8)]),
        REFUSE,
        "the roll-out of W would wait forever",
    ),
    Row(
        "surge deadlock unless Grove",
        graph(worker(gpus=8)),
        cache_info(pods=[pod(gpus=8)]),
        WARN,
        "(unless Grove runs the graph: it does not surge); try: --recreate",
    ),
    Row(
        "all workers roll",
        graph(worker("A", gpus=1), worker("B", kind="prefill", gpus=1)),
        cache_info(),
        NOTE,
        "all workers of dgd/chat restart: A, B",
    ),
    Row(
        "Grove OnDelete",
        graph(worker(), metadata={"annotations": {"nvidia.com/grove-update-strategy": "OnDelete"}}),
        cache_info(),
        WARN,
        "Grove does not replace the pods of chat: nvidia.com/grove-update-strategy is OnDelete; "
        "try: kubectl delete pod -n ns -l nvidia.com/dynamo-graph-deployment-name=chat",
    ),
    Row(
        "Flux",
        graph(worker(), metadata={"labels": {"helm.toolkit.fluxcd.io/name": "x"}}),
        cache_info(),
        WARN,
        "Flux manages dgd/chat and will revert this",
    ),
    Row(
        "request owns the graph",
        graph(
            worker(),
            metadata={"ownerReferences": [{"kind": "DynamoGraphDeploymentRequest", "name": "r"}]},
        ),
        cache_info(),
        WARN,
        "DynamoGraphDeploymentRequest r manages dgd/chat",
    ),
    Row(
        "kubectl apply",
        graph(
            worker(),
            metadata={"annotations": {"kubectl.kubernetes.io/last-applied-configuration": "{}"}},
        ),
        cache_info(),
        NOTE,
        "was created with kubectl apply, and applying its file again reverts this",
    ),
)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_finding(row):
    assert row.expected in messages(findings(row.graph, row.cache), row.level)


def test_a_graph_that_its_file_pins_by_hand_is_not_reverted_by_the_file():
    by_hand = pin_graph(graph(worker()), PinRequest("llama", KEY)).object
    by_hand["metadata"]["annotations"] = {"kubectl.kubernetes.io/last-applied-configuration": "{}"}
    assert messages(findings(by_hand), NOTE) == ""


@pytest.mark.parametrize("row", ROWS[6:19], ids=lambda row: row.name)
def test_a_preference_is_never_refused_for_placement(row):
    assert messages(findings(row.graph, row.cache, preferred=True), REFUSE) == ""


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
    assert messages(findings(obj, cache_info(pods=[pod(gpus=8)])), REFUSE) == ""


@pytest.mark.parametrize("gpus", [2, 8])
def test_a_replica_over_more_nodes_than_the_cache_has(gpus):
    """Also where its pods have GPUs enough on fewer nodes: that is not what it was made for."""
    cache = cache_info(nodes=[node("n0"), node("n1")])
    reported = findings(graph(worker(gpus=gpus, nodes=4)), cache)
    assert (
        "component W spreads each replica over 4 nodes, and only 2 cache nodes suit it"
        in messages(reported, REFUSE)
    )
    assert "gang scheduling may not prevent this" in messages(reported, REFUSE)
    assert (
        messages(findings(graph(worker(gpus=gpus, nodes=4)), cache, preferred=True), REFUSE) == ""
    )
    assert messages(findings(graph(worker(gpus=gpus, nodes=2)), cache), REFUSE) == ""


def test_unreadable_nodes_are_reported():
    cache = replace(cache_info(), nodes=None, unread=("nodes (forbidden)",))
    assert "whether the pods fit was not checked: nodes (forbidden)" in messages(
        findings(graph(worker()), cache), WARN
    )


def test_no_deadlock_with_recreate_or_grove_or_a_free_node():
    obj = graph(worker(gpus=8), kinds={"W": "Deployment"})
    full = cache_info(pods=[pod(gpus=8)])
    assert messages(findings(obj, full, recreate=True), REFUSE) == ""
    assert messages(findings(graph(worker(gpus=8), kinds={"W": "PodClique"}), full), REFUSE) == ""
    nodes = [node(), node("n1")]
    spare = replace(cache_info(nodes=nodes), pods={"n0": [pod(gpus=8)], "n1": []})
    assert messages(findings(obj, spare), REFUSE) == ""


def test_workers_that_roll_without_being_pinned_are_reported():
    obj = graph(worker("A"), worker("B"))
    reported = findings(obj, components=("A",))
    assert "the operator also replaces B when one worker changes" in messages(reported, WARN)


def test_a_second_pod_template_is_reported():
    component = worker()
    component["experimental"] = {"checkpoint": {"job": {"podTemplate": {"spec": {}}}}}
    assert "pods created from it are not pinned" in messages(findings(graph(component)), WARN)


def test_unread_pods_turn_the_refusal_into_a_warning():
    cache = replace(cache_info(nodes=[node("n0"), node("n1")]), pods={"n0": [pod("other", gpus=8)]})
    reported = findings(graph(worker(gpus=8)), cache)
    assert messages(reported, REFUSE) == ""
    assert "(checked 1 of 2)" in messages(reported, WARN)


def test_packing_is_exact_where_largest_first_fails():
    room = {"a": {"g": 2}, "b": {"g": 2}}
    pods = [("big", {"g": 2}, ("a", "b")), ("small", {"g": 1}, ("a",))]
    assert scheduling.pack_pods(pods, room) == []
    assert scheduling.pack_pods([*pods, ("more", {"g": 2}, ("a", "b"))], room) == ["small"]


def test_an_unchanged_graph_has_no_deadlock():
    obj = graph(worker(gpus=8), kinds={"W": "Deployment"})
    done = pin_graph(obj, PinRequest("llama", KEY)).object
    again = PinRequest("llama", KEY)
    reported = run_preflight(
        PreflightContext(cache_info(pods=[pod(gpus=8)]), done, pin_graph(done, again), again)
    )
    assert "wait forever" not in messages(reported, REFUSE)


def test_a_pin_by_hand_is_warned_of_what_its_operator_will_refuse() -> None:
    (before,) = load_fixture("graph-2025")
    live, _ = node_label_keys("ns", "llama-by-hand")
    request = PinRequest(
        "llama-by-hand", cache_label("ns", "llama-by-hand"), equal_labels=tuple(live)
    )
    result = pin_graph(before, request)
    assert not result.changed
    reported = run_preflight(PreflightContext(cache_info(), before, result, request))
    shown = [str(finding) for finding in reported if finding.even_if_pinned]
    assert shown == [
        f"component {name} names no image, without which operators from 1.5 refuse it"
        for name in ("Processor", "VllmWorker")
    ]
