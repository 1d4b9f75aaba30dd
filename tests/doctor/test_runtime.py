"""3xx: one row for each way in which a runtime's pods fail."""

from __future__ import annotations

import pytest

from kubectl_fluidmodel.doctor import support_bundle
from kubectl_fluidmodel.doctor.check import Severity
from kubectl_fluidmodel.fluid import alluxio_runtime, names
from kubectl_fluidmodel.objects import kinds
from kubectl_fluidmodel.objects.quantity import quantity_to_int
from kubectl_fluidmodel.snapshot.snapshot import Snapshot
from tests.doctor import builders as b
from tests.doctor import fluid, platform, pods
from tests.doctor.applying import apply_fix
from tests.doctor.fault_cases import Fault, FaultCase, SchedulingCase

WORKER, MASTER, FUSE = "demo-worker-0", "demo-master-0", "demo-fuse-gpu-0"
NOW = "2026-09-21T14:13:00Z"
FAR = "0/3 nodes are available: "
AFFINITY = "2 node(s) didn't match Pod's node affinity/selector"


def pod(snapshot: Snapshot, name: str) -> dict[str, object]:
    return b.get_object(snapshot, kinds.PODS, name)


def worker_waits(message: str, pin: bool = True) -> Fault:
    """The worker finds no node; `pin` binds it to gpu-0 as its Dataset does."""

    def broken(snapshot: Snapshot) -> None:
        worker = b.make_unschedulable(pod(snapshot, WORKER), FAR + message)
        if pin:
            worker["spec"]["affinity"] = platform.graph()["spec"]["components"][0]["podTemplate"][
                "spec"
            ]["affinity"]
        b.get_object(snapshot, kinds.STATEFUL_SETS, "demo-worker")["status"]["readyReplicas"] = 0

    return broken


def memory_tier(snapshot: Snapshot) -> None:
    level = b.get_object(snapshot, names.ALLUXIO_RUNTIMES, "demo")["spec"]["tieredstore"]["levels"][
        0
    ]
    level.update(mediumtype="MEM", path="/dev/shm")


def both(*breaks: Fault) -> Fault:
    def broken(snapshot: Snapshot) -> None:
        for fault in breaks:
            fault(snapshot)

    return broken


def taken(snapshot: Snapshot) -> None:
    """Another Dataset, Exclusive by default, on the same node."""
    other = fluid.dataset("other")
    del other["spec"]["placement"]
    b.add_objects(snapshot, names.DATASETS, other)
    b.add_objects(snapshot, names.ALLUXIO_RUNTIMES, fluid.runtime("other"))
    b.add_objects(snapshot, kinds.PODS, pods.worker_pod(name="other"))


def gone_node(snapshot: Snapshot) -> None:
    b.remove_object(snapshot, kinds.NODES, "gpu-0")
    b.remove_object(snapshot, kinds.CSI_NODES, "gpu-0")
    hosts = fluid.dataset()["spec"]["nodeAffinity"]["required"]
    pod(snapshot, WORKER)["spec"]["affinity"] = {
        "nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": hosts}
    }


def intolerant(snapshot: Snapshot) -> None:
    pod(snapshot, WORKER)["spec"]["tolerations"] = []


def cordoned(snapshot: Snapshot) -> None:
    b.get_object(snapshot, kinds.NODES, "gpu-0")["spec"]["unschedulable"] = True


TIER = both(memory_tier, worker_waits(f"1 Insufficient memory, {AFFINITY}."))

