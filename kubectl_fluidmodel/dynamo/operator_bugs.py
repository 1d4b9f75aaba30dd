"""Known problems of some releases of Dynamo's operator with a pinned graph. Pure.

Each is one sentence for the user, with the issue in ai-dynamo/dynamo.
"""

from __future__ import annotations

from collections import Counter

from kubectl_fluidmodel.dynamo import model_path
from kubectl_fluidmodel.dynamo.component import Component


def known_problems(component: Component, mount_path: str) -> list[str]:
    """The problems that a component will have with its operator or its engine."""
    return [
        *_missing_image(component),
        *_repeated_volume(component),
        *_sidecar_without_mounts(component),
        *_engine_reads_elsewhere(component, mount_path),
    ]


def _missing_image(component: Component) -> list[str]:
    """Operators from 1.5 require an image for every main container (deprecations of 1.5.0)."""
    if component.main_container().get("image") or component.pod_path == ("podTemplate", "spec"):
        return []
    return [
        f"component {component.name} names no image, without which operators from 1.5 refuse it"
    ]


def _repeated_volume(component: Component) -> list[str]:
    """One volume with two `subPath` mounts becomes two volumes on Grove (dynamo#10822)."""
    if component.nodes_per_replica == 1:
        return []
    partial = component.subpath_mounts(component.main_path)
    count = Counter(
        name for name, path in component.container_mounts(component.main_path) if path in partial
    )
    return [
        f"component {component.name} mounts parts of volume {name} {number} times: on Grove, "
        "operators before dynamo#10823 repeat the volume, and the API server rejects that"
        for name, number in count.items()
        if number > 1
    ]


def _sidecar_without_mounts(component: Component) -> list[str]:
    """The operator generates v1alpha1's sidecar container (dynamo#8707, fixed by #8598)."""
    if not isinstance(component.spec.get("frontendSidecar"), dict):
        return []
    return [
        f"component {component.name}: operators before 1.2 give the frontend sidecar no mounts, so "
        "it downloads from the Hub (dynamo#8707)"
    ]


def _engine_reads_elsewhere(component: Component, mount_path: str) -> list[str]:
    """An engine that reads the Hub, or a directory outside the mount."""
    where = mount_path.rstrip("/")
    models = []
    for engine in model_path.engine_models(component):
        if model_path.reads_hub(component, engine, where):
            models.append(f"{engine.value} from the Hub")
        elif engine.value.startswith("/") and not model_path.is_within(engine.value, where):
            models.append(engine.value)
    return [
        f"component {component.name}: its engine reads {model}, not {where}; "
        "--use-model-path changes it"
        for model in models
    ]
