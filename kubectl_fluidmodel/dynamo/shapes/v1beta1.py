"""v1beta1 (Dynamo 1.2 and later): `components[].podTemplate`, a native pod template."""

from __future__ import annotations

from typing import Any

from kubectl_fluidmodel.dynamo.component import Component
from kubectl_fluidmodel.objects.access import get_path


class V1Beta1Component(Component):
    """A component whose `main` container the operator completes with its defaults."""

    pod_path = ("podTemplate", "spec")
    main_path = ("podTemplate", "spec", "containers", "[main]")
    annotations_path = ("podTemplate", "metadata", "annotations")

    @property
    def declared_type(self) -> str:
        return str(self.spec.get("type") or "").lower()

    @property
    def second_pod_template(self) -> str:
        path = "experimental.checkpoint.job.podTemplate"
        return path if get_path(self.spec, *path.split(".")) else ""


def components(spec: dict[str, Any]) -> list[Component]:
    """The components of a graph's spec."""
    return [
        V1Beta1Component(str(item.get("name")), item, spec)
        for item in spec.get("components") or []
        if isinstance(item, dict)
    ]


def from_component(name: str, spec: dict[str, Any]) -> Component:
    """A DynamoComponentDeployment's spec, which is the component itself."""
    return V1Beta1Component(str(spec.get("name") or name), spec, {})
