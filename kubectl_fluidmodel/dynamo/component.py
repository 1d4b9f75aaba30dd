"""One component of a graph: where its pod, its containers and its volumes are written down.

A shape subclasses `Component` and says where things are; what is done with them is the same
for all shapes. Nothing is changed but through a Journal.
"""

from __future__ import annotations

import enum
import json
import re
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from kubectl_fluidmodel.dynamo.object_paths import MISSING, Journal, Path, find
from kubectl_fluidmodel.errors import FluidModelError
from kubectl_fluidmodel.objects.access import at
from kubectl_fluidmodel.objects.gpus import gpus_of
from kubectl_fluidmodel.objects.node_selector import terms_of

BY_GPUS = "it asks for GPUs"
"""The reason for a role that needs no words: whoever reads the graph sees it, too."""
ENGINE = re.compile(r"(?<![\w.-])dynamo\.(vllm|sglang|trtllm)(?![\w.-])")
"""An engine as a command starts it."""


class Role(enum.Enum):
    """What pinning does to a component."""

    WORKER = "worker"
    """Reads the weights: gets the mount and the affinity."""
    FRONTEND = "frontend"
    """Reads the tokenizer and the configuration: gets the mount only."""
    OTHER = "other"
    """Planner, EPP and what we cannot tell: gets nothing."""


@dataclass(frozen=True)
class Mounted:
    """A claim as a container mounts it."""

    container: str
    volume: str
    path: str


