"""A Snapshot as JSON-like data, for support bundles and tests."""

from __future__ import annotations

from typing import Any

from kubectl_fluidmodel.errors import FluidModelError
from kubectl_fluidmodel.objects.access import Object, get_list, get_path
from kubectl_fluidmodel.output.serialize import API_VERSION
from kubectl_fluidmodel.snapshot.snapshot import ReadFailure, Snapshot
from kubectl_fluidmodel.snapshot.texts import decode_texts, encode_texts

KIND = "Snapshot"


def snapshot_to_document(snapshot: Snapshot) -> Object:
    """The snapshot as JSON-like data; `snapshot_from_document` reads it back equal."""
    return {
        "apiVersion": API_VERSION,
        "kind": KIND,
        "namespace": snapshot.namespace,
        "taken": snapshot.taken_at,
        "server": snapshot.server_version,
        "versions": dict(snapshot.versions),
        "selectors": dict(snapshot.selectors),
        "every": list(snapshot.complete_kinds),
        "absent": list(snapshot.absent_objects),
        "missing": [_read_failure_to_document(failure) for failure in snapshot.read_failures],
        "objects": {resource: list(items) for resource, items in snapshot.objects.items()},
        "texts": encode_texts(snapshot),
        "placed": snapshot.pods_on_nodes,
    }


def _read_failure_to_document(failure: ReadFailure) -> dict[str, Any]:
    return {
        "resource": failure.resource,
        "namespace": failure.namespace,
        "why": failure.reason,
        "forbidden": failure.forbidden,
    }


def snapshot_from_document(document: Any) -> Snapshot:
    """Parse what `snapshot_to_document` returned.

    Raises:
        FluidModelError: the data is not a snapshot, or of an unknown version.
    """
    if get_path(document, "kind") != KIND or get_path(document, "apiVersion") != API_VERSION:
        header = f"{get_path(document, 'apiVersion')} {get_path(document, 'kind')}"
        raise FluidModelError(
            "this is not a snapshot", f"it has {header}, not {API_VERSION} {KIND}"
        )
    objects = get_path(document, "objects", default={})
    taken_at = get_path(document, "taken", default=0.0)
    if not isinstance(objects, dict) or not isinstance(taken_at, int | float):
        raise FluidModelError("the snapshot is damaged", "it has no objects or no time")
    namespace = get_path(document, "namespace")
    return Snapshot(
        namespace=None if namespace is None else str(namespace),
        taken_at=float(taken_at),
        server_version=str(get_path(document, "server", default="")),
        objects={str(resource): get_list(objects, resource) for resource in objects},
        read_failures=[
            ReadFailure(
                str(get_path(entry, "resource", default="")),
                str(get_path(entry, "namespace", default="")),
                str(get_path(entry, "why", default="")),
                bool(get_path(entry, "forbidden", default=False)),
            )
            for entry in get_list(document, "missing")
        ],
        complete_kinds=[str(resource) for resource in _get_list(document, "every")],
        absent_objects=[str(reference) for reference in _get_list(document, "absent")],
        versions=_get_texts(document, "versions"),
        selectors=_get_texts(document, "selectors"),
        **vars(decode_texts(_get_texts(document, "texts"))),
        pods_on_nodes=get_list(document, "placed")
        if isinstance(get_path(document, "placed"), list)
        else None,
    )


def _get_list(document: Any, key: str) -> list[Any]:
    items = get_path(document, key)
    return items if isinstance(items, list) else []


def _get_texts(document: Any, key: str) -> dict[str, str]:
    texts = get_path(document, key)
    if not isinstance(texts, dict):
        return {}
    return {str(name): str(text) for name, text in texts.items()}
