"""One component of a graph: the paths of its pod, its containers and its volumes.

Each shape of the API subclasses `Component` and defines the paths; the operations on them are the
same for all shapes. Every change goes through an `EditLog`, so it can be undone.
"""

from __future__ import annotations

import enum
import json
import re
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, ClassVar

from kubectl_fluidmodel.dynamo.object_paths import (
    EditLog,
    Path,
    deep_copy,
    join_path,
    value_at,
)
from kubectl_fluidmodel.errors import FluidModelError
from kubectl_fluidmodel.objects.access import get_list, get_path
from kubectl_fluidmodel.objects.gpus import gpus_of
from kubectl_fluidmodel.objects.node_selector import terms_of
from kubectl_fluidmodel.records import dataclass

GPU_REASON = "it requests GPUs"
"""A reason for a role that is not reported, because it is obvious in the graph."""
COMMAND_FIELDS = ("command", "args")
"""The fields of a container in the order in which they make up its command line."""
ENGINE_MODULE = re.compile(r"(?<![\w.-])dynamo\.(vllm|sglang|trtllm)(?![\w.-])")
"""An engine's module, as a command starts it."""


class Role(enum.Enum):
    """What pinning does to a component."""

    WORKER = "worker"
    """Reads the weights: gets the mount and the affinity."""
    FRONTEND = "frontend"
    """Reads the tokenizer and the configuration: gets the mount only."""
    OTHER = "other"
    """Planner, EPP and unknown components: not changed."""


@dataclass(frozen=True)
class ClaimMount:
    """A claim that a container mounts."""

    container: str
    volume: str
    path: str


