"""6xx: one row for each way in which staging or a load leaves the model incomplete."""

from __future__ import annotations

import json

import pytest

from kubectl_fluidmodel.doctor.check import Severity
from kubectl_fluidmodel.fluid import names
from kubectl_fluidmodel.objects import kinds
from kubectl_fluidmodel.objects.access import Object
from kubectl_fluidmodel.snapshot.snapshot import Snapshot
from tests.doctor import builders as b
from tests.doctor import fluid, pods
from tests.doctor.fault_cases import Fault, FaultCase
from tests.doctor.platform import node

NOW = "2026-09-21T14:13:00Z"
OLD, NEW = "c" * 40, "d" * 40
CACHE = "kubectl fluidmodel cache s3://hf-models/demo --name demo --endpoint http://minio:9000"
KEPT = "--s3-secret demo-store"


def load(snapshot: Snapshot) -> Object:
    return b.get_object(snapshot, names.DATA_LOADS, "demo")


def dataset(snapshot: Snapshot) -> Object:
    return b.get_object(snapshot, names.DATASETS, "demo")


def half(snapshot: Snapshot) -> None:
    dataset(snapshot)["status"]["cacheStates"].update(cached="50.00GiB", cachedPercentage="50.0%")


def no_load(snapshot: Snapshot) -> None:
    half(snapshot)
    b.remove_object(snapshot, names.DATA_LOADS, "demo")


def too_new(snapshot: Snapshot) -> None:
    """Before any load: the image of the workers has no distributedLoad."""
    no_load(snapshot)
    workers = b.get_object(snapshot, kinds.STATEFUL_SETS, "demo-worker")
    for container in workers["spec"]["template"]["spec"]["containers"]:
        container["image"] = "registry:5000/alluxio/alluxio-dev:2.9.4"


def no_namespace(snapshot: Snapshot) -> None:
    half(snapshot)
    del load(snapshot)["spec"]["dataset"]["namespace"]
    load(snapshot)["status"] = {}
    message = 'Target dataset not found: datasets.data.fluid.io "demo" not found'
    b.add_warning_event(snapshot, load(snapshot), "TargetDatasetNotFound", message)


def elsewhere(snapshot: Snapshot) -> None:
    half(snapshot)
    moved = load(snapshot)
    moved["metadata"]["namespace"] = "other"
    moved["status"] = {"phase": "Failed"}


def failed(snapshot: Snapshot) -> None:
    half(snapshot)
    condition = {
        "type": "Failed",
        "status": "True",
        "reason": "BackoffLimitExceeded",
        "message": "Job has reached the specified backoff limit",
    }
    load(snapshot)["status"] = {"phase": "Failed", "conditions": [condition]}


def waiting(snapshot: Snapshot) -> None:
    half(snapshot)
    load(snapshot)["status"] = {"phase": "Pending"}


def behind(snapshot: Snapshot) -> None:
    waiting(snapshot)
    dataset(snapshot)["status"]["operationRef"] = {"DataLoad": "first"}


def after(snapshot: Snapshot) -> None:
    waiting(snapshot)
    load(snapshot)["spec"]["runAfter"] = {"kind": "DataLoad", "name": "first"}
    load(snapshot)["status"]["waitingFor"] = {"operationComplete": True}


def executing(snapshot: Snapshot) -> Object:
    half(snapshot)
    load(snapshot)["status"] = {"phase": "Executing"}
    return b.get_object(snapshot, kinds.PODS, "demo-loader-job-x")


def no_pod(snapshot: Snapshot) -> None:
    executing(snapshot)
    b.remove_object(snapshot, kinds.PODS, "demo-loader-job-x")


def no_node(snapshot: Snapshot) -> None:
    message = "0/3 nodes are available: 3 node(s) had untolerated taint {nvidia.com/gpu: present}."
    b.make_unschedulable(executing(snapshot), message)


def loader_says(text: str) -> Fault:
    def broken(snapshot: Snapshot) -> None:
        pod = executing(snapshot)
        pod["status"]["phase"] = "Failed"
        ended = {"exitCode": 1, "reason": "Error", "finishedAt": NOW}
        pod["status"]["containerStatuses"][0]["state"] = {"terminated": ended}
        b.set_log(snapshot, pod, "dataloader", text)

    return broken


def orphan(snapshot: Snapshot) -> None:
    made = fluid.load("lost")
    made["status"] = {}
    b.add_objects(snapshot, names.DATA_LOADS, made)


def targets(*paths: str) -> Fault:
    def broken(snapshot: Snapshot) -> None:
        half(snapshot)
        load(snapshot)["spec"]["target"] = [{"path": path, "replicas": 1} for path in paths]

    return broken


