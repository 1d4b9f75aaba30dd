"""A Job whose only pod reads a cache through its claim, on one node. Pure.

The pod runs this plugin, passes the `restricted` Pod Security Standard and mounts the claim
read-only. The Job has a deadline and a time to live, so it is removed even if nobody deletes it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import field

from kubectl_fluidmodel.fluid import names
from kubectl_fluidmodel.objects.access import Object, get_list
from kubectl_fluidmodel.objects.plugin_pod import PodNetwork, build_container, build_pod
from kubectl_fluidmodel.records import dataclass

MOUNT_PATH = "/model"
"""The mount path of the claim."""
_TTL_SECONDS = 300
_VOLUME = "model"


@dataclass(frozen=True)
class ClaimNode:
    """A node, and the tolerations with which a pod may run there."""

    name: str
    tolerations: tuple[Object, ...] = ()


@dataclass(frozen=True)
class ClaimJob:
    """The settings of the Job."""

    namespace: str
    cache: str
    """The cache's name, which is also its claim's name."""
    purpose: str
    """In the Job's name and in its label `fluidmodel.io/PURPOSE`: `bench`."""
    module: str
    """What the pod runs: `python -m MODULE`."""
    node: ClaimNode
    image: str
    deadline: float
    """Seconds after which the cluster ends the Job."""
    suffix: str
    """Makes the Job's name unique."""
    network: PodNetwork = field(default_factory=PodNetwork)
    env: Sequence[Object] = ()
    memory_limit: str = ""
    """Empty for no limit. Pages that the pod reads count as its memory, so a limit also limits how
    much of the model stays in the page cache."""

    def build(self) -> Object:
        """The Job."""
        container = build_container(
            self.purpose, self.image, self.module, env=self.env, network=self.network
        )
        container["resources"] = {
            "requests": {"cpu": "1", "memory": "1Gi", "ephemeral-storage": "64Mi"},
            "limits": {"ephemeral-storage": "1Gi"},
        }
        if self.memory_limit:
            container["resources"]["limits"]["memory"] = self.memory_limit
        mount = {"name": _VOLUME, "mountPath": MOUNT_PATH, "readOnly": True}
        container["volumeMounts"].append(mount)
        pod = build_pod(container, self.network)
        claim = {"claimName": self.cache, "readOnly": True}
        pod["volumes"].append({"name": _VOLUME, "persistentVolumeClaim": claim})
        pod["affinity"] = {"nodeAffinity": _on_node(self.node.name)}
        pod["tolerations"] = [dict(toleration) for toleration in self.node.tolerations]
        labels = {**names.managed_labels(self.cache), f"fluidmodel.io/{self.purpose}": "true"}
        return {
            "apiVersion": "batch/v1",
            "kind": "Job",
            "metadata": {
                "name": f"{self.cache[:40]}-{self.purpose}-{self.suffix}",
                "namespace": self.namespace,
                "labels": labels,
            },
            "spec": {
                "backoffLimit": 0,
                "activeDeadlineSeconds": max(1, int(self.deadline)),
                "ttlSecondsAfterFinished": _TTL_SECONDS,
                "template": {"metadata": {"labels": labels}, "spec": pod},
            },
        }


def pod_tolerations(pod: Object) -> tuple[Object, ...]:
    """Return the tolerations of a pod, without those that every pod has by default."""
    return tuple(
        toleration
        for toleration in get_list(pod, "spec", "tolerations")
        if not str(toleration.get("key", "")).startswith("node.kubernetes.io/")
    )


def _on_node(name: str) -> Object:
    """Return the affinity that DaemonSets use to place their pods: by name, not by label."""
    field_selector = {"key": "metadata.name", "operator": "In", "values": [name]}
    terms = [{"matchFields": [field_selector]}]
    return {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": terms}}