class Component(ABC):
    """A component in one of the shapes; `spec` is its part of the edited object."""

    pod_path: ClassVar[Path]
    """Path of the pod spec in `spec`."""
    main_path: ClassVar[Path]
    """Path of the main container."""
    annotations_path: ClassVar[Path]
    """Path of the annotations for the component's Deployment and pods."""
    name_field: ClassVar[str]
    """Field of a DynamoComponentDeployment's spec with the component's name."""

    def __init__(self, name: str, spec: dict[str, Any], graph_spec: dict[str, Any]) -> None:
        self.name = name
        self.spec = spec
        self.graph_spec = graph_spec

    def copy(self) -> Component:
        """A component with a spec of its own."""
        return type(self)(self.name, deep_copy(self.spec), self.graph_spec)

    @staticmethod
    @abstractmethod
    def named_specs(graph: dict[str, Any]) -> Iterable[tuple[str, Any]]:
        """The names and specs of the components in a graph's spec."""

    # -- what it is --------------------------------------------------------------------------

    @property
    @abstractmethod
    def declared_type(self) -> str:
        """The declared type in lower case; empty if there is none."""

    @property
    def role(self) -> Role:
        return self.role_and_reason()[0]

    def role_and_reason(self) -> tuple[Role, str]:
        """The role, and the reason if no type is declared (else empty).

        Operators up to 0.5 have no types. There, the GPUs, the command, the affinity for a cache
        and the names in Dynamo's own examples decide.
        """
        kind = self.declared_type
        if kind in ("worker", "prefill", "decode"):
            return Role.WORKER, ""
        if kind == "frontend":
            return Role.FRONTEND, ""
        if kind not in ("", "main"):
            return Role.OTHER, ""
        if self.gpus() or self._has_gpus_in_deployment_config():
            return Role.WORKER, GPU_REASON
        command = " ".join(command_words(self.main_container()))
        engine = ENGINE_MODULE.search(command)
        if engine:
            return Role.WORKER, f"it starts {engine[0]}"
        if _requires_cache_nodes(self.pod_spec()):
            return Role.WORKER, "it requires the nodes of a cache"
        if re.search(r"(?<![\w.])dynamo\.frontend(?![\w.])", command):
            return Role.FRONTEND, "it starts dynamo.frontend"
        if re.search(r"worker$", self.name, re.IGNORECASE):
            return Role.WORKER, "by its name"
        if self.name.lower() in ("frontend", "processor"):
            return Role.FRONTEND, "by its name"
        return Role.OTHER, ""

    def _has_gpus_in_deployment_config(self) -> bool:
        """Whether the graph's DYN_DEPLOYMENT_CONFIG (up to 0.5) gives it GPUs."""
        for entry in self.graph_spec.get("envs") or []:
            if not isinstance(entry, dict) or entry.get("name") != "DYN_DEPLOYMENT_CONFIG":
                continue
            try:
                config = json.loads(str(entry.get("value") or "{}"))
            except ValueError:
                return False
            resources = get_path(config, self.name, "ServiceArgs", "resources", default={})
            return bool(resources.get("gpu")) if isinstance(resources, dict) else False
        return False

    @property
    def replicas(self) -> int:
        replicas = self.spec.get("replicas")
        return replicas if isinstance(replicas, int) else 1

    @property
    def nodes_per_replica(self) -> int:
        """Pods, each on a separate node, that make up one replica."""
        nodes = get_path(self.spec, "multinode", "nodeCount")
        return nodes if isinstance(nodes, int) and nodes > 1 else 1

    def gpus(self) -> dict[str, int]:
        """GPUs that one pod requests, by resource name."""
        total: dict[str, int] = {}
        for _, container in self.containers():
            for name, count in gpus_of(container.get("resources")).items():
                total[name] = total.get(name, 0) + count
        return total

    @property
    def second_pod_template(self) -> str:
        """Path of a second pod template that pinning does not change, or empty."""
        return ""

    # -- its pod -----------------------------------------------------------------------------

    def pod_spec(self) -> dict[str, Any]:
        """The pod spec in the graph; empty if there is none."""
        return self._map_at(self.pod_path)

    def pod_annotations(self) -> dict[str, str]:
        return self._map_at(self.annotations_path)

    def main_container(self) -> dict[str, Any]:
        return self._map_at(self.main_path)

    def _map_at(self, path: Path) -> dict[str, Any]:
        value = value_at(self.spec, path)
        return value if isinstance(value, dict) else {}

    def containers(self) -> Iterator[tuple[Path, dict[str, Any]]]:
        """The containers in the graph with their paths, the main one first."""
        main = self.main_container()
        if main:
            yield self.main_path, main
        for container in self.pod_spec().get("containers") or []:
            if isinstance(container, dict) and container is not main and container.get("name"):
                yield (*self.pod_path, "containers", f"[{container['name']}]"), container

    def reader_paths(self) -> list[Path]:
        """Paths of the containers that read the model: main, those with GPUs, Dynamo's sidecars.

        An engine may run beside `main`. A `frontendSidecar` reads the tokenizer, and so does a
        `dynamoSidecar`, the init container that speaks for an engine in `main`.
        """
        paths = [self.main_path]
        for path, container in self.containers():
            sidecar = container.get("name") == self.spec.get("frontendSidecar")
            if path != self.main_path and (gpus_of(container.get("resources")) or sidecar):
                paths.append(path)
        return [*paths, *self._dynamo_sidecar_paths()]

    def container_paths(self) -> list[Path]:
        """Paths of all containers, and of the init container that is Dynamo's sidecar."""
        return [path for path, _ in self.containers()] + self._dynamo_sidecar_paths()

    def _dynamo_sidecar_paths(self) -> list[Path]:
        name = self.spec.get("dynamoSidecar")
        path = (*self.pod_path, "initContainers", f"[{name}]")
        return [path] if name and isinstance(value_at(self.spec, path), dict) else []

    def paths_without_mount(self, claim: str) -> list[Path]:
        """Paths of the containers that read the model and do not mount the claim.

        A frontend sidecar is not among them if main mounts the claim: the operator gives it main's
        mounts (`mergeFrontendSidecarDefaults` in deploy/operator/internal/dynamo/graph.go, in every
        release that serves v1beta1).
        """
        sidecar = f"[{self.spec.get('frontendSidecar')}]"
        in_main = self.find_claim_mount(claim, self.main_path) is not None
        return [
            path
            for path in self.reader_paths()
            if not self.find_claim_mount(claim, path) and not (in_main and path[-1] == sidecar)
        ]

    def env_by_name(self) -> dict[str, tuple[Path, Any]]:
        """Environment of the main container by name: where each is set, and the entry."""
        return env_entries(self.spec, (*self.main_path, "env"))

    @property
    def new_env_path(self) -> Path:
        """Path of the list for a new variable of the main container."""
        return (*self.main_path, "env")

    # -- volumes -----------------------------------------------------------------------------

    def claims_by_volume(self) -> dict[str, str]:
        """Volume name to claim name (empty if it is not a claim), as the pod will have them."""
        return {
            str(volume.get("name")): str(
                get_path(volume, "persistentVolumeClaim", "claimName", default="")
            )
            for volume in get_list(self.pod_spec(), "volumes")
        }

    def _volumes_of(self, claim: str) -> list[str]:
        return [volume for volume, name in self.claims_by_volume().items() if name == claim]

    def container_mounts(self, path: Path) -> list[tuple[str, str]]:
        """Volume and mount path of one container's mounts."""
        return [
            (str(mount.get("name")), str(mount.get("mountPath")))
            for mount in get_list(value_at(self.spec, path), "volumeMounts")
        ]

    def subpath_mounts(self, path: Path) -> set[str]:
        """Mount paths of one container that show only a subdirectory of their volume."""
        return {
            str(mount.get("mountPath"))
            for mount in get_list(value_at(self.spec, path), "volumeMounts")
            if mount.get("subPath") or mount.get("subPathExpr")
        }

    def find_claim_mount(self, claim: str, path: Path) -> ClaimMount | None:
        """Return how a container mounts the whole of a claim, or None."""
        volumes, partial = self.claims_by_volume(), self.subpath_mounts(path)
        for volume, mount_path in self.container_mounts(path):
            if mount_path in partial:
                continue
            # For a mount in main without a volume, the operator adds the claim with its name.
            implied = path == self.main_path and volume not in volumes and volume == claim
            if volumes.get(volume) == claim or implied:
                return ClaimMount(_container_name(path), volume, mount_path)
        return None

    def add_claim_mount(self, log: EditLog, claim: str, mount_path: str) -> list[str]:
        """Mount a claim in every container that reads the model.

        Returns:
            Remarks for the user.

        Raises:
            FluidModelError: the path is in use.
        """
        paths = self.paths_without_mount(claim)
        for path in paths:
            self._require_free_path(path, mount_path)
        return self._add_mounts(log, claim, mount_path, paths)

    def claim_edits(self, claim: str) -> list[dict[str, Any]]:
        """Return the edits, as an `EditLog` records them, that would create the existing mount.

        A volume that is also mounted elsewhere (an init container, a `subPath`) is not included.
        """
        volumes = set(self._volumes_of(claim))
        edits: list[dict[str, Any]] = []
        shared: set[str] = set()
        paths = self.container_paths()
        for path in paths:
            partial = self.subpath_mounts(path)
            for mount in get_list(value_at(self.spec, path), "volumeMounts"):
                if mount.get("name") not in volumes:
                    continue
                if mount.get("mountPath") in partial:
                    shared.add(mount["name"])
                else:
                    edits.append({"add": join_path((*path, "volumeMounts")), "item": mount})
        for container in get_list(self.pod_spec(), "initContainers"):
            if not any(value_at(self.spec, path) is container for path in paths):
                shared |= {str(mount.get("name")) for mount in get_list(container, "volumeMounts")}
        for volume in get_list(self.pod_spec(), "volumes"):
            if volume.get("name") in volumes - shared:
                edits.append({"add": join_path((*self.pod_path, "volumes")), "item": volume})
        return edits

    def _require_free_path(self, path: Path, mount_path: str) -> None:
        """Refuse a mount path that a container already uses."""
        for volume, used in self.container_mounts(path):
            if used.rstrip("/") == mount_path.rstrip("/"):
                raise FluidModelError(
                    f"cannot mount the cache at {mount_path} in component {self.name}",
                    f"container {_container_name(path)} has volume '{volume}' there",
                    "--mount-path with another path",
                )

    def _add_mounts(
        self, log: EditLog, claim: str, mount_path: str, paths: list[Path]
    ) -> list[str]:
        """Add the mount to these containers, as the shape does; return remarks for the user."""
        self._add_volume_mounts(log, claim, mount_path, paths)
        return []

    def _add_volume_mounts(
        self, log: EditLog, claim: str, mount_path: str, paths: list[Path]
    ) -> None:
        """Add the mount as a volume of the pod, read-only, to these containers."""
        if not paths:
            return
        volume = next(iter(self._volumes_of(claim)), "")
        if not volume:
            volume = _free_volume_name(claim, self.claims_by_volume())
            source = {"claimName": claim, "readOnly": True}
            log.append(
                (*self.pod_path, "volumes"), {"name": volume, "persistentVolumeClaim": source}
            )
        for path in paths:
            mount = {
                "name": volume,
                "mountPath": mount_path,
                "readOnly": True,
                # Remounts by Fluid after a FUSE restart then reach the running pod.
                "mountPropagation": "HostToContainer",
            }
            log.append((*path, "volumeMounts"), mount)


