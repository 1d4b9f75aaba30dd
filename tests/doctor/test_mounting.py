"""4xx: one row for each way in which a claim, its labels or its mounts fail."""

from __future__ import annotations

import pytest

from kubectl_fluidmodel.doctor.check import Severity
from kubectl_fluidmodel.fluid import names
from kubectl_fluidmodel.objects import kinds
from kubectl_fluidmodel.objects.access import Object
from kubectl_fluidmodel.snapshot.snapshot import Snapshot
from tests.doctor import builders as b
from tests.doctor import platform, pods
from tests.doctor.fault_cases import Fault, FaultCase
from tests.doctor.fluid import FUSE_LABEL, LABEL

READER = "chat-decode-0"
NOW = "2026-09-21T14:13:10Z"


def reader(snapshot: Snapshot) -> Object:
    return b.get_object(snapshot, kinds.PODS, READER)


def creating(snapshot: Snapshot) -> Object:
    return b.make_container_wait(reader(snapshot), "main", "ContainerCreating")


def says(message: str, reason: str = "FailedMount") -> Fault:
    return lambda snapshot: b.add_warning_event(snapshot, creating(snapshot), reason, message)


def no_claim(snapshot: Snapshot) -> None:
    b.remove_object(snapshot, kinds.PVCS, "demo")
    b.remove_object(snapshot, kinds.PVS, "models-demo", "")
    message = "Failed to setup volume due to error persistentvolumes is forbidden"
    runtime = b.get_object(snapshot, names.ALLUXIO_RUNTIMES, "demo")
    b.add_warning_event(snapshot, runtime, "ErrorProcessRuntime", message)


def long_name(snapshot: Snapshot) -> None:
    b.remove_object(snapshot, kinds.PVCS, "demo")
    message = "Failed to setup volume due to error name part must be no more than 63 characters"
    runtime = b.get_object(snapshot, names.ALLUXIO_RUNTIMES, "demo")
    b.add_warning_event(snapshot, runtime, "ErrorProcessRuntime", message)


def pending(snapshot: Snapshot) -> None:
    b.get_object(snapshot, kinds.PVCS, "demo")["status"] = {"phase": "Pending"}


def released(snapshot: Snapshot) -> None:
    pending(snapshot)
    b.get_object(snapshot, kinds.PVS, "models-demo", "")["status"] = {"phase": "Released"}


def lost(snapshot: Snapshot) -> None:
    b.get_object(snapshot, kinds.PVCS, "demo")["status"] = {"phase": "Lost"}
    b.remove_object(snapshot, kinds.PVS, "models-demo", "")


def foreign(snapshot: Snapshot) -> None:
    claim = b.get_object(snapshot, kinds.PVCS, "demo")
    claim["metadata"].update(annotations={}, labels={})
    claim["spec"].update(storageClassName="standard", volumeName="pvc-1")


def leaving(snapshot: Snapshot) -> None:
    claim = b.get_object(snapshot, kinds.PVCS, "demo")
    claim["metadata"].update(deletionTimestamp=NOW, finalizers=["kubernetes.io/pvc-protection"])


def unlabelled(snapshot: Snapshot) -> None:
    del b.get_object(snapshot, kinds.NODES, "gpu-0")["metadata"]["labels"][LABEL]
    runtime = b.get_object(snapshot, names.ALLUXIO_RUNTIMES, "demo")
    message = "Failed to sync the ddc due to the master is not healthy"
    b.add_warning_event(snapshot, runtime, "ErrorProcessRuntime", message)


def other_key(snapshot: Snapshot) -> None:
    claim = b.get_object(snapshot, kinds.PVCS, "demo")
    claim["metadata"]["labels"] = {"fluid.io/s-0b2d6a1e-uid": "true"}


def other_fuse_key(snapshot: Snapshot) -> None:
    daemons = b.get_object(snapshot, kinds.DAEMON_SETS, "demo-fuse")
    daemons["spec"]["template"]["spec"]["nodeSelector"] = {"fluid.io/f-older": "true"}


def fluid_1_0(snapshot: Snapshot) -> None:
    """Without the key in the volume, and a selector that is not by the rule."""
    volume = b.get_object(snapshot, kinds.PVS, "models-demo", "")
    del volume["spec"]["csi"]["volumeAttributes"]["mount_pod_node_selector_key"]
    other_fuse_key(snapshot)


