"""The Secret with a store's keys."""

from __future__ import annotations

import base64
import hashlib
import re

from kubectl_fluidmodel.fluid.names import our_labels
from kubectl_fluidmodel.objects.access import Object

SUFFIX = "-store"
HUB_SUFFIX = "-hub"
"""Of the Secret with the Hub's token."""
VOLUME = "alluxio-mount-secret-"
"""How Fluid names the volume of a Secret in the master's pod: this, then the Secret's name."""
_LONGEST = 63 - len(VOLUME)
_LABEL = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?")


def fits(name: str) -> bool:
    """Whether the name of a Secret also makes the name of a volume: no dots, 42 characters."""
    return len(name) <= _LONGEST and bool(_LABEL.fullmatch(name))


def fitting(name: str) -> str:
    """The name itself, or a like one that `fits`, made longer names apart by a hash."""
    if fits(name):
        return name
    plain = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")
    if len(plain) <= _LONGEST:
        return plain
    mark = hashlib.sha256(name.encode()).hexdigest()[:6]
    return f"{plain[: _LONGEST - 7].rstrip('-')}-{mark}"


def store_name(cache: str) -> str:
    """The Secret that `cache` makes: `<name>-store`, shortened where that is too long."""
    return fitting(cache + SUFFIX)


def build(name: str, namespace: str, data: dict[str, str], suffix: str = SUFFIX) -> Object:
    """A Secret of the cache `name`; `data` is plain text by key."""
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {
            "name": store_name(name) if suffix == SUFFIX else name + suffix,
            "namespace": namespace,
            "labels": our_labels(name),
        },
        "type": "Opaque",
        "data": {key: base64.b64encode(value.encode()).decode() for key, value in data.items()},
    }
