"""7xx: whether engines read the cached model, and frontends find its files."""

from __future__ import annotations

import re
from collections.abc import Iterator

from kubectl_fluidmodel.doctor.check import (
    CheckContext,
    Evidence,
    Finding,
    Fix,
    Severity,
    register_check,
)
from kubectl_fluidmodel.doctor.engine_paths import (
    command_evidence,
    engines_with_mount,
    env_is_true,
    expected_directory,
    model_directories,
)
from kubectl_fluidmodel.doctor.graph_usage import ComponentUsage, component_usages
from kubectl_fluidmodel.dynamo.component import Role
from kubectl_fluidmodel.dynamo.model_path import (
    OFFLINE_VARIABLES,
    SERVED_NAME_FLAG,
    EngineModel,
    command_mentions,
    hub_cache_variable,
    is_within,
    reads_hub,
)
from kubectl_fluidmodel.dynamo.object_paths import value_at
from kubectl_fluidmodel.fluid import names
from kubectl_fluidmodel.model.similarity import sort_by_similarity
from kubectl_fluidmodel.model.source import HUB_ID
from kubectl_fluidmodel.objects.access import Object, get_list
from kubectl_fluidmodel.output.shell import Command, chain

SELF_HOST_METADATA_ENV = "DYN_SELF_HOST_METADATA"
"""Makes a worker serve the files of its model card to the frontend."""
_HUB_CACHE_DIR = re.compile(r"(^|/)models--[^/]+")


@register_check("FM740", "the engines read the cache")
def engines_read_the_cache(context: CheckContext) -> Iterator[Finding]:
    """An engine downloads the model from the Hub although its worker mounts the cache.

    The engine is given the name of a model on the Hub, so it downloads the model again, in about 9
    minutes instead of 80 seconds, and nothing reads the mount. Give it the path of the mount; `pin
    --use-model-path` does so and keeps the served name.
    """
    for use, engine, mount in engines_with_mount(context):
        if reads_hub(use.component, engine, mount):
            yield Finding(
                use.about,
                f"component {use.component.name} mounts the cache at {mount}, and its engine "
                f"reads {engine.value} from the Hub",
                (command_evidence(use, engine), use.field_evidence("mount", mount)),
                use.pin_fix("--use-model-path"),
            )


@register_check("FM741", "the engines' paths are inside the mount")
def engine_paths_are_in_the_mount(context: CheckContext) -> Iterator[Finding]:
    """An engine reads a directory outside the cache's mount.

    It fails at startup, or it reads another volume while nothing uses the cache.
    """
    for use, engine, mount in engines_with_mount(context):
        path = engine.value
        if (
            not path.startswith("/")
            or is_within(path, mount)
            or command_mentions(use.component, engine, mount)
        ):
            continue
        mounts = [
            (v, p.rstrip("/")) for v, p in use.component.container_mounts(engine.container_path)
        ]
        other_volume = next((volume for volume, p in mounts if p and is_within(path, p)), "")
        location = f"is in volume {other_volume}" if other_volume else "is in no volume"
        yield Finding(
            use.about,
            f"component {use.component.name} reads {path}, which {location}; the cache is at "
            f"{mount}",
            (command_evidence(use, engine), use.field_evidence("mount", mount)),
            use.pin_fix("--use-model-path"),
        )


@register_check("FM742", "the engines' paths hold the model")
def engine_paths_hold_the_model(context: CheckContext) -> Iterator[Finding]:
    """An engine reads a path below the mount where there is no model.

    The directory is repeated (`/model/model`) or missing (without `path: /` Fluid puts the files
    below the mount's name), or the path belongs to another source. The engine fails with "model not
    found", or takes the path for a name on the Hub.
    """
    models = model_directories(context)
    for use, engine, mount in engines_with_mount(context):
        if not is_within(engine.value, mount):
            continue
        requested = engine.value.rstrip("/").removeprefix(mount.rstrip("/")).strip("/")
        folder, _, file = requested.rpartition("/")
        directory = expected_directory(context, mount, requested)
        if models is not None:
            is_present = not models or requested in models or (folder in models and "." in file)
            directory = None if is_present else sort_by_similarity(requested, models)[0]
        if directory is None:
            continue
        right = f"{mount.rstrip('/')}/{directory}".rstrip("/")
        reference = f"dataset {context.cache.namespace}/{context.cache.name}"
        directories = ", ".join(model or "at its root" for model in models or [directory])
        by_pin = use.pin_fix("--use-model-path")
        location = f"{use.about} component {use.component.name}, model path"
        by_hand = Fix(right, "advice", location)
        yield Finding(
            use.about,
            f"component {use.component.name} reads {engine.value}, and the model is at {right}",
            (command_evidence(use, engine), Evidence(reference, "where its model is", directories)),
            by_pin if len(models or [directory]) == 1 else by_hand,
            None if models or directory else Severity.WARNING,
        )


