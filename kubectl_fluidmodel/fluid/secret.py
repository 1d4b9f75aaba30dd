"""The Secret with a store's keys."""

from __future__ import annotations

import base64

from kubectl_fluidmodel.fluid.names import our_labels
from kubectl_fluidmodel.kube.kind import Object

SUFFIX = "-store"


def build(name: str, namespace: str, data: dict[str, str], suffix: str = SUFFIX) -> Object:
    """A Secret of the cache `name`; `data` is plain text by key."""
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {
            "name": name + suffix,
            "namespace": namespace,
            "labels": our_labels(name),
        },
        "type": "Opaque",
        "data": {key: base64.b64encode(value.encode()).decode() for key, value in data.items()},
    }
