"""Removing what is ours, and nothing else."""

from __future__ import annotations

from typing import Any

import pytest

from kubectl_fluidmodel.cache import removal
from kubectl_fluidmodel.errors import FluidModelError, WaitTimeoutError
from kubectl_fluidmodel.fluid import names
from kubectl_fluidmodel.objects.access import Object, name_of
from kubectl_fluidmodel.objects.kinds import JOBS, PODS, PVS, SECRETS, Kind
from tests.cache.objects import Objects, objects

__all__ = ["objects"]


def owned_object(kind: Kind, name: str = "demo", **more: Any) -> Object:
    metadata = {"name": name, "labels": names.managed_labels("demo")}
    if kind.namespaced:
        metadata["namespace"] = "ns"
    return {"apiVersion": kind.api_version, "kind": kind.name, "metadata": metadata, **more}


def volume(name: str, namespace: str) -> Object:
    return owned_object(PVS, name, spec={"claimRef": {"namespace": namespace}})


def add_objects(objects: Objects, *kinds_and_objects: tuple[Kind, Object]) -> None:
    for kind in removal.OWNED_KINDS:
        objects.lists[kind.path("ns")] = []
    objects.lists[PODS.path("ns")] = []
    for kind, obj in kinds_and_objects:
        objects.lists[kind.path("ns")].append(obj)
        objects.add(kind, obj)


def reader_pod(name: str, claim: str, phase: str = "Running") -> Object:
    volumes = [{"name": "v", "persistentVolumeClaim": {"claimName": claim}}, {"name": "w"}]
    return {"metadata": {"name": name}, "spec": {"volumes": volumes}, "status": {"phase": phase}}


def test_readers_go_before_what_they_read_and_the_dataset_last(objects: Objects) -> None:
    add_objects(
        objects,
        (SECRETS, owned_object(SECRETS, "demo-store")),
        (names.DATASETS, owned_object(names.DATASETS)),
        (names.DATA_LOADS, owned_object(names.DATA_LOADS)),
        (names.ALLUXIO_RUNTIMES, owned_object(names.ALLUXIO_RUNTIMES)),
    )
    lines = list(removal.delete_owned(objects.client, "ns", "demo", timeout=5))
    assert lines == [
        "dataload.data.fluid.io/demo deleted",
        "alluxioruntime.data.fluid.io/demo deleted",
        "secret/demo-store deleted",
        "dataset.data.fluid.io/demo deleted",
    ]
    assert objects.asked[-1].query["labelSelector"] == (
        "release=demo,role in (alluxio-master, alluxio-worker, alluxio-fuse)"
    )
    ours_ = "app.kubernetes.io/managed-by=kubectl-fluidmodel,fluidmodel.io/model=demo"
    selectors = {
        request.query["labelSelector"] for request in objects.asked[:-1] if "limit" in request.query
    }
    assert selectors == {ours_, f"{ours_},fluidmodel.io/stage=true"}


def test_an_active_staging_job_has_priority(objects: Objects) -> None:
    """Its Secret goes, too: left alone it would fail in the middle, or stage for nobody."""
    add_objects(
        objects,
        (JOBS, owned_object(JOBS, "demo-stage-1")),
        (SECRETS, owned_object(SECRETS, "demo-store")),
    )
    lines = list(removal.delete_owned(objects.client, "ns", "demo", timeout=5))
    assert lines == ["job.batch/demo-stage-1 deleted", "secret/demo-store deleted"]


def test_a_volume_of_the_same_name_in_another_namespace_stays(objects: Objects) -> None:
    add_objects(objects, (PVS, volume("mine", "ns")), (PVS, volume("theirs", "other")))
    owned = removal.owned_objects(objects.client, "ns", "demo")
    assert [name_of(obj) for obj in owned] == ["mine"]


def test_kinds_that_may_not_be_listed_are_skipped(objects: Objects) -> None:
    add_objects(objects, (names.DATASETS, owned_object(names.DATASETS)))
    objects.forbidden.add(PVS.path("ns"))
    assert [obj["kind"] for obj in removal.owned_objects(objects.client, "ns", "demo")] == [
        "Dataset"
    ]


@pytest.mark.parametrize(
    ("pods", "names_"),
    [
        ([], []),
        ([reader_pod("a", "demo"), reader_pod("b", "other"), {"metadata": {"name": "c"}}], ["a"]),
        ([reader_pod("a", "demo", "Succeeded"), reader_pod("b", "demo", "Failed")], []),
        ([reader_pod("a", "demo", "Pending")], ["a"]),
    ],
)
def test_the_pods_that_read(objects: Objects, pods: list[Object], names_: list[str]) -> None:
    objects.lists[PODS.path("ns")] = pods
    assert removal.pods_mounting(objects.client, "ns", "demo") == names_


def referred(*references: str) -> Object:
    return owned_object(names.DATASETS, status={"datasetRef": list(references)})


@pytest.mark.parametrize("force", [False, True])
def test_a_cache_that_others_refer_to_stays(objects: Objects, force: bool) -> None:
    """Fluid would keep the Dataset and delete its runtime."""
    add_objects(objects, (names.DATASETS, referred("team-a/llama", "team-b/gone")))
    theirs = {"metadata": {"name": "llama", "namespace": "team-a"}}
    objects.add(names.DATASETS, theirs)
    with pytest.raises(FluidModelError) as caught:
        run(objects, force=force)
    assert caught.value.reason == "other namespaces refer to it: team-a/llama"
    assert "uncache llama -n team-a" in str(caught.value.hint)
    assert not any(request.method == "DELETE" for request in objects.asked)


