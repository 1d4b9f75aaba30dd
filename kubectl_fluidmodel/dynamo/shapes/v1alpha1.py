"""v1alpha1 from Dynamo 0.6.

`services.X` mounts top-level `pvcs` by `volumeMounts`, or has volumes in `extraPodSpec`. Operators
1.2 lose a service's `volumeMounts` in conversion where `mainContainer` has mounts of its own (fixed
in 1.3), so `pin` never gives one service both.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from kubectl_fluidmodel.dynamo.component import (
    ClaimMount,
    Component,
    env_entries,
)
from kubectl_fluidmodel.dynamo.object_paths import EditLog, Path
from kubectl_fluidmodel.errors import FluidModelError
from kubectl_fluidmodel.objects.access import get_list, get_path
from kubectl_fluidmodel.objects.gpus import is_gpu
from kubectl_fluidmodel.objects.quantity import quantity_to_int


class V1Alpha1Component(Component):
    """A service; its GPUs, environment and mounts may be in the service or in extraPodSpec."""

    pod_path = ("extraPodSpec",)
    main_path = ("extraPodSpec", "mainContainer")
    annotations_path = ("annotations",)
    name_field = "serviceName"

    @staticmethod
    def named_specs(graph: dict[str, Any]) -> Iterable[tuple[str, Any]]:
        return (graph.get("services") or {}).items()

    @property
    def declared_type(self) -> str:
        sub = str(self.spec.get("subComponentType") or "").lower()
        kind = str(self.spec.get("componentType") or "").lower()
        return sub if kind == "worker" and sub in ("prefill", "decode") else kind

    def gpus(self) -> dict[str, int]:
        total = super().gpus()
        for side in ("requests", "limits"):
            listed = get_path(self.spec, "resources", side, default={}) or {}
            name = str(listed.get("gpuType") or "nvidia.com/gpu")
            counts = {name: listed.get("gpu"), **(listed.get("custom") or {})}
            for resource, amount in counts.items():
                if resource == name or is_gpu(resource):
                    count = quantity_to_int(amount) or 0
                    if count > total.get(resource, 0):
                        total[resource] = count
        return total

    @property
    def second_pod_template(self) -> str:
        return "checkpoint.job" if get_path(self.spec, "checkpoint", "job") else ""

    def env_by_name(self) -> dict[str, tuple[Path, Any]]:
        # The service's own envs win over the container's.
        return {**super().env_by_name(), **env_entries(self.spec, ("envs",))}

    @property
    def new_env_path(self) -> Path:
        in_container = bool(self.main_container().get("env"))
        return (*self.main_path, "env") if in_container or not self.spec.get("envs") else ("envs",)

    def _service_mounts(self) -> list[tuple[str, str]]:
        return [
            (str(mount.get("name")), str(mount.get("mountPoint") or ""))
            for mount in self.spec.get("volumeMounts") or []
            if isinstance(mount, dict)
        ]

    def claims_by_volume(self) -> dict[str, str]:
        # A service's mount is a volume with the claim's own name.
        return {**{name: name for name, _ in self._service_mounts()}, **super().claims_by_volume()}

    def container_mounts(self, path: Path) -> list[tuple[str, str]]:
        mounts = super().container_mounts(path)
        return [*mounts, *self._service_mounts()] if path == self.main_path else mounts

    def find_claim_mount(self, claim: str, path: Path) -> ClaimMount | None:
        mount = super().find_claim_mount(claim, path)
        # Only v1beta1 operators make a volume for a mount that has none.
        return mount if mount and mount.volume in self.claims_by_volume() else None

    def _add_mounts(
        self, log: EditLog, claim: str, mount_path: str, paths: list[Path]
    ) -> list[str]:
        in_service = bool(self.spec.get("volumeMounts"))
        # A service's mount is a volume of the claim's name, which the pod may have for another.
        is_mounted = claim in super().claims_by_volume()
        in_container = is_mounted or bool(self.main_container().get("volumeMounts"))
        if in_service and not in_container and self.main_path in paths:
            return self._add_service_mount(log, claim, mount_path, paths)
        self._add_volume_mounts(log, claim, mount_path, paths)
        if not (in_service and in_container):
            return []
        return [
            f"component {self.name} has both volumeMounts and mainContainer.volumeMounts: "
            "operators 1.2 lose the former; the cache goes with the latter"
        ]

    def claim_edits(self, claim: str) -> list[dict[str, Any]]:
        in_service = [
            {"add": "volumeMounts", "item": mount}
            for mount in get_list(self.spec, "volumeMounts")
            if mount.get("name") == claim
        ]
        return [*super().claim_edits(claim), *in_service]

    def _add_service_mount(
        self, log: EditLog, claim: str, mount_path: str, paths: list[Path]
    ) -> list[str]:
        if len(claim) > 63 or "." in claim:
            raise FluidModelError(
                f"cannot mount claim {claim} in component {self.name}",
                "v1alpha1 names the volume like the claim, and it is no legal volume name",
                "move the component's volumeMounts to extraPodSpec.volumes",
            )
        log.append(("volumeMounts",), {"name": claim, "mountPoint": mount_path})
        other_paths = [path for path in paths if path != self.main_path]
        self._add_volume_mounts(log, claim, mount_path, other_paths)
        return [
            f"component {self.name} mounts the cache writable: v1alpha1 volumeMounts have no "
            "readOnly",
        ]


def top_level_claims(spec: dict[str, Any]) -> list[Any] | None:
    """The graph's top-level `pvcs`, None if it does not use them."""
    claims = spec.get("pvcs")
    return claims if isinstance(claims, list) else None
