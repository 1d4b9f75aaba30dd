"""Doctor's checks of the runtime's pods, each broken for real and mended by the printed fix."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from kubectl_fluidmodel.doctor.check import Fix
from kubectl_fluidmodel.model.sizing import quota_for
from kubectl_fluidmodel.objects.quantity import bytes_to_quantity
from tests.cluster import objects
from tests.cluster.broken_caches import BrokenCaches, manage_broken_caches
from tests.cluster.cluster import Cluster
from tests.cluster.components import RUNTIME_IMAGE
from tests.cluster.objects import FLUID, until

pytestmark = pytest.mark.cluster

TEAM = {"key": "team", "value": "llm", "effect": "NoSchedule"}
NOW = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())


@pytest.fixture(scope="module")
def caches(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[BrokenCaches]:
    yield from manage_broken_caches(cluster, tmp_path_factory.mktemp("runtime"))


# -- pods without a node ----------------------------------------------------------------------


@pytest.mark.breaks("FM301")
def test_too_large_memory_request_is_reported(caches: BrokenCaches) -> None:
    level = {"mediumtype": "MEM", "path": "/dev/shm", "quota": "3Ti"}
    caches.create_cache("large", level=level)
    # Fluid counts the source before there is a worker: then the quota is known to be a mistake.
    until(
        "its size", lambda: "iB" in str(caches.status_of("Dataset", "large").get("ufsTotal")), 180
    )
    found = caches.wait_for_root(
        "FM301", "large", caches.reference("pod", "large-worker-0"), read_logs=True, later=300
    )
    assert "no node has enough free memory for the worker" in found.cause
    assert "Insufficient memory" in found.evidence[0].text
    assert "times the model's" in found.cause
    assert {"FM330"} <= set(caches.doctor.codes("large"))
    caches.doctor.run(found.fix)
    caches.wait_until_healthy("large")
    tier = caches.find("AlluxioRuntime", "large")["spec"]["tieredstore"]["levels"][0]  # type: ignore[index]
    assert (tier["mediumtype"], tier["quota"]) == (
        "MEM",
        bytes_to_quantity(quota_for(caches.bytes)),
    )


@pytest.mark.breaks("FM302")
def test_exclusive_neighbour_is_reported(caches: BrokenCaches) -> None:
    node = caches.add_node("alone")
    caches.create_cache("first", node=node)
    caches.wait_until_bound("first")
    caches.create_cache("second", node=node, dataset={"placement": None})
    found = caches.wait_for_root(
        "FM302", "second", caches.reference("pod", "second-worker-0"), later=300
    )
    assert f"the placement of {caches.namespace}/second is Exclusive" in found.cause
    caches.doctor.run(found.fix)
    caches.doctor.diagnose()
    assert caches.doctor.codes("second") == ["FM601"] or caches.doctor.codes("second") == []


@pytest.mark.breaks("FM303")
def test_affinity_to_a_missing_node_is_reported(caches: BrokenCaches) -> None:
    caches.create_cache("nowhere", node="no-such-node")
    found = caches.wait_for_root(
        "FM303", "nowhere", caches.reference("pod", "nowhere-worker-0"), later=300
    )
    assert "node no-such-node that the Dataset names is not in the cluster" in found.cause
    caches.doctor.run(found.fix)
    caches.wait_until_healthy("nowhere")


@pytest.mark.breaks("FM304")
def test_untolerated_taint_is_reported(caches: BrokenCaches) -> None:
    node = caches.add_node("tainted", taints=[TEAM])
    caches.create_cache("intolerant", node=node, dataset={"tolerations": None})
    found = caches.wait_for_root(
        "FM304", "intolerant", caches.reference("pod", "intolerant-worker-0"), later=300
    )
    assert f"team=llm:NoSchedule of node {node}" in found.cause
    caches.doctor.run(found.fix)
    caches.wait_until_healthy("intolerant")


@pytest.mark.breaks("FM305")
def test_occupied_ports_are_reported(caches: BrokenCaches) -> None:
    """The ports are known with the pod, so it waits for a label until they are taken."""
    node = caches.add_node("ports")
    term = {"key": "ports", "operator": "Exists"}
    affinity = {"required": {"nodeSelectorTerms": [{"matchExpressions": [term]}]}}
    caches.create_cache("ported", dataset={"nodeAffinity": affinity})
    worker = caches.wait_for_pod("ported-worker-0")
    taken = next(p["hostPort"] for c in worker["spec"]["containers"] for p in c["ports"])
    caches.api.create(
        {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": "taker", "namespace": caches.namespace},
            "spec": {
                "terminationGracePeriodSeconds": 0,
                "nodeSelector": {"kubernetes.io/hostname": node},
                "containers": [
                    {
                        "name": "main",
                        "image": "example.com/x:1",
                        "ports": [{"containerPort": taken, "hostPort": taken}],
                    }
                ],
            },
        }
    )
    caches.wait_for_node("taker")
    caches.api.patch("v1", "Node", node, {"metadata": {"labels": {"ports": "true"}}})
    found = caches.wait_for_root(
        "FM305", "ported", caches.reference("pod", "ported-worker-0"), later=300
    )
    assert str(taken) in found.cause and "didn't have free ports" in found.evidence[0].text
    caches.doctor.run(found.fix)
    caches.wait_until_healthy("ported")


@pytest.mark.breaks("FM305")
def test_more_workers_than_nodes_is_reported(caches: BrokenCaches) -> None:
    """All workers of a cache have the same ports: the third goes beside none of the others."""
    nodes = [caches.add_node("wide-a"), caches.add_node("wide-b")]
    hosts = {"key": "kubernetes.io/hostname", "operator": "In", "values": nodes}
    affinity = {"required": {"nodeSelectorTerms": [{"matchExpressions": [hosts]}]}}
    caches.create_cache("wide", dataset={"nodeAffinity": affinity}, runtime={"replicas": 3})
    until("a worker that waits", lambda: _waiting(caches, "wide"), 180)
    [waits] = _waiting(caches, "wide")
    found = caches.wait_for_root("FM305", "wide", caches.reference("pod", waits), later=300)
    shown = ", ".join(sorted(nodes))
    assert found.cause == f"3 workers, and only 2 nodes take one each ({shown})"
    caches.doctor.run(found.fix)
    until("no worker that waits", lambda: not _waiting(caches, "wide"), 180)
    caches.doctor.see("no pod without a node", "FM601", "FM820", name="wide")


def _waiting(caches: BrokenCaches, name: str) -> list[str]:
    """The workers of a cache that the scheduler has turned away, once the others have nodes."""
    pods = caches.api.list("v1", "Pod", caches.namespace, labelSelector=f"release={name}")
    workers = [pod for pod in pods if pod["metadata"]["name"].startswith(f"{name}-worker-")]
    if any(not p["spec"].get("nodeName") and not p["status"].get("conditions") for p in workers):
        return []
    return [pod["metadata"]["name"] for pod in workers if not pod["spec"].get("nodeName")]


@pytest.mark.breaks("FM301", "FM304")
def test_tainted_nodes_with_enough_memory_are_suggested(caches: BrokenCaches) -> None:
    """The scheduler counts one node that is too small and two taints; the taints are the cause."""
    taint = {"key": "amd.com/gpu", "value": "present", "effect": "NoSchedule"}
    small = caches.add_node("small", memory="8Gi")
    large = [caches.add_node(stem, taints=[taint]) for stem in ("gpu-a", "gpu-b")]
    hosts = {"key": "kubernetes.io/hostname", "operator": "In", "values": [small, *large]}
    affinity = {"required": {"nodeSelectorTerms": [{"matchExpressions": [hosts]}]}}
    level = {"mediumtype": "MEM", "path": "/dev/shm", "quota": "16Gi"}
    caches.create_cache(
        "most", level=level, dataset={"nodeAffinity": affinity, "tolerations": None}
    )
    found = caches.wait_for_root(
        "FM304", "most", caches.reference("pod", "most-worker-0"), later=300
    )
    shown = ", ".join(sorted(large))
    assert f"amd.com/gpu=present:NoSchedule of nodes {shown}, which fit otherwise" in found.cause
    assert f"{small}: 16.0 GiB of memory needed, " in found.cause
    caches.doctor.run(found.fix)
    caches.wait_until_healthy("most")


@pytest.mark.breaks("FM306")
def test_cordoned_node_is_reported(caches: BrokenCaches) -> None:
    node = caches.add_node("cordon")
    caches.cluster.kubectl("cordon", node)
    caches.create_cache("shut", node=node, dataset={"tolerations": None})
    found = caches.wait_for_root(
        "FM306", "shut", caches.reference("pod", "shut-worker-0"), later=300
    )
    assert f"node {node} is cordoned" in found.cause
    caches.doctor.run(found.fix)
    caches.wait_until_bound("shut")
    caches.doctor.see("no pod without a node", "FM601", name="shut")


# -- the master -------------------------------------------------------------------------------


@pytest.mark.breaks("FM310", "FM441")
def test_missing_secret_is_the_only_root(caches: BrokenCaches) -> None:
    """The master cannot be made, so the Dataset is not Bound, and the reader has no claim."""
    caches.create_cache("keyless", keys={})
    caches.create_reader("keyless-reader", "keyless")
    caches.api.apply(objects.dataload(caches.namespace, "keyless"))
    found = caches.wait_for_root(
        "FM310", "keyless", caches.reference("pod", "keyless-master-0"), later=300
    )
    assert found.cause == (
        f"Secret {caches.namespace}/keyless-s3 does not exist, and the pod mounts it"
    )
    assert 'secret "keyless-s3" not found' in found.evidence[0].text
    assert caches.doctor.codes("keyless") == ["FM310", "FM311", "FM330", "FM441", "FM606"]
    [waits] = caches.doctor.found("keyless")["FM441"]
    assert waits.about == caches.reference("pod", "keyless-reader")
    assert 'persistentvolumeclaim "keyless" not found' in waits.evidence[0].text
    caches.doctor.run(found.fix)
    caches.wait_until_healthy("keyless", seconds=90)


@pytest.mark.breaks("FM313")
def test_ready_master_with_a_wrong_key_is_reported(caches: BrokenCaches, cluster: Cluster) -> None:
    """As Alluxio 2.9.3 does: it is Ready, and only its log says what is wrong."""
    keys = {"aws.accessKeyId": cluster.s3.access_key, "aws.secretKey": "not-the-secret-1"}
    caches.create_cache("lenient", keys=keys)
    caches.wait_until_ready("lenient-master-0")

    def said() -> bool:
        caches.doctor.diagnose(read_logs=True)
        return "FM313" in caches.doctor.codes("lenient")

    until("the master's log", said, 120)
    found = caches.doctor.found("lenient")["FM313"][0]
    assert found.about == caches.reference("pod", "lenient-master-0")
    assert "is ready and cannot read the store: the secret key is wrong" in found.cause
    assert "AlluxioS3Exception: SignatureDoesNotMatch" in found.evidence[0].text
    caches.delete_cache("lenient")


@pytest.mark.breaks("FM307")
def test_quota_that_forbids_pods_is_reported(caches: BrokenCaches) -> None:
    """And `cache` refuses before it creates anything."""
    quota = {
        "apiVersion": "v1",
        "kind": "ResourceQuota",
        "metadata": {"name": "few-pods", "namespace": caches.namespace},
        "spec": {"hard": {"pods": "0"}},
    }
    caches.api.apply(quota)
    try:
        until(
            "the quota to count", lambda: caches.status_of("ResourceQuota", "few-pods").get("hard")
        )
        words = f"kubectl fluidmodel cache {caches.bucket.uri('m')} --name refused"
        command = (
            f"{words} -n {caches.namespace} --endpoint {caches.cluster.s3.endpoint} --timeout 4m"
        )
        began = time.monotonic()
        said = caches.doctor.run(Fix(f"{command} 2>&1 || echo exit $?"), timeout=200)
        assert time.monotonic() - began < 120
        refusal = f"error: namespace {caches.namespace} does not admit cache refused"
        assert f"{refusal}: ResourceQuota few-pods allows 0 of pods" in said, said
        assert said.rstrip().endswith("exit 1")
        caches.create_cache("refused")  # as kubectl does, which does not foresee the quota
        found = caches.wait_for_root(
            "FM307", "refused", caches.reference("statefulset", "refused-master")
        )
        assert "ResourceQuota few-pods does not allow more" in found.cause
    finally:
        caches.api.delete("v1", "ResourceQuota", "few-pods", caches.namespace)
    caches.delete_cache("refused")


@pytest.mark.breaks("FM311", "FM323")
def test_rotated_key_is_reported(caches: BrokenCaches, cluster: Cluster) -> None:
    """A master that does not start with the old key; `cache` brings the new one."""
    cluster.alluxio(caches.namespace, "rotated").set_knobs(check_root=True)
    access, first, second = (
        f"ROT{caches.namespace[2:8].upper()}",
        "first-secret-1",
        "second-secret-2",
    )
    caches.bucket.user(access, first)
    env = {"AWS_ACCESS_KEY_ID": access, "AWS_SECRET_ACCESS_KEY": first}
    words = (
        f"kubectl fluidmodel cache {caches.bucket.uri('m')} --name rotated -n {caches.namespace}"
    )

    caches.doctor.run(Fix(f"{words} --endpoint {cluster.s3.endpoint}"), env)
    caches.wait_until_healthy("rotated")
    cluster.s3.rotate(access, second)
    caches.api.delete("v1", "Pod", "rotated-master-0", caches.namespace)

    def restless() -> bool:
        caches.doctor.diagnose(read_logs=True)
        return "FM323" in caches.doctor.codes("rotated")

    until("restarts", restless, 180)
    found = caches.wait_for_root(
        "FM311", "rotated", caches.reference("pod", "rotated-master-0"), read_logs=True
    )
    assert "the secret key is wrong" in found.cause
    assert "AlluxioS3Exception: SignatureDoesNotMatch" in found.evidence[0].text
    assert first not in str(found) and second not in str(found)
    caches.doctor.run(found.fix, {**env, "AWS_SECRET_ACCESS_KEY": second}, timeout=180)
    caches.wait_until_ready("rotated-master-0")
    caches.doctor.diagnose(later=7200)
    assert "FM311" not in caches.doctor.codes("rotated")


@pytest.mark.breaks("FM312")
def test_unresolvable_host_name_is_reported(caches: BrokenCaches, cluster: Cluster) -> None:
    names = [each["metadata"]["name"] for each in cluster.api.list("v1", "Node")]
    lines = "\n".join(f"java.net.UnknownHostException: {name}: {name}: x" for name in names)
    fail = {"serve job-master": {"times": 99, "message": lines, "exit": 1}}
    cluster.alluxio(caches.namespace, "nameless").set_knobs(fail=fail)
    caches.create_cache("nameless")
    found = caches.wait_for_root(
        "FM312", "nameless", caches.reference("pod", "nameless-master-0"), read_logs=True
    )
    node = caches.wait_for_node("nameless-master-0")
    assert found.cause == f"the master cannot resolve the name of its own host, {node}"
    assert found.fix is not None and found.fix.how == "command"
    caches.delete_cache("nameless")


# -- what befalls pods ------------------------------------------------------------------------


@pytest.fixture(scope="module")
def healthy(caches: BrokenCaches) -> str:
    """A cache with nothing wrong, for what can be put right again."""
    caches.create_cache("whole")
    caches.load_completely("whole")
    caches.wait_until_healthy("whole")
    return "whole"


RUNNING = {"state": {"running": {"startedAt": NOW}}, "lastState": {}, "restartCount": 0}


@pytest.mark.breaks("FM320", "FM321", "FM331")
@pytest.mark.parametrize(
    ("code", "status", "cause"),
    [
        (
            "FM320",
            {"state": {"waiting": {"reason": "ImagePullBackOff", "message": 'Back-off "x"'}}},
            f"cannot pull {RUNTIME_IMAGE} for the worker",
        ),
        (
            "FM321",
            {
                "state": {"running": {"startedAt": NOW}},
                "lastState": {"terminated": {"reason": "OOMKilled", "exitCode": 137}},
                "restartCount": 1,
            },
            "alluxio-worker on node",
        ),
        (
            "FM331",
            {"state": {"waiting": {"reason": "CrashLoopBackOff", "message": "back-off 5m0s"}}},
            "is not ready",
        ),
    ],
)
def test_worker_container_status_is_reported(
    caches: BrokenCaches, healthy: str, code: str, status: dict[str, object], cause: str
) -> None:
    pod = f"{healthy}-worker-0"
    caches.wait_until_ready(pod)
    caches.set_container_status(pod, "alluxio-worker", **status)
    found = caches.wait_for_root(code, healthy, caches.reference("pod", pod), later=300)
    assert cause in found.cause
    assert "FM330" in caches.doctor.codes(healthy)
    caches.set_container_status(pod, "alluxio-worker", ready=True, **RUNNING)
    caches.wait_until_healthy(healthy)


@pytest.mark.breaks("FM322")
def test_full_quota_is_reported(caches: BrokenCaches, cluster: Cluster) -> None:
    message = "alluxio.exception.status.WorkerOutOfSpaceException: Failed to find space"
    fail = {"fs distributedLoad": {"times": 1, "message": message, "exit": 1}}
    cluster.alluxio(caches.namespace, "tight").set_knobs(fail=fail)
    caches.create_cache("tight")
    caches.wait_until_bound("tight")
    caches.api.apply(objects.dataload(caches.namespace, "tight"))
    found = None
    while found is None:  # until the loader's log is read
        caches.doctor.diagnose(read_logs=True)
        found = next(iter(caches.doctor.found("tight").get("FM322", [])), None)
    assert found.cause == "the quota of 1Gi is full"
    assert "WorkerOutOfSpaceException" in found.evidence[0].text
    caches.doctor.run(found.fix, timeout=180)
    caches.wait_until_healthy("tight", read_logs=True)


@pytest.mark.breaks("FM330")
def test_missing_worker_is_reported(caches: BrokenCaches, healthy: str) -> None:
    """A ResourceQuota lets no second worker be made; the Dataset stays Bound."""
    quota = {
        "apiVersion": "v1",
        "kind": "ResourceQuota",
        "metadata": {"name": "none", "namespace": caches.namespace},
        "spec": {"hard": {"pods": "0"}},
    }
    caches.api.apply(quota)
    replicas = {"spec": {"replicas": 2}}
    caches.api.patch(FLUID, "AlluxioRuntime", healthy, replicas, caches.namespace)
    found = caches.wait_for_root(
        "FM307",
        healthy,
        caches.reference("statefulset", f"{healthy}-worker"),
        beside=("FM820",),
        later=300,
    )
    assert "ResourceQuota none does not allow more" in found.cause
    [missing] = caches.doctor.found(healthy)["FM330"]
    assert missing.cause == "1 of 2 workers are ready, and the Dataset still says Bound"
    caches.api.delete("v1", "ResourceQuota", "none", caches.namespace)
    caches.api.patch(FLUID, "AlluxioRuntime", healthy, {"spec": {"replicas": 1}}, caches.namespace)
    caches.wait_until_healthy(healthy)


@pytest.mark.breaks("FM332")
def test_worker_lost_by_the_master_is_reported(
    caches: BrokenCaches, cluster: Cluster, healthy: str
) -> None:
    stand_in = cluster.alluxio(caches.namespace, healthy)
    stand_in.set_knobs(lost_workers=[f"{healthy}-worker-0"])
    found = caches.wait_for_root(
        "FM332", healthy, caches.reference("statefulset", f"{healthy}-worker"), later=300
    )
    assert found.cause == "the master has lost 1 of 1 worker, though all of them run"
    assert "FM605" in caches.doctor.codes(healthy)
    caches.doctor.run(found.fix)
    stand_in.set_knobs(lost_workers=None)  # the knob goes by the pod's name, a master does not
    caches.doctor.see("what is left to load", "FM605", name=healthy, later=300)
    [left] = caches.doctor.found(healthy)["FM605"]
    caches.doctor.run(left.fix)
    caches.wait_until_healthy(healthy)


@pytest.mark.breaks("FM333")
def test_runtime_without_workers_is_reported(caches: BrokenCaches) -> None:
    caches.create_cache("idle", runtime={"replicas": None})
    found = caches.wait_for_root(
        "FM333", "idle", caches.reference("alluxioruntime", "idle"), later=300
    )
    assert found.cause == "it has no workers, so nothing can be cached"
    caches.doctor.run(found.fix)
    caches.wait_until_bound("idle")
    caches.doctor.diagnose()
    assert "FM333" not in caches.doctor.codes("idle")


@pytest.mark.breaks("FM334", "FM810")
def test_pod_stuck_on_a_dead_node_is_reported(caches: BrokenCaches) -> None:
    """Its worker was deleted, and its kubelet does not say that it has ended."""
    node = caches.add_node("down")
    caches.create_cache("stranded", node=node)
    caches.wait_until_bound("stranded")
    down = {"metadata": {"annotations": {"fluidmodel.io/down": "true"}}}
    caches.api.patch("v1", "Node", node, down)
    found = caches.wait_for_root("FM810", "stranded", f"node {node}", later=120)
    assert found.cause == "it holds the cache and is not ready"
    hold = {"metadata": {"finalizers": ["example.com/kubelet"]}}
    caches.api.patch("v1", "Pod", "stranded-worker-0", hold, caches.namespace)
    caches.api.delete("v1", "Pod", "stranded-worker-0", caches.namespace)
    caches.doctor.diagnose(later=3600)
    [stuck] = caches.doctor.found("stranded")["FM334"]
    assert stuck.about == caches.reference("pod", "stranded-worker-0")
    assert "FM334" not in caches.doctor.roots("stranded")
    assert stuck.fix is not None and "--force" in stuck.fix.text
    caches.api.patch("v1", "Pod", "stranded-worker-0", {"metadata": {"finalizers": None}},
                   caches.namespace)  # fmt: skip
    up = {"metadata": {"annotations": {"fluidmodel.io/down": None}}}
    caches.api.patch("v1", "Node", node, up)
    caches.wait_until_ready("stranded-worker-0")
    caches.doctor.see("the node to be back", "FM601", name="stranded")


def test_repaired_pods_are_healthy(caches: BrokenCaches, healthy: str) -> None:
    """Events of a fault that is over are no news."""
    caches.create_warning_event(
        "Pod", f"{healthy}-master-0", "FailedMount", 'secret "gone" not found'
    )
    caches.create_warning_event(
        "Pod", f"{healthy}-worker-0", "FailedScheduling", "0/5: Insufficient memory"
    )
    caches.doctor.diagnose(read_logs=True)
    assert caches.doctor.codes(healthy) == [], caches.doctor.causes_by_code(healthy)
