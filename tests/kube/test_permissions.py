"""Asking the API server what we may do."""

from __future__ import annotations

import pytest

from kubectl_fluidmodel.kube.errors import Forbidden
from kubectl_fluidmodel.kube.permissions import Permission, missing, require
from kubectl_fluidmodel.objects.kinds import NODES, PODS, Kind
from tests.kube.server import client
from tests.loopback import Answer, Asked, Respond, document, serve

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
def test_a_permission_in_words(permission: Permission, text: str) -> None:
    assert str(permission) == text


def rules(*allowed: tuple[str, str]) -> Respond:
    def respond(asked: Asked) -> Answer:
        attributes = asked.json["spec"]["resourceAttributes"]
        resource = "/".join(
            part for part in (attributes["resource"], attributes.get("subresource")) if part
        )
        ok = (attributes["verb"], resource) in allowed
        return document({**asked.json, "status": {"allowed": ok}}, 201)

    return respond


def test_what_is_missing_in_the_order_asked_and_once() -> None:
    with serve(rules(("get", "pods"))) as server:
        assert missing(client(server), [WRITE, READ, LIST, WRITE, EXEC]) == [WRITE, LIST, EXEC]
        assert len(server.asked) == 4
        asked = {
            tuple(sorted(each.json["spec"]["resourceAttributes"].items())) for each in server.asked
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
        assert missing(client(server), []) == []
        assert server.asked == []


def test_require_names_every_permission_and_how_to_see_for_oneself() -> None:
    with serve(rules(("get", "pods"))) as server, pytest.raises(Forbidden) as caught:
        require(client(server), [READ, WRITE, EXEC], task="cache a model", docs="docs/rbac.md")
    err = caught.value
    assert err.what == "you may not cache a model"
    assert str(WRITE) in err.why
    assert str(EXEC) in err.why
    assert str(READ) not in err.why
    assert err.try_ == "kubectl auth can-i patch datasets.data.fluid.io -n ns"


def test_require_is_silent_where_all_is_allowed() -> None:
    with serve(rules(("get", "pods"))) as server:
        require(client(server), [READ], task="cache a model", docs="")
        assert len(server.asked) == 1
