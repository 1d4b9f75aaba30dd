"""Kinds, and the paths that the API server serves them under."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

Object = dict[str, Any]
"""A Kubernetes object as JSON gives it."""

HOSTNAME_LABEL = "kubernetes.io/hostname"
"""Label of a node with its host name, which need not be the node's own."""


@dataclass(frozen=True)
class Kind:
    """One served kind: where its objects live, and what kubectl calls it."""

    group: str
    version: str
    name: str
    plural: str
    namespaced: bool = True

    @property
    def api_version(self) -> str:
        return f"{self.group}/{self.version}" if self.group else self.version

    @property
    def resource(self) -> str:
        """`datasets.data.fluid.io`: the form that kubectl and RBAC messages use."""
        return f"{self.plural}.{self.group}" if self.group else self.plural

    def path(self, namespace: str | None = None, name: str = "", subresource: str = "") -> str:
        """The URL path of the list, the object or its subresource (`pods/log` …)."""
        parts = ["apis", self.group, self.version] if self.group else ["api", self.version]
        if self.namespaced and namespace:
            parts += ["namespaces", namespace]
        parts.append(self.plural)
        if name:
            parts.append(name)
        if subresource:
            parts += subresource.split("/")
        return "/" + "/".join(quote(part, safe="") for part in parts)


NAMESPACES = Kind("", "v1", "Namespace", "namespaces", namespaced=False)
NODES = Kind("", "v1", "Node", "nodes", namespaced=False)
PODS = Kind("", "v1", "Pod", "pods")
SECRETS = Kind("", "v1", "Secret", "secrets")
SERVICES = Kind("", "v1", "Service", "services")
EVENTS = Kind("", "v1", "Event", "events")
CONFIG_MAPS = Kind("", "v1", "ConfigMap", "configmaps")
PVCS = Kind("", "v1", "PersistentVolumeClaim", "persistentvolumeclaims")
PVS = Kind("", "v1", "PersistentVolume", "persistentvolumes", namespaced=False)
DEPLOYMENTS = Kind("apps", "v1", "Deployment", "deployments")
STATEFUL_SETS = Kind("apps", "v1", "StatefulSet", "statefulsets")
DAEMON_SETS = Kind("apps", "v1", "DaemonSet", "daemonsets")
REPLICA_SETS = Kind("apps", "v1", "ReplicaSet", "replicasets")
CSI_DRIVERS = Kind("storage.k8s.io", "v1", "CSIDriver", "csidrivers", namespaced=False)
CSI_NODES = Kind("storage.k8s.io", "v1", "CSINode", "csinodes", namespaced=False)
WEBHOOKS = Kind(
    "admissionregistration.k8s.io",
    "v1",
    "MutatingWebhookConfiguration",
    "mutatingwebhookconfigurations",
    namespaced=False,
)
JOBS = Kind("batch", "v1", "Job", "jobs")
CRDS = Kind(
    "apiextensions.k8s.io",
    "v1",
    "CustomResourceDefinition",
    "customresourcedefinitions",
    namespaced=False,
)
ACCESS_REVIEWS = Kind(
    "authorization.k8s.io",
    "v1",
    "SelfSubjectAccessReview",
    "selfsubjectaccessreviews",
    namespaced=False,
)


def meta(obj: Mapping[str, Any]) -> dict[str, Any]:
    """The object's metadata, or an empty dict."""
    found = obj.get("metadata")
    return found if isinstance(found, dict) else {}


def name_of(obj: Mapping[str, Any]) -> str:
    return str(meta(obj).get("name", ""))


def namespace_of(obj: Mapping[str, Any]) -> str:
    return str(meta(obj).get("namespace", ""))


def full_name(obj: Mapping[str, Any]) -> str:
    """`namespace/name`, or the name alone."""
    return f"{namespace_of(obj)}/{name_of(obj)}".lstrip("/")


def names_of(objects: Sequence[Mapping[str, Any]], most: int = 3) -> str:
    """Objects by name, a few of many: `a/x, a/y, b/z and 4 more`."""
    return listed([full_name(obj) for obj in objects], most)


def listed(names: Sequence[str], most: int = 3) -> str:
    """A few of many names: `a, b, c and 4 more`."""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more


def labels_of(obj: Mapping[str, Any]) -> dict[str, str]:
    return _texts(meta(obj).get("labels"))


def annotations_of(obj: Mapping[str, Any]) -> dict[str, str]:
    return _texts(meta(obj).get("annotations"))


def _texts(found: Any) -> dict[str, str]:
    """The map itself where it is one of texts, as the API server's are; what is text of others."""
    if not isinstance(found, dict):
        return {}
    if all(type(value) is str for value in found.values()):
        return found
    return {str(key): value for key, value in found.items() if isinstance(value, str)}


def at(obj: Any, *path: str | int, default: Any = None) -> Any:
    """The value at a path of keys and indexes; `default` where any step is missing or null."""
    here = obj
    for step in path:
        if isinstance(here, Mapping) and isinstance(step, str):
            here = here.get(step)
        elif isinstance(here, list) and isinstance(step, int) and -len(here) <= step < len(here):
            here = here[step]
        else:
            return default
    return default if here is None else here


def number(obj: Any, *path: str | int) -> int:
    """The whole number at a path; 0 where there is none."""
    found = at(obj, *path)
    return found if isinstance(found, int) and not isinstance(found, bool) else 0


def mapping(obj: Any, *path: str | int) -> Object:
    """The map at a path; empty where there is none."""
    found = at(obj, *path)
    return found if isinstance(found, dict) else {}


def dicts(obj: Any, *path: str | int) -> list[Object]:
    """The objects in the list at a path; empty where there is no list."""
    found = at(obj, *path)
    return [item for item in found if isinstance(item, dict)] if isinstance(found, list) else []


_DNS_LABEL = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")


def is_dns_label(name: str) -> bool:
    """Whether a name is one that a namespace may have: an RFC 1123 label."""
    return bool(_DNS_LABEL.fullmatch(name))
