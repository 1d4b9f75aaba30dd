"""v1alpha1 up to Dynamo 0.5: one claim per service, `services.X.pvc: {name, mountPoint}`.

Where that one place is taken by another claim, the cache goes into `extraPodSpec.volumes`,
which those operators pass on as they are.
"""

from __future__ import annotations

from typing import Any

from kubectl_fluidmodel.dynamo.object_paths import EditLog, Path
from kubectl_fluidmodel.dynamo.shapes.v1alpha1 import V1Alpha1Component
from kubectl_fluidmodel.objects.access import get_path


class V1Alpha1PvcComponent(V1Alpha1Component):
    """A service of the first operators."""

    def _service_claim(self) -> tuple[str, str] | None:
        name = get_path(self.spec, "pvc", "name", default="")
        return (
            (str(name), str(get_path(self.spec, "pvc", "mountPoint", default=""))) if name else None
        )

    def claims_by_volume(self) -> dict[str, str]:
        claim = self._service_claim()
        return {**({claim[0]: claim[0]} if claim else {}), **super().claims_by_volume()}

    def container_mounts(self, path: Path) -> list[tuple[str, str]]:
        claim = self._service_claim()
        listed = super().container_mounts(path)
        return [*listed, claim] if claim and path == self.main_path else listed

    def claim_edits(self, claim: str) -> list[dict[str, Any]]:
        found = self._service_claim()
        edits = [{"set": "pvc", "is": self.spec["pvc"]}] if found and found[0] == claim else []
        return [*super().claim_edits(claim), *edits]

    def add_claim_mount(self, log: EditLog, claim: str, mount_path: str) -> list[str]:
        paths = self.paths_without_mount(claim)
        for path in paths:
            self.require_free_path(path, mount_path)
        if self._service_claim() is None and self.main_path in paths:
            log.set_value(("pvc",), {"name": claim, "mountPoint": mount_path})
            paths.remove(self.main_path)
        return self._add_volume_mount(log, claim, mount_path, paths)