PLACING: dict[str, SchedulingCase] = {
    "memory": SchedulingCase(
        fault=TIER,
        code="FM301",
        cause="no node has enough free memory",
        fix="--medium SSD",
    ),
    "disk and cpu": SchedulingCase(
        fault=worker_waits("1 Insufficient cpu, 2 Insufficient ephemeral-storage."),
        code="FM301",
        cause="free cpu, ephemeral-storage",
        fix="uncache demo",
    ),
    "pods": SchedulingCase(
        fault=worker_waits("1 Too many pods, 2 x."),
        code="FM301",
        cause="free pods",
        fix="uncache demo",
    ),
    "another's placement": SchedulingCase(
        fault=both(
            taken,
            worker_waits(
                f"1 node(s) didn't satisfy existing pods anti-affinity rules, {AFFINITY}."
            ),
        ),
        code="FM302",
        cause="the placement of models/other is Exclusive",
        fix="uncache other",
    ),
    "a node that is gone": SchedulingCase(
        fault=both(worker_waits(AFFINITY, pin=False), gone_node),
        code="FM303",
        cause="node gpu-0 that the Dataset names is not in the cluster",
        fix="kubectl fluidmodel cache s3://hf-models/demo",
    ),
    "taints": SchedulingCase(
        fault=both(
            worker_waits(
                f"1 node(s) had untolerated taint {{nvidia.com/gpu: present}}, {AFFINITY}."
            ),
            intolerant,
        ),
        code="FM304",
        cause="nvidia.com/gpu=present:NoSchedule of node gpu-0",
        fix="uncache demo",
    ),
    "ports": SchedulingCase(
        fault=worker_waits(
            f"1 node(s) didn't have free ports for the requested pod ports, {AFFINITY}."
        ),
        code="FM305",
        cause="are taken on every node",
        fix="uncache demo",
    ),
    "a cordon": SchedulingCase(
        fault=both(cordoned, worker_waits(f"1 node(s) were unschedulable, {AFFINITY}.")),
        code="FM306",
        cause="node gpu-0 is cordoned",
        fix="kubectl uncordon gpu-0",
    ),
    "anything else": SchedulingCase(
        fault=worker_waits("1 node(s) had volume node affinity conflict."),
        code="FM306",
        cause="the scheduler has no node for the worker",
        fix="kubectl describe pod demo-worker-0",
    ),
}


@pytest.mark.parametrize("case", PLACING)
def test_unscheduled_worker_is_explained(case: str) -> None:
    row = PLACING[case]
    snapshot = b.healthy_snapshot()
    row.fault(snapshot)
    [finding] = b.findings_of(snapshot, row.code)
    assert finding.about == "pod models/demo-worker-0"
    assert row.cause in finding.cause, finding.cause
    assert any(FAR in evidence.text for evidence in finding.evidence)
    assert finding.fix is not None and row.fix in finding.fix.text, finding.fix
    assert [code for code in b.found_codes(snapshot, "3") if code < "FM310"] == [row.code]
    assert "FM330" in b.found_codes(snapshot, "3") and "FM330" not in b.root_codes(snapshot)


NO_SECRET = (
    'MountVolume.SetUp failed for volume "alluxio-mount-secret-demo-store" : '
    'secret "demo-store" not found'
)


def secret_missing(snapshot: Snapshot) -> None:
    master = b.make_container_wait(pod(snapshot, MASTER), "alluxio-master", "ContainerCreating")
    b.add_warning_event(snapshot, master, "FailedMount", NO_SECRET)


def key_missing(snapshot: Snapshot) -> None:
    master = b.make_container_wait(pod(snapshot, MASTER), "alluxio-master", "ContainerCreating")
    b.add_warning_event(
        snapshot, master, "FailedMount", "references non-existent secret key: AWS_ACCESS_KEY_ID"
    )


def master_says(line: str, *, previous: bool = True) -> Fault:
    def broken(snapshot: Snapshot) -> None:
        master = b.make_container_wait(
            pod(snapshot, MASTER), "alluxio-master", "CrashLoopBackOff", "", 4
        )
        b.set_log(snapshot, master, "alluxio-master", line, previous=previous)
        b.add_warning_event(
            snapshot, master, "Unhealthy", "Startup probe failed: + alluxio fs mount"
        )

    return broken


def job_master_says(line: str) -> Fault:
    def broken(snapshot: Snapshot) -> None:
        master = b.make_container_wait(
            pod(snapshot, MASTER), "alluxio-job-master", "CrashLoopBackOff", "", 4
        )
        b.set_log(snapshot, master, "alluxio-job-master", line)

    return broken


def no_master(snapshot: Snapshot) -> None:
    b.remove_object(snapshot, kinds.PODS, MASTER)
    owner = b.get_object(snapshot, kinds.STATEFUL_SETS, "demo-master")
    b.add_warning_event(
        snapshot, owner, "FailedCreate", "create Pod demo-master-0 failed: exceeded quota"
    )


