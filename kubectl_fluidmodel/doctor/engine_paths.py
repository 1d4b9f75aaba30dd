"""Compare the paths that engines of graphs read with the cache's mount. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator

from kubectl_fluidmodel.doctor.check import CheckContext, Evidence
from kubectl_fluidmodel.doctor.graph_usage import ComponentUsage, reading_workers
from kubectl_fluidmodel.dynamo import model_path
from kubectl_fluidmodel.dynamo.model_path import EngineModel
from kubectl_fluidmodel.dynamo.object_paths import value_at
from kubectl_fluidmodel.fluid.mount import claim_directory
from kubectl_fluidmodel.objects.access import get_list, get_path
from kubectl_fluidmodel.snapshot.probe_result import MAX_LISTED

HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")
_HUB_CACHE_VARIABLES = ("HF_HOME", "HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE")


def engines_with_mount(context: CheckContext) -> Iterator[tuple[ComponentUsage, EngineModel, str]]:
    """The engines in workers that mount the cache, with the path of the mount."""
    for use in reading_workers(context):
        for engine in model_path.engine_models(use.component):
            mount = use.component.find_claim_mount(context.cache.name, engine.container_path)
            if mount is not None:
                yield use, engine, mount.path.rstrip("/") or "/"


def is_within(path: str, mount: str) -> bool:
    """Whether a path is the mount or below it."""
    return path.rstrip("/") == mount or path.startswith(mount.rstrip("/") + "/")


def hub_cache_variable(
    use: ComponentUsage, engine: EngineModel, mount: str
) -> tuple[str, str] | None:
    """The variable that puts the Hub client's cache into the mount, with its value."""
    for name in _HUB_CACHE_VARIABLES:
        value = model_path.env_value(use.component, name, engine.container_path)
        if value and is_within(value, mount):
            return name, value
    return None


def env_is_true(use: ComponentUsage, engine: EngineModel, name: str) -> bool:
    """Whether a variable is set to a true value."""
    value = model_path.env_value(use.component, name, engine.container_path)
    return value.lower() in ("1", "true", "yes", "on")


def command_mentions(use: ComponentUsage, engine: EngineModel, mount: str) -> bool:
    """Whether the command mentions the mount anywhere, such as for a draft model."""
    container = value_at(use.component.spec, engine.container_path)
    arguments = [
        str(w) for part in ("command", "args") for w in get_path(container, part, default=[])
    ]
    pattern = re.compile(rf"(?<![\w/.-]){re.escape(mount)}(?![\w.-])")
    return any(pattern.search(word) for word in arguments)


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
    found = []
    for result, mount in zip(results, mounts, strict=True):
        listed = result.contents
        if listed is None or not listed.complete or len(listed.models) >= MAX_LISTED:
            return None
        found += [
            "/".join(p for p in (claim_directory(mount), model) if p) for model in listed.models
        ]
    return found


def expected_directory(context: CheckContext, mount: str, requested: str) -> str | None:
    """The directory of the model, if the requested path below the mount cannot be right.

    None if the path alone does not show that.
    """
    mounts = get_list(context.cache.dataset, "spec", "mounts")
    if len(mounts) != 1:
        return None
    directory = claim_directory(mounts[0])
    if directory:
        return None if is_within(f"/{requested}", f"/{directory}") else directory
    twice = requested in (mount.rpartition("/")[2], str(mounts[0].get("name") or ""))
    return "" if twice and requested else None
