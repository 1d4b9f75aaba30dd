"""Area 1xx as tables: a healthy cluster with one thing changed, and the codes that follow."""

from __future__ import annotations

import pytest

from kubectl_fluidmodel.doctor.check import Severity
from kubectl_fluidmodel.fluid import names
from kubectl_fluidmodel.objects import kinds as k
from kubectl_fluidmodel.objects.access import Object
from kubectl_fluidmodel.snapshot.snapshot import ReadFailure, Snapshot
from tests.doctor import builders as b
from tests.doctor.fault_cases import Fault

SYSTEM = names.SYSTEM_NAMESPACE


def deployment(snapshot: Snapshot, name: str) -> Object:
    return b.get_object(snapshot, k.DEPLOYMENTS, name, SYSTEM)


def scaled(name: str) -> Fault:
    def change(snapshot: Snapshot) -> None:
        deployment(snapshot, name)["spec"]["replicas"] = 0
        deployment(snapshot, name)["status"] = {}

    return change


def unready(name: str) -> Fault:
    def change(snapshot: Snapshot) -> None:
        deployment(snapshot, name)["status"] = {"replicas": 1}

    return change


def image(name: str, tag: str) -> Fault:
    def change(snapshot: Snapshot) -> None:
        [container] = deployment(snapshot, name)["spec"]["template"]["spec"]["containers"]
        container["image"] = f"fluidcloudnative/controller:{tag}"

    return change


def unserved(*kinds: k.Kind) -> Fault:
    def change(snapshot: Snapshot) -> None:
        for kind in kinds:
            snapshot.versions.pop(kind.resource, None)
            snapshot.objects.pop(kind.resource, None)

    return change


def plugin(**status: int) -> Fault:
    def change(snapshot: Snapshot) -> None:
        b.get_object(snapshot, k.DAEMON_SETS, "csi-nodeplugin-fluid", SYSTEM)["status"] = status

    return change


def webhook(**fields: object) -> Fault:
    def change(snapshot: Snapshot) -> None:
        [configuration] = snapshot.of_kind(k.WEBHOOKS)
        configuration["webhooks"][0].update(fields)

    return change


def server(version: str) -> Fault:
    def change(snapshot: Snapshot) -> None:
        snapshot.server_version = version

    return change


def failed(resource: str) -> Fault:
    def change(snapshot: Snapshot) -> None:
        snapshot.read_failures.append(
            ReadFailure(resource, "", "etcdserver: request timed out", False)
        )

    return change


def several(*changes: Fault) -> Fault:
    def change(snapshot: Snapshot) -> None:
        for fault in changes:
            fault(snapshot)

    return change


def pulling(snapshot: Snapshot) -> None:
    pod = b.get_object(snapshot, k.PODS, "dataset-controller-5f55cff584-x", SYSTEM)
    b.make_container_wait(pod, "manager", "ImagePullBackOff", "Back-off pulling image")


@pytest.mark.parametrize(
    ("change", "codes"),
    [
        (unserved(names.DATASETS, names.DATA_LOADS, *names.RUNTIME_KINDS), ["FM101"]),
        (unserved(names.DATA_LOADS), ["FM102"]),
        (image("dataset-controller", "v0.9.2-abc"), ["FM103", "FM104"]),
        (image("alluxioruntime-controller", "v1.0.7-abc"), ["FM104"]),
        (image("dataset-controller", "latest"), []),
        (scaled("dataset-controller"), ["FM105"]),
        (unready("dataset-controller"), ["FM105"]),
        (scaled("alluxioruntime-controller"), ["FM106"]),
        (unready("alluxioruntime-controller"), ["FM106"]),
        (scaled("juicefsruntime-controller"), []),
        (pulling, ["FM107"]),
        (
            lambda snapshot: b.remove_object(snapshot, k.CSI_DRIVERS, names.CSI_DRIVER, ""),
            ["FM108"],
        ),
        (plugin(desiredNumberScheduled=3, numberReady=2), ["FM109"]),
        (plugin(desiredNumberScheduled=0), ["FM109"]),
        (scaled("fluid-webhook"), ["FM110"]),
        (
            lambda snapshot: b.remove_object(snapshot, k.DEPLOYMENTS, "fluid-webhook", SYSTEM),
            ["FM110"],
        ),
        (several(scaled("fluid-webhook"), webhook(failurePolicy="Ignore")), []),
        (webhook(clientConfig={"service": {"namespace": SYSTEM}, "caBundle": "Cg=="}), ["FM111"]),
        (webhook(clientConfig={"service": {"namespace": "other"}}), []),
        (server("v1.21.14"), ["FM112"]),
        (server("v1.22.0-gke.100"), []),
        (failed("nodes"), ["FM113"]),
    ],
)
def test_installation_fault_is_found(change: Fault, codes: list[str]) -> None:
    snapshot = b.healthy_snapshot()
    change(snapshot)
    assert b.found_codes(snapshot, "1xx") == codes


