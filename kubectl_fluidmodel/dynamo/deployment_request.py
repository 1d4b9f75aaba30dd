"""DynamoGraphDeploymentRequest: what to add so that its generated graph reads a cache. Pure."""

from __future__ import annotations

from typing import Any

from kubectl_fluidmodel.dynamo.object_paths import value_at
from kubectl_fluidmodel.objects.access import Object

_CLAIM_NAMES = (("spec", "modelCache", "pvcName"), ("spec", "modelRef", "cache", "pvc", "name"))
_MOUNT_PATHS = (
    ("spec", "modelCache", "pvcMountPath"),
    ("spec", "modelRef", "cache", "pvc", "mountPath"),
)


def request_mount_path(obj: Object) -> str:
    """Where a request has its model mounted; empty if it does not say."""
    mount_paths = [value_at(obj, path) for path in _MOUNT_PATHS]
    return next((path for path in mount_paths if isinstance(path, str)), "")


def request_patch(obj: Object, cache: str, mount_path: str, subpath: str = "") -> Object:
    """Return what to add to a request so that its graph reads the cache.

    Without a model path, the profiler treats the claim as a cache of the Hub's client, and the
    workers download the model again; `.` is the root of the claim (ai-dynamo/dynamo, profiler, 1.5
    and 1.6).
    """
    directory = subpath or "."
    version = str(obj.get("apiVersion", "")).rpartition("/")[2]
    if version == "v1beta2":
        claim = {"name": cache, "mountPath": mount_path, "modelPath": directory}
        return {"spec": {"modelRef": {"cache": {"pvc": claim}}}}
    model_cache = {"pvcName": cache, "pvcMountPath": mount_path, "pvcModelPath": directory}
    return {"spec": {"modelCache": model_cache}}


def request_conflicts(obj: Object, cache: str, mount_path: str, subpath: str = "") -> list[str]:
    """Return the request's other settings of the model's location, one sentence each."""
    conflicts = []
    for path in _CLAIM_NAMES:
        claim = value_at(obj, path)
        if isinstance(claim, str) and claim != cache:
            conflicts.append(f"it names claim {claim} in {'.'.join(path)}: the patch replaces that")
    overrides = value_at(obj, ("spec", "overrides", "dgd"))
    claims = sorted(_claims_in(overrides) - {cache}) if isinstance(overrides, dict) else []
    conflicts += [
        f"spec.overrides.dgd mounts claim {name}: remove it there, or the graph mounts it, too"
        for name in claims
    ]
    model = f"{mount_path.rstrip('/')}/{subpath.strip('/')}".rstrip("/")
    return conflicts + [
        f"spec.overrides.dgd names {path}: the model will be at {model}"
        for path in sorted(_paths_in(overrides, request_mount_path(obj) or mount_path))
        if path.rstrip("/") != model
    ]


def _paths_in(value: Any, mount_path: str) -> set[str]:
    """The words in a part of a graph that are paths below a mount."""
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list):
        return {path for item in value for path in _paths_in(item, mount_path)}
    inside = f"{mount_path.rstrip('/')}/"
    words = value.split() if isinstance(value, str) else []
    return {path for word in words if (path := word.rpartition("=")[2]).startswith(inside)}


def _claims_in(value: Any) -> set[str]:
    """Return the names of all claims in a part of a graph."""
    if isinstance(value, list):
        return {name for item in value for name in _claims_in(item)}
    if not isinstance(value, dict):
        return set()
    claim = value.get("claimName")
    return ({claim} if isinstance(claim, str) else set()) | {
        name for item in value.values() for name in _claims_in(item)
    }