def no_image(snapshot: Snapshot) -> None:
    b.make_container_wait(
        pod(snapshot, WORKER), "alluxio-worker", "ImagePullBackOff", 'Back-off "x"'
    )


def killed(snapshot: Snapshot) -> None:
    b.make_container_restart(pod(snapshot, WORKER), "alluxio-worker", "OOMKilled", 137)


def full_disk(snapshot: Snapshot) -> None:
    worker = b.make_unready(pod(snapshot, WORKER))
    line = "java.io.IOException: No space left on device"
    b.set_log(snapshot, worker, "alluxio-worker", line)


def full_quota(snapshot: Snapshot) -> None:
    worker = b.make_unready(pod(snapshot, WORKER))
    b.set_log(
        snapshot, worker, "alluxio-worker", "alluxio.exception.WorkerOutOfSpaceException: 1 GB"
    )


def restless(snapshot: Snapshot) -> None:
    b.make_container_restart(pod(snapshot, FUSE), "alluxio-fuse", "Error", 1, restarts=5)


def stuck(snapshot: Snapshot) -> None:
    worker = b.make_unready(pod(snapshot, WORKER))
    worker["metadata"]["deletionTimestamp"] = "2026-09-21T13:00:00Z"
    b.get_object(snapshot, kinds.STATEFUL_SETS, "demo-worker")["status"]["readyReplicas"] = 0


def fewer(snapshot: Snapshot) -> None:
    b.get_object(snapshot, names.ALLUXIO_RUNTIMES, "demo")["spec"]["replicas"] = 2


def crashing(snapshot: Snapshot) -> None:
    worker = b.make_container_wait(
        pod(snapshot, WORKER), "alluxio-worker", "CrashLoopBackOff", "back-off", 2
    )
    b.set_log(
        snapshot, worker, "alluxio-worker", "java.lang.OutOfMemoryError: Java heap", previous=True
    )


def lost(snapshot: Snapshot) -> None:
    status = b.get_object(snapshot, names.DATASETS, "demo")["status"]
    status["cacheStates"].update(cacheCapacity="0.00B", cached="0.00B")


def no_replicas(snapshot: Snapshot) -> None:
    del b.get_object(snapshot, names.ALLUXIO_RUNTIMES, "demo")["spec"]["replicas"]
    b.remove_object(snapshot, kinds.STATEFUL_SETS, "demo-worker")
    b.remove_object(snapshot, kinds.PODS, WORKER)


S3 = "AmazonS3Exception: Forbidden (Status Code: 403; Error Code: SignatureDoesNotMatch; x)"
UNKNOWN = "java.net.UnknownHostException: cpu-0: cpu-0: Temporary failure in name resolution"

