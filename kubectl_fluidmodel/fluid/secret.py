"""Builds the Secrets with a store's keys and the Hub's token."""

from __future__ import annotations

import base64
import hashlib
import re

from kubectl_fluidmodel.fluid.names import managed_labels
from kubectl_fluidmodel.objects.access import Object, get_list

STORE_SUFFIX = "-store"
HUB_SUFFIX = "-hub"
"""Suffixes of the names of a cache's Secrets: with the store's keys, and with the Hub's token."""
VOLUME_PREFIX = "alluxio-mount-secret-"
"""Prefix of the volume that Fluid creates for a Secret in the master's pod."""
_MAX_NAME = 63 - len(VOLUME_PREFIX)
_LABEL = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?")


def encrypt_options(dataset: Object | None) -> list[Object]:
    """All encryptOptions of a Dataset: of its mounts, and the shared ones."""
    options = get_list(dataset, "spec", "sharedEncryptOptions")
    for mount in get_list(dataset, "spec", "mounts"):
        options += get_list(mount, "encryptOptions")
    return options


def is_mountable_name(name: str) -> bool:
    """Return whether a Secret's name is also valid in a volume name: no dots, 42 characters."""
    return len(name) <= _MAX_NAME and bool(_LABEL.fullmatch(name))


def to_mountable_name(name: str) -> str:
    """Return the name itself, or a similar valid one; a hash keeps long names unique."""
    if is_mountable_name(name):
        return name
    sanitized = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")
    if len(sanitized) <= _MAX_NAME:
        return sanitized
    digest = hashlib.sha256(name.encode()).hexdigest()[:6]
    return f"{sanitized[: _MAX_NAME - 7].rstrip('-')}-{digest}"


def store_secret_name(cache: str) -> str:
    """Return the name of the Secret that `cache` creates: `<name>-store`, shortened if too long."""
    return to_mountable_name(cache + STORE_SUFFIX)


def build_secret(
    name: str, namespace: str, data: dict[str, str], suffix: str = STORE_SUFFIX
) -> Object:
    """Build a Secret of the cache `name`; `data` is plain text by key."""
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {
            "name": store_secret_name(name) if suffix == STORE_SUFFIX else name + suffix,
            "namespace": namespace,
            "labels": managed_labels(name),
        },
        "type": "Opaque",
        "data": {key: base64.b64encode(value.encode()).decode() for key, value in data.items()},
    }
