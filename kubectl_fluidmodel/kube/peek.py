"""A quick look at the cluster for completion: names and a word about each, or nothing.

The client of `kube/client.py` takes longer to import than TAB may take in all. This door reads the
kubeconfig itself (certificates, tokens, exec plugins) and makes one request with the standard
library. It asks for the table that `kubectl get` shows, without the objects: so the data of
Secrets stay where they are, and a thousand nodes are a few kilobytes.

Whatever goes wrong, the answer is empty: TAB has nowhere to say why, and every verb says it.
"""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Callable
from http.client import HTTPException
from subprocess import SubprocessError
from typing import Any, TypeVar

from kubectl_fluidmodel.errors import FluidModelError
from kubectl_fluidmodel.kube.config import Connection
from kubectl_fluidmodel.kube.kind import Kind, Object, at, dicts, name_of
from kubectl_fluidmodel.kube.login import Login, login, merged

T = TypeVar("T")
Row = tuple[str, str]
"""A name, and what it is in a few words, or nothing."""

PATIENCE = 0.15
"""Seconds for kubeconfig, log-in and request together; FLUIDMODEL_COMPLETION_TIMEOUT is another."""
_MOST = 500
_MOST_BYTES = 8 << 20
_TABLE = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json"
_EXPECTED = (OSError, ValueError, HTTPException, SubprocessError, FluidModelError)


def rows(connection: Connection, kind: Kind, *columns: str) -> list[Row]:
    """Names of a kind in the connection's namespace, with these columns of kubectl's table."""

    def ask() -> list[Row]:
        table = _get(login(connection), kind, _TABLE, "includeObject=None&")
        heads = [str(at(each, "name", default="")) for each in dicts(table, "columnDefinitions")]
        wanted = [heads.index(column) for column in columns if column in heads]
        found = []
        for cells in (at(row, "cells", default=[]) for row in dicts(table, "rows")):
            about = ", ".join(str(at(cells, index, default="")) for index in wanted)
            found.append((str(at(cells, 0, default="")), about.strip(", ")))
        return found or [(name_of(item), "") for item in dicts(table, "items")]

    return _in_time(ask) or []


def objects(connection: Connection, kind: Kind) -> list[Object]:
    """The objects of a kind in the connection's namespace."""

    def ask() -> list[Object]:
        found = dicts(_get(login(connection), kind, "application/json", ""), "items")
        return [{"apiVersion": kind.api_version, "kind": kind.name, **each} for each in found]

    return _in_time(ask) or []


def entries(connection: Connection, part: str) -> list[Row]:
    """Names of the kubeconfig's `contexts`, `clusters` or `users`; needs no cluster."""

    def about(entry: Object) -> str:
        if part == "contexts":
            return str(at(entry, "context", "cluster", default=""))
        return str(at(entry, "cluster", "server", default="")) if part == "clusters" else ""

    return (
        _in_time(
            lambda: [(name, about(entry)) for name, (entry, _) in merged(connection, part).items()]
        )
        or []
    )


def _get(who: Login, kind: Kind, accept: str, query: str) -> Any:
    from urllib.request import Request

    url = f"{who.server}{kind.path(who.namespace)}?{query}limit={_MOST}"
    if not url.startswith(("http://", "https://")):
        raise ValueError("the server's address is no http(s)")
    request = Request(url, headers={"Accept": accept, **who.headers})  # noqa: S310
    with who.opener().open(request, timeout=_patience()) as answer:
        return json.loads(answer.read(_MOST_BYTES))


def _patience() -> float:
    try:
        return max(0.0, float(os.environ.get("FLUIDMODEL_COMPLETION_TIMEOUT", "")))
    except ValueError:
        return PATIENCE


def _in_time(ask: Callable[[], T]) -> T | None:
    """The answer, if it comes in time.

    In a thread of its own: neither a name server nor a slow trickle of bytes heeds a timeout.
    """
    answer: list[T] = []

    def run() -> None:
        try:
            answer.append(ask())
        except _EXPECTED:
            return  # as in the module's docstring: nothing to offer

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(_patience())
    return answer[0] if answer else None
