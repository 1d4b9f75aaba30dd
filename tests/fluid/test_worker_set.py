"""The StatefulSet of the workers: what has to change before a copy is added."""

from __future__ import annotations

from typing import Any

from kubectl_fluidmodel.fluid.placement import required_affinity
from kubectl_fluidmodel.fluid.worker_set import ordinal, placement_patch

HOST = "kubernetes.io/hostname"
GPU = {"key": "nvidia.com/gpu", "operator": "Exists"}


def required(*hosts: str) -> dict[str, Any]:
    affinity: dict[str, Any] = required_affinity(
        [{"key": HOST, "operator": "In", "values": list(hosts)}]
    )["required"]
    return affinity


def stateful_set(*hosts: str, strategy: str = "RollingUpdate") -> dict[str, Any]:
    affinity = {
        "nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": required(*hosts)}
    }
    spec = {"affinity": affinity, "tolerations": [GPU]}
    return {
        "spec": {"updateStrategy": {"type": strategy}, "template": {"spec": spec}},
    }


def test_new_workers_may_run_on_new_nodes_and_old_ones_are_not_replaced() -> None:
    patch = placement_patch(stateful_set("a"), required("a", "b"), [GPU])
    assert patch == {
        "spec": {
            "updateStrategy": {"type": "OnDelete", "rollingUpdate": None},
            "template": {
                "spec": {
                    "affinity": {
                        "nodeAffinity": {
                            "requiredDuringSchedulingIgnoredDuringExecution": required("a", "b")
                        }
                    },
                    "tolerations": [GPU],
                }
            },
        }
    }


def test_taints_of_new_nodes_are_tolerated_besides() -> None:
    other = {"key": "pool", "operator": "Exists"}
    patch = placement_patch(stateful_set("a"), required("a", "b"), [other])
    assert patch is not None
    assert patch["spec"]["template"]["spec"]["tolerations"] == [GPU, other]


def test_a_changed_stateful_set_stays_as_it_is() -> None:
    assert placement_patch(stateful_set("a", strategy="OnDelete"), required("a"), [GPU]) is None


def test_a_worker_has_its_number() -> None:
    pod = {"metadata": {"labels": {"statefulset.kubernetes.io/pod-name": "a-worker-12"}}}
    assert ordinal(pod) == 12
    assert ordinal({"metadata": {}}) == -1
