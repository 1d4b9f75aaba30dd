"""The Job that runs `reader.py` on one node. Pure.

Its pod passes the `restricted` Pod Security Standard, mounts the claim read-only, and gets the
store's keys as the cache's own pods do: by reference to the Secret.
"""

from __future__ import annotations

from kubectl_fluidmodel.bench.node_choice import BenchNode
from kubectl_fluidmodel.bench.plan import BenchPlan
from kubectl_fluidmodel.bench.reader import MOUNT_PATH, PLAN_VARIABLE
from kubectl_fluidmodel.fluid import names
from kubectl_fluidmodel.inventory.mount_target import MountTarget
from kubectl_fluidmodel.objects.access import Object
from kubectl_fluidmodel.objects.plugin_pod import (
    PodNetwork,
    SecretKey,
    build_container,
    build_pod,
)
from kubectl_fluidmodel.objectstore.s3_credentials import ACCESS_KEY, SECRET_KEY

CONTAINER = "bench"
BENCH_LABEL = "fluidmodel.io/bench"
"""On the Job and pod of `bench`: `true`."""
_TTL = 300
_VOLUME = "model"


def build_bench_job(
    plan: BenchPlan,
    cache: tuple[str, str],
    node: BenchNode,
    image: str,
    network: PodNetwork,
    deadline: float,
    suffix: str,
    store: MountTarget | None = None,
) -> Object:
    """The Job that reads a cache on one node.

    Args:
        plan: What its pod reads.
        cache: Namespace and name of the cache, which is the claim's name, too.
        node: The node to run on.
        image: An image that has this package.
        network: How the pod gets its image and reaches the store.
        deadline: Seconds after which the cluster ends the Job.
        suffix: Makes the Job's name unique.
        store: The mount whose store is read directly; None if none is.
    """
    namespace, name = cache
    env: list[Object] = [{"name": PLAN_VARIABLE, "value": plan.to_json()}]
    if store is not None:
        network = network.with_default_no_proxy(store.endpoint)
        for variable, ref in ((ACCESS_KEY, store.access), (SECRET_KEY, store.hidden)):
            if ref is not None:
                env.append(SecretKey(ref.secret, ref.key).env_var(variable))
    container = build_container(
        CONTAINER, image, "kubectl_fluidmodel.bench.reader", env=env, network=network
    )
    container["resources"] = {
        # One core reads; the page cache of what it reads counts as its memory and is reclaimed.
        "requests": {"cpu": "1", "memory": "1Gi", "ephemeral-storage": "64Mi"},
        "limits": {"memory": "2Gi", "ephemeral-storage": "1Gi"},
    }
    container["volumeMounts"].append({"name": _VOLUME, "mountPath": MOUNT_PATH, "readOnly": True})
    pod = build_pod(container, network)
    pod["volumes"].append(
        {"name": _VOLUME, "persistentVolumeClaim": {"claimName": name, "readOnly": True}}
    )
    pod["affinity"] = {"nodeAffinity": _on_node(node.name)}
    pod["tolerations"] = [dict(each) for each in node.tolerations]
    labels = {**names.managed_labels(name), BENCH_LABEL: "true"}
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {
            "name": f"{name[:40]}-bench-{suffix}",
            "namespace": namespace,
            "labels": labels,
        },
        "spec": {
            "backoffLimit": 0,
            "activeDeadlineSeconds": max(1, int(deadline)),
            "ttlSecondsAfterFinished": _TTL,
            "template": {"metadata": {"labels": labels}, "spec": pod},
        },
    }


def _on_node(name: str) -> Object:
    """The affinity by which DaemonSets place their pods: by the name, not by a label."""
    field = {"key": "metadata.name", "operator": "In", "values": [name]}
    terms = [{"matchFields": [field]}]
    return {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": terms}}