class Component(ABC):
    """A component in one of the shapes; `spec` is its own part of the object being edited."""

    pod: ClassVar[Path]
    """Where the pod spec is, from `spec`."""
    main: ClassVar[Path]
    """Where the main container is."""
    annotations: ClassVar[Path]
    """Where annotations for the component's Deployment and pods are."""

    def __init__(self, name: str, spec: dict[str, Any], graph_spec: dict[str, Any]) -> None:
        self.name = name
        self.spec = spec
        self.graph_spec = graph_spec

    # -- what it is --------------------------------------------------------------------------

    @property
    @abstractmethod
    def declared_type(self) -> str:
        """The declared type in lower case, empty where there is none."""

    @property
    def role(self) -> Role:
        return self.role_and_reason()[0]

    def role_and_reason(self) -> tuple[Role, str]:
        """The role, and what it was told by where no type is declared (empty where one is).

        Operators up to 0.5 knew no types: there the names and the commands of Dynamo's own
        examples tell, and what the graph's author wrote for the cache.
        """
        kind = self.declared_type
        if kind in ("worker", "prefill", "decode"):
            return Role.WORKER, ""
        if kind == "frontend":
            return Role.FRONTEND, ""
        if kind not in ("", "main"):
            return Role.OTHER, ""
        if self.gpus() or self._configured_gpus():
            return Role.WORKER, BY_GPUS
        words = " ".join(str(w) for f in ("command", "args") for w in self._words(f))
        engine = ENGINE.search(words)
        if engine:
            return Role.WORKER, f"it starts {engine[0]}"
        if _requires_cache(self.pod_spec()):
            return Role.WORKER, "it requires the nodes of a cache"
        if re.search(r"(?<![\w.])dynamo\.frontend(?![\w.])", words):
            return Role.FRONTEND, "it starts dynamo.frontend"
        if re.search(r"worker$", self.name, re.IGNORECASE):
            return Role.WORKER, "by its name"
        if self.name.lower() in ("frontend", "processor"):
            return Role.FRONTEND, "by its name"
        return Role.OTHER, ""

    def _words(self, field: str) -> list[Any]:
        found = self.main_container().get(field)
        return found if isinstance(found, list) else []

    def _configured_gpus(self) -> bool:
        """Whether DYN_DEPLOYMENT_CONFIG, as graphs up to 0.5 have it, gives it GPUs."""
        for entry in self.graph_spec.get("envs") or []:
            if not isinstance(entry, dict) or entry.get("name") != "DYN_DEPLOYMENT_CONFIG":
                continue
            try:
                config = json.loads(str(entry.get("value") or "{}"))
            except ValueError:
                return False
            resources = at(config, self.name, "ServiceArgs", "resources", default={})
            return bool(resources.get("gpu")) if isinstance(resources, dict) else False
        return False

    @property
    def replicas(self) -> int:
        found = self.spec.get("replicas")
        return found if isinstance(found, int) else 1

    @property
    def nodes_per_replica(self) -> int:
        """Pods, each on a node of its own, that make up one replica."""
        found = at(self.spec, "multinode", "nodeCount")
        return found if isinstance(found, int) and found > 1 else 1

    def gpus(self) -> dict[str, int]:
        """GPUs that one pod asks for, by resource name."""
        total: dict[str, int] = {}
        for _, container in self.containers():
            for name, count in gpus_of(container.get("resources")).items():
                total[name] = total.get(name, 0) + count
        return total

    @property
    def own_pod_template(self) -> str:
        """Where the component has a second pod template that pinning does not reach, or empty."""
        return ""

    # -- its pod -----------------------------------------------------------------------------

    def pod_spec(self) -> dict[str, Any]:
        """The pod spec as written; empty where there is none."""
        found = find(self.spec, self.pod)
        return found if isinstance(found, dict) else {}

    def pod_annotations(self) -> dict[str, str]:
        found = find(self.spec, self.annotations)
        return found if isinstance(found, dict) else {}

    def main_container(self) -> dict[str, Any]:
        found = find(self.spec, self.main)
        return found if isinstance(found, dict) else {}

    def containers(self) -> Iterator[tuple[Path, dict[str, Any]]]:
        """The containers that are written down, the main one first, with their paths."""
        main = self.main_container()
        if main:
            yield self.main, main
        for container in self.pod_spec().get("containers") or []:
            if isinstance(container, dict) and container is not main and container.get("name"):
                yield (*self.pod, "containers", f"[{container['name']}]"), container

    def readers(self) -> list[Path]:
        """The containers that read the model: main, those with GPUs, the frontend sidecar.

        An engine may run beside `main`, and operators before 1.2 give a frontend sidecar none
        of main's mounts.
        """
        paths = [self.main]
        for path, container in self.containers():
            sidecar = container.get("name") == self.spec.get("frontendSidecar")
            if path != self.main and (gpus_of(container.get("resources")) or sidecar):
                paths.append(path)
        return paths

    def env(self) -> dict[str, tuple[Path, Any]]:
        """Environment of the main container by name: where each is set, and the entry."""
        return env_at(self.spec, (*self.main, "env"))

    @property
    def new_env(self) -> Path:
        """The list that a new variable of the main container goes into."""
        return (*self.main, "env")

    # -- volumes -----------------------------------------------------------------------------

    def volumes(self) -> dict[str, str]:
        """Volume name to claim name (empty where it is no claim), as the pod will have them."""
        found: dict[str, str] = {}
        for volume in self.pod_spec().get("volumes") or []:
            if isinstance(volume, dict):
                claim = at(volume, "persistentVolumeClaim", "claimName", default="")
                found[str(volume.get("name"))] = str(claim)
        return found

    def mounts(self, path: Path) -> list[tuple[str, str]]:
        """Volume and mount path of one container's mounts."""
        container = find(self.spec, path)
        listed = container.get("volumeMounts") if isinstance(container, dict) else None
        return [
            (str(mount.get("name")), str(mount.get("mountPath")))
            for mount in listed or []
            if isinstance(mount, dict)
        ]

    def partial_mounts(self, path: Path) -> set[str]:
        """Mount paths of one container that show a directory of their volume, not all of it."""
        container = find(self.spec, path)
        listed = container.get("volumeMounts") if isinstance(container, dict) else None
        return {
            str(mount.get("mountPath"))
            for mount in listed or []
            if isinstance(mount, dict) and (mount.get("subPath") or mount.get("subPathExpr"))
        }

    def mounted(self, claim: str, path: Path) -> Mounted | None:
        """How a container mounts the whole of a claim, None where it does not."""
        volumes, partial = self.volumes(), self.partial_mounts(path)
        for volume, where in self.mounts(path):
            if where in partial:
                continue
            # A mount in main without its volume gets the claim of its name from the operator.
            implied = path == self.main and volume not in volumes and volume == claim
            if volumes.get(volume) == claim or implied:
                return Mounted(_container_name(path), volume, where)
        return None

    def mount(self, journal: Journal, claim: str, where: str) -> list[str]:
        """Give every reader the claim at a path; returns remarks for the user.

        Raises:
            FluidModelError: something else is mounted there.
        """
        for path in self.readers():
            if not self.mounted(claim, path):
                self.check_free(path, where)
        return self._mount_volume(journal, claim, where, self.readers())

    def check_free(self, path: Path, where: str) -> None:
        """Refuse a mount path that a container already uses."""
        for volume, used in self.mounts(path):
            if used.rstrip("/") == where.rstrip("/"):
                raise FluidModelError(
                    f"cannot mount the cache at {where} in component {self.name}",
                    f"container {_container_name(path)} has volume '{volume}' there",
                    "--mount-path with another path",
                )

    def _mount_volume(
        self, journal: Journal, claim: str, where: str, readers: list[Path]
    ) -> list[str]:
        """The mount as a volume of the pod, read-only."""
        wanting = [path for path in readers if not self.mounted(claim, path)]
        if not wanting:
            return []
        volume = next((name for name, found in self.volumes().items() if found == claim), "")
        if not volume:
            volume = _volume_name(claim, self.volumes())
            source = {"claimName": claim, "readOnly": True}
            journal.append(
                (*self.pod, "volumes"), {"name": volume, "persistentVolumeClaim": source}
            )
        for path in wanting:
            mount = {
                "name": volume,
                "mountPath": where,
                "readOnly": True,
                # What Fluid mounts anew after its FUSE ended reaches the running pod.
                "mountPropagation": "HostToContainer",
            }
            journal.append((*path, "volumeMounts"), mount)
        return []


def env_at(spec: Any, path: Path) -> dict[str, tuple[Path, Any]]:
    listed = find(spec, path)
    if listed is MISSING or not isinstance(listed, list):
        return {}
    return {
        str(entry["name"]): ((*path, f"[{entry['name']}]"), entry)
        for entry in listed
        if isinstance(entry, Mapping) and "name" in entry
    }


def _requires_cache(pod_spec: Mapping[str, Any]) -> bool:
    """Whether a pod's affinity or node selector has a label of Fluid's caches."""
    keys = [str(key) for key in pod_spec.get("nodeSelector") or {}]
    for term in terms_of(pod_spec.get("affinity")) or []:
        keys += [str(e.get("key")) for e in term.get("matchExpressions") or [] if e]
    return any(key.startswith("fluid.io/s-") for key in keys)


def _container_name(path: Path) -> str:
    return path[-1][1:-1] if path[-1].startswith("[") else "main"


def _volume_name(claim: str, taken: Mapping[str, str]) -> str:
    """A DNS label of at most 63 characters for a claim's volume, not yet in use."""
    base = re.sub(r"[^a-z0-9-]", "-", claim.lower())[:63].strip("-")
    name, count = base, 1
    while name in taken:
        suffix = "-cache" if count == 1 else f"-cache-{count}"
        name, count = base[: 63 - len(suffix)] + suffix, count + 1
    return name
