"""Which objects are a cache that may be adopted, and how it is found by its source."""

from __future__ import annotations

from dataclasses import dataclass, replace

import pytest

from kubectl_fluidmodel.cache.adoption.hand_made import (
    find_cache,
    require_adoptable,
    select_by_source,
)
from kubectl_fluidmodel.cache.adoption.options import AdoptOptions
from kubectl_fluidmodel.errors import FluidModelError
from kubectl_fluidmodel.fluid import names
from kubectl_fluidmodel.model.source import parse_source
from kubectl_fluidmodel.objects.access import Object
from tests.cache.adoption.samples import hand_made, load_fixture
from tests.cache.objects import Objects, objects

__all__ = ["objects"]

SOURCE = parse_source("s3://models/acme/llama")


def dataset(name: str = "full") -> Object:
    return load_fixture(name)[0]


def labelled(obj: Object, **labels: str) -> Object:
    return {**obj, "metadata": {**obj["metadata"], "labels": labels}}


def managed(obj: Object, **more: str) -> Object:
    return labelled(obj, **{**names.managed_labels("llama-by-hand"), **more})


def with_mounts(*points: str) -> Object:
    plain_dataset = dataset()
    return {**plain_dataset, "spec": {"mounts": [{"mountPoint": point} for point in points]}}


@dataclass(frozen=True)
class NotAdoptable:
    """A Dataset that cannot be adopted, and a word of the error."""

    name: str
    dataset: Object
    word: str
    has_runtime: bool = True


NOT_ADOPTABLE = [
    NotAdoptable("of ours", managed(dataset()), "made by this plugin"),
    NotAdoptable("of several models", with_mounts("s3://a123/x", "s3://a123/y"), "has 2 mounts"),
    NotAdoptable("without a mount", with_mounts(), "has 0 mounts"),
    NotAdoptable("without a runtime", dataset(), "no AlluxioRuntime", has_runtime=False),
    NotAdoptable("of another store", with_mounts("oss://bucket/x"), "'oss' is not supported"),
    NotAdoptable("of another Dataset", with_mounts("dataset://ns/x"), "not supported"),
    NotAdoptable(
        "of Helm", labelled(dataset(), **{names.MANAGED_BY_LABEL: "Helm"}), "managed by Helm"
    ),
]


@pytest.mark.parametrize("row", NOT_ADOPTABLE, ids=lambda row: row.name)
def test_a_cache_that_cannot_be_adopted_is_refused_with_the_reason(row: NotAdoptable) -> None:
    runtime = load_fixture("full")[1] if row.has_runtime else None
    with pytest.raises(FluidModelError) as caught:
        require_adoptable(row.dataset, runtime, [])
    assert row.word in str(caught.value)


def test_another_type_of_runtime_is_named() -> None:
    other = {**dataset(), "status": {"runtimes": [{"type": "juicefs"}]}}
    with pytest.raises(FluidModelError, match="no AlluxioRuntime") as caught:
        require_adoptable(other, None, [])
    assert "of type juicefs" in caught.value.reason


def test_an_adopted_cache_may_be_adopted_again() -> None:
    made, runtime, load = (
        managed(obj, **{names.ADOPTED_LABEL: "true"}) for obj in load_fixture("full")
    )
    assert require_adoptable(made, runtime, [load]).is_adopted
    assert not require_adoptable(made, load_fixture("full")[1], [load]).is_adopted


def test_the_dataset_is_labelled_last() -> None:
    assert [obj["kind"] for obj in hand_made().objects] == [
        "DataLoad",
        "AlluxioRuntime",
        "Dataset",
    ]


class TestBySource:
    def test_the_one_that_mounts_it(self) -> None:
        other = with_mounts("s3://models/acme/other")
        assert select_by_source([other, dataset()], SOURCE, "ns") == dataset()

    @pytest.mark.parametrize("point", ["s3://models/acme/llama/", "s3a://models/acme/llama"])
    def test_other_spellings_are_the_same_source(self, point: str) -> None:
        spelled = with_mounts(point)
        assert select_by_source([spelled], SOURCE, "ns") == spelled

    def test_none_is_an_error_that_lists_them(self) -> None:
        with pytest.raises(FluidModelError, match="no Dataset in namespace ns") as caught:
            select_by_source([with_mounts("oss://x/y"), with_mounts()], SOURCE, "ns")
        assert caught.value.hint == "kubectl get datasets -o wide -n ns"

    def test_several_are_an_error_that_names_them(self) -> None:
        with pytest.raises(FluidModelError, match="2 Datasets") as caught:
            select_by_source([dataset(), dataset("small")], SOURCE, "ns")
        assert caught.value.reason == "llama-by-hand, short"
        assert caught.value.hint == "kubectl fluidmodel cache llama-by-hand --adopt -n ns"


class TestInTheCluster:
    @pytest.fixture(autouse=True)
    def _served(self, objects: Objects) -> None:
        made, runtime, load = load_fixture("full")
        objects.add(names.DATASETS, made)
        objects.add(names.ALLUXIO_RUNTIMES, runtime)
        objects.lists[names.DATASETS.path("ns")] = [made]
        elsewhere = {**load["spec"], "dataset": {"name": "other", "namespace": "ns"}}
        ours = {**managed(load), "metadata": {**managed(load)["metadata"], "name": "ours"}}
        objects.lists[names.DATA_LOADS.path("ns")] = [load, {**load, "spec": elsewhere}, ours]

    def test_a_name_finds_the_dataset_with_its_runtime_and_loads(self, objects: Objects) -> None:
        cache = find_cache(objects.client, "ns", AdoptOptions(name="llama-by-hand"))
        assert (cache.name, cache.source, cache.directory) == ("llama-by-hand", SOURCE, "")
        assert [load["metadata"]["name"] for load in cache.loads] == ["llama-by-hand-loader"]

    def test_a_source_finds_the_same(self, objects: Objects) -> None:
        by_name = find_cache(objects.client, "ns", AdoptOptions(name="llama-by-hand"))
        assert find_cache(objects.client, "ns", AdoptOptions(source=SOURCE)) == by_name

    def test_a_name_that_no_dataset_has(self, objects: Objects) -> None:
        with pytest.raises(FluidModelError, match="no Dataset nothing") as caught:
            find_cache(objects.client, "ns", AdoptOptions(name="nothing"))
        assert caught.value.hint == "kubectl get datasets -n ns"

    def test_a_cache_that_is_being_deleted_is_left_alone(self, objects: Objects) -> None:
        deleting = dataset()
        deleting["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
        objects.add(names.DATASETS, deleting)
        with pytest.raises(FluidModelError, match="is being deleted"):
            find_cache(objects.client, "ns", AdoptOptions(name="llama-by-hand"))


def test_the_mount_has_the_stores_address_and_keys() -> None:
    target = hand_made().target
    assert target.endpoint == "http://minio:9000"
    assert target.plain is not None
    assert replace(target, plain=None).access is None
