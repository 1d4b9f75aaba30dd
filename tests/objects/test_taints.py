"""Which nodes are going, and which taints only keep GPUs free."""

from __future__ import annotations

import pytest

from kubectl_fluidmodel.objects.access import Object
from kubectl_fluidmodel.objects.taints import (
    LEAVING,
    Taint,
    departure_of,
    marks_accelerator,
    taints_of,
)


def node(*taints: Object, **more: Object) -> Object:
    return {
        "metadata": {"name": "a"},
        "spec": {"taints": list(taints)},
        "status": {
            "allocatable": {"example.com/accelerator": "4", "cpu": "8"},
            "conditions": [{"type": "Ready", "status": "True"}],
        },
    } | more


@pytest.mark.parametrize("key", sorted(LEAVING))
@pytest.mark.parametrize("effect", ["NoSchedule", "NoExecute"])
def test_a_node_that_a_controller_is_removing(key: str, effect: str) -> None:
    departure = departure_of(node({"key": key, "value": "1700000000", "effect": effect}))
    assert departure is not None and departure.certain
    assert departure.reason == f"{LEAVING[key]} (taint {key}=1700000000:{effect})"


def test_a_candidate_for_removal_is_not_certain() -> None:
    taint = {"key": "DeletionCandidateOfClusterAutoscaler", "effect": "PreferNoSchedule"}
    departure = departure_of(node(taint))
    assert departure is not None and not departure.certain


@pytest.mark.parametrize(
    "key",
    [
        "startup-taint.cluster-autoscaler.kubernetes.io/gpu",
        "node.cilium.io/agent-not-ready",
        "ebs.csi.aws.com/agent-not-ready",
    ],
)
def test_a_node_that_is_still_starting(key: str) -> None:
    departure = departure_of(node({"key": key, "effect": "NoSchedule"}))
    assert departure is not None and departure.reason.startswith("it is still starting")


@pytest.mark.parametrize(
    ("where", "why"),
    [
        (node(metadata={"name": "a", "deletionTimestamp": "2026-01-01T00:00:00Z"}), "deleted"),
        (node(spec={"unschedulable": True}), "cordoned"),
        (node(status={"conditions": [{"type": "Ready", "status": "Unknown"}]}), "not ready"),
        (node(status={"conditions": [{"type": "Ready", "status": "False"}]}), "not ready"),
        (node(status={}), "not ready"),
    ],
)
def test_the_nodes_own_conditions(where: Object, why: str) -> None:
    departure = departure_of(where)
    assert departure is not None and departure.certain and why in departure.reason


@pytest.mark.parametrize(
    "taint",
    [
        {"key": "nvidia.com/gpu", "value": "present", "effect": "NoSchedule"},
        {"key": "dedicated", "value": "ml", "effect": "NoSchedule"},
    ],
)
def test_a_node_that_stays(taint: Object) -> None:
    assert departure_of(node(taint)) is None


@pytest.mark.parametrize(
    ("taint", "good"),
    [
        (Taint("nvidia.com/gpu", "present", "NoSchedule"), True),
        (Taint("amd.com/gpu", "", "NoSchedule"), True),
        (Taint("nvidia.com/mig-1g.10gb", "", "NoSchedule"), True),
        (Taint("aws.amazon.com/neuron", "true", "NoSchedule"), True),
        (Taint("google.com/tpu", "present", "NoSchedule"), True),
        (Taint("habana.ai/gaudi", "", "NoExecute"), True),
        (Taint("sku", "gpu", "NoSchedule"), True),
        (Taint("sku", "cpu", "NoSchedule"), False),
        (Taint("example.com/accelerator", "", "NoSchedule"), True),
        (Taint("cpu", "", "NoSchedule"), False),
        (Taint("dedicated", "ml", "NoSchedule"), False),
        (Taint("node-role.kubernetes.io/control-plane", "", "NoSchedule"), False),
        (Taint("CriticalAddonsOnly", "true", "NoSchedule"), False),
    ],
)
def test_taints_that_keep_accelerators_free(taint: Taint, good: bool) -> None:
    assert marks_accelerator(taint, node()) is good


def test_a_taint_in_kubectls_form_and_its_toleration() -> None:
    with_value, without = taints_of(
        node(
            {"key": "k", "value": "v", "effect": "NoSchedule"}, {"key": "k", "effect": "NoExecute"}
        )
    )
    assert (str(with_value), str(without)) == ("k=v:NoSchedule", "k:NoExecute")
    assert with_value.toleration() == {
        "key": "k",
        "operator": "Equal",
        "value": "v",
        "effect": "NoSchedule",
    }
    assert without.toleration() == {"key": "k", "operator": "Exists", "effect": "NoExecute"}
