"""Removing what is ours, and nothing else."""

from __future__ import annotations

from typing import Any

import pytest

from kubectl_fluidmodel.cache import removal
from kubectl_fluidmodel.errors import FluidModelError, TimedOut
from kubectl_fluidmodel.fluid import names
from kubectl_fluidmodel.objects.access import Object, name_of
from kubectl_fluidmodel.objects.kinds import JOBS, PODS, PVS, SECRETS, Kind
from tests.cache.objects import Objects, objects

__all__ = ["objects"]


def ours(kind: Kind, name: str = "demo", **more: Any) -> Object:
    metadata = {"name": name, "labels": names.our_labels("demo")}
    if kind.namespaced:
        metadata["namespace"] = "ns"
    return {"apiVersion": kind.api_version, "kind": kind.name, "metadata": metadata, **more}


def volume(name: str, namespace: str) -> Object:
    return ours(PVS, name, spec={"claimRef": {"namespace": namespace}})


def build(objects: Objects, *made: tuple[Kind, Object]) -> None:
    for kind in removal.ALL:
        objects.lists[kind.path("ns")] = []
    objects.lists[PODS.path("ns")] = []
    for kind, obj in made:
        objects.lists[kind.path("ns")].append(obj)
        objects.add(kind, obj)


def reader(name: str, claim: str, phase: str = "Running") -> Object:
    volumes = [{"name": "v", "persistentVolumeClaim": {"claimName": claim}}, {"name": "w"}]
    return {"metadata": {"name": name}, "spec": {"volumes": volumes}, "status": {"phase": phase}}


def test_readers_go_before_what_they_read(objects: Objects) -> None:
    build(
        objects,
        (SECRETS, ours(SECRETS, "demo-store")),
        (names.DATASETS, ours(names.DATASETS)),
        (names.DATA_LOADS, ours(names.DATA_LOADS)),
        (names.ALLUXIO_RUNTIMES, ours(names.ALLUXIO_RUNTIMES)),
    )
    lines = list(removal.remove(objects.client, "ns", "demo", wait=5))
    assert lines == [
        "dataload.data.fluid.io/demo deleted",
        "alluxioruntime.data.fluid.io/demo deleted",
        "dataset.data.fluid.io/demo deleted",
        "secret/demo-store deleted",
    ]
    ours_ = "app.kubernetes.io/managed-by=kubectl-fluidmodel,fluidmodel.io/model=demo"
    selectors = {asked.query["labelSelector"] for asked in objects.asked if "limit" in asked.query}
    assert selectors == {ours_, f"{ours_},fluidmodel.io/stage=true"}


def test_a_job_that_still_stages_goes_first(objects: Objects) -> None:
    """Its Secret goes, too: left alone it would fail in the middle, or stage for nobody."""
    build(objects, (JOBS, ours(JOBS, "demo-stage-1")), (SECRETS, ours(SECRETS, "demo-store")))
    lines = list(removal.remove(objects.client, "ns", "demo", wait=5))
    assert lines == ["job.batch/demo-stage-1 deleted", "secret/demo-store deleted"]


def test_a_volume_of_the_same_name_in_another_namespace_stays(objects: Objects) -> None:
    build(objects, (PVS, volume("mine", "ns")), (PVS, volume("theirs", "other")))
    found = removal.removable(objects.client, "ns", "demo")
    assert [name_of(obj) for obj in found] == ["mine"]


def test_kinds_that_may_not_be_listed_are_passed_over(objects: Objects) -> None:
    build(objects, (names.DATASETS, ours(names.DATASETS)))
    objects.forbidden.add(PVS.path("ns"))
    assert [obj["kind"] for obj in removal.removable(objects.client, "ns", "demo")] == ["Dataset"]


@pytest.mark.parametrize(
    ("pods", "names_"),
    [
        ([], []),
        ([reader("a", "demo"), reader("b", "other"), {"metadata": {"name": "c"}}], ["a"]),
        ([reader("a", "demo", "Succeeded"), reader("b", "demo", "Failed")], []),
        ([reader("a", "demo", "Pending")], ["a"]),
    ],
)
def test_the_pods_that_read(objects: Objects, pods: list[Object], names_: list[str]) -> None:
    objects.lists[PODS.path("ns")] = pods
    assert removal.readers(objects.client, "ns", "demo") == names_


def run(objects: Objects, *, force: bool = False) -> tuple[list[str], list[str]]:
    warned: list[str] = []
    lines = removal.uncache(
        objects.client, "ns", "demo", force=force, wait=5, warn=warned.append
    )  # fmt: skip
    return list(lines), warned


class TestUncache:
    def test_refused_while_pods_read(self, objects: Objects) -> None:
        build(objects, (names.DATASETS, ours(names.DATASETS)))
        objects.lists[PODS.path("ns")] = [reader("engine-0", "demo")]
        with pytest.raises(FluidModelError, match="pods read from cache demo: engine-0") as caught:
            run(objects)
        assert "--force" in caught.value.try_
        assert not any(asked.method == "DELETE" for asked in objects.asked)
        assert run(objects, force=True)[0] == ["dataset.data.fluid.io/demo deleted"]

    def test_what_an_nfs_source_has_besides_is_asked_for(self, objects: Objects) -> None:
        dataset = ours(names.DATASETS)
        dataset["metadata"]["annotations"] = {names.SOURCE_ANNOTATION: "nfs://filer/models"}
        build(objects, (names.DATASETS, dataset))
        objects.forbidden.add(PVS.path("ns"))
        objects.denied.add(("list", "persistentvolumes"))
        with pytest.raises(FluidModelError, match="uncache a model") as caught:
            run(objects)
        assert "list persistentvolumes cluster-wide" in caught.value.why

    def test_jobs_that_cannot_be_seen_are_warned_of(self, objects: Objects) -> None:
        build(objects, (names.DATASETS, ours(names.DATASETS)))
        objects.forbidden.add(JOBS.path("ns"))
        objects.denied.add(("list", "jobs"))
        lines, warned = run(objects)
        assert lines == ["dataset.data.fluid.io/demo deleted"]
        assert "staging Jobs cannot be seen" in warned[0]

    def test_pods_that_cannot_be_seen_are_warned_of(self, objects: Objects) -> None:
        build(objects, (names.DATASETS, ours(names.DATASETS)))
        objects.forbidden.add(PODS.path("ns"))
        lines, warned = run(objects)
        assert lines == ["dataset.data.fluid.io/demo deleted"]
        assert "cannot be seen" in warned[0]


def test_what_does_not_go_away_is_said_with_fluids_reason(objects: Objects) -> None:
    """As with a finalizer: DELETE answers, and the object stays."""
    dataset = ours(names.DATASETS)
    build(objects, (names.DATASETS, dataset))
    objects.lists["/api/v1/namespaces/ns/events"] = [
        {
            "type": "Warning",
            "reason": "ErrorDeleteDataset",
            "message": "can not delete dataset because Pod x is using it",
            "involvedObject": {"kind": "Dataset", "name": "demo"},
        }
    ]
    lines = removal.remove(objects.client, "ns", "demo", wait=0.2)
    assert next(lines) == "dataset.data.fluid.io/demo deleted"
    objects.add(names.DATASETS, dataset)
    with pytest.raises(TimedOut, match="Pod x is using it") as caught:
        list(lines)
    assert caught.value.exit_code == 124
