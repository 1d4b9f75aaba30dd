"""7xx: do the engines read what the cache holds, and do frontends find it?"""

from __future__ import annotations

import re
from collections.abc import Iterator

from kubectl_fluidmodel.doctor.check import Case, Evidence, Finding, Fix, Severity, check
from kubectl_fluidmodel.doctor.engine_paths import (
    HUB_ID,
    command,
    engines,
    expected,
    home,
    inside,
    is_on,
    mentioned,
    models_in,
)
from kubectl_fluidmodel.doctor.graph_usage import Use, uses
from kubectl_fluidmodel.doctor.mount_probe.model_files import by_likeness
from kubectl_fluidmodel.dynamo.component import Role
from kubectl_fluidmodel.dynamo.model_path import OFFLINE, SERVED, Named
from kubectl_fluidmodel.dynamo.object_paths import find
from kubectl_fluidmodel.fluid import names
from kubectl_fluidmodel.objects.access import Object, dicts
from kubectl_fluidmodel.output.shell import Command, chain

SELF_HOST = "DYN_SELF_HOST_METADATA"
"""Lets a worker give its model card's files out to the frontend itself."""
_HUB_CACHE = re.compile(r"(^|/)models--[^/]+")


@check("FM740", "the engines read the cache")
def reads_it(case: Case) -> Iterator[Finding]:
    """The worker mounts the cache, and its engine is given the name of a model of the Hub: it
    downloads the model again, in about 9 minutes instead of 80 seconds, and the mount is never
    read. Give it the mount's path; `pin --use-model-path` does, and keeps the served name.
    """
    for use, engine, mount in engines(case):
        hub = bool(HUB_ID.fullmatch(engine.value))
        if hub and not home(use, engine, mount) and not mentioned(use, engine, mount):
            yield Finding(
                use.about,
                f"component {use.component.name} mounts the cache at {mount}, and its engine "
                f"reads {engine.value} from the Hub",
                (command(use, engine), use.field("mount", mount)),
                use.pin("--use-model-path"),
            )


@check("FM741", "the engines' paths lead into the mount")
def under_the_mount(case: Case) -> Iterator[Finding]:
    """The engine is given a directory that is not below the cache's mount: it fails when it starts,
    or reads another volume while the cache lies idle.
    """
    for use, engine, mount in engines(case):
        path = engine.value
        if not path.startswith("/") or inside(path, mount) or mentioned(use, engine, mount):
            continue
        others = [(v, p.rstrip("/")) for v, p in use.component.mounts(engine.container)]
        other = next((volume for volume, p in others if p and inside(path, p)), "")
        what = f"is in volume {other}" if other else "is in no volume"
        yield Finding(
            use.about,
            f"component {use.component.name} reads {path}, which {what}; the cache is at {mount}",
            (command(use, engine), use.field("mount", mount)),
            use.pin("--use-model-path"),
        )


@check("FM742", "the engines' paths hold the model")
def path_exists(case: Case) -> Iterator[Finding]:
    """The path is below the mount, and the source has no model there: the directory is named twice
    (`/model/model`), is missing (with no `path: /` Fluid puts the files below the mount's name),
    or belongs to another source. The engine fails with "model not found", or takes the path for
    a name on the Hub.
    """
    models = models_in(case)
    for use, engine, mount in engines(case):
        if not inside(engine.value, mount):
            continue
        asked = engine.value.rstrip("/").removeprefix(mount.rstrip("/")).strip("/")
        folder, _, file = asked.rpartition("/")
        found = expected(case, mount, asked)
        if models is not None:
            there = not models or asked in models or (folder in models and "." in file)
            found = None if there else by_likeness(asked, models)[0]
        if found is None:
            continue
        right = f"{mount.rstrip('/')}/{found}".rstrip("/")
        about = f"dataset {case.own.namespace}/{case.own.name}"
        listed = ", ".join(each or "at its root" for each in models or [found])
        by_pin = use.pin("--use-model-path")
        where = f"{use.about} component {use.component.name}, model path"
        by_hand = Fix(right, "advice", where)
        yield Finding(
            use.about,
            f"component {use.component.name} reads {engine.value}, and the model is at {right}",
            (command(use, engine), Evidence(about, "where its model is", listed)),
            by_pin if len(models or [found]) == 1 else by_hand,
            None if models or found else Severity.WARNING,
        )


