"""Asking the API server what we may do."""

from __future__ import annotations

import pytest

from kubectl_fluidmodel.kube.errors import ForbiddenError
from kubectl_fluidmodel.kube.permissions import Permission, denied, require_permissions
from kubectl_fluidmodel.objects.kinds import NODES, PODS, Kind
from tests.kube.server import client
from tests.loopback import HttpRequest, HttpResponse, RequestHandler, json_response, serve

DATASETS = Kind("data.fluid.io", "v1alpha1", "Dataset", "datasets")
READ = Permission("get", PODS, "ns")
EXEC = Permission("create", PODS, "ns", "exec")
WRITE = Permission("patch", DATASETS, "ns")
LIST = Permission("list", NODES)


@pytest.mark.parametrize(
    ("permission", "text"),
    [
        (READ, "get pods in namespace ns"),
        (EXEC, "create pods/exec in namespace ns"),
        (WRITE, "patch datasets.data.fluid.io in namespace ns"),
        (LIST, "list nodes cluster-wide"),
        (Permission("get", DATASETS, "ns", "status"),
         "get datasets/status.data.fluid.io in namespace ns"),
    ],
)  # fmt: skip
def test_a_permission_as_text(permission: Permission, text: str) -> None:
    assert str(permission) == text


def rules(*allowed: tuple[str, str]) -> RequestHandler:
    def respond(asked: HttpRequest) -> HttpResponse:
        attributes = asked.json["spec"]["resourceAttributes"]
        resource = "/".join(
            part for part in (attributes["resource"], attributes.get("subresource")) if part
        )
        ok = (attributes["verb"], resource) in allowed
        return json_response({**asked.json, "status": {"allowed": ok}}, 201)

    return respond


def test_what_is_missing_in_the_order_asked_and_once() -> None:
    with serve(rules(("get", "pods"))) as server:
        assert denied(client(server), [WRITE, READ, LIST, WRITE, EXEC]) == [WRITE, LIST, EXEC]
        assert len(server.requests) == 4
        asked = {
            tuple(sorted(request.json["spec"]["resourceAttributes"].items()))
            for request in server.requests
        }
    assert (
        ("group", ""),
        ("namespace", "ns"),
        ("resource", "pods"),
        ("subresource", "exec"),
        ("verb", "create"),
    ) in asked
    assert (("group", ""), ("resource", "nodes"), ("verb", "list")) in asked


def test_nothing_to_ask() -> None:
    with serve(rules()) as server:
        assert denied(client(server), []) == []
        assert server.requests == []


def test_require_names_every_permission_and_how_to_see_for_oneself() -> None:
    with serve(rules(("get", "pods"))) as server, pytest.raises(ForbiddenError) as caught:
        require_permissions(
            client(server), [READ, WRITE, EXEC], task="cache a model", docs="docs/rbac.md"
        )
    err = caught.value
    assert err.message == "you may not cache a model"
    assert str(WRITE) in err.reason
    assert str(EXEC) in err.reason
    assert str(READ) not in err.reason
    assert err.hint == "kubectl auth can-i patch datasets.data.fluid.io -n ns"


def test_require_is_silent_where_all_is_allowed() -> None:
    with serve(rules(("get", "pods"))) as server:
        require_permissions(client(server), [READ], task="cache a model", docs="")
        assert len(server.requests) == 1