PODS: dict[str, FaultCase] = {
    "no Secret": FaultCase(
        fault=secret_missing,
        code="FM310",
        about="pod models/demo-master-0",
        cause="Secret models/demo-store does not exist",
        fix=(
            "kubectl create secret generic demo-store -n models "
            '--from-literal=AWS_ACCESS_KEY_ID="$AWS_ACCESS_KEY_ID" '
            '--from-literal=AWS_SECRET_ACCESS_KEY="$AWS_SECRET_ACCESS_KEY"'
        ),
    ),
    "no key": FaultCase(
        fault=key_missing,
        code="FM310",
        about="pod models/demo-master-0",
        cause="the Secret demo-store has no key AWS_ACCESS_KEY_ID",
        fix="kubectl create secret generic demo-store",
    ),
    "wrong key": FaultCase(
        fault=master_says(S3),
        code="FM311",
        about="pod models/demo-master-0",
        cause="the master is not ready and was restarted 4 times: the secret key is wrong",
        fix="kubectl fluidmodel cache s3://hf-models/demo --name demo --endpoint http://minio:9000",
    ),
    "no endpoint": FaultCase(
        fault=master_says("java.net.ConnectException: Connection refused"),
        code="FM311",
        about="pod models/demo-master-0",
        cause="the store's endpoint refuses connections",
        fix="--only 5xx --probe",
    ),
    "no master pod": FaultCase(
        fault=no_master,
        code="FM311",
        about="statefulset models/demo-master",
        cause="the master has no pod",
        fix="kubectl describe statefulset demo-master",
    ),
    "own host name": FaultCase(
        fault=job_master_says(UNKNOWN),
        code="FM312",
        about="pod models/demo-master-0",
        cause="cannot resolve the name of its own host, cpu-0",
        fix='{"networkMode": "ContainerNetwork"}',
    ),
    "image": FaultCase(
        fault=no_image,
        code="FM320",
        about="pod models/demo-worker-0",
        cause="node gpu-0 cannot pull alluxio:2.9.0 for the worker",
        fix="imageTag: 2.9.0",
    ),
    "memory": FaultCase(
        fault=both(memory_tier, killed),
        code="FM321",
        about="pod models/demo-worker-0",
        cause="alluxio-worker on node gpu-0 was killed: out of memory",
        fix="kubectl fluidmodel cache s3://hf-models/demo --name demo",
    ),
    "disk": FaultCase(
        fault=full_disk,
        code="FM322",
        about="pod models/demo-worker-0",
        cause="/var/lib/fluidmodel/cache on node gpu-0 is full",
        fix="a directory on a larger disk",
    ),
    "quota": FaultCase(
        fault=full_quota,
        code="FM322",
        about="pod models/demo-worker-0",
        cause="the quota of 108Gi is full",
        fix="--quota 108Gi",
    ),
    "restarts": FaultCase(
        fault=restless,
        code="FM323",
        about="pod models/demo-fuse-gpu-0",
        cause="alluxio-fuse of the fuse keeps restarting",
        fix="--previous",
    ),
    "fewer workers": FaultCase(
        fault=fewer,
        code="FM330",
        about="statefulset models/demo-worker",
        cause="1 of 2 workers are ready, and the Dataset still says Bound",
        fix="role=alluxio-worker",
    ),
    "a worker that crashes": FaultCase(
        fault=crashing,
        code="FM331",
        about="pod models/demo-worker-0",
        cause="the JVM ran out of memory",
        fix="kubectl logs demo-worker-0",
    ),
    "a worker that Alluxio lost": FaultCase(
        fault=lost,
        code="FM332",
        about="statefulset models/demo-worker",
        cause="the master has lost 1 of 1 worker",
        fix="kubectl delete pod demo-worker-0 -n models",
    ),
    "no workers": FaultCase(
        fault=no_replicas,
        code="FM333",
        about="alluxioruntime models/demo",
        cause="it has no workers",
        fix=(
            "kubectl patch alluxioruntime demo -n models --type merge "
            '-p \'{"spec": {"replicas": 1}}\''
        ),
    ),
    "a pod that does not go": FaultCase(
        fault=stuck,
        code="FM334",
        about="pod models/demo-worker-0",
        cause="the worker on node gpu-0 does not terminate",
        fix="kubectl delete pod demo-worker-0 -n models --force",
    ),
}


@pytest.mark.parametrize("case", PODS)
def test_pod_fault_is_found(case: str) -> None:
    row = PODS[case]
    snapshot = b.healthy_snapshot()
    row.fault(snapshot)
    b.assert_finds(snapshot, row.code, row.about, row.cause, row.fix)
    assert row.code in b.root_codes(snapshot, "3", "4", "6", "8")


def test_log_line_is_the_evidence() -> None:
    snapshot = b.healthy_snapshot()
    master_says(f"noise\n{S3}")(snapshot)
    [finding] = b.findings_of(snapshot, "FM311")
    first = finding.evidence[0]
    assert (first.object, first.location) == (
        "pod models/demo-master-0",
        "previous log of alluxio-master",
    )
    assert "SignatureDoesNotMatch" in first.text


def test_wrong_key_is_the_only_root() -> None:
    """The master restarts, so the Dataset is NotBound, there is no claim, and the reader waits."""
    snapshot = b.healthy_snapshot()
    master_says(S3)(snapshot)
    dataset = b.get_object(snapshot, names.DATASETS, "demo")
    dataset["status"] = {"phase": "NotBound"}
    for kind, name in (
        (kinds.PVCS, "demo"),
        (kinds.STATEFUL_SETS, "demo-worker"),
        (kinds.PODS, WORKER),
    ):
        b.remove_object(snapshot, kind, name)
    b.remove_object(snapshot, kinds.PVS, "models-demo", "")
    load = b.get_object(snapshot, names.DATA_LOADS, "demo")
    load["status"] = {"phase": "Pending"}
    reader = b.get_object(snapshot, kinds.PODS, "chat-decode-0")
    b.make_unschedulable(reader, '0/3 nodes are available: persistentvolumeclaim "demo" not found.')
    assert b.found_codes(snapshot, "3", "4", "6") == ["FM311", "FM441", "FM606"]
    assert b.root_codes(snapshot, "3", "4", "6") == ["FM311"]


