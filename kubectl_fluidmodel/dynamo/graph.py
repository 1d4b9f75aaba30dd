"""A graph (or a component without a graph), opened in its shape. Pure."""

from __future__ import annotations

from typing import Any

from kubectl_fluidmodel.dynamo.component import Component
from kubectl_fluidmodel.dynamo.object_paths import deep_copy
from kubectl_fluidmodel.dynamo.resources import COMPONENT, GRAPH, GROUP, LPX, REQUEST, V1ALPHA1
from kubectl_fluidmodel.dynamo.shapes.v1alpha1 import V1Alpha1Component
from kubectl_fluidmodel.dynamo.shapes.v1alpha1_pvc import V1Alpha1PvcComponent
from kubectl_fluidmodel.dynamo.shapes.v1beta1 import V1Beta1Component
from kubectl_fluidmodel.errors import FluidModelError
from kubectl_fluidmodel.objects.access import (
    Object,
    annotations_of,
    get_path,
    metadata_of,
    name_of,
    namespace_of,
)
from kubectl_fluidmodel.output.shell import Operand, kubectl
from kubectl_fluidmodel.records import dataclass

SHAPES: dict[str, type[Component]] = {
    "v1beta1": V1Beta1Component,
    "v1alpha1": V1Alpha1Component,
    "v1alpha1-pvc": V1Alpha1PvcComponent,
}


class NotPinnableError(FluidModelError):
    """An object that cannot be pinned, because another object creates its pods."""


@dataclass
class Graph:
    """A working copy of the object, and its components."""

    object: Object
    shape: str
    components: list[Component]

    @property
    def name(self) -> str:
        return name_of(self.object)

    @property
    def namespace(self) -> str:
        return namespace_of(self.object)

    @property
    def kind(self) -> str:
        return str(self.object.get("kind"))

    @property
    def reference(self) -> str:
        """`dgd/NAME` or `dcd/NAME`, as on the command line."""
        return f"{'dgd' if self.kind == GRAPH else 'dcd'}/{self.name}"

    @property
    def annotations(self) -> dict[str, str]:
        return annotations_of(self.object)

    def component(self, name: str) -> Component | None:
        return next((component for component in self.components if component.name == name), None)


def open_graph(obj: Object, schema: str | None = None) -> Graph:
    """Return a working copy of an object with its components.

    `schema` is the shape in the API server's schema; without it, the object's own fields decide.

    Raises:
        NotPinnableError: another object or template creates its pods.
    """
    require_pinnable(obj)
    work = deep_copy(obj)
    shape = schema or detect_shape(work)
    spec = work.get("spec")
    if not isinstance(spec, dict):
        spec = work["spec"] = {}
    component_class = SHAPES[shape]
    if work.get("kind") == COMPONENT:
        name = str(spec.get(component_class.name_field) or name_of(work))
        components = [component_class(name, spec, {})]
    else:
        components = [
            component_class(name, item, spec)
            for name, item in component_class.named_specs(spec)
            if isinstance(item, dict)
        ]
    for component in components:
        if any(get_path(role, "podTemplate") for role in _roles(component.spec)):
            raise NotPinnableError(
                f"cannot pin {name_of(obj)}",
                f"the pods of component {component.name} are made from roles[].podTemplate",
                "add the volume and the affinity to each role by hand",
            )
    return Graph(work, shape, components)


def detect_shape(obj: Object) -> str:
    """Return the shape for an object's version and fields."""
    if not str(obj.get("apiVersion", "")).endswith(f"/{V1ALPHA1}"):
        return "v1beta1"
    spec = obj.get("spec") or {}
    services = (
        [spec] if obj.get("kind") == COMPONENT else list((spec.get("services") or {}).values())
    )
    old = "dynamoGraph" in spec or any("pvc" in (service or {}) for service in services)
    return "v1alpha1-pvc" if old else "v1alpha1"


def is_graph(obj: Any) -> bool:
    """Return whether an object is a graph, or a component without a graph."""
    return (
        isinstance(obj, dict)
        and str(obj.get("apiVersion", "")).startswith(f"{GROUP}/")
        and obj.get("kind") in (GRAPH, COMPONENT)
    )


def require_pinnable(obj: Object) -> None:
    """Check that an object creates its own pods.

    Raises:
        NotPinnableError: it does not.
    """
    kind, name = str(obj.get("kind")), name_of(obj)
    if kind == REQUEST:
        raise NotPinnableError(
            f"cannot pin {kind} {name}",
            "its spec is immutable once profiling starts, and the graph is generated from it",
            "add the patch printed with this to the request, and pin the graph that it makes",
        )
    if kind not in (GRAPH, COMPONENT):
        raise NotPinnableError(
            f"cannot pin {kind} {name}",
            "its pods are made from roles[].podTemplate"
            if kind == LPX
            else "it is not a Dynamo graph",
            "kubectl get dynamographdeployments",
        )
    owners = metadata_of(obj).get("ownerReferences") or []
    if kind == COMPONENT and owners:
        owner = owners[0]
        raise NotPinnableError(
            f"cannot pin {kind} {name}",
            f"{owner.get('kind')} {owner.get('name')} owns it and would overwrite the change",
            kubectl("fluidmodel", "pin", "MODEL", Operand(str(owner.get("name")))),
        )


def _roles(spec: dict[str, Any]) -> list[Any]:
    roles = spec.get("roles")
    if isinstance(roles, dict):
        return list(roles.values())
    return roles if isinstance(roles, list) else []
