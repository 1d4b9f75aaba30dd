"""v1beta1 (Dynamo 1.2 and later): `components[].podTemplate`, a native pod template."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from kubectl_fluidmodel.dynamo.component import Component
from kubectl_fluidmodel.objects.access import get_path


class V1Beta1Component(Component):
    """A component whose `main` container the operator completes with its defaults."""

    pod_path = ("podTemplate", "spec")
    main_path = ("podTemplate", "spec", "containers", "[main]")
    annotations_path = ("podTemplate", "metadata", "annotations")
    name_field = "name"

    @staticmethod
    def named_specs(graph: dict[str, Any]) -> Iterator[tuple[str, Any]]:
        for item in graph.get("components") or []:
            yield str(get_path(item, "name")), item

    @property
    def declared_type(self) -> str:
        return str(self.spec.get("type") or "").lower()

    @property
    def second_pod_template(self) -> str:
        path = "experimental.checkpoint.job.podTemplate"
        return path if get_path(self.spec, *path.split(".")) else ""
