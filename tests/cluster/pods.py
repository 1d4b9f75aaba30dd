"""Pods on real nodes that wait, and are told by `exec` what to do."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .api import Object

#: A pod that waits for `exec`, and ends at once when told to.
WAIT = "import signal; signal.sigwait([signal.SIGTERM, signal.SIGINT])"


def waiting_pod(
    name: str,
    namespace: str,
    node: str,
    image: str,
    volume: Mapping[str, Any],
    path: str,
    env: Mapping[str, str] | None = None,
) -> Object:
    """A pod on a node, with a volume at a path."""
    container = {
        "name": "main",
        "image": image,
        "command": ["python", "-c", WAIT],
        "env": [{"name": key, "value": value} for key, value in (env or {}).items()],
        # As `pin` mounts a cache: what Fluid mounts anew reaches the container.
        "volumeMounts": [
            {"name": "volume", "mountPath": path, "mountPropagation": "HostToContainer"}
        ],
    }
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {
            "nodeSelector": {"kubernetes.io/hostname": node},
            "terminationGracePeriodSeconds": 1,
            "containers": [container],
            "volumes": [{"name": "volume", **volume}],
        },
    }


def claim_volume(claim: str) -> Object:
    """A cache's claim as a volume, which is read-only."""
    return {"persistentVolumeClaim": {"claimName": claim, "readOnly": True}}
