"""v1alpha1 up to Dynamo 0.5: one claim per service, `services.X.pvc: {name, mountPoint}`.

Where that one place is taken by another claim, the cache goes into `extraPodSpec.volumes`,
which those operators pass on as they are.
"""

from __future__ import annotations

from typing import Any

from kubectl_fluidmodel.dynamo.component import Component
from kubectl_fluidmodel.dynamo.object_paths import Journal, Path
from kubectl_fluidmodel.dynamo.shapes.v1alpha1 import AlphaComponent
from kubectl_fluidmodel.objects.access import at


class LegacyComponent(AlphaComponent):
    """A service of the first operators."""

    def _claim(self) -> tuple[str, str] | None:
        name = at(self.spec, "pvc", "name", default="")
        return (str(name), str(at(self.spec, "pvc", "mountPoint", default=""))) if name else None

    def volumes(self) -> dict[str, str]:
        claim = self._claim()
        return {**({claim[0]: claim[0]} if claim else {}), **super().volumes()}

    def mounts(self, path: Path) -> list[tuple[str, str]]:
        claim = self._claim()
        listed = super().mounts(path)
        return [*listed, claim] if claim and path == self.main else listed

    def mount(self, journal: Journal, claim: str, where: str) -> list[str]:
        for path in self.readers():
            if not self.mounted(claim, path):
                self.check_free(path, where)
        if self._claim() is None and not self.mounted(claim, self.main):
            journal.put(("pvc",), {"name": claim, "mountPoint": where})
        return self._mount_volume(journal, claim, where, self.readers())


def components(spec: dict[str, Any]) -> list[Component]:
    """The services of a graph's spec."""
    return [
        LegacyComponent(name, item, spec)
        for name, item in (spec.get("services") or {}).items()
        if isinstance(item, dict)
    ]


def single(name: str, spec: dict[str, Any]) -> Component:
    """A DynamoComponentDeployment's spec, which is the service itself."""
    return LegacyComponent(str(spec.get("serviceName") or name), spec, {})
