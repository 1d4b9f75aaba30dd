"""Reads names for shell completion: fast, bounded, and silent on failure.

Makes one request, for the table that `kubectl get` prints, without the objects: a thousand nodes
are a few kilobytes, and the data of Secrets is never sent.

Every failure returns no names. Completion cannot show a message, and every command reports the
cause.
"""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Callable
from typing import Any, TypeVar

from kubectl_fluidmodel.errors import FluidModelError
from kubectl_fluidmodel.kube import kubeconfig
from kubectl_fluidmodel.kube.client import Client
from kubectl_fluidmodel.kube.config import ConfigFlags, load_rest_config
from kubectl_fluidmodel.objects.access import Object, get_list, get_path, name_of
from kubectl_fluidmodel.objects.kinds import Kind

T = TypeVar("T")
Row = tuple[str, str]
"""A name and its short description, which may be empty."""

DEFAULT_TIMEOUT = 0.15
"""Seconds for kubeconfig, credentials and request; FLUIDMODEL_COMPLETION_TIMEOUT overrides it."""
_MAX_ITEMS = 500
_TABLE = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json"
_EXPECTED = (OSError, ValueError, FluidModelError)


def list_names(connection: ConfigFlags, kind: Kind, *columns: str) -> list[Row]:
    """Names of a kind in the current namespace, described by these columns of kubectl's table."""

    def read() -> list[Row]:
        table = _get(connection, kind, _TABLE, includeObject="None")
        heads = [
            str(get_path(column, "name", default=""))
            for column in get_list(table, "columnDefinitions")
        ]
        indexes = [heads.index(column) for column in columns if column in heads]
        rows = []
        for cells in (get_path(row, "cells", default=[]) for row in get_list(table, "rows")):
            description = ", ".join(str(get_path(cells, index, default="")) for index in indexes)
            rows.append((str(get_path(cells, 0, default="")), description.strip(", ")))
        return rows or [(name_of(item), "") for item in get_list(table, "items")]

    return _run_with_timeout(read) or []


def list_objects(connection: ConfigFlags, kind: Kind) -> list[Object]:
    """The objects of a kind in the current namespace."""

    def read() -> list[Object]:
        items = get_list(_get(connection, kind, "application/json"), "items")
        return [{"apiVersion": kind.api_version, "kind": kind.name, **item} for item in items]

    return _run_with_timeout(read) or []


def list_kubeconfig_entries(connection: ConfigFlags, part: str) -> list[Row]:
    """Names of `contexts`, `clusters` or `users` in the kubeconfig; needs no cluster."""

    def read() -> list[Row]:
        merged = kubeconfig.merge(kubeconfig.kubeconfig_paths(connection.kubeconfig))
        entries, description = {
            "contexts": (merged.contexts, "cluster"),
            "clusters": (merged.clusters, "server"),
            "users": (merged.users, ""),
        }[part]
        return [
            (name, str(get_path(entry, description, default=""))) for name, entry in entries.items()
        ]

    return _run_with_timeout(read) or []


def _get(connection: ConfigFlags, kind: Kind, accept: str, **query: str) -> Any:
    client = Client(load_rest_config(connection, interactive=False))
    data = client.request(
        "GET",
        kind.path(client.namespace),
        query={**query, "limit": str(_MAX_ITEMS)},
        action="cannot list names",
        timeout=_timeout(),
        accept=accept,
    )
    return json.loads(data)


def _timeout() -> float:
    try:
        return max(0.0, float(os.environ.get("FLUIDMODEL_COMPLETION_TIMEOUT", "")))
    except ValueError:
        return DEFAULT_TIMEOUT


def _run_with_timeout(read: Callable[[], T]) -> T | None:
    """Run `read` in a thread and return its result, or None if it takes too long.

    A socket timeout bounds neither DNS nor a response that trickles in.
    """
    result: list[T] = []

    def run() -> None:
        try:
            result.append(read())
        except _EXPECTED:
            return  # silent by design, see the module

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(_timeout())
    return result[0] if result else None
