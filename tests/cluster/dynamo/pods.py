"""The pod spec in a graph's schema: the API server's own.

Dynamo's CRDs have Kubernetes' types in full, so that what is misspelt in a pod template is pruned,
and lists such as ``env`` and ``volumes`` are merged by name. The API server publishes these types
(``/openapi/v3/…``): taken from there, and put into the structural form that a CRD wants.
"""

from __future__ import annotations

from typing import Any

from ..api import Api
from .schema import INT_OR_STRING, QUANTITY, STRING, Schema, array, mapping, obj

PREFIX = "#/components/schemas/"
CORE = "io.k8s.api.core.v1."
META = "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta"
AUTOSCALING = "io.k8s.api.autoscaling.v2."
#: The part of an object's metadata that a template in a CRD has.
METADATA: Schema = obj(
    {
        "name": STRING,
        "namespace": STRING,
        "labels": mapping(STRING),
        "annotations": mapping(STRING),
        "finalizers": array(STRING),
    }
)
#: Types of which OpenAPI says less, or more, than a CRD's schema.
OTHERWISE = {
    "io.k8s.apimachinery.pkg.api.resource.Quantity": QUANTITY,
    "io.k8s.apimachinery.pkg.util.intstr.IntOrString": INT_OR_STRING,
}
#: They embed a LocalObjectReference, and so are owned whole under server-side apply.
ATOMIC = {
    CORE + name
    for name in (
        "ConfigMapEnvSource",
        "SecretEnvSource",
        "ConfigMapVolumeSource",
        "ConfigMapProjection",
        "SecretProjection",
    )
}
#: Fields that a pod spec has had only since the first generation of the operator.
LATER = frozenset(
    (
        "fileKeyRef",
        "hostnameOverride",
        "podCertificate",
        "restartPolicyRules",
        "schedulingGroup",
    )
)
#: Fields for which the API server has a default, and a CRD has none.
UNFILLED = {CORE + "AzureDiskVolumeSource": ("cachingMode", "kind")}
KEPT = (
    "type",
    "format",
    "required",
    "x-kubernetes-list-type",
    "x-kubernetes-list-map-keys",
    "x-kubernetes-map-type",
)


class Pods:
    """Kubernetes' own types, as structural schemas."""

    def __init__(self, types: dict[str, Any], first: bool = False) -> None:
        """``first``: as the first generation of the operator knew them."""
        self.types = types
        self.without: frozenset[str] = LATER if first else frozenset()
        metadata = {"type": "object"} if first else METADATA
        self.otherwise = {**OTHERWISE, META: metadata}

    def of(self, name: str, package: str = CORE) -> Schema:
        """The type of this name."""
        return self.structural(self.types[package + name])

    def structural(self, given: Schema) -> Schema:
        """The same without references, and without what a structural schema may not have."""
        reference = given.get("$ref") or next(
            (each["$ref"] for each in given.get("allOf") or [] if "$ref" in each), ""
        )
        if reference:
            name = reference.removeprefix(PREFIX)
            made = dict(self.otherwise.get(name) or self.structural(self.types[name]))
            for unfilled in UNFILLED.get(name, ()):
                made["properties"][unfilled].pop("default")
            if name in ATOMIC:
                made["x-kubernetes-map-type"] = "atomic"
        else:
            made = {key: given[key] for key in KEPT if key in given}
        if "properties" in given:
            required = given.get("required") or ()
            made["properties"] = {
                key: self.structural(each) | _default(each, key in required)
                for key, each in given["properties"].items()
                if key not in self.without
            }
        for key in ("items", "additionalProperties"):
            if key in given:
                made[key] = self.structural(given[key])
        return made


def published(api: Api) -> dict[str, Any]:
    """The types of pods and of autoscaling, by name, as this API server publishes them."""
    found: dict[str, Any] = {}
    for path in ("api/v1", "apis/autoscaling/v2"):
        found |= api.request("GET", f"/openapi/v3/{path}")["components"]["schemas"]
    return found


def _default(given: Schema, required: bool) -> Schema:
    """What a CRD's schema fills in: not the zero values by which OpenAPI says "not a pointer"."""
    value = given.get("default")
    if value or (value in ("", False) and not required):
        return {"default": value}
    return {}