def test_references_that_are_gone_hold_nothing(objects: Objects) -> None:
    add_objects(objects, (names.DATASETS, referred("team-b/gone")))
    lines, _ = run(objects)
    assert lines == ["dataset.data.fluid.io/demo deleted"]


def test_a_reference_that_may_not_be_read_counts(objects: Objects) -> None:
    add_objects(objects, (names.DATASETS, referred("team-a/llama")))
    objects.forbidden.add(names.DATASETS.path("team-a", "llama"))
    with pytest.raises(FluidModelError, match="team-a/llama"):
        run(objects)


def run(objects: Objects, *, force: bool = False) -> tuple[list[str], list[str]]:
    warned: list[str] = []
    lines = removal.uncache(
        objects.client, "ns", "demo", force=force, timeout=5, warn=warned.append
    )  # fmt: skip
    return list(lines), warned


class TestUncache:
    def test_refused_while_pods_read(self, objects: Objects) -> None:
        add_objects(objects, (names.DATASETS, owned_object(names.DATASETS)))
        objects.lists[PODS.path("ns")] = [reader_pod("engine-0", "demo")]
        with pytest.raises(FluidModelError, match="pods read from cache demo: engine-0") as caught:
            run(objects)
        assert "--force" in caught.value.hint
        assert not any(request.method == "DELETE" for request in objects.asked)
        assert run(objects, force=True)[0] == ["dataset.data.fluid.io/demo deleted"]

    def test_what_an_nfs_source_has_besides_is_asked_for(self, objects: Objects) -> None:
        dataset = owned_object(names.DATASETS)
        dataset["metadata"]["annotations"] = {names.SOURCE_ANNOTATION: "nfs://filer/models"}
        add_objects(objects, (names.DATASETS, dataset))
        objects.forbidden.add(PVS.path("ns"))
        objects.denied.add(("list", "persistentvolumes"))
        with pytest.raises(FluidModelError, match="uncache a model") as caught:
            run(objects)
        assert "list persistentvolumes cluster-wide" in caught.value.reason

    def test_jobs_that_cannot_be_seen_are_warned_of(self, objects: Objects) -> None:
        add_objects(objects, (names.DATASETS, owned_object(names.DATASETS)))
        objects.forbidden.add(JOBS.path("ns"))
        objects.denied.add(("list", "jobs"))
        lines, warned = run(objects)
        assert lines == ["dataset.data.fluid.io/demo deleted"]
        assert "staging Jobs cannot be listed" in warned[0]

    def test_pods_that_cannot_be_seen_are_warned_of(self, objects: Objects) -> None:
        add_objects(objects, (names.DATASETS, owned_object(names.DATASETS)))
        objects.forbidden.add(PODS.path("ns"))
        lines, warned = run(objects)
        assert lines == ["dataset.data.fluid.io/demo deleted"]
        assert "cannot be checked" in warned[0]


def test_objects_that_stay_are_reported_with_fluids_reason(objects: Objects) -> None:
    """As with a finalizer: DELETE answers, and the object stays."""
    dataset = owned_object(names.DATASETS)
    add_objects(objects, (names.DATASETS, dataset))
    objects.lists["/api/v1/namespaces/ns/events"] = [
        {
            "type": "Warning",
            "reason": "ErrorDeleteDataset",
            "message": "can not delete dataset because Pod x is using it",
            "involvedObject": {"kind": "Dataset", "name": "demo"},
        }
    ]
    lines = removal.delete_owned(objects.client, "ns", "demo", timeout=0.2)
    assert next(lines) == "dataset.data.fluid.io/demo deleted"
    objects.add(names.DATASETS, dataset)
    with pytest.raises(WaitTimeoutError, match="Pod x is using it") as caught:
        list(lines)
    assert caught.value.exit_code == 124


def runtime_pod(objects: Objects) -> None:
    add_objects(objects, (names.ALLUXIO_RUNTIMES, owned_object(names.ALLUXIO_RUNTIMES)))
    deleted = {"name": "demo-master-0", "deletionTimestamp": "2026-11-28T18:40:00Z"}
    objects.lists[PODS.path("ns")] = [{"metadata": deleted}]


def test_a_pod_that_does_not_end_is_named(objects: Objects) -> None:
    """Its node is lost, for example: the port and the memory stay taken, as far as we know."""
    runtime_pod(objects)
    lines = removal.delete_owned(objects.client, "ns", "demo", timeout=0.2)
    with pytest.raises(WaitTimeoutError, match="pod demo-master-0 is still being") as caught:
        list(lines)
    assert "kubectl describe pod demo-master-0 -n ns" in caught.value.hint


def test_pods_are_not_waited_for_where_they_cannot_be_seen(objects: Objects) -> None:
    runtime_pod(objects)
    objects.forbidden.add(PODS.path("ns"))
    lines = removal.delete_owned(objects.client, "ns", "demo", timeout=5)
    assert list(lines) == ["alluxioruntime.data.fluid.io/demo deleted"]
