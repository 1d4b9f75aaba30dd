"""Where the API server serves each kind, and paths into objects."""

from __future__ import annotations

from typing import Any

import pytest

from kubectl_fluidmodel.objects.access import (
    annotations_of,
    get_list,
    get_path,
    labels_of,
    metadata_of,
    name_of,
    namespace_of,
)
from kubectl_fluidmodel.objects.kinds import JOBS, NODES, PODS, PVS, Kind

DATASETS = Kind("data.fluid.io", "v1alpha1", "Dataset", "datasets")


@pytest.mark.parametrize(
    ("kind", "args", "path"),
    [
        (PODS, (), "/api/v1/pods"),
        (PODS, ("ns",), "/api/v1/namespaces/ns/pods"),
        (PODS, ("ns", "p"), "/api/v1/namespaces/ns/pods/p"),
        (PODS, ("ns", "p", "log"), "/api/v1/namespaces/ns/pods/p/log"),
        (NODES, (None, "n"), "/api/v1/nodes/n"),
        (PVS, ("ns", "v"), "/api/v1/persistentvolumes/v"),  # a namespace means nothing there
        (DATASETS, (), "/apis/data.fluid.io/v1alpha1/datasets"),
        (
            DATASETS,
            ("ns", "d", "status"),
            "/apis/data.fluid.io/v1alpha1/namespaces/ns/datasets/d/status",
        ),
        (PODS, ("ns", "../../secrets"), "/api/v1/namespaces/ns/pods/..%2F..%2Fsecrets"),
        (PODS, ("ns", "a?b#c"), "/api/v1/namespaces/ns/pods/a%3Fb%23c"),
    ],
)
def test_paths(kind: Kind, args: tuple[Any, ...], path: str) -> None:
    assert kind.path(*args) == path


@pytest.mark.parametrize(
    ("kind", "api_version", "resource"),
    [
        (PODS, "v1", "pods"),
        (DATASETS, "data.fluid.io/v1alpha1", "datasets.data.fluid.io"),
        (JOBS, "batch/v1", "jobs.batch"),
    ],
)
def test_what_kubectl_calls_them(kind: Kind, api_version: str, resource: str) -> None:
    assert (kind.api_version, kind.resource) == (api_version, resource)


OBJ = {"a": {"b": [{"c": 1}, None]}, "n": None, "zero": 0, "s": "text"}


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("a", "b", 0, "c"), 1),
        (("a", "b", -2, "c"), 1),
        (("a", "b", 5), "default"),
        (("a", "b", 1), "default"),
        (("a", "b", "c"), "default"),
        (("a", 0), "default"),
        (("s", 0), "default"),
        (("n",), "default"),
        (("n", "x"), "default"),
        (("zero",), 0),
        ((), OBJ),
    ],
)
def test_the_value_at_a_path(path: tuple[str | int, ...], value: Any) -> None:
    assert get_path(OBJ, *path, default="default") == value


@pytest.mark.parametrize(
    ("obj", "objects"),
    [
        ({"x": [{"a": 1}, None, "s", {"b": 2}]}, [{"a": 1}, {"b": 2}]),
        ({"x": {"a": 1}}, []),
        ({"x": None}, []),
        (None, []),
    ],
)
def test_the_objects_in_a_list(obj: Any, objects: list[Any]) -> None:
    assert get_list(obj, "x") == objects


@pytest.mark.parametrize("obj", [{}, {"metadata": None}, {"metadata": []}])
def test_an_object_without_metadata(obj: dict[str, Any]) -> None:
    assert (metadata_of(obj), name_of(obj), namespace_of(obj)) == ({}, "", "")
    assert (labels_of(obj), annotations_of(obj)) == ({}, {})
