"""Applies the objects of a cache, and describes what changed."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from kubectl_fluidmodel.errors import FluidModelError
from kubectl_fluidmodel.fluid import names
from kubectl_fluidmodel.kube.client import Client
from kubectl_fluidmodel.kube.errors import ConflictError, InvalidError
from kubectl_fluidmodel.objects import kinds
from kubectl_fluidmodel.objects.access import Object, get_path, name_of, namespace_of
from kubectl_fluidmodel.objects.kinds import Kind
from kubectl_fluidmodel.output.serialize import kubectl_name
from kubectl_fluidmodel.output.shell import Operand, kubectl

_KINDS: dict[str, Kind] = {
    kind.name: kind
    for kind in (
        kinds.SECRETS,
        kinds.JOBS,
        kinds.PVS,
        kinds.PVCS,
        names.DATASETS,
        names.ALLUXIO_RUNTIMES,
        names.DATA_LOADS,
    )
}


_UNKNOWN_FIELD = re.compile(r"unknown field|field not declared in schema")


def kind_for(obj: Object) -> Kind:
    """Return the Kind of an object that we create."""
    return _KINDS[str(obj["kind"])]


def apply_object(client: Client, obj: Object, *, dry_run: bool = False) -> tuple[str, Object]:
    """Apply one object; return `created`, `configured: …` or `unchanged`, and the object.

    Raises:
        FluidModelError: another manager owns a field with another value; names both.
    """
    kind = kind_for(obj)
    before = client.get_or_none(kind, name_of(obj), namespace_of(obj) or None)
    try:
        after = client.apply(kind, obj, dry_run=dry_run)
    except ConflictError as err:
        raise FluidModelError(
            f"cannot change {kubectl_name(obj)}",
            f"another field manager owns it: {err.reason}",
            kubectl(
                *("get", kind.resource, Operand(name_of(obj)), "-o", "yaml"),
                "--show-managed-fields",
                namespace=namespace_of(obj),
            ),
        ) from err
    except InvalidError as err:
        if not _UNKNOWN_FIELD.search(err.reason):
            raise
        raise FluidModelError(
            f"this cluster's {kind.name} lacks a field that is needed",
            f"Fluid is too old: {err.reason}",
            "helm upgrade fluid fluid/fluid -n fluid-system",
        ) from err
    if before is None:
        return "created", after
    changed = changed_fields(before, after)
    return (f"configured ({', '.join(changed)})" if changed else "unchanged"), after


def apply_and_log(
    client: Client, obj: Object, log: Callable[[str], None], *, dry_run: bool = False
) -> Object:
    """Apply one object, and log what changed.

    Returns:
        The object as the API server stores it, or would store it.

    Raises:
        FluidModelError: another manager owns a field with another value; names both.
    """
    outcome, after = apply_object(client, obj, dry_run=dry_run)
    log(f"{kubectl_name(obj)} {outcome}{' (server dry run)' if dry_run else ''}")
    return after


def dry_run_on_server(
    client: Client, objects: Iterable[Object], log: Callable[[str], None]
) -> list[Object]:
    """Send every object with dryRun=All.

    Returns:
        The objects as the API server would store them.

    Raises:
        FluidModelError: the API server would refuse one.
    """
    stored_objects = []
    for obj in objects:
        after = apply_and_log(client, obj, log, dry_run=True)
        after.setdefault("kind", obj["kind"])
        (after.get("metadata") or {}).pop("managedFields", None)
        stored_objects.append(after)
    return stored_objects


def changed_fields(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[str]:
    """Return the changed fields, as paths of at most three names; secrets by key only."""
    paths: list[str] = []

    def walk(old: Any, new: Any, path: tuple[str, ...]) -> None:
        if old == new:
            return
        if isinstance(old, Mapping) and isinstance(new, Mapping) and len(path) < 3:
            for key in dict.fromkeys([*old, *new]):
                walk(old.get(key), new.get(key), (*path, str(key)))
            return
        paths.append(".".join(path))

    for part in ("spec", "data"):
        walk(before.get(part) or {}, after.get(part) or {}, (part,))
    for part in ("labels", "annotations"):
        walk(
            get_path(before, "metadata", part, default={}),
            get_path(after, "metadata", part, default={}),
            (part,),
        )
    return paths
