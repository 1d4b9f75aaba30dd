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
        mounts = super().container_mounts(path)
        return [*mounts, claim] if claim and path == self.main_path else mounts

    def claim_edits(self, claim: str) -> list[dict[str, Any]]:
        service_claim = self._service_claim()
        is_mounted = service_claim is not None and service_claim[0] == claim
        edits = [{"set": "pvc", "is": self.spec["pvc"]}] if is_mounted else []
        return [*super().claim_edits(claim), *edits]

    def _add_mounts(
        self, log: EditLog, claim: str, mount_path: str, paths: list[Path]
    ) -> list[str]:
        if self._service_claim() is None and self.main_path in paths:
            log.set_value(("pvc",), {"name": claim, "mountPoint": mount_path})
            paths = [path for path in paths if path != self.main_path]
        self._add_volume_mounts(log, claim, mount_path, paths)
        return []