def test_only_fm101_is_found_without_fluid() -> None:
    snapshot = b.healthy_snapshot()
    unserved(names.DATASETS, names.DATA_LOADS, *names.RUNTIME_KINDS)(snapshot)
    snapshot.objects[k.DEPLOYMENTS.resource] = []
    snapshot.objects[k.CSI_DRIVERS.resource] = []
    snapshot.objects[k.WEBHOOKS.resource] = []
    assert b.root_codes(snapshot, "1xx") == ["FM101"]
    assert b.skip_reasons(snapshot, "FM105") == [
        f"Fluid's controllers are not in namespace {SYSTEM}"
    ]
    assert b.skip_reasons(snapshot, "FM108") == ["Fluid is not installed"]


@pytest.mark.parametrize(
    ("kind", "code"),
    [
        (k.DEPLOYMENTS, "FM103"),
        (k.DEPLOYMENTS, "FM105"),
        (k.DEPLOYMENTS, "FM106"),
        (k.PODS, "FM107"),
        (k.CSI_DRIVERS, "FM108"),
        (k.DAEMON_SETS, "FM109"),
        (k.WEBHOOKS, "FM110"),
        (k.WEBHOOKS, "FM111"),
    ],
)
def test_check_without_permission_is_skipped_with_its_reason(kind: k.Kind, code: str) -> None:
    snapshot = b.healthy_snapshot()
    b.forbid_listing(snapshot, kind)
    assert b.found_codes(snapshot, code) == []
    [why] = b.skip_reasons(snapshot, code)
    assert why.startswith(f"no permission to list {kind.resource}")


def test_stopped_controller_is_a_warning_until_a_runtime_waits() -> None:
    snapshot = b.healthy_snapshot()
    scaled("alluxioruntime-controller")(snapshot)
    assert [finding.severity for finding in b.findings_of(snapshot, "FM106")] == [Severity.WARNING]
    b.get_object(snapshot, names.ALLUXIO_RUNTIMES, "demo")["status"] = {}
    assert [finding.severity for finding in b.findings_of(snapshot, "FM106")] == [Severity.ERROR]


def test_csi_plugin_down_on_a_readers_node_is_an_error() -> None:
    snapshot = b.healthy_snapshot()
    plugin(desiredNumberScheduled=3, numberReady=2)(snapshot)
    assert [finding.severity for finding in b.findings_of(snapshot, "FM109")] == [Severity.WARNING]
    b.make_unready(b.get_object(snapshot, k.PODS, "csi-nodeplugin-fluid-gpu-0", SYSTEM))
    [finding] = b.findings_of(snapshot, "FM109")
    assert finding.severity is Severity.ERROR
    assert finding.cause.endswith("pods that read a cache are on gpu-0")


@pytest.mark.parametrize(
    ("reason", "message", "cause", "fix"),
    [
        (
            "FailedMount",
            'MountVolume.SetUp failed for volume "kubelet-kube-config" : hostPath type check '
            "failed: /etc/kubernetes/kubelet.conf is not a file",
            "this kubelet has no /etc/kubernetes/kubelet.conf",
            "--set csi.useNodeAuthorization=false",
        ),
        ("FailedScheduling", "0/3 nodes are available: 3 Insufficient cpu", "fits on no node", ""),
    ],
)
def test_reason_why_a_pod_of_fluid_does_not_start_is_found(
    reason: str, message: str, cause: str, fix: str
) -> None:
    snapshot = b.healthy_snapshot()
    pod = b.make_unready(b.get_object(snapshot, k.PODS, "csi-nodeplugin-fluid-gpu-0", SYSTEM))
    b.add_warning_event(snapshot, pod, reason, message)
    [finding] = b.findings_of(snapshot, "FM107")
    assert cause in finding.cause
    assert finding.fix is not None and fix in finding.fix.text
