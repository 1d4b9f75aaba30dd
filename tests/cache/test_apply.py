"""Applying objects: what changed, and who stands in the way."""

from __future__ import annotations

from typing import Any

import pytest

from kubectl_fluidmodel.cache.apply import apply_object, changed_fields, kind_for
from kubectl_fluidmodel.errors import FluidModelError
from kubectl_fluidmodel.fluid import dataload, names
from kubectl_fluidmodel.kube.errors import InvalidError
from kubectl_fluidmodel.objects.access import Object
from tests.kube.server import client, status
from tests.loopback import HttpRequest, HttpResponse, RequestHandler, json_response, serve

LOAD = dataload.build_dataload("demo", "ns", replicas=1, tolerations=[])


@pytest.mark.parametrize(
    ("before", "after", "fields"),
    [
        ({}, {}, []),
        ({"spec": {"a": 1}}, {"spec": {"a": 1}, "status": {"phase": "x"}}, []),
        ({"spec": {"a": 1, "b": 2}}, {"spec": {"a": 9, "c": 3}}, ["spec.a", "spec.b", "spec.c"]),
        ({"spec": {"a": {"b": {"c": 1}}}}, {"spec": {"a": {"b": {"c": 2}}}}, ["spec.a.b"]),
        ({"spec": {"a": [1]}}, {"spec": {"a": [1, 2]}}, ["spec.a"]),
        ({"spec": {"a": {}}}, {"spec": {"a": None}}, ["spec.a"]),
        ({"data": {"k": "old"}}, {"data": {"k": "new"}}, ["data.k"]),
        (
            {"metadata": {"labels": {"x": "1"}, "resourceVersion": "1"}},
            {"metadata": {"labels": {"x": "2"}, "resourceVersion": "2", "annotations": {"y": "1"}}},
            ["labels.x", "annotations.y"],
        ),
    ],
)
def test_the_fields_that_differ(before: Object, after: Object, fields: list[str]) -> None:
    assert changed_fields(before, after) == fields


def test_the_kind_of_what_we_make() -> None:
    assert kind_for(LOAD) == names.DATA_LOADS


def server_with(standing: Object | None, answer: HttpResponse | None = None) -> RequestHandler:
    def respond(request: HttpRequest) -> HttpResponse:
        if request.method == "PATCH":
            return answer or json_response(request.json)
        return json_response(standing) if standing else status(404, "not found", "NotFound")

    return respond


@pytest.mark.parametrize(
    ("standing", "expected"),
    [
        (None, "created"),
        (LOAD, "unchanged"),
        (
            {**LOAD, "spec": {**LOAD["spec"], "loadMetadata": False}},
            "configured (spec.loadMetadata)",
        ),
    ],
)
def test_the_outcome_of_an_apply_is_reported(standing: Object | None, expected: str) -> None:
    with serve(server_with(standing)) as server:
        assert apply_object(client(server), LOAD)[0] == expected


def test_a_rotated_key_is_reported_by_its_name_only() -> None:
    secret: dict[str, Any] = {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": "demo-store", "namespace": "ns"},
        "data": {"AWS_SECRET_ACCESS_KEY": "bmV3"},
    }
    with serve(server_with({**secret, "data": {"AWS_SECRET_ACCESS_KEY": "b2xk"}})) as server:
        outcome, _ = apply_object(client(server), secret)
    assert outcome == "configured (data.AWS_SECRET_ACCESS_KEY)"


def test_a_conflict_names_the_other_manager() -> None:
    conflict = status(
        409, 'Apply failed with 1 conflict: conflict with "helm": .spec.x', "Conflict"
    )
    with serve(server_with(None, conflict)) as server, pytest.raises(FluidModelError) as caught:
        apply_object(client(server), LOAD)
    assert caught.value.message == "cannot change dataload.data.fluid.io/demo"
    assert 'conflict with "helm"' in caught.value.reason
    assert "--show-managed-fields" in caught.value.hint


@pytest.mark.parametrize(
    "message",
    ['strict decoding error: unknown field "spec.x"', ".spec.x: field not declared in schema"],
)
def test_an_old_schema_is_an_old_fluid(message: str) -> None:
    answer = status(400, message, "BadRequest")
    with serve(server_with(None, answer)) as server, pytest.raises(FluidModelError) as caught:
        apply_object(client(server), LOAD)
    assert "Fluid is too old" in caught.value.reason


def test_another_refusal_has_the_servers_message() -> None:
    answer = status(422, "spec.target: Required value", "Invalid")
    with (
        serve(server_with(None, answer)) as server,
        pytest.raises(InvalidError, match="Required value"),
    ):
        apply_object(client(server), LOAD)
