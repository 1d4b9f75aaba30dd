"""Kinds of objects, and the paths at which the API server serves them."""

from __future__ import annotations

from urllib.parse import quote

from kubectl_fluidmodel.records import dataclass


@dataclass(frozen=True)
class Kind:
    """A served kind: the path of its objects, and its name in kubectl."""

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
RESOURCE_QUOTAS = Kind("", "v1", "ResourceQuota", "resourcequotas")
LIMIT_RANGES = Kind("", "v1", "LimitRange", "limitranges")
PVCS = Kind("", "v1", "PersistentVolumeClaim", "persistentvolumeclaims")
PVS = Kind("", "v1", "PersistentVolume", "persistentvolumes", namespaced=False)
DEPLOYMENTS = Kind("apps", "v1", "Deployment", "deployments")
STATEFUL_SETS = Kind("apps", "v1", "StatefulSet", "statefulsets")
DAEMON_SETS = Kind("apps", "v1", "DaemonSet", "daemonsets")
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
AUTOSCALERS = Kind("autoscaling", "v2", "HorizontalPodAutoscaler", "horizontalpodautoscalers")
SELF_SUBJECT_ACCESS_REVIEWS = Kind(
    "authorization.k8s.io",
    "v1",
    "SelfSubjectAccessReview",
    "selfsubjectaccessreviews",
    namespaced=False,
)
