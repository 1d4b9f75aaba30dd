"""A loopback API server that serves the objects a test puts into it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest

from kubectl_fluidmodel.kube.client import Client
from kubectl_fluidmodel.objects.access import Object, name_of, namespace_of
from kubectl_fluidmodel.objects.kinds import SELF_SUBJECT_ACCESS_REVIEWS, Kind
from tests.kube.server import client, listed, status
from tests.loopback import HttpRequest, HttpResponse, json_response, serve


@dataclass
class Objects:
    """Objects by path; everything else is 404, what is forbidden 403."""

    served: dict[str, Object] = field(default_factory=dict)
    lists: dict[str, list[Object]] = field(default_factory=dict)
    forbidden: set[str] = field(default_factory=set)
    denied: set[tuple[str, str]] = field(default_factory=set)
    """Verbs on resources that an access review says no to."""
    asked: list[HttpRequest] = field(default_factory=list)
    client: Client = field(init=False)

    def add(self, kind: Kind, obj: Object) -> None:
        self.served[kind.path(namespace_of(obj) or None, name_of(obj))] = obj

    def __call__(self, request: HttpRequest) -> HttpResponse:
        self.asked.append(request)
        if request.path == SELF_SUBJECT_ACCESS_REVIEWS.path():
            attributes = json.loads(request.body)["spec"]["resourceAttributes"]
            allowed = (attributes["verb"], attributes["resource"]) not in self.denied
            return json_response({"status": {"allowed": allowed}})
        if request.path in self.forbidden:
            return status(403, f"{request.path} is forbidden", "Forbidden")
        if request.method == "DELETE" and request.path in self.served:
            if "dryRun" in json.loads(request.body or b"{}"):
                return json_response(self.served[request.path])
            return json_response(self.served.pop(request.path))
        if request.path in self.served:
            return json_response(self.served[request.path])
        if request.path in self.lists:
            return listed(*self.lists[request.path])
        if request.path in ("/api/v1/pods", "/api/v1/nodes"):
            return listed()
        return status(404, f"{request.path} not found", "NotFound")


@pytest.fixture
def objects() -> Iterator[Objects]:
    """The server, empty."""
    served = Objects()
    with serve(served) as server:
        served.client = client(server)
        yield served
