"""6xx: one row for each way in which staging or a load leaves the model incomplete."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from kubectl_fluidmodel.doctor.check import Severity
from kubectl_fluidmodel.fluid import names
from kubectl_fluidmodel.objects import kinds
from kubectl_fluidmodel.objects.access import Object
from kubectl_fluidmodel.snapshot.snapshot import Snapshot
from tests.doctor import builders as b
from tests.doctor import fluid, pods
from tests.doctor.platform import node

NOW = "2026-09-21T14:13:00Z"
OLD, NEW = "c" * 40, "d" * 40
CACHE = "kubectl fluidmodel cache s3://hf-models/demo --name demo --endpoint http://minio:9000"
KEPT = "--s3-secret demo-store"
Fault = Callable[[Snapshot], object]


def load(snapshot: Snapshot) -> Object:
    return b.get_object(snapshot, names.DATA_LOADS, "demo")


def dataset(snapshot: Snapshot) -> Object:
    return b.get_object(snapshot, names.DATASETS, "demo")


def half(snapshot: Snapshot) -> None:
    dataset(snapshot)["status"]["cacheStates"].update(cached="50.00GiB", cachedPercentage="50.0%")


def no_load(snapshot: Snapshot) -> None:
    half(snapshot)
    b.remove_object(snapshot, names.DATA_LOADS, "demo")


def no_namespace(snapshot: Snapshot) -> None:
    half(snapshot)
    del load(snapshot)["spec"]["dataset"]["namespace"]
    load(snapshot)["status"] = {}
    words = 'Target dataset not found: datasets.data.fluid.io "demo" not found'
    b.add_warning_event(snapshot, load(snapshot), "TargetDatasetNotFound", words)


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
    words = "0/3 nodes are available: 3 node(s) had untolerated taint {nvidia.com/gpu: present}."
    b.make_unschedulable(executing(snapshot), words)


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
    error = {"event": "Error", "what": "the Hub does not answer", "why": "403 Forbidden"}
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


CASES: dict[str, tuple[Fault, str, str, str, str]] = {
    "no load": (
        no_load,
        "FM601",
        "dataset models/demo",
        "50.0 GiB of 100.0 GiB are cached",
        f"{CACHE} --region us-east-1 {KEPT}",
    ),
    "no namespace": (
        no_namespace,
        "FM602",
        "dataload models/demo",
        "so Fluid never finds it",
        'kubectl patch dataload demo -n models --type merge -p \'{"spec": {"dataset": '
        '{"namespace": "models"}}}\'',
    ),
    "another namespace": (
        elsewhere,
        "FM603",
        "dataload other/demo",
        "it is in namespace other, and its Dataset in models",
        "kubectl delete dataload demo -n other && ",
    ),
    "a load that failed": (
        failed,
        "FM604",
        "dataload models/demo",
        "the load failed: BackoffLimitExceeded",
        KEPT,
    ),
    "a load that left something out": (
        half,
        "FM605",
        "dataset models/demo",
        "the load is Complete, and 50.0 GiB of 100.0 GiB are cached",
        KEPT,
    ),
    "a load that waits": (
        waiting,
        "FM606",
        "dataload models/demo",
        "Fluid does not start it",
        "kubectl describe dataload demo -n models",
    ),
    "a load behind another": (
        behind,
        "FM606",
        "dataload models/demo",
        "it waits for the load first",
        "kubectl describe dataload demo",
    ),
    "a load after another": (
        after,
        "FM606",
        "dataload models/demo",
        "it waits for first to be complete",
        "kubectl describe dataload demo",
    ),
    "no pod": (
        no_pod,
        "FM607",
        "dataload models/demo",
        "its loader has no pod",
        "kubectl describe job demo-loader-job -n models",
    ),
    "no node": (
        no_node,
        "FM607",
        "pod models/demo-loader-job-x",
        "no node fits the loader",
        '"tolerations": [{"key": "nvidia.com/gpu", "operator": "Equal", "value": "present"',
    ),
    "no Dataset": (
        orphan,
        "FM608",
        "dataload models/lost",
        "its Dataset models/lost does not exist",
        "kubectl delete dataload lost -n models",
    ),
    "a part": (
        targets("/weights"),
        "FM609",
        "dataload models/demo",
        "it loads only /weights of the model",
        KEPT,
    ),
    "nothing": (targets(), "FM609", "dataload models/demo", "it names no path", KEPT),
    "a path that falls apart": (
        targets("/a b"),
        "FM609",
        "dataload models/demo",
        "splits the path '/a b'",
        KEPT,
    ),
    "a script that fails": (
        loader_says("+ alluxio fs distributedLoad\njava.net.ConnectException: Connection refused"),
        "FM610",
        "pod models/demo-loader-job-x",
        "the loader failed: the store's endpoint refuses connections; its Job retries",
        "kubectl logs -lrole=dataload-pod,release=demo-loader",
    ),
    "a script that fails without a known reason": (
        loader_says("+ alluxio fs setReplication\nusage"),
        "FM610",
        "pod models/demo-loader-job-x",
        "the loader failed; its Job retries",
        "kubectl logs",
    ),
    "a path that is not there": (
        loader_says("dataLoad failed because some paths not exist."),
        "FM611",
        "dataload models/demo",
        "the cache has no path /",
        f"kubectl delete dataload demo -n models && {CACHE}",
    ),
    "too few copies": (
        one_copy,
        "FM612",
        "dataload models/demo",
        "it makes 1 of the 2 copies of /",
        KEPT,
    ),
    "a store with less": (
        shrunk,
        "FM614",
        "dataset models/demo",
        "the store has 60.0 GiB, less than the 100.0 GiB",
        KEPT,
    ),
    "staging that failed": (
        staging_failed,
        "FM620",
        "job models/demo-stage-0a1b2c3d",
        "staging org/demo failed: the Hub does not answer: 403 Forbidden",
        f"kubectl fluidmodel cache org/demo@{OLD} --name demo --to s3://hf-models "
        "--endpoint http://minio:9000",
    ),
    "staging that goes on": (
        staging_goes_on,
        "FM621",
        "job models/demo-stage-0a1b2c3d",
        "it is still staging the 100.0 GiB of the commit that is cached",
        f"org/demo@{OLD}",
    ),
    "a newer revision": (
        lambda snapshot: staged(snapshot, NEW, "Complete"),
        "FM622",
        "dataset models/demo",
        f"commit {NEW[:12]} is staged, and the cache holds {OLD[:12]}",
        f"kubectl fluidmodel cache org/demo@{NEW} --name demo",
    ),
    "staging without cache": (
        abandoned,
        "FM623",
        "job models/other-stage-0a1b2c3d",
        "staging org/demo failed, and there is no cache of it: no pods",
        "--name other --to s3://hf-models -n models",
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_load_or_staging_fault_is_found(case: str) -> None:
    broken, code, about, cause, fix = CASES[case]
    snapshot = b.healthy_snapshot()
    broken(snapshot)
    b.assert_finds(snapshot, code, about, cause, fix)
    assert b.root_codes(snapshot, "3", "4", "6", "8") == [code]


def test_partial_load_is_healthy_once_all_bytes_are_cached() -> None:
    snapshot = b.healthy_snapshot()
    failed(snapshot)
    dataset(snapshot)["status"]["cacheStates"]["cached"] = "100.00GiB"
    assert b.found_codes(snapshot, "6") == []


def test_fix_for_a_cache_made_by_hand_is_a_dataload() -> None:
    snapshot = b.healthy_snapshot()
    no_load(snapshot)
    dataset(snapshot)["metadata"]["labels"] = {}
    [found] = b.findings_of(snapshot, "FM601")
    assert found.fix is not None and found.fix.text.endswith("| kubectl apply -f -")
    document = json.loads(found.fix.text.split("'")[1])
    assert document["spec"]["dataset"] == {"name": "demo", "namespace": "models"}


def test_incomplete_counts_right_after_a_load_are_a_warning() -> None:
    snapshot = b.healthy_snapshot()
    half(snapshot)
    load(snapshot)["status"]["conditions"] = [
        {"type": "Complete", "status": "True", "lastTransitionTime": NOW}
    ]
    [found] = b.findings_of(snapshot, "FM605")
    assert found.severity is Severity.WARNING and found.fix is None


def test_new_load_may_be_pending() -> None:
    snapshot = b.healthy_snapshot()
    waiting(snapshot)
    load(snapshot)["metadata"]["creationTimestamp"] = NOW
    assert b.found_codes(snapshot, "6") == []


def test_failed_staging_of_a_complete_cache_is_a_warning() -> None:
    snapshot = b.healthy_snapshot()
    staged(snapshot, NEW)
    [found] = b.findings_of(snapshot, "FM620")
    assert found.severity is Severity.WARNING


def test_grown_source_is_a_warning() -> None:
    snapshot = b.healthy_snapshot()
    dataset(snapshot)["status"]["ufsTotal"] = "140.00GiB"
    [found] = b.findings_of(snapshot, "FM614")
    assert found.severity is Severity.WARNING and "more than" in found.cause


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