@check("FM743", "the Hub's cache is not in the read-only mount", needs=(names.DATASETS,))
def home_outside(case: Case) -> Iterator[Finding]:
    """`HF_HOME` lies in the cache, which holds a model's plain files and is read-only. The Hub's
    library looks for a layout of its own there (`hub/models--…`), finds none, and cannot write
    one. Where the engine is given a path this only breaks what it downloads besides; then it is a
    warning. A cache that does have that layout is well.
    """
    models = models_in(case)
    for use, engine, mount in engines(case):
        found = home(use, engine, mount)
        if found is None or any(_HUB_CACHE.search(each) for each in models or ()):
            continue
        name, value = found
        by_name = bool(HUB_ID.fullmatch(engine.value))
        asks = f", and asks the Hub for {engine.value}" if by_name else ""
        yield Finding(
            use.about,
            f"component {use.component.name} has {name}={value}, which is the read-only cache"
            + asks,
            (use.field(f"env {name}", value), command(use, engine), use.field("mount", mount)),
            _outside(use, engine, name, by_name=by_name),
            None if by_name and models is not None else Severity.WARNING,
        )


@check("FM744", "the model keeps its name", severity=Severity.WARNING)
def served_name(case: Case) -> Iterator[Finding]:
    """An engine that is given a path and no `--served-model-name` serves the model under the path:
    clients that ask for `org/model` get a 404. `pin --use-model-path` keeps the name that was
    there.
    """
    for use, engine, mount in engines(case):
        if inside(engine.value, mount) and not engine.served:
            where = f"{use.about} component {use.component.name}, args"
            yield Finding(
                use.about,
                f"component {use.component.name} serves the model under the name {engine.value}",
                (command(use, engine), use.field("arguments", f"no {SERVED}")),
                Fix(f"{SERVED} ORG/MODEL", "advice", where),
            )


@check("FM745", "engines that have the files do not ask the Hub", severity=Severity.WARNING)
def offline(case: Case) -> Iterator[Finding]:
    """The engine reads the mount, and neither `HF_HUB_OFFLINE` nor `TRANSFORMERS_OFFLINE` is set:
    it still asks the Hub for files and updates, waits where there is no way out, and fails when
    the Hub does.
    """
    for use, engine, mount in engines(case):
        off = any(is_on(use, engine, name) for name in OFFLINE)
        if inside(engine.value, mount) and not off:
            yield Finding(
                use.about,
                f"component {use.component.name} reads the mount and may ask the Hub besides",
                (command(use, engine), use.field("env", f"no {OFFLINE[0]}")),
                _set_env(use, engine, OFFLINE[0], "1"),
            )


@check("FM746", "the frontends have the model's files")
def frontend(case: Case) -> Iterator[Finding]:
    """The workers serve from the mount, so the model card names files by their local paths, and the
    frontend reads tokenizer and configuration by them. It needs the same mount at the same path,
    or workers that give the files out themselves (`DYN_SELF_HOST_METADATA=1`, newer operators).
    """
    serving: dict[str, tuple[Use, str]] = {}
    for use, engine, mount in engines(case):
        if inside(engine.value, mount) and not is_on(use, engine, SELF_HOST):
            serving.setdefault(use.about, (use, mount))
    for use in uses(case):
        if use.component.role is not Role.FRONTEND or use.about not in serving:
            continue
        worker, mount = serving[use.about]
        path = use.mounted.path.rstrip("/") or "/" if use.mounted else ""
        if path == mount:
            continue
        name = use.component.name
        has = f"has the cache at {path}" if path else "does not mount the cache"
        by_hand = _mounted_at(use, mount)
        yield Finding(
            use.about,
            f"frontend {name} {has}, and {worker.component.name} serves it from {mount}",
            (
                use.field("mount", path or f"no claim {case.own.name}"),
                worker.field("mount", mount),
            ),
            by_hand if path else use.pin("--mount-path", mount),
        )


def _set_env(use: Use, engine: Named, name: str, value: str) -> Fix:
    """Give the engine's container a variable, instead of the one that it has of that name."""
    container: Object = find(use.component.spec, engine.container) or {}
    kept = [each for each in dicts(container, "env") if each.get("name") != name]
    return use.change(container, "env", [*kept, {"name": name, "value": value}])


def _outside(use: Use, engine: Named, name: str, *, by_name: bool) -> Fix:
    """The Hub's cache elsewhere; an engine that asks for a name has to be given the path, too."""
    moved = _set_env(use, engine, name, "/tmp/hf")  # noqa: S108 - a path in the pod
    pinned = use.pin("--use-model-path").text
    both = isinstance(moved.text, Command) and isinstance(pinned, Command) and by_name
    if both and isinstance(moved.text, Command) and isinstance(pinned, Command):
        return Fix(chain(moved.text, pinned))
    return moved


def _mounted_at(use: Use, path: str) -> Fix:
    """Mount the cache of a component elsewhere."""
    volume = use.mounted.volume if use.mounted else ""
    mounts = (m for _, c in use.component.containers() for m in dicts(c, "volumeMounts"))
    mine = next((each for each in mounts if each.get("name") == volume), {})
    return use.change(mine, "mountPath", path)