@register_check(
    "FM743", "the Hub's cache directory is outside the read-only mount", needs=(names.DATASETS,)
)
def hub_cache_is_outside_the_mount(context: CheckContext) -> Iterator[Finding]:
    """`HF_HOME` is inside the cache, which is read-only.

    The cache holds the plain files of a model. The Hub's library expects its own layout there
    (`hub/models--…`), does not find it, and cannot create it. If the engine is given a path, only
    its other downloads fail, and this is a warning. A cache that has the Hub's layout is fine.
    """
    models = model_directories(context)
    for use, engine, mount in engines_with_mount(context):
        variable = hub_cache_variable(use.component, engine, mount)
        if variable is None or any(_HUB_CACHE_DIR.search(model) for model in models or ()):
            continue
        name, value = variable
        by_name = bool(HUB_ID.fullmatch(engine.value))
        request_note = f", and requests {engine.value} from the Hub" if by_name else ""
        yield Finding(
            use.about,
            f"component {use.component.name} has {name}={value}, which is in the read-only cache"
            + request_note,
            (
                use.field_evidence(f"env {name}", value),
                command_evidence(use, engine),
                use.field_evidence("mount", mount),
            ),
            _move_hub_cache_fix(use, engine, name, by_name=by_name),
            None if by_name and models is not None else Severity.WARNING,
        )


@register_check("FM744", "the model keeps its name", severity=Severity.WARNING)
def model_keeps_its_name(context: CheckContext) -> Iterator[Finding]:
    """An engine serves the model under its path instead of its name.

    It is given a path and no `--served-model-name`, so clients that ask for `org/model` get a 404.
    `pin --use-model-path` keeps the previous name.
    """
    for use, engine, mount in engines_with_mount(context):
        if is_within(engine.value, mount) and not engine.has_served_name:
            location = f"{use.about} component {use.component.name}, args"
            yield Finding(
                use.about,
                f"component {use.component.name} serves the model under the name {engine.value}",
                (
                    command_evidence(use, engine),
                    use.field_evidence("arguments", f"no {SERVED_NAME_FLAG}"),
                ),
                Fix(f"{SERVED_NAME_FLAG} ORG/MODEL", "advice", location),
            )


@register_check(
    "FM745", "engines with local files do not contact the Hub", severity=Severity.WARNING
)
def engines_do_not_ask_the_hub(context: CheckContext) -> Iterator[Finding]:
    """An engine that reads the mount may still contact the Hub.

    Neither `HF_HUB_OFFLINE` nor `TRANSFORMERS_OFFLINE` is set. The engine asks the Hub for files
    and updates, waits where there is no internet access, and fails when the Hub does.
    """
    for use, engine, mount in engines_with_mount(context):
        off = any(env_is_true(use, engine, name) for name in OFFLINE_VARIABLES)
        if is_within(engine.value, mount) and not off:
            yield Finding(
                use.about,
                f"component {use.component.name} reads the mount but may also contact the Hub",
                (
                    command_evidence(use, engine),
                    use.field_evidence("env", f"no {OFFLINE_VARIABLES[0]}"),
                ),
                _set_env_fix(use, engine, OFFLINE_VARIABLES[0], "1"),
            )


@register_check("FM746", "the frontends have the model's files")
def frontends_have_the_model_files(context: CheckContext) -> Iterator[Finding]:
    """A frontend cannot read the model files that its workers announce.

    The workers serve from the mount, so the model card names local paths, and the frontend reads
    tokenizer and configuration from them. It needs the same mount at the same path, or workers that
    serve the files themselves (`DYN_SELF_HOST_METADATA=1`, newer operators).
    """
    serving: dict[str, tuple[ComponentUsage, str]] = {}
    for use, engine, mount in engines_with_mount(context):
        if is_within(engine.value, mount) and not env_is_true(use, engine, SELF_HOST_METADATA_ENV):
            serving.setdefault(use.about, (use, mount))
    for use in component_usages(context):
        if use.component.role is not Role.FRONTEND or use.about not in serving:
            continue
        worker, mount = serving[use.about]
        path = use.claim_mount.path.rstrip("/") or "/" if use.claim_mount else ""
        if path == mount:
            continue
        name = use.component.name
        has = f"has the cache at {path}" if path else "does not mount the cache"
        by_hand = _mount_path_fix(use, mount)
        yield Finding(
            use.about,
            f"frontend {name} {has}, and {worker.component.name} serves it from {mount}",
            (
                use.field_evidence("mount", path or f"no claim {context.cache.name}"),
                worker.field_evidence("mount", mount),
            ),
            by_hand if path else use.pin_fix("--mount-path", mount),
        )


def _set_env_fix(use: ComponentUsage, engine: EngineModel, name: str, value: str) -> Fix:
    """Set an environment variable of the engine's container."""
    container: Object = value_at(use.component.spec, engine.container_path) or {}
    other_variables = [
        variable for variable in get_list(container, "env") if variable.get("name") != name
    ]
    return use.set_field_fix(container, "env", [*other_variables, {"name": name, "value": value}])


def _move_hub_cache_fix(
    use: ComponentUsage, engine: EngineModel, name: str, *, by_name: bool
) -> Fix:
    """Move the Hub's cache directory; an engine with a model name also needs the path."""
    moved = _set_env_fix(use, engine, name, "/tmp/hf")  # noqa: S108 - a path in the pod
    pin = use.pin_fix("--use-model-path").text
    if by_name and isinstance(moved.text, Command) and isinstance(pin, Command):
        return Fix(chain(moved.text, pin))
    return moved


def _mount_path_fix(use: ComponentUsage, path: str) -> Fix:
    """Change the path at which a component mounts the cache."""
    volume = use.claim_mount.volume if use.claim_mount else ""
    mounts = (m for _, c in use.component.containers() for m in get_list(c, "volumeMounts"))
    volume_mount = next((mount for mount in mounts if mount.get("name") == volume), {})
    return use.set_field_fix(volume_mount, "mountPath", path)
