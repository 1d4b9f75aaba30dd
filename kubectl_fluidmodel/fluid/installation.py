"""Fluid's own installation: its parts, their names in fluid-system, and their versions. Pure."""

from __future__ import annotations

import re

from kubectl_fluidmodel.fluid import names
from kubectl_fluidmodel.kube.kind import Kind, Object, dicts

OLDEST = (1, 0, 0)
"""encryptOptions of a root mount work since the mount moved into a ConfigMap (Fluid 1.0)."""

INSTALL = (
    "helm repo add fluid https://fluid-cloudnative.github.io/charts && "
    "helm install fluid fluid/fluid -n fluid-system --create-namespace"
)
UPGRADE = "helm upgrade fluid fluid/fluid -n fluid-system --reuse-values"

DATASET_CONTROLLER = "dataset-controller"
WEBHOOK_SERVER = "fluid-webhook"
NODE_PLUGIN = "csi-nodeplugin-fluid"
"""Names of Deployments, and of the CSI plugin's DaemonSet, by Fluid's chart."""


def controller_of(runtime: Kind) -> str:
    """The Deployment that serves a kind of runtime: `alluxioruntime-controller`."""
    return f"{runtime.name.lower()}-controller"


def version_of(workload: Object) -> tuple[int, ...] | None:
    """Fluid's version from the tag of its image: `…:v1.0.8-abc` is (1, 0, 8).

    Of several containers the last with such a tag counts: the CSI plugin's has a foreign sidecar
    before it.
    """
    found = None
    for container in dicts(workload, "spec", "template", "spec", "containers"):
        image = str(container.get("image", "")).partition("@")[0]
        match = re.search(r":v?(\d+)\.(\d+)\.(\d+)[^:/]*$", image)
        found = tuple(int(part) for part in match.groups()) if match else found
    return found


def dotted(version: tuple[int, ...]) -> str:
    return ".".join(str(part) for part in version)


def scale_up(deployment: str, namespace: str = names.SYSTEM_NAMESPACE) -> str:
    return f"kubectl scale deployment {deployment} -n {namespace} --replicas=1"
