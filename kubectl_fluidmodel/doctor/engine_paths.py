"""Compare the paths that engines of graphs read with the cache's mount. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from kubectl_fluidmodel.doctor.check import CheckContext, Evidence
from kubectl_fluidmodel.doctor.graph_usage import ComponentUsage, reading_workers
from kubectl_fluidmodel.dynamo import model_path
from kubectl_fluidmodel.dynamo.model_path import EngineModel
from kubectl_fluidmodel.fluid.mount import claim_directory
from kubectl_fluidmodel.objects.access import get_list
from kubectl_fluidmodel.snapshot.probe_result import MAX_LISTED


def engines_with_mount(context: CheckContext) -> Iterator[tuple[ComponentUsage, EngineModel, str]]:
    """The engines in workers that mount the cache, with the path of the mount."""
    for use in reading_workers(context):
        for engine in model_path.engine_models(use.component):
            mount = use.component.find_claim_mount(context.cache.name, engine.container_path)
            if mount is not None:
                yield use, engine, mount.path.rstrip("/") or "/"


def env_is_true(use: ComponentUsage, engine: EngineModel, name: str) -> bool:
    """Whether a variable is set to a true value."""
    value = model_path.env_value(use.component, name, engine.container_path)
    return value.lower() in ("1", "true", "yes", "on")


def command_evidence(use: ComponentUsage, engine: EngineModel) -> Evidence:
    name = engine.container_path[-1].strip("[]")
    return use.field_evidence(f"command of {name}", f"model {engine.value}")


def model_directories(context: CheckContext) -> list[str] | None:
    """The directories below the claim that hold a model; None if the source was not listed."""
    cache = context.cache
    results = context.snapshot.probe_results.get((cache.namespace, cache.name))
    mounts = get_list(cache.dataset, "spec", "mounts")
    if results is None or len(results) != len(mounts):
        return None
    directories = []
    for result, mount in zip(results, mounts, strict=True):
        contents = result.contents
        if contents is None or not contents.complete or len(contents.models) >= MAX_LISTED:
            return None
        directories += [
            "/".join(p for p in (claim_directory(mount), model) if p) for model in contents.models
        ]
    return directories


def expected_directory(context: CheckContext, mount: str, requested: str) -> str | None:
    """The directory of the model, if the requested path below the mount cannot be right.

    None if the path alone does not show that.
    """
    mounts = get_list(context.cache.dataset, "spec", "mounts")
    if len(mounts) != 1:
        return None
    directory = claim_directory(mounts[0])
    if directory:
        return None if model_path.is_within(f"/{requested}", f"/{directory}") else directory
    twice = requested in (mount.rpartition("/")[2], str(mounts[0].get("name") or ""))
    return "" if twice and requested else None
