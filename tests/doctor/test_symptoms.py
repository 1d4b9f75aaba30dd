"""Nothing that anybody can say of a cache's objects falls between two checks."""

from __future__ import annotations

import pytest

from kubectl_fluidmodel.doctor.check import REGISTRY, Severity
from kubectl_fluidmodel.fluid import names
from kubectl_fluidmodel.objects import kinds as k
from kubectl_fluidmodel.objects.access import Object
from kubectl_fluidmodel.snapshot.snapshot import Snapshot
from tests.doctor import builders as b
from tests.doctor import pods, symptoms
from tests.doctor.fluid import NAME
from tests.doctor.symptoms import Symptom

PODS = {
    symptoms.MASTER: (f"{NAME}-master-0", "alluxio-master"),
    symptoms.WORKER: (f"{NAME}-worker-0", "alluxio-worker"),
    symptoms.READER: ("chat-decode-0", "main"),
}
NOT_BOUND = ("FM203", "FM208", "FM221")
"""Owners of what is said while a Dataset is not Bound."""


def subject(snapshot: Snapshot, about: str) -> Object:
    """The object that is spoken of."""
    if about in PODS:
        return b.get_object(snapshot, k.PODS, PODS[about][0])
    if about == symptoms.FUSE:
        name = pods.fuse_pod()["metadata"]["name"]
        return b.get_object(snapshot, k.PODS, name)
    if about == symptoms.LOADER:
        return b.get_object(snapshot, k.PODS, pods.loader_pod()["metadata"]["name"])
    if about == symptoms.LOAD:
        return snapshot.objects[names.DATA_LOADS.resource][0]
    kinds = {
        symptoms.DATASET: names.DATASETS,
        symptoms.RUNTIME: names.ALLUXIO_RUNTIMES,
        symptoms.CLAIM: k.PVCS,
    }
    if about in kinds:
        return b.get_object(snapshot, kinds[about], NAME)
    if about == symptoms.STATEFUL_SET:
        return b.get_object(snapshot, k.STATEFUL_SETS, f"{NAME}-worker")
    return b.get_object(snapshot, k.DAEMON_SETS, f"{NAME}-fuse")


def suffer(snapshot: Snapshot, row: Symptom) -> None:
    """Bring a healthy cache into the state in which the row is said."""
    obj = subject(snapshot, row.about)
    if row.reason == "FailedScheduling":
        b.make_unschedulable(obj, row.message)
    elif obj["kind"] == "Pod":
        container = obj["spec"]["containers"][0]["name"]
        if row.about == symptoms.LOADER:
            obj["status"]["phase"] = "Pending"
        reason = row.reason if row.waits else "ContainerCreating"
        b.make_container_wait(obj, container, reason, row.message if row.waits else "")
    elif row.about == symptoms.CLAIM:
        obj["status"] = {"phase": "Pending"}
    elif row.reason == "FailedCreate":
        for pod in list(snapshot.objects["pods"]):
            if pod["metadata"]["name"].startswith(obj["metadata"]["name"]):
                snapshot.objects["pods"].remove(pod)
    elif row.reason == "DataOperationFailed":
        obj["status"]["phase"] = "Failed"
    elif row.owner in NOT_BOUND:
        status = b.get_object(snapshot, names.DATASETS, NAME)["status"]
        status.update(phase="" if row.owner == "FM203" else "NotBound", conditions=[])
    if not row.waits:
        b.add_warning_event(snapshot, obj, row.reason, row.message)


def name_of(row: Symptom) -> str:
    return f"{row.source}-{row.about}-{row.reason}-{row.message[-24:]}"


@pytest.mark.parametrize("row", symptoms.TABLE, ids=name_of)
def test_symptom_is_reported_by_its_check(row: Symptom) -> None:
    snapshot = b.healthy_snapshot()
    suffer(snapshot, row)
    diagnosis = b.run_checks(snapshot)
    assert row.owner in {problem.check.code for problem in diagnosis.problems}, b.found_codes(
        snapshot
    )
    if row.about == symptoms.READER and row.owner != "FM445":
        assert diagnosis.failed, "a reader that cannot start is an error"
    assert diagnosis.verdict != "healthy"


def test_table_has_every_kubelet_warning() -> None:
    there = {row.reason for row in symptoms.TABLE} | set(symptoms.ELSEWHERE)
    assert set(symptoms.KUBELET) - there == set()
    assert not set(symptoms.ELSEWHERE) & {row.reason for row in symptoms.TABLE}


def test_table_has_every_fluid_warning() -> None:
    assert set(symptoms.FLUID) - {row.reason for row in symptoms.TABLE} == set()


def test_every_owner_is_a_registered_check() -> None:
    assert {row.owner for row in symptoms.TABLE} <= set(REGISTRY.checks)


@pytest.mark.parametrize("phase", symptoms.PHASES)
@pytest.mark.parametrize("reference", [True, False])
def test_dataset_in_any_other_phase_than_bound_is_reported(phase: str, reference: bool) -> None:
    snapshot = b.healthy_snapshot()
    dataset = b.get_object(snapshot, names.DATASETS, NAME)
    dataset["status"].update(phase=phase, conditions=[])
    if reference:
        dataset["spec"]["mounts"] = [{"mountPoint": "dataset://elsewhere/other", "name": "phys"}]
    diagnosis = b.run_checks(snapshot)
    own = [problem for problem in diagnosis.problems if problem.check.code in (*NOT_BOUND, "FM223")]
    assert own and own[0].severity is Severity.ERROR, b.found_codes(snapshot)
    assert diagnosis.failed


def test_kubelet_driver_error_is_reported_without_access_to_csi_nodes() -> None:
    """The check that owns a word of a mount must not need more than the general one."""
    snapshot = b.healthy_snapshot()
    row = symptoms.TABLE[0]
    suffer(snapshot, row)
    b.forbid_listing(snapshot, k.CSI_NODES)
    assert "FM420" in b.found_codes(snapshot)


def test_specific_mount_checks_need_no_more_than_fm442() -> None:
    general = set(REGISTRY.checks["FM442"].needs)
    owners = {row.owner for row in symptoms.TABLE if row.about == symptoms.READER}
    mounting = owners - {"FM442", "FM445", "FM730", "FM441"}
    assert all(set(REGISTRY.checks[code].needs) <= general for code in mounting)
