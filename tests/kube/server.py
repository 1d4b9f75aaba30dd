"""A loopback server that speaks the API server's documented JSON, and a client for it."""

from __future__ import annotations

import json
import queue
import threading
from collections.abc import Iterator
from typing import Any

from kubectl_fluidmodel.kube.client import Client
from kubectl_fluidmodel.kube.config import ConfigFlags
from tests.loopback import HttpRequest, HttpResponse, Server, json_response


def client(server: Server, **flags: Any) -> Client:
    """A client of the server, by flags alone."""
    return Client.connect(ConfigFlags(server=server.url, **flags))


def status(code: int, message: str, reason: str = "") -> HttpResponse:
    """A metav1.Status."""
    return json_response(
        {
            "kind": "Status",
            "apiVersion": "v1",
            "status": "Failure",
            "message": message,
            "reason": reason,
            "code": code,
        },
        code,
    )


def pod(name: str, version: int = 1, **status: Any) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": "ns", "resourceVersion": str(version)},
        "status": status,
    }


def listed(*items: dict[str, Any], version: int = 1, token: str = "") -> HttpResponse:
    """A list as the server sends it: without kind and apiVersion on its items."""
    bare = [{k: v for k, v in item.items() if k not in ("kind", "apiVersion")} for item in items]
    metadata = {"resourceVersion": str(version), **({"continue": token} if token else {})}
    return json_response(
        {"kind": "PodList", "apiVersion": "v1", "metadata": metadata, "items": bare}
    )


class Stream:
    """One watch's events, sent as the test puts them."""

    def __init__(self) -> None:
        self._lines: queue.Queue[bytes | None] = queue.Queue()
        self.opened = threading.Event()
        self.query: dict[str, str] = {}

    def event(self, type_: str, obj: dict[str, Any]) -> None:
        self.raw(json.dumps({"type": type_, "object": obj}).encode() + b"\n")

    def raw(self, data: bytes) -> None:
        self._lines.put(data)

    def end(self) -> None:
        self._lines.put(None)

    def answer(self, asked: HttpRequest, *, clean: bool = True) -> HttpResponse:
        self.query = asked.query
        self.opened.set()
        return HttpResponse(200, self._chunks(), {"Content-Type": "application/json"}, clean)

    def _chunks(self) -> Iterator[bytes]:
        while (line := self._lines.get()) is not None:
            yield line
