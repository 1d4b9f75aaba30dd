"""No verb relies on an object that is being deleted: a table of verb and kind."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from kubectl_fluidmodel.cache import preflight, verification
from kubectl_fluidmodel.cache.existing import ExistingObjects
from kubectl_fluidmodel.errors import FluidModelError
from kubectl_fluidmodel.fluid import names, placement, pod_problems
from kubectl_fluidmodel.inspect.details import describe_caches
from kubectl_fluidmodel.inventory.cache import build_caches
from kubectl_fluidmodel.objects import kinds
from kubectl_fluidmodel.objects.access import Object
from kubectl_fluidmodel.objects.kinds import Kind
from kubectl_fluidmodel.pin.preflight.cache import check_cache, check_graph
from kubectl_fluidmodel.pin.preflight.context import REFUSE, CacheInfo
from kubectl_fluidmodel.snapshot import queries
from kubectl_fluidmodel.snapshot.document import snapshot_from_document, snapshot_to_document
from kubectl_fluidmodel.snapshot.snapshot import Snapshot
from tests.cache.objects import Objects, objects
from tests.cache.test_options import make_options as request_of
from tests.doctor import builders as b
from tests.doctor import pods
from tests.doctor.fluid import NAME, NS

__all__ = ["objects"]
GONE = "2026-09-21T14:00:00Z"
"""Thirteen minutes before the healthy Snapshot was taken."""

DOCTOR: dict[Kind, tuple[str, str]] = {
    names.DATASETS: (NAME, "FM217"),
    names.ALLUXIO_RUNTIMES: (NAME, "FM217"),
    names.DATA_LOADS: (NAME, "FM217"),
    kinds.PVS: (f"{NS}-{NAME}", "FM217"),
    kinds.PVCS: (NAME, "FM406"),
    kinds.NODES: ("gpu-0", "FM815"),
    kinds.NAMESPACES: (NS, "FM114"),
    kinds.PODS: (f"{NAME}-worker-0", "FM334"),
    queries.GRAPHS: ("chat", "FM711"),
}


def terminating(obj: Object) -> Object:
    obj["metadata"].update(deletionTimestamp=GONE, finalizers=["example.com/hold"])
    return obj


@pytest.mark.parametrize("kind", DOCTOR, ids=lambda kind: kind.plural)
def test_doctor_reports_each_kind(kind: Kind) -> None:
    name, code = DOCTOR[kind]
    snapshot = b.healthy_snapshot()
    namespaced = kind.namespaced
    items = snapshot.objects[kind.resource]
    matches = [obj for obj in items if name in obj["metadata"]["name"]] if namespaced else []
    terminating(matches[0] if matches else b.get_object(snapshot, kind, name, ""))
    assert code in b.found_codes(snapshot)
    assert b.run_checks(snapshot).verdict != "healthy"


def test_a_secret_that_went_with_its_dataset_is_a_consequence() -> None:
    snapshot = b.healthy_snapshot()
    terminating(b.get_object(snapshot, names.DATASETS, NAME))
    b.remove_object(snapshot, kinds.SECRETS, f"{NAME}-store")
    assert "FM212" in b.found_codes(snapshot)
    assert "FM217" in b.root_codes(snapshot) and "FM212" not in b.root_codes(snapshot)


def test_a_dataset_and_its_runtime_that_are_deleted_together_are_one_fault() -> None:
    snapshot = b.healthy_snapshot()
    leaving = [(names.DATASETS, NAME), (names.ALLUXIO_RUNTIMES, NAME)]
    for kind, name in leaving:
        terminating(b.get_object(snapshot, kind, name))
    (finding,) = b.findings_of(snapshot, "FM217")
    assert finding.about == f"dataset {NS}/{NAME}"
    assert finding.cause.endswith("chat-decode-0 still mounts it")
    seen = {
        evidence.object
        for evidence in finding.evidence
        if evidence.location == "metadata.deletionTimestamp"
    }
    assert seen == {f"{kind.name.lower()} {NS}/{name}" for kind, name in leaving}


def test_what_was_deleted_just_now_is_no_longer_healthy() -> None:
    snapshot = b.healthy_snapshot()
    dataset = terminating(b.get_object(snapshot, names.DATASETS, NAME))
    dataset["metadata"]["deletionTimestamp"] = "2026-09-21T14:13:10Z"
    (finding,) = b.findings_of(snapshot, "FM217")
    assert finding.cause == "it is being deleted"
    assert b.run_checks(snapshot).verdict == "warnings"


def looked(change: Callable[[Snapshot], object]) -> Iterator[object]:
    snapshot = b.healthy_snapshot()
    change(snapshot)
    snapshot = snapshot_from_document(snapshot_to_document(snapshot))
    (cache,) = describe_caches(snapshot, caches=build_caches(snapshot))
    yield cache.phase
    yield cache.claim
    yield cache.loads[0].phase
    yield next(iter(cache.nodes or ())).problem
    yield next(iter(cache.readers or ())).state


@pytest.mark.parametrize(
    ("kind", "name", "place", "message"),
    [
        (names.DATASETS, NAME, 0, "Terminating"),
        (names.ALLUXIO_RUNTIMES, NAME, 0, "Terminating"),
        (kinds.PVCS, NAME, 1, "Terminating"),
        (kinds.PVS, f"{NS}-{NAME}", 1, "Terminating"),
        (names.DATA_LOADS, "", 2, "Terminating"),
        (kinds.NODES, "gpu-0", 3, "the node is being deleted"),
        (kinds.PODS, f"{NAME}-worker-0", 3, "is being deleted"),
        (kinds.PODS, "chat-decode-0", 4, "Terminating"),
    ],
)
def test_inspect_shows_each_kind(kind: Kind, name: str, place: int, message: str) -> None:
    def change(snapshot: Snapshot) -> None:
        items = snapshot.objects[kind.resource]
        terminating(next(obj for obj in items if name in obj["metadata"]["name"]))

    before = [*looked(lambda snapshot: None)]
    after = [*looked(change)]
    assert message in str(after[place]) and message not in str(before[place])


# -- cache -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "kind", [names.DATASETS, names.ALLUXIO_RUNTIMES, kinds.PVCS, kinds.PVS, kinds.SECRETS], ids=str
)
def test_cache_refuses_each_kind_and_names_the_pod_that_uses_it(
    objects: Objects, kind: Kind
) -> None:
    request = request_of("s3://bucket/llama", name="llama")
    named = {kinds.PVS: "ns-llama", kinds.SECRETS: "llama-store"}.get(kind, "llama")
    obj = terminating({"metadata": {"name": named}})
    if kind.namespaced:
        obj["metadata"]["namespace"] = "ns"
    objects.add(kind, obj)
    reading = {
        "metadata": {"name": "reader", "namespace": "ns"},
        "spec": {"volumes": [{"persistentVolumeClaim": {"claimName": "llama"}}]},
    }
    objects.lists["/api/v1/namespaces/ns/pods"] = [reading]
    standing = ExistingObjects(
        dataset=obj if kind is names.DATASETS else None,
        runtime=obj if kind is names.ALLUXIO_RUNTIMES else None,
    )
    with pytest.raises(FluidModelError) as caught:
        preflight.require_not_deleting(objects.client, request, "ns", standing)
    assert str(caught.value).startswith(
        f"{kind.name} {named} is being deleted: since {GONE}, held by pod reader; try: "
    )
    assert caught.value.exit_code == 1


def test_cache_refuses_a_namespace_and_a_source_that_go(objects: Objects) -> None:
    objects.add(kinds.NAMESPACES, terminating({"metadata": {"name": "ns"}}))
    with pytest.raises(FluidModelError, match="Namespace ns is being deleted"):
        preflight.check_namespace(objects.client, "ns")
    objects.add(kinds.PVCS, terminating({"metadata": {"name": "raw", "namespace": "ns"}}))
    request = request_of("pvc://raw", name="llama")
    with pytest.raises(FluidModelError, match="PersistentVolumeClaim raw is being deleted"):
        preflight.require_source_claim(objects.client, request, "ns")


def test_cache_chooses_no_node_that_is_being_removed() -> None:
    node = b.get_object(b.healthy_snapshot(), kinds.NODES, "gpu-0", "")
    assert placement.build_candidate(node).is_eligible
    assert not placement.build_candidate(terminating(node)).is_eligible


def test_a_worker_that_is_being_deleted_verifies_nothing() -> None:
    worker = pods.worker_pod()
    assert pod_problems.is_ready(worker)
    assert verification.lost_workers([worker], None, [], 1) == []
    assert verification.lost_workers([terminating(worker)], None, [], 1) == [
        f"worker {NAME}-worker-0 is being deleted"
    ]


# -- pin -------------------------------------------------------------------------------------


class Pin:
    """As much of a pin as the checks of deletion look at."""

    def __init__(self, facts: CacheInfo, before: Object) -> None:
        self.cache, self.before, self.graph = facts, before, self
        self.reference = "dgd/chat"


def facts() -> CacheInfo:
    snapshot = b.healthy_snapshot()
    return CacheInfo(
        NAME,
        NS,
        dataset=b.get_object(snapshot, names.DATASETS, NAME),
        claim=b.get_object(snapshot, kinds.PVCS, NAME),
        pods={"gpu-0": snapshot.objects["pods"]},
    )


@pytest.mark.parametrize("what", ["Dataset", "claim"])
def test_pin_refuses_a_cache_that_is_being_deleted(what: str) -> None:
    cache = facts()
    terminating((cache.dataset if what == "Dataset" else cache.claim) or {})
    (finding,) = check_cache(Pin(cache, {}))  # type: ignore[arg-type]
    assert finding.level == REFUSE and finding.even_if_pinned
    assert str(finding).startswith(
        f"the {what} {NAME} is being deleted: since {GONE}, held by pod chat-decode-0; try: "
    )


def test_pin_refuses_a_graph_that_is_being_deleted() -> None:
    graph = terminating(b.healthy_snapshot().objects[queries.GRAPHS.resource][0])
    (finding,) = check_graph(Pin(facts(), graph))  # type: ignore[arg-type]
    assert finding.level == REFUSE and finding.even_if_pinned
    assert "dgd/chat is being deleted" in finding.message
    assert not list(
        check_graph(Pin(facts(), b.healthy_snapshot().objects[queries.GRAPHS.resource][0]))
    )  # type: ignore[arg-type]