def one_copy(snapshot: Snapshot) -> None:
    runtime = b.get_object(snapshot, names.ALLUXIO_RUNTIMES, "demo")
    runtime["spec"].update(replicas=2, data={"replicas": 2})
    workers = b.get_object(snapshot, kinds.STATEFUL_SETS, "demo-worker")
    workers["spec"]["replicas"] = workers["status"]["readyReplicas"] = 2
    b.add_objects(snapshot, kinds.PODS, pods.worker_pod(1, node="gpu-1"), pods.fuse_pod("gpu-1"))
    b.remove_object(snapshot, kinds.NODES, "gpu-1", "")
    b.add_objects(snapshot, kinds.NODES, node("gpu-1", caches=["models-demo"]))
    b.add_objects(snapshot, kinds.PODS, pods.reader_pod("chat-decode-1", node="gpu-1"))
    dataset(snapshot)["status"]["cacheStates"]["cacheCapacity"] = "216.00GiB"


def one_copy_of_everything(snapshot: Snapshot) -> None:
    one_copy(snapshot)
    del load(snapshot)["spec"]["target"]


def shrunk(snapshot: Snapshot) -> None:
    dataset(snapshot)["status"].update(ufsTotal="60.00GiB")
    dataset(snapshot)["status"]["cacheStates"]["cached"] = "60.00GiB"


def staged(snapshot: Snapshot, commit: str = OLD, state: str = "Failed") -> Object:
    """The cache as `cache org/demo --to s3://hf-models` makes it, and a staging Job."""
    has = dataset(snapshot)
    has["metadata"]["annotations"].update(
        {names.SOURCE_ANNOTATION: "hf://org/demo", names.COMMIT_ANNOTATION: OLD}
    )
    has["spec"]["mounts"][0]["mountPoint"] = f"s3://hf-models/org/demo/{OLD}"
    job = fluid.staging_job()
    job["metadata"]["annotations"][names.COMMIT_ANNOTATION] = commit
    args = [f"org/demo@{commit}", "--to=s3://hf-models", "--endpoint=http://minio:9000"]
    job["spec"]["template"] = {"spec": {"containers": [{"name": "stage", "args": args}]}}
    condition = {
        "type": state,
        "status": "True",
        "reason": "BackoffLimitExceeded",
        "message": "Job has reached the specified backoff limit",
    }
    job["status"] = {"conditions": [condition] if state != "Running" else []}
    b.add_objects(snapshot, kinds.JOBS, job)
    return job


def staging_pod(snapshot: Snapshot, job: Object, text: str) -> None:
    labels = {**job["metadata"]["labels"], "batch.kubernetes.io/job-name": job["metadata"]["name"]}
    pod = pods.pod("demo-stage-x-0", ("stage",), labels=labels, phase="Failed")
    b.add_objects(snapshot, kinds.PODS, pod)
    b.set_log(snapshot, pod, "stage", text)


def staging_failed(snapshot: Snapshot) -> None:
    half(snapshot)
    error = {"event": "Error", "what": "the Hub does not respond", "why": "403 Forbidden"}
    staging_pod(snapshot, staged(snapshot), f"noise\n{json.dumps(error)}\n")


def abandoned(snapshot: Snapshot) -> None:
    job = fluid.staging_job("other")
    args = ["org/demo@" + OLD, "--to=s3://hf-models"]
    job["spec"]["template"] = {"spec": {"containers": [{"name": "stage", "args": args}]}}
    job["status"] = {"conditions": [{"type": "Failed", "status": "True", "message": "no pods"}]}
    b.add_objects(snapshot, kinds.JOBS, job)


def staging_goes_on(snapshot: Snapshot) -> None:
    half(snapshot)
    staged(snapshot, state="Running")