def shut_out(snapshot: Snapshot) -> None:
    term = {"matchExpressions": [{"key": "pool", "operator": "In", "values": ["a"]}]}
    volume = b.get_object(snapshot, kinds.PVS, "models-demo", "")
    volume["spec"]["nodeAffinity"] = {"required": {"nodeSelectorTerms": [term]}}
    runtime = b.get_object(snapshot, names.ALLUXIO_RUNTIMES, "demo")
    runtime["spec"]["fuse"]["nodeSelector"] = {"pool": "a"}


def no_driver(snapshot: Snapshot) -> None:
    b.get_object(snapshot, kinds.CSI_NODES, "gpu-0", "")["spec"]["drivers"] = []
    message = "driver name fuse.csi.fluid.io not found in the list of registered CSI drivers"
    says(f"MountVolume.MountDevice failed: kubernetes.io/csi: {message}")(snapshot)


def no_plugin(snapshot: Snapshot) -> None:
    b.remove_object(snapshot, kinds.PODS, "csi-nodeplugin-fluid-gpu-0", names.SYSTEM_NAMESPACE)
    daemons = b.get_object(
        snapshot, kinds.DAEMON_SETS, "csi-nodeplugin-fluid", names.SYSTEM_NAMESPACE
    )
    daemons["spec"]["template"]["spec"]["tolerations"] = []


def plugin_down(snapshot: Snapshot) -> None:
    name = "csi-nodeplugin-fluid-gpu-0"
    pod = b.get_object(snapshot, kinds.PODS, name, names.SYSTEM_NAMESPACE)
    b.make_container_wait(pod, "plugins", "CrashLoopBackOff", "back-off")


def fuse_no_room(snapshot: Snapshot) -> None:
    pod = b.get_object(snapshot, kinds.PODS, "demo-fuse-gpu-0")
    b.make_unschedulable(pod, "0/3 nodes are available: 1 Insufficient memory.")
    field = {"matchFields": [{"key": "metadata.name", "operator": "In", "values": ["gpu-0"]}]}
    required = {"nodeSelectorTerms": [field]}
    pod["spec"]["affinity"] = {
        "nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": required}
    }


def fuse_crashes(snapshot: Snapshot) -> None:
    pod = b.get_object(snapshot, kinds.PODS, "demo-fuse-gpu-0")
    b.make_container_wait(pod, "alluxio-fuse", "CrashLoopBackOff", "back-off", 3)


def fuse_refused(
    snapshot: Snapshot, log: str = "alluxio.jnifuse.FuseException: Unable to mount FS"
) -> None:
    """As recorded of Alluxio 2.9.3."""
    fuse_crashes(snapshot)
    pod = b.get_object(snapshot, kinds.PODS, "demo-fuse-gpu-0")
    b.set_log(snapshot, pod, "alluxio-fuse", log)
    spec = b.get_object(snapshot, names.ALLUXIO_RUNTIMES, "demo")["spec"]
    spec["fuse"]["args"] = ["fuse", "--fuse-opts=kernel_cache,ro,max_read=131072,nonempty"]


def fuse_kept_off(snapshot: Snapshot) -> None:
    b.remove_object(snapshot, kinds.PODS, "demo-fuse-gpu-0")
    daemons = b.get_object(snapshot, kinds.DAEMON_SETS, "demo-fuse")
    daemons["spec"]["template"]["spec"]["nodeSelector"]["pool"] = "a"


def dead_mount(snapshot: Snapshot) -> None:
    pod = b.make_container_wait(reader(snapshot), "main", "CrashLoopBackOff", "back-off", 2)
    line = "OSError: [Errno 107] Transport endpoint is not connected: '/model/config.json'"
    b.set_log(snapshot, pod, "main", line)


def fuse_restarted(snapshot: Snapshot) -> None:
    """After the reader had started; the reader itself says nothing."""
    fuse = b.get_object(snapshot, kinds.PODS, "demo-fuse-gpu-0")
    since = reader(snapshot)["status"]["containerStatuses"][0]["state"]["running"]["startedAt"]
    [status] = fuse["status"]["containerStatuses"]
    status["restartCount"] = 1
    status["state"] = {"running": {"startedAt": since.replace("2026", "2027")}}