def test_bundle_gives_the_same_secret_finding_as_the_cluster() -> None:
    """The name of its volume looks like a secret's, and what follows it is none."""
    snapshot = b.healthy_snapshot()
    secret_missing(snapshot)
    [live] = b.findings_of(snapshot, "FM310")
    [offline] = b.findings_of(support_bundle.redact_snapshot(snapshot), "FM310")
    assert offline == live and live.evidence[0].text == NO_SECRET


def test_starting_pod_is_a_warning() -> None:
    snapshot = b.healthy_snapshot()
    master = b.make_container_wait(pod(snapshot, MASTER), "alluxio-master", "ContainerCreating")
    master["metadata"]["creationTimestamp"] = NOW
    [finding] = b.findings_of(snapshot, "FM311")
    assert finding.severity is Severity.WARNING and finding.fix is None
    assert "it is still starting" in finding.cause


def test_uncounted_new_worker_is_not_lost() -> None:
    snapshot = b.healthy_snapshot()
    lost(snapshot)
    pod(snapshot, WORKER)["metadata"]["creationTimestamp"] = NOW
    assert b.findings_of(snapshot, "FM332") == []


def test_secret_created_later_is_not_reported() -> None:
    """The event is still there, and the pod runs."""
    snapshot = b.healthy_snapshot()
    b.add_warning_event(
        snapshot, pod(snapshot, MASTER), "FailedMount", 'secret "demo-store" not found'
    )
    assert b.found_codes(snapshot, "3") == []


def test_unknown_store_host_is_not_reported_as_own_host() -> None:
    snapshot = b.healthy_snapshot()
    job_master_says("java.net.UnknownHostException: minio")(snapshot)
    assert b.findings_of(snapshot, "FM312") == []
    [finding] = b.findings_of(snapshot, "FM311")
    assert "the host name does not resolve" in finding.cause


def test_old_restart_is_ignored() -> None:
    snapshot = b.healthy_snapshot()
    fuse = b.make_container_restart(pod(snapshot, FUSE), "alluxio-fuse", restarts=9)
    last = fuse["status"]["containerStatuses"][0]["lastState"]["terminated"]  # type: ignore[index]
    last["finishedAt"] = "2026-09-20T14:12:00Z"
    assert b.found_codes(snapshot, "3") == []


@pytest.mark.parametrize("code", ["FM301", "FM311", "FM320", "FM331"])
def test_pod_checks_are_skipped_without_access_to_pods(code: str) -> None:
    snapshot = b.healthy_snapshot()
    b.forbid_listing(snapshot, kinds.PODS)
    assert b.skip_reasons(snapshot, code) == ["no permission to list pods"]


def test_memory_limit_fix_covers_quota_heap_and_direct_memory() -> None:
    """Tier, heap and direct memory: by the runtime's own options, else by Fluid's defaults."""
    snapshot = b.healthy_snapshot()
    memory_tier(snapshot)
    killed(snapshot)
    runtime = b.get_object(snapshot, names.ALLUXIO_RUNTIMES, fluid.NAME)
    runtime["spec"]["worker"]["resources"]["limits"] = {"memory": "1Gi"}
    [finding] = b.findings_of(snapshot, "FM321")
    assert finding.fix is not None
    apply_fix(snapshot, finding.fix.text)
    changed = b.get_object(snapshot, names.ALLUXIO_RUNTIMES, fluid.NAME)["spec"]["worker"][
        "resources"
    ]
    limit = quantity_to_int(changed["limits"]["memory"])
    assert limit is not None and (108 + 4 + 4) * fluid.GIB < limit < 120 * fluid.GIB
    del runtime["spec"]["worker"]["jvmOptions"]
    assert alluxio_runtime.max_memory(runtime, "worker") > (108 + 12 + 32) * fluid.GIB
