"""What the engines of a graph's workers are told to read, held against the cache. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator

from kubectl_fluidmodel.doctor.check import Case, Evidence
from kubectl_fluidmodel.doctor.graph_usage import Use, readers
from kubectl_fluidmodel.doctor.mount_probe import result
from kubectl_fluidmodel.dynamo import model_path
from kubectl_fluidmodel.dynamo.model_path import Named
from kubectl_fluidmodel.dynamo.object_paths import find
from kubectl_fluidmodel.errors import FluidModelError
from kubectl_fluidmodel.fluid.mount import directory
from kubectl_fluidmodel.objects.access import at, dicts

HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")
_HOMES = ("HF_HOME", "HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE")


def engines(case: Case) -> Iterator[tuple[Use, Named, str]]:
    """The engines in workers that mount the cache: what they read, and the mount's path."""
    for use in readers(case):
        for engine in model_path.named(use.component):
            there = use.component.mounted(case.own.name, engine.container)
            if there is not None:
                yield use, engine, there.path.rstrip("/") or "/"


def inside(path: str, mount: str) -> bool:
    """Whether a path is the mount or below it."""
    return path.rstrip("/") == mount or path.startswith(mount.rstrip("/") + "/")


def home(use: Use, engine: Named, mount: str) -> tuple[str, str] | None:
    """The variable that puts the Hub's cache into the mount, with its value."""
    for name in _HOMES:
        value = model_path.setting(use.component, name, engine.container)
        if value and inside(value, mount):
            return name, value
    return None


def is_on(use: Use, engine: Named, name: str) -> bool:
    """Whether a variable is set to what counts as true."""
    value = model_path.setting(use.component, name, engine.container)
    return value.lower() in ("1", "true", "yes", "on")


def mentioned(use: Use, engine: Named, mount: str) -> bool:
    """Whether the command speaks of the mount anywhere, such as for a draft model."""
    container = find(use.component.spec, engine.container)
    words = [str(w) for part in ("command", "args") for w in at(container, part, default=[])]
    whole = re.compile(rf"(?<![\w/.-]){re.escape(mount)}(?![\w.-])")
    return any(whole.search(word) for word in words)


def command(use: Use, engine: Named) -> Evidence:
    name = engine.container[-1].strip("[]")
    return use.field(f"command of {name}", f"model {engine.value}")


def models_in(case: Case) -> list[str] | None:
    """The directories below the claim that hold a model; None where nobody listed the source."""
    cache = case.own
    try:
        told = result.read(case.snapshot, cache.namespace, cache.name)
    except FluidModelError:
        return None
    mounts = dicts(cache.dataset, "spec", "mounts")
    if told is None or len(told.answers) != len(mounts):
        return None
    found = []
    for given, mount in zip(told.answers, mounts, strict=True):
        listed = given.found
        if listed is None or not listed.whole or len(listed.models) >= result.SHOWN:
            return None
        found += ["/".join(p for p in (directory(mount), each) if p) for each in listed.models]
    return found


def expected(case: Case, mount: str, asked: str) -> str | None:
    """Where the model should be, if a path below the mount itself shows that it is not there.

    None where the words alone do not tell.
    """
    mounts = dicts(case.own.dataset, "spec", "mounts")
    if len(mounts) != 1:
        return None
    there = directory(mounts[0])
    if there:
        return None if inside(f"/{asked}", f"/{there}") else there
    twice = asked in (mount.rpartition("/")[2], str(mounts[0].get("name") or ""))
    return "" if twice and asked else None