def fuse_restarted_and_recovered(snapshot: Snapshot) -> None:
    fuse_restarted(snapshot)
    name, namespace = "csi-nodeplugin-fluid", names.SYSTEM_NAMESPACE
    plugin = b.get_object(snapshot, kinds.DAEMON_SETS, name, namespace)
    container = {"name": "plugins", "args": ["--feature-gates=FuseRecovery=true"]}
    plugin["spec"].setdefault("template", {})["spec"] = {"containers": [container]}


def not_mended(snapshot: Snapshot) -> None:
    dataset = b.get_object(snapshot, names.DATASETS, "demo")
    b.add_warning_event(
        snapshot, dataset, "FuseRecoverFailed", "Fuse recover /var/lib/kubelet/x failed"
    )


def refused(message: str) -> Fault:
    def broken(snapshot: Snapshot) -> None:
        owner = {"kind": "ReplicaSet", "metadata": b.meta("chat-decode-7c")}
        b.add_warning_event(snapshot, owner, "FailedCreate", message)

    return broken


def waits_for_claim(snapshot: Snapshot) -> None:
    b.make_unschedulable(
        reader(snapshot), '0/3 nodes are available: persistentvolumeclaim "demo" not found.'
    )


def not_injected(snapshot: Snapshot) -> None:
    pod = reader(snapshot)
    pod["metadata"]["labels"]["fuse.serverful.fluid.io/inject"] = "true"
    pod["metadata"]["ownerReferences"] = [{"kind": "ReplicaSet", "name": "chat-decode-7c"}]


def forbidden(snapshot: Snapshot) -> None:
    not_injected(snapshot)
    reader(snapshot)["metadata"]["labels"]["fluid.io/enable-injection"] = "false"


MOUNT = 'MountVolume.MountDevice failed for volume "models-demo" : rpc error: code = Internal '
HOOK = 'Internal error occurred: failed calling webhook "fuse.serverful.fluid.io": EOF'
SLOW = f"{MOUNT}timeout waiting for FUSE mount point to be ready"
INFOS = "failed to collect runtime infos from PVCs [demo]: failed to get the following PVCs [demo]"