def command_words(container: Any) -> list[str]:
    """The words of a container's command line."""
    lists = (get_path(container, field) for field in COMMAND_FIELDS)
    return [str(word) for words in lists if isinstance(words, list) for word in words]


def env_entries(spec: Any, path: Path) -> dict[str, tuple[Path, Any]]:
    """The environment at a path by name: where each variable is set, and its entry."""
    entries = value_at(spec, path)
    return {
        str(entry["name"]): ((*path, f"[{entry['name']}]"), entry)
        for entry in (entries if isinstance(entries, list) else [])
        if isinstance(entry, Mapping) and "name" in entry
    }


def _requires_cache_nodes(pod_spec: Mapping[str, Any]) -> bool:
    """Return whether a pod's affinity or node selector has a label of Fluid's caches."""
    keys = [str(key) for key in pod_spec.get("nodeSelector") or {}]
    for term in terms_of(pod_spec.get("affinity")) or []:
        expressions = term.get("matchExpressions") or []
        keys += [str(expression.get("key")) for expression in expressions if expression]
    return any(key.startswith("fluid.io/s-") for key in keys)


def _container_name(path: Path) -> str:
    return path[-1][1:-1] if path[-1].startswith("[") else "main"


def _free_volume_name(claim: str, claims: Mapping[str, str]) -> str:
    """A DNS label of at most 63 characters for a claim's volume, not yet in use."""
    base = re.sub(r"[^a-z0-9-]", "-", claim.lower())[:63].strip("-")
    name, count = base, 1
    while name in claims:
        suffix = "-cache" if count == 1 else f"-cache-{count}"
        name, count = base[: 63 - len(suffix)] + suffix, count + 1
    return name