CASES: dict[str, FaultCase] = {
    "no load": FaultCase(
        fault=no_load,
        code="FM601",
        about="dataset models/demo",
        cause="50.0 GiB of 100.0 GiB are cached",
        fix=f"{CACHE} --region us-east-1 {KEPT}",
    ),
    "no namespace": FaultCase(
        fault=no_namespace,
        code="FM602",
        about="dataload models/demo",
        cause="so Fluid never finds the Dataset",
        fix=(
            'kubectl patch dataload demo -n models --type merge -p \'{"spec": {"dataset": '
            '{"namespace": "models"}}}\''
        ),
    ),
    "another namespace": FaultCase(
        fault=elsewhere,
        code="FM603",
        about="dataload other/demo",
        cause="it is in namespace other, and its Dataset in models",
        fix="kubectl delete dataload demo -n other --ignore-not-found && ",
    ),
    "a load that failed": FaultCase(
        fault=failed,
        code="FM604",
        about="dataload models/demo",
        cause="the load failed: BackoffLimitExceeded",
        fix=KEPT,
    ),
    "a load that left something out": FaultCase(
        fault=half,
        code="FM605",
        about="dataset models/demo",
        cause="the load is Complete, and 50.0 GiB of 100.0 GiB are cached",
        fix=KEPT,
    ),
    "a load that waits": FaultCase(
        fault=waiting,
        code="FM606",
        about="dataload models/demo",
        cause="Fluid does not start it",
        fix="kubectl describe dataload demo -n models",
    ),
    "a load behind another": FaultCase(
        fault=behind,
        code="FM606",
        about="dataload models/demo",
        cause="it waits for the load first",
        fix="kubectl describe dataload demo",
    ),
    "a load after another": FaultCase(
        fault=after,
        code="FM606",
        about="dataload models/demo",
        cause="it waits for first to be complete",
        fix="kubectl describe dataload demo",
    ),
    "no pod": FaultCase(
        fault=no_pod,
        code="FM607",
        about="dataload models/demo",
        cause="its loader has no pod",
        fix="kubectl describe job demo-loader-job -n models",
    ),
    "no node": FaultCase(
        fault=no_node,
        code="FM607",
        about="pod models/demo-loader-job-x",
        cause="no node fits the loader",
        fix='"tolerations": [{"key": "nvidia.com/gpu", "operator": "Equal", "value": "present"',
    ),
    "no Dataset": FaultCase(
        fault=orphan,
        code="FM608",
        about="dataload models/lost",
        cause="its Dataset models/lost does not exist",
        fix="kubectl delete dataload lost -n models",
    ),
    "a part": FaultCase(
        fault=targets("/weights"),
        code="FM609",
        about="dataload models/demo",
        cause="it loads only /weights of the model",
        fix=KEPT,
    ),
    "an empty path": FaultCase(
        fault=targets(""),
        code="FM609",
        about="dataload models/demo",
        cause="one of its paths is empty",
        fix=KEPT,
    ),
    "a path that falls apart": FaultCase(
        fault=targets("/a b"),
        code="FM609",
        about="dataload models/demo",
        cause="splits the path '/a b'",
        fix=KEPT,
    ),
    "a script that fails": FaultCase(
        fault=loader_says(
            "+ alluxio fs distributedLoad\njava.net.ConnectException: Connection refused"
        ),
        code="FM610",
        about="pod models/demo-loader-job-x",
        cause="the loader failed: the store's endpoint refuses connections; its Job retries",
        fix="kubectl logs -lrole=dataload-pod,release=demo-loader",
    ),
    "a script that fails without a known reason": FaultCase(
        fault=loader_says("+ alluxio fs setReplication\nusage"),
        code="FM610",
        about="pod models/demo-loader-job-x",
        cause="the loader failed; its Job retries",
        fix="kubectl logs",
    ),
    "a path that is not there": FaultCase(
        fault=loader_says("dataLoad failed because some paths not exist."),
        code="FM611",
        about="dataload models/demo",
        cause="the cache has no path /",
        fix=f"kubectl delete dataload demo -n models --ignore-not-found && {CACHE}",
    ),
    "an Alluxio without distributedLoad": FaultCase(
        fault=too_new,
        code="FM615",
        about="alluxioruntime models/demo",
        cause="does not have the command distributedLoad",
        fix='"alluxioVersion": {"imageTag": "2.9.3"}',
    ),
    "too few copies": FaultCase(
        fault=one_copy,
        code="FM612",
        about="dataload models/demo",
        cause="it makes 1 of the 2 copies of /",
        fix=KEPT,
    ),
    "no path, which is one copy of everything": FaultCase(
        fault=one_copy_of_everything,
        code="FM612",
        about="dataload models/demo",
        cause="it makes 1 of the 2 copies of /",
        fix=KEPT,
    ),
    "a store with less": FaultCase(
        fault=shrunk,
        code="FM614",
        about="dataset models/demo",
        cause="the store has 60.0 GiB, less than the 100.0 GiB",
        fix=KEPT,
    ),
    "staging that failed": FaultCase(
        fault=staging_failed,
        code="FM620",
        about="job models/demo-stage-0a1b2c3d",
        cause="staging org/demo failed: the Hub does not respond: 403 Forbidden",
        fix=(
            f"kubectl fluidmodel cache org/demo@{OLD} --name demo --to s3://hf-models "
            "--endpoint http://minio:9000"
        ),
    ),
    "staging that goes on": FaultCase(
        fault=staging_goes_on,
        code="FM621",
        about="job models/demo-stage-0a1b2c3d",
        cause="it is still staging the 100.0 GiB of the commit that is cached",
        fix=f"org/demo@{OLD}",
    ),
    "a newer revision": FaultCase(
        fault=lambda snapshot: staged(snapshot, NEW, "Complete"),
        code="FM622",
        about="dataset models/demo",
        cause=f"commit {NEW[:12]} is staged, and the cache holds {OLD[:12]}",
        fix=f"kubectl fluidmodel update demo@{NEW} --endpoint http://minio:9000",
    ),
    "staging without cache": FaultCase(
        fault=abandoned,
        code="FM623",
        about="job models/other-stage-0a1b2c3d",
        cause="staging org/demo failed, and there is no cache of it: no pods",
        fix="--name other --to s3://hf-models -n models",
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_load_or_staging_fault_is_found(case: str) -> None:
    row = CASES[case]
    snapshot = b.healthy_snapshot()
    row.fault(snapshot)
    b.assert_finds(snapshot, row.code, row.about, row.cause, row.fix)
    assert b.root_codes(snapshot, "3", "4", "6", "8") == [row.code]


def test_partial_load_is_healthy_once_all_bytes_are_cached() -> None:
    snapshot = b.healthy_snapshot()
    failed(snapshot)
    dataset(snapshot)["status"]["cacheStates"]["cached"] = "100.00GiB"
    assert b.found_codes(snapshot, "6") == []


@pytest.mark.parametrize("target", [None, []], ids=["missing", "empty"])
def test_load_without_a_target_covers_the_complete_model(target: list[Object] | None) -> None:
    snapshot = b.healthy_snapshot()
    half(snapshot)
    load(snapshot)["spec"]["target"] = target
    assert b.found_codes(snapshot, "6") == ["FM605"]


def test_fix_for_a_cache_made_by_hand_is_a_dataload() -> None:
    snapshot = b.healthy_snapshot()
    no_load(snapshot)
    dataset(snapshot)["metadata"]["labels"] = {}
    [finding] = b.findings_of(snapshot, "FM601")
    assert finding.fix is not None and finding.fix.text.endswith("| kubectl apply -f -")
    document = json.loads(finding.fix.text.split("'")[1])
    assert document["spec"]["dataset"] == {"name": "demo", "namespace": "models"}


def test_incomplete_counts_right_after_a_load_are_a_warning() -> None:
    snapshot = b.healthy_snapshot()
    half(snapshot)
    load(snapshot)["status"]["conditions"] = [
        {"type": "Complete", "status": "True", "lastTransitionTime": NOW}
    ]
    [finding] = b.findings_of(snapshot, "FM605")
    assert finding.severity is Severity.WARNING and finding.fix is None


def test_new_load_may_be_pending() -> None:
    snapshot = b.healthy_snapshot()
    waiting(snapshot)
    load(snapshot)["metadata"]["creationTimestamp"] = NOW
    assert b.found_codes(snapshot, "6") == []


def test_failed_staging_of_a_complete_cache_is_a_warning() -> None:
    snapshot = b.healthy_snapshot()
    staged(snapshot, NEW)
    [finding] = b.findings_of(snapshot, "FM620")
    assert finding.severity is Severity.WARNING


def test_grown_source_is_a_warning() -> None:
    snapshot = b.healthy_snapshot()
    dataset(snapshot)["status"]["ufsTotal"] = "140.00GiB"
    [finding] = b.findings_of(snapshot, "FM614")
    assert finding.severity is Severity.WARNING and "more than" in finding.cause


def test_unknown_source_size_is_not_checked() -> None:
    snapshot = b.healthy_snapshot()
    half(snapshot)
    dataset(snapshot)["status"]["ufsTotal"] = "[Calculating]"
    del dataset(snapshot)["metadata"]["annotations"][names.BYTES_ANNOTATION]
    assert b.found_codes(snapshot, "6", "8") == []


@pytest.mark.parametrize("code", ["FM601", "FM604", "FM605", "FM608"])
def test_load_checks_are_skipped_without_access_to_loads(code: str) -> None:
    snapshot = b.healthy_snapshot()
    b.forbid_listing(snapshot, names.DATA_LOADS)
    assert b.skip_reasons(snapshot, code) == ["no permission to list dataloads.data.fluid.io"]


def test_tag_of_the_runtime_is_checked_before_there_are_workers() -> None:
    snapshot = b.healthy_snapshot()
    no_load(snapshot)
    b.remove_object(snapshot, kinds.STATEFUL_SETS, "demo-worker")
    b.get_object(snapshot, names.ALLUXIO_RUNTIMES, "demo")["spec"]["alluxioVersion"] = {
        "imageTag": "2.9.4"
    }
    [finding] = b.findings_of(snapshot, "FM615")
    assert finding.evidence[0].location == "spec.alluxioVersion.imageTag"


def test_cache_that_is_complete_without_a_load_is_healthy() -> None:
    snapshot = b.healthy_snapshot()
    too_new(snapshot)
    states = dataset(snapshot)["status"]["cacheStates"]
    states.update(cached="100.00GiB", cachedPercentage="100.0%")
    assert "FM615" not in b.found_codes(snapshot)