CASES: dict[str, FaultCase] = {
    "no claim": FaultCase(
        fault=no_claim,
        code="FM401",
        about="persistentvolumeclaim models/demo",
        cause="Fluid cannot create the claim: persistentvolumes is forbidden",
        fix="kubectl describe alluxioruntime demo -n models",
    ),
    "no claim for a long name": FaultCase(
        fault=long_name,
        code="FM401",
        about="persistentvolumeclaim models/demo",
        cause="must be no more than 63 characters",
        fix="kubectl describe alluxioruntime demo -n models",
    ),
    "a claim that waits": FaultCase(
        fault=pending,
        code="FM402",
        about="persistentvolumeclaim models/demo",
        cause="the claim is not bound: it is Pending",
        fix="kubectl delete pvc demo -n models && kubectl delete persistentvolume models-demo",
    ),
    "a volume of an earlier claim": FaultCase(
        fault=released,
        code="FM402",
        about="persistentvolumeclaim models/demo",
        cause="its volume models-demo still belongs to an earlier claim",
        fix="kubectl delete persistentvolume models-demo",
    ),
    "a volume that is gone": FaultCase(
        fault=lost,
        code="FM402",
        about="persistentvolumeclaim models/demo",
        cause="its volume models-demo does not exist",
        fix="kubectl delete pvc demo -n models",
    ),
    "another's claim": FaultCase(
        fault=foreign,
        code="FM403",
        about="persistentvolumeclaim models/demo",
        cause="its storage class is standard",
        fix="--name demo-2",
    ),
    "a node without label": FaultCase(
        fault=unlabelled,
        code="FM405",
        about="node gpu-0",
        cause="because Fluid's sync fails: the master is not healthy",
        fix=f"kubectl label node gpu-0 {LABEL}=true",
    ),
    "a claim in deletion": FaultCase(
        fault=leaving,
        code="FM406",
        about="persistentvolumeclaim models/demo",
        cause="is deleted once its last readers are gone: chat-decode-0",
        fix="kubectl delete pod chat-decode-0 -n models",
    ),
    "keys of two Datasets": FaultCase(
        fault=other_key,
        code="FM407",
        about="persistentvolumeclaim models/demo",
        cause=f"but Fluid labels nodes with {LABEL}",
        fix="kubectl delete persistentvolumeclaim demo -n models && kubectl delete ",
    ),
    "FUSE keys that differ": FaultCase(
        fault=other_fuse_key,
        code="FM408",
        about="daemonset models/demo-fuse",
        cause=f"need nodes with fluid.io/f-older, but the CSI plugin labels them {FUSE_LABEL}",
        fix="uncache demo",
    ),
    "FUSE keys that differ, Fluid 1.0": FaultCase(
        fault=fluid_1_0,
        code="FM408",
        about="daemonset models/demo-fuse",
        cause=f"the CSI plugin labels them {FUSE_LABEL}",
        fix="uncache demo",
    ),
    "a volume that shuts its nodes out": FaultCase(
        fault=shut_out,
        code="FM409",
        about="persistentvolume models-demo",
        cause="cannot be mounted on node gpu-0",
        fix="kubectl label node gpu-0 pool=a",
    ),
    "no driver": FaultCase(
        fault=no_driver,
        code="FM420",
        about="node gpu-0",
        cause="the node does not have the driver fuse.csi.fluid.io",
        fix="kubectl delete pod -n fluid-system -l app=csi-nodeplugin-fluid",
    ),
    "no plugin": FaultCase(
        fault=no_plugin,
        code="FM421",
        about="node gpu-0",
        cause="whose taint nvidia.com/gpu=present:NoSchedule it does not tolerate",
        fix="csi.tolerations[0].operator=Exists",
    ),
    "a plugin that crashes": FaultCase(
        fault=plugin_down,
        code="FM421",
        about="pod fluid-system/csi-nodeplugin-fluid-gpu-0",
        cause="the CSI plugin on node gpu-0 is not ready",
        fix="kubectl describe pod csi-nodeplugin-fluid-gpu-0 -n fluid-system",
    ),
    "a plugin without API server": FaultCase(
        fault=says(
            f"{MOUNT}NodeStageVolume: can't get node gpu-0: dial tcp: lookup api: no such host"
        ),
        code="FM423",
        about="pod models/chat-decode-0",
        cause="the CSI plugin on node gpu-0 cannot reach the API server",
        fix="--set csi.config.hostNetwork=true",
    ),
    "a FUSE pod without room": FaultCase(
        fault=fuse_no_room,
        code="FM430",
        about="pod models/demo-fuse-gpu-0",
        cause="the FUSE client on node gpu-0 does not fit: Insufficient memory",
        fix="uncache demo",
    ),
    "a FUSE pod that crashes": FaultCase(
        fault=fuse_crashes,
        code="FM430",
        about="pod models/demo-fuse-gpu-0",
        cause="the FUSE client on node gpu-0 crashes",
        fix="kubectl logs demo-fuse-gpu-0",
    ),
    "a FUSE pod with options of libfuse 2": FaultCase(
        fault=fuse_refused,
        code="FM430",
        about="pod models/demo-fuse-gpu-0",
        cause="on node gpu-0 crashes: libfuse 3 does not mount with max_read and nonempty",
        fix="uncache demo",
    ),
    "no FUSE pod": FaultCase(
        fault=fuse_kept_off,
        code="FM430",
        about="node gpu-0",
        cause="which does not match pool=a of the runtime's fuse.nodeSelector",
        fix="kubectl label node gpu-0 pool=a",
    ),
    "a slow mount": FaultCase(
        fault=says(SLOW),
        code="FM431",
        about="pod models/chat-decode-0",
        cause="did not mount the cache in time",
        fix="role=alluxio-fuse",
    ),
    "a slow mount, older Fluid": FaultCase(
        fault=says("fuse pod on node gpu-0 is not ready"),
        code="FM431",
        about="pod models/chat-decode-0",
        cause="did not mount the cache in time",
        fix="role=alluxio-fuse",
    ),
    "a dead mount": FaultCase(
        fault=dead_mount,
        code="FM432",
        about="pod models/chat-decode-0",
        cause="the FUSE client on node gpu-0 exited, so the mount of this pod is dead",
        fix="kubectl delete pod chat-decode-0 -n models",
    ),
    "a dead mount, by the kubelet": FaultCase(
        fault=says(
            "failed to stat /var/lib/kubelet/x: transport endpoint is not connected", "Failed"
        ),
        code="FM432",
        about="pod models/chat-decode-0",
        cause="the FUSE client on node gpu-0 exited",
        fix="kubectl delete pod chat-decode-0 -n models",
    ),
    "a mount that Fluid could not mend": FaultCase(
        fault=not_mended,
        code="FM432",
        about="dataset models/demo",
        cause="Fluid could not repair a mount",
        fix="kubectl delete pod chat-decode-0 -n models",
    ),
    "no sub-path": FaultCase(
        fault=says(f'{MOUNT}subPath "v2" not exists under FUSE mount'),
        code="FM433",
        about="pod models/chat-decode-0",
        cause="the cache has no directory v2",
        fix="instead of v2",
    ),
    "no webhook": FaultCase(
        fault=refused(HOOK),
        code="FM440",
        about="replicaset models/chat-decode-7c",
        cause="Fluid's webhook fuse.serverful.fluid.io does not respond",
        fix="kubectl get deployment fluid-webhook -n fluid-system",
    ),
    "a webhook that refuses": FaultCase(
        fault=refused(f'admission webhook "fuse.serverful.fluid.io" denied the request: {INFOS}'),
        code="FM440",
        about="replicaset models/chat-decode-7c",
        cause="claim demo is missing or not Bound",
        fix="kubectl wait dataset/demo --for=condition=Ready -n models",
    ),
    "a reader without claim": FaultCase(
        fault=waits_for_claim,
        code="FM441",
        about="pod models/chat-decode-0",
        cause="it waits for the claim demo",
        fix="kubectl get dataset demo -n models",
    ),
    "any other mount": FaultCase(
        fault=says(f"{MOUNT}exit status 32"),
        code="FM442",
        about="pod models/chat-decode-0",
        cause="node gpu-0 cannot mount the cache into it",
        fix="kubectl describe pod chat-decode-0 -n models",
    ),
    "no injection": FaultCase(
        fault=not_injected,
        code="FM443",
        about="pod models/chat-decode-0",
        cause="but was created without it",
        fix="kubectl delete pod chat-decode-0 -n models",
    ),
    "injection forbidden": FaultCase(
        fault=forbidden,
        code="FM443",
        about="pod models/chat-decode-0",
        cause="but another label forbids it",
        fix="remove the label fluid.io/enable-injection",
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_mount_fault_is_found(case: str) -> None:
    row = CASES[case]
    snapshot = b.healthy_snapshot()
    row.fault(snapshot)
    b.assert_finds(snapshot, row.code, row.about, row.cause, row.fix)
    assert b.root_codes(snapshot, "3", "4", "6", "8") == [row.code]


def test_missing_csi_plugin_is_the_root_of_failed_mounts() -> None:
    snapshot = b.healthy_snapshot()
    no_plugin(snapshot)
    no_driver(snapshot)
    says(SLOW)(snapshot)
    b.remove_object(snapshot, kinds.PODS, "demo-fuse-gpu-0")
    assert b.found_codes(snapshot, "4") == ["FM420", "FM421", "FM430", "FM431"]
    assert b.root_codes(snapshot, "4") == ["FM421"]


def test_readers_that_mounted_before_their_fuse_client_restarted_are_found() -> None:
    snapshot = b.healthy_snapshot()
    fuse_restarted(snapshot)
    b.assert_finds(
        snapshot,
        "FM432",
        "pod models/chat-decode-0",
        "the FUSE client on node gpu-0 exited, so the mount of this pod is dead",
        "kubectl delete pod chat-decode-0 -n models",
    )


def test_readers_of_a_restarted_fuse_client_are_fine_if_fluid_repairs_mounts() -> None:
    snapshot = b.healthy_snapshot()
    fuse_restarted_and_recovered(snapshot)
    assert b.found_codes(snapshot, "FM432") == []


@pytest.mark.parametrize(
    ("root", "codes"), [("/runtime-mnt", []), ("/mnt/", []), ("/var/lib/fluid", ["FM432"])]
)
def test_fluid_repairs_no_mounts_below_a_root_of_several_directories(
    root: str, codes: list[str]
) -> None:
    """Seen on real nodes: with the root /run/runtime-mnt, FuseRecovery did nothing."""
    snapshot = b.healthy_snapshot()
    fuse_restarted_and_recovered(snapshot)
    plugin = b.get_object(
        snapshot, kinds.DAEMON_SETS, "csi-nodeplugin-fluid", names.SYSTEM_NAMESPACE
    )
    [container] = plugin["spec"]["template"]["spec"]["containers"]
    container["env"] = [{"name": "MOUNT_ROOT", "value": root}]
    assert b.found_codes(snapshot, "FM432") == codes


def test_event_about_another_volume_is_ignored() -> None:
    snapshot = b.healthy_snapshot()
    second = b.get_object(snapshot, names.DATASETS, "demo")
    b.add_objects(snapshot, names.DATASETS, {**second, "metadata": b.meta("other")})
    says('MountVolume failed for volume "models-other" : timeout waiting for FUSE mount point')(
        snapshot
    )
    assert b.found_codes(snapshot, "FM431") == []


def test_old_events_of_a_running_pod_are_ignored() -> None:
    snapshot = b.healthy_snapshot()
    b.add_warning_event(snapshot, reader(snapshot), "FailedMount", SLOW)
    b.add_warning_event(snapshot, reader(snapshot), "FailedMount", f"{MOUNT}exit status 32")
    assert b.found_codes(snapshot, "4") == []


def test_missing_driver_on_a_node_without_readers_is_a_warning() -> None:
    snapshot = b.healthy_snapshot()
    b.remove_object(snapshot, kinds.PODS, READER)
    b.get_object(snapshot, kinds.CSI_NODES, "gpu-0", "")["spec"]["drivers"] = []
    [finding] = b.findings_of(snapshot, "FM420")
    assert finding.severity is Severity.WARNING


def test_rejection_of_pods_of_another_cache_is_ignored() -> None:
    snapshot = b.healthy_snapshot()
    refused("x: failed to get the following PVCs [other]")(snapshot)
    owner = {"kind": "Job", "metadata": {"name": "j", "namespace": "elsewhere"}}
    b.add_warning_event(snapshot, owner, "FailedCreate", HOOK)
    assert b.found_codes(snapshot, "FM440") == []


def test_missing_label_right_after_start_is_a_warning() -> None:
    snapshot = b.healthy_snapshot()
    unlabelled(snapshot)
    b.get_object(snapshot, kinds.PODS, "demo-worker-0")["metadata"]["creationTimestamp"] = NOW
    [finding] = b.findings_of(snapshot, "FM405")
    assert finding.severity is Severity.WARNING


def test_thin_runtime_needs_no_node_label() -> None:
    snapshot = b.healthy_snapshot()
    unlabelled(snapshot)
    runtime = b.get_object(snapshot, names.ALLUXIO_RUNTIMES, "demo")
    runtime["kind"] = "ThinRuntime"
    assert b.found_codes(snapshot, "FM405") == []


def test_two_readers_on_a_node_give_one_finding() -> None:
    snapshot = b.healthy_snapshot()
    b.add_objects(snapshot, kinds.PODS, pods.reader_pod("chat-decode-1"))
    b.get_object(snapshot, kinds.CSI_NODES, "gpu-0", "")["spec"]["drivers"] = []
    assert len(b.findings_of(snapshot, "FM420")) == 1
    assert platform.csi_node("gpu-0")["spec"]["drivers"]


@pytest.mark.parametrize(
    ("kind", "code"), [(kinds.PVCS, "FM401"), (kinds.CSI_NODES, "FM420"), (kinds.NODES, "FM405")]
)
def test_mount_checks_are_skipped_without_access(kind: kinds.Kind, code: str) -> None:
    snapshot = b.healthy_snapshot()
    b.forbid_listing(snapshot, kind)
    assert b.skip_reasons(snapshot, code) == [f"no permission to list {kind.resource}"]


@pytest.mark.parametrize(
    ("log", "cause"),
    [
        ("java.lang.OutOfMemoryError: Java heap space", "not ready: the JVM ran out of memory"),
        ("nothing that is known", "crashes"),
    ],
)
def test_mount_options_are_not_blamed_for_another_crash(log: str, cause: str) -> None:
    snapshot = b.healthy_snapshot()
    fuse_refused(snapshot, log)
    [finding] = b.findings_of(snapshot, "FM430")
    assert finding.cause.endswith(cause)
