"""What is known to go wrong with a graph on some releases of Dynamo's operator. Pure.

Each is one sentence for the user, with the issue that tells of it.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

from kubectl_fluidmodel.dynamo import model_path
from kubectl_fluidmodel.dynamo.component import Component
from kubectl_fluidmodel.dynamo.object_paths import value_at


def known_problems(component: Component, mount_path: str) -> list[str]:
    """What the operator or the engine of a component will stumble over."""
    return [
        *_missing_image(component),
        *_repeated_volume(component),
        *_sidecar_without_mounts(component),
        *_engine_reads_elsewhere(component, mount_path),
    ]


def _missing_image(component: Component) -> list[str]:
    """Operators from 1.5 want an image for every main container (deprecations of 1.5.0)."""
    if component.main_container().get("image") or component.pod_path == ("podTemplate", "spec"):
        return []
    return [
        f"component {component.name} names no image, without which operators from 1.5 refuse it"
    ]


def _repeated_volume(component: Component) -> list[str]:
    """One volume with two mounts of parts of it becomes two volumes on Grove (dynamo#10822)."""
    if component.nodes_per_replica == 1:
        return []
    partial = component.subpath_mounts(component.main_path)
    count = Counter(
        name for name, path in component.container_mounts(component.main_path) if path in partial
    )
    return [
        f"component {component.name} mounts parts of volume {name} {number} times: operators "
        "before dynamo#10823 list the volume as often on Grove, and the API server refuses that"
        for name, number in count.items()
        if number > 1
    ]


def _sidecar_without_mounts(component: Component) -> list[str]:
    """v1alpha1's sidecar is a container that the operator writes, without mounts (dynamo#8707)."""
    if not isinstance(component.spec.get("frontendSidecar"), dict):
        return []
    return [
        f"component {component.name}: the frontend sidecar of v1alpha1 gets no mounts and does not "
        "see the cache: it downloads from the Hub (dynamo#8707); with v1beta1 it is mounted, too"
    ]


def _engine_reads_elsewhere(component: Component, mount_path: str) -> list[str]:
    """An engine that reads another directory than the mount."""
    where = mount_path.rstrip("/")
    return [
        f"component {component.name}: its engine reads {engine.value}, not {where}; "
        "--use-model-path points it there"
        for engine in model_path.engine_models(component)
        if engine.value.startswith("/")
        and not f"{engine.value.rstrip('/')}/".startswith(f"{where}/")
    ]


def request_conflicts(obj: dict[str, Any], model: str) -> list[str]:
    """What else a DynamoGraphDeploymentRequest says of where the model is."""
    found = []
    for path in (("spec", "modelCache", "pvcName"), ("spec", "modelRef", "cache", "pvc", "name")):
        claim = value_at(obj, path)
        if isinstance(claim, str) and claim != model:
            found.append(f"it names claim {claim} in {'.'.join(path)}: the patch replaces that")
    overrides = value_at(obj, ("spec", "overrides", "dgd"))
    others = sorted(_claims(overrides) - {model}) if isinstance(overrides, dict) else []
    found += [
        f"spec.overrides.dgd mounts claim {name}: take it out, or it stays" for name in others
    ]
    return found


def _claims(value: Any) -> set[str]:
    """The names of all claims that are mentioned in a part of a graph."""
    if isinstance(value, list):
        return {name for item in value for name in _claims(item)}
    if not isinstance(value, dict):
        return set()
    own = value.get("claimName")
    return ({own} if isinstance(own, str) else set()) | {
        name for item in value.values() for name in _claims(item)
    }
