"""Doctor's checks of the runtime's pods, each broken for real and mended by the printed fix."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from kubectl_fluidmodel.doctor.check import Fix
from kubectl_fluidmodel.model.sizing import quota_for
from kubectl_fluidmodel.objects.quantity import from_bytes
from tests.cluster import objects
from tests.cluster.broken_caches import Ward, ward_of
from tests.cluster.cluster import Cluster
from tests.cluster.objects import FLUID, until

pytestmark = pytest.mark.cluster

TEAM = {"key": "team", "value": "llm", "effect": "NoSchedule"}
NOW = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())


@pytest.fixture(scope="module")
def ward(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ward]:
    yield from ward_of(cluster, tmp_path_factory.mktemp("runtime"))


# -- pods without a node ----------------------------------------------------------------------


@pytest.mark.breaks("FM301")
def test_more_memory_than_any_node_has(ward: Ward) -> None:
    level = {"mediumtype": "MEM", "path": "/dev/shm", "quota": "3Ti"}
    ward.cache("large", level=level)
    # Fluid counts the source before there is a worker: then the quota is known to be a mistake.
    until("its size", lambda: "iB" in str(ward.status("Dataset", "large").get("ufsTotal")), 180)
    found = ward.sees("FM301", "large", ward.ref("pod", "large-worker-0"), hear=True, later=300)
    assert "no node has enough free memory for the worker" in found.cause
    assert "Insufficient memory" in found.evidence[0].text
    assert "times the model's" in found.cause
    assert {"FM330"} <= set(ward.doctor.codes("large"))
    ward.doctor.run(found.fix)
    ward.well("large")
    tier = ward.find("AlluxioRuntime", "large")["spec"]["tieredstore"]["levels"][0]  # type: ignore[index]
    assert (tier["mediumtype"], tier["quota"]) == ("MEM", from_bytes(quota_for(ward.bytes)))


@pytest.mark.breaks("FM302")
def test_two_caches_of_which_one_wants_its_node_alone(ward: Ward) -> None:
    node = ward.node("alone")
    ward.cache("first", node=node)
    ward.bound("first")
    ward.cache("second", node=node, dataset={"placement": None})
    found = ward.sees("FM302", "second", ward.ref("pod", "second-worker-0"), later=300)
    assert f"the placement of {ward.namespace}/second is Exclusive" in found.cause
    ward.doctor.run(found.fix)
    ward.doctor.look()
    assert ward.doctor.codes("second") == ["FM601"] or ward.doctor.codes("second") == []


@pytest.mark.breaks("FM303")
def test_a_node_that_is_not_there(ward: Ward) -> None:
    ward.cache("nowhere", node="no-such-node")
    found = ward.sees("FM303", "nowhere", ward.ref("pod", "nowhere-worker-0"), later=300)
    assert "node no-such-node that the Dataset names is not in the cluster" in found.cause
    ward.doctor.run(found.fix)
    ward.well("nowhere")


@pytest.mark.breaks("FM304")
def test_a_taint_that_nobody_tolerates(ward: Ward) -> None:
    node = ward.node("tainted", taints=[TEAM])
    ward.cache("intolerant", node=node, dataset={"tolerations": None})
    found = ward.sees("FM304", "intolerant", ward.ref("pod", "intolerant-worker-0"), later=300)
    assert f"team=llm:NoSchedule of node {node}" in found.cause
    ward.doctor.run(found.fix)
    ward.well("intolerant")


@pytest.mark.breaks("FM305")
def test_ports_that_something_else_has(ward: Ward) -> None:
    """The ports are known with the pod, so it waits for a label until they are taken."""
    node = ward.node("ports")
    term = {"key": "ports", "operator": "Exists"}
    affinity = {"required": {"nodeSelectorTerms": [{"matchExpressions": [term]}]}}
    ward.cache("ported", dataset={"nodeAffinity": affinity})
    worker = ward.pod("ported-worker-0")
    taken = next(p["hostPort"] for c in worker["spec"]["containers"] for p in c["ports"])
    ward.api.create(
        {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": "taker", "namespace": ward.namespace},
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
    ward.placed("taker")
    ward.api.patch("v1", "Node", node, {"metadata": {"labels": {"ports": "true"}}})
    found = ward.sees("FM305", "ported", ward.ref("pod", "ported-worker-0"), later=300)
    assert str(taken) in found.cause and "didn't have free ports" in found.evidence[0].text
    ward.doctor.run(found.fix)
    ward.well("ported")


@pytest.mark.breaks("FM305")
def test_more_workers_than_nodes_for_them(ward: Ward) -> None:
    """All workers of a cache have the same ports: the third goes beside none of the others."""
    nodes = [ward.node("wide-a"), ward.node("wide-b")]
    hosts = {"key": "kubernetes.io/hostname", "operator": "In", "values": nodes}
    affinity = {"required": {"nodeSelectorTerms": [{"matchExpressions": [hosts]}]}}
    ward.cache("wide", dataset={"nodeAffinity": affinity}, runtime={"replicas": 3})
    until("a worker that waits", lambda: _waiting(ward, "wide"), 180)
    [waits] = _waiting(ward, "wide")
    found = ward.sees("FM305", "wide", ward.ref("pod", waits), later=300)
    shown = ", ".join(sorted(nodes))
    assert found.cause == f"3 workers, and only 2 nodes take one each ({shown})"
    ward.doctor.run(found.fix)
    until("no worker that waits", lambda: not _waiting(ward, "wide"), 180)
    ward.doctor.see("no pod without a node", "FM601", "FM820", name="wide")


def _waiting(ward: Ward, name: str) -> list[str]:
    """The workers of a cache that the scheduler has turned away, once the others have nodes."""
    pods = ward.api.list("v1", "Pod", ward.namespace, labelSelector=f"release={name}")
    workers = [pod for pod in pods if pod["metadata"]["name"].startswith(f"{name}-worker-")]
    if any(not p["spec"].get("nodeName") and not p["status"].get("conditions") for p in workers):
        return []
    return [pod["metadata"]["name"] for pod in workers if not pod["spec"].get("nodeName")]


@pytest.mark.breaks("FM301", "FM304")
def test_most_nodes_are_large_enough_and_tainted(ward: Ward) -> None:
    """The scheduler counts one node that is too small and two taints; the taints are the cause."""
    taint = {"key": "amd.com/gpu", "value": "present", "effect": "NoSchedule"}
    small = ward.node("small", memory="8Gi")
    large = [ward.node(stem, taints=[taint]) for stem in ("gpu-a", "gpu-b")]
    hosts = {"key": "kubernetes.io/hostname", "operator": "In", "values": [small, *large]}
    affinity = {"required": {"nodeSelectorTerms": [{"matchExpressions": [hosts]}]}}
    level = {"mediumtype": "MEM", "path": "/dev/shm", "quota": "16Gi"}
    ward.cache("most", level=level, dataset={"nodeAffinity": affinity, "tolerations": None})
    found = ward.sees("FM304", "most", ward.ref("pod", "most-worker-0"), later=300)
    shown = ", ".join(sorted(large))
    assert f"amd.com/gpu=present:NoSchedule of nodes {shown}, which fit otherwise" in found.cause
    assert f"{small}: 16.0 GiB of memory needed, " in found.cause
    ward.doctor.run(found.fix)
    ward.well("most")


@pytest.mark.breaks("FM306")
def test_a_node_that_is_cordoned(ward: Ward) -> None:
    node = ward.node("cordon")
    ward.cluster.kubectl("cordon", node)
    ward.cache("shut", node=node, dataset={"tolerations": None})
    found = ward.sees("FM306", "shut", ward.ref("pod", "shut-worker-0"), later=300)
    assert f"node {node} is cordoned" in found.cause
    ward.doctor.run(found.fix)
    ward.bound("shut")
    ward.doctor.see("no pod without a node", "FM601", name="shut")


# -- the master -------------------------------------------------------------------------------


@pytest.mark.breaks("FM310", "FM441")
def test_a_secret_that_is_missing_and_all_that_follows(ward: Ward) -> None:
    """The master cannot be made, so the Dataset is not Bound, and the reader has no claim."""
    ward.cache("keyless", keys={})
    ward.reader("keyless-reader", "keyless")
    ward.api.apply(objects.dataload(ward.namespace, "keyless"))
    found = ward.sees("FM310", "keyless", ward.ref("pod", "keyless-master-0"), later=300)
    assert found.cause == (
        f"Secret {ward.namespace}/keyless-s3 does not exist, and the pod mounts it"
    )
    assert 'secret "keyless-s3" not found' in found.evidence[0].text
    assert ward.doctor.codes("keyless") == ["FM310", "FM311", "FM330", "FM441", "FM606"]
    [waits] = ward.doctor.found("keyless")["FM441"]
    assert waits.about == ward.ref("pod", "keyless-reader")
    assert 'persistentvolumeclaim "keyless" not found' in waits.evidence[0].text
    ward.doctor.run(found.fix)
    ward.well("keyless", seconds=90)


@pytest.mark.breaks("FM313")
def test_a_master_that_starts_with_a_wrong_key(ward: Ward, cluster: Cluster) -> None:
    """As Alluxio 2.9.3 does: it is Ready, and only its log says what is wrong."""
    cluster.alluxio(ward.namespace, "lenient").set_knobs(check_root=False)
    keys = {"aws.accessKeyId": cluster.s3.access_key, "aws.secretKey": "not-the-secret-1"}
    ward.cache("lenient", keys=keys)
    ward.running("lenient-master-0")

    def said() -> bool:
        ward.doctor.look(hear=True)
        return "FM313" in ward.doctor.codes("lenient")

    until("the master's log", said, 120)
    found = ward.doctor.found("lenient")["FM313"][0]
    assert found.about == ward.ref("pod", "lenient-master-0")
    assert "is ready and cannot read the store: the secret key is wrong" in found.cause
    assert "AlluxioS3Exception: SignatureDoesNotMatch" in found.evidence[0].text
    ward.gone("lenient")


@pytest.mark.breaks("FM307")
def test_a_quota_that_allows_no_more_pods(ward: Ward) -> None:
    """And a `cache` that waits says so and ends, long before its time is up."""
    quota = {
        "apiVersion": "v1",
        "kind": "ResourceQuota",
        "metadata": {"name": "few-pods", "namespace": ward.namespace},
        "spec": {"hard": {"pods": "0"}},
    }
    ward.api.apply(quota)
    try:
        until("the quota to count", lambda: ward.status("ResourceQuota", "few-pods").get("hard"))
        words = f"kubectl fluidmodel cache {ward.bucket.uri('m')} --name refused"
        command = f"{words} -n {ward.namespace} --endpoint {ward.cluster.s3.endpoint} --timeout 4m"
        began = time.monotonic()
        said = ward.doctor.run(Fix(f"{command} 2>&1 || echo exit $?"), timeout=200)
        assert time.monotonic() - began < 120
        assert "error: cache refused cannot become ready" in said and "(FM307)" in said, said
        assert said.rstrip().endswith("exit 1")
        found = ward.sees("FM307", "refused", ward.ref("statefulset", "refused-master"))
        assert "ResourceQuota few-pods does not allow more" in found.cause
    finally:
        ward.api.delete("v1", "ResourceQuota", "few-pods", ward.namespace)
    ward.gone("refused")


@pytest.mark.breaks("FM311", "FM323")
def test_a_key_that_was_rotated(ward: Ward, cluster: Cluster) -> None:
    """The master starts anew with the old key, and fails; `cache` brings the new one."""
    access, first, second = f"ROT{ward.namespace[2:8].upper()}", "first-secret-1", "second-secret-2"
    ward.bucket.user(access, first)
    env = {"AWS_ACCESS_KEY_ID": access, "AWS_SECRET_ACCESS_KEY": first}
    words = f"kubectl fluidmodel cache {ward.bucket.uri('m')} --name rotated -n {ward.namespace}"

    ward.doctor.run(Fix(f"{words} --endpoint {cluster.s3.endpoint}"), env)
    ward.well("rotated")
    cluster.s3.rotate(access, second)
    ward.api.delete("v1", "Pod", "rotated-master-0", ward.namespace)

    def restless() -> bool:
        ward.doctor.look(hear=True)
        return "FM323" in ward.doctor.codes("rotated")

    until("restarts", restless, 180)
    found = ward.sees("FM311", "rotated", ward.ref("pod", "rotated-master-0"), hear=True)
    assert "the secret key is wrong" in found.cause
    assert "Status Code: 403" in found.evidence[0].text
    assert first not in str(found) and second not in str(found)
    ward.doctor.run(found.fix, {**env, "AWS_SECRET_ACCESS_KEY": second}, timeout=180)
    ward.running("rotated-master-0")
    ward.doctor.look(later=7200)
    assert "FM311" not in ward.doctor.codes("rotated")


@pytest.mark.breaks("FM312")
def test_a_host_that_does_not_know_its_own_name(ward: Ward, cluster: Cluster) -> None:
    names = [each["metadata"]["name"] for each in cluster.api.list("v1", "Node")]
    lines = "\n".join(f"java.net.UnknownHostException: {name}: {name}: x" for name in names)
    fail = {"serve job-master": {"times": 99, "message": lines, "exit": 1}}
    cluster.alluxio(ward.namespace, "nameless").set_knobs(fail=fail)
    ward.cache("nameless")
    found = ward.sees("FM312", "nameless", ward.ref("pod", "nameless-master-0"), hear=True)
    node = ward.placed("nameless-master-0")
    assert found.cause == f"the master cannot look up the name of its own host, {node}"
    assert found.fix is not None and found.fix.how == "command"
    ward.gone("nameless")


# -- what befalls pods ------------------------------------------------------------------------


@pytest.fixture(scope="module")
def whole(ward: Ward) -> str:
    """A cache with nothing wrong, for what can be put right again."""
    ward.cache("whole")
    ward.loaded("whole")
    ward.well("whole")
    return "whole"


RUNNING = {"state": {"running": {"startedAt": NOW}}, "lastState": {}, "restartCount": 0}


@pytest.mark.breaks("FM320", "FM321", "FM331")
@pytest.mark.parametrize(
    ("code", "status", "cause"),
    [
        (
            "FM320",
            {"state": {"waiting": {"reason": "ImagePullBackOff", "message": 'Back-off "x"'}}},
            "cannot pull alluxio/alluxio-dev:2.9.0 for the worker",
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
def test_a_worker_as_its_kubelet_tells_it(
    ward: Ward, whole: str, code: str, status: dict[str, object], cause: str
) -> None:
    pod = f"{whole}-worker-0"
    ward.running(pod)
    ward.ill(pod, "alluxio-worker", **status)
    found = ward.sees(code, whole, ward.ref("pod", pod), later=300)
    assert cause in found.cause
    assert "FM330" in ward.doctor.codes(whole)
    ward.ill(pod, "alluxio-worker", ready=True, **RUNNING)
    ward.well(whole)


@pytest.mark.breaks("FM322")
def test_a_quota_that_is_full(ward: Ward, cluster: Cluster) -> None:
    message = "alluxio.exception.status.WorkerOutOfSpaceException: Failed to find space"
    fail = {"fs distributedLoad": {"times": 1, "message": message, "exit": 1}}
    cluster.alluxio(ward.namespace, "tight").set_knobs(fail=fail)
    ward.cache("tight")
    ward.bound("tight")
    ward.api.apply(objects.dataload(ward.namespace, "tight"))
    found = None
    while found is None:  # until the loader's log is read
        ward.doctor.look(hear=True)
        found = next(iter(ward.doctor.found("tight").get("FM322", [])), None)
    assert found.cause == "the quota of 1Gi is full"
    assert "WorkerOutOfSpaceException" in found.evidence[0].text
    ward.doctor.run(found.fix, timeout=180)
    ward.well("tight", hear=True)


@pytest.mark.breaks("FM330")
def test_fewer_workers_than_wanted(ward: Ward, whole: str) -> None:
    """A ResourceQuota lets no second worker be made; the Dataset stays Bound."""
    quota = {
        "apiVersion": "v1",
        "kind": "ResourceQuota",
        "metadata": {"name": "none", "namespace": ward.namespace},
        "spec": {"hard": {"pods": "0"}},
    }
    ward.api.apply(quota)
    replicas = {"spec": {"replicas": 2}}
    ward.api.patch(FLUID, "AlluxioRuntime", whole, replicas, ward.namespace)
    found = ward.sees("FM330", whole, ward.ref("statefulset", f"{whole}-worker"),
                      beside=("FM820",), later=300)  # fmt: skip
    assert found.cause == "1 of 2 workers are ready, and the Dataset still says Bound"
    ward.api.delete("v1", "ResourceQuota", "none", ward.namespace)
    ward.api.patch(FLUID, "AlluxioRuntime", whole, {"spec": {"replicas": 1}}, ward.namespace)
    ward.well(whole)


@pytest.mark.breaks("FM332")
def test_a_worker_that_alluxio_has_lost(ward: Ward, cluster: Cluster, whole: str) -> None:
    stand_in = cluster.alluxio(ward.namespace, whole)
    stand_in.set_knobs(lost_workers=[f"{whole}-worker-0"])
    found = ward.sees("FM332", whole, ward.ref("statefulset", f"{whole}-worker"), later=300)
    assert found.cause == "the master has lost 1 of 1 worker, though all of them run"
    assert "FM605" in ward.doctor.codes(whole)
    ward.doctor.run(found.fix)
    stand_in.set_knobs(lost_workers=None)  # the knob goes by the pod's name, a master does not
    ward.doctor.see("what is left to load", "FM605", name=whole, later=300)
    [left] = ward.doctor.found(whole)["FM605"]
    ward.doctor.run(left.fix)
    ward.well(whole)


@pytest.mark.breaks("FM333")
def test_a_runtime_without_workers(ward: Ward) -> None:
    ward.cache("idle", runtime={"replicas": None})
    found = ward.sees("FM333", "idle", ward.ref("alluxioruntime", "idle"), later=300)
    assert found.cause == "it has no workers, so nothing can be cached"
    ward.doctor.run(found.fix)
    ward.bound("idle")
    ward.doctor.look()
    assert "FM333" not in ward.doctor.codes("idle")


@pytest.mark.breaks("FM334", "FM810")
def test_a_node_that_is_down(ward: Ward) -> None:
    """Its worker was deleted, and its kubelet does not say that it has ended."""
    node = ward.node("down")
    ward.cache("stranded", node=node)
    ward.bound("stranded")
    down = {"metadata": {"annotations": {"fluidmodel.io/down": "true"}}}
    ward.api.patch("v1", "Node", node, down)
    found = ward.sees("FM810", "stranded", f"node {node}", later=120)
    assert found.cause == "it holds the cache and is not ready"
    hold = {"metadata": {"finalizers": ["example.com/kubelet"]}}
    ward.api.patch("v1", "Pod", "stranded-worker-0", hold, ward.namespace)
    ward.api.delete("v1", "Pod", "stranded-worker-0", ward.namespace)
    ward.doctor.look(later=3600)
    [stuck] = ward.doctor.found("stranded")["FM334"]
    assert stuck.about == ward.ref("pod", "stranded-worker-0")
    assert "FM334" not in ward.doctor.roots("stranded")
    assert stuck.fix is not None and "--force" in stuck.fix.text
    ward.api.patch("v1", "Pod", "stranded-worker-0", {"metadata": {"finalizers": None}},
                   ward.namespace)  # fmt: skip
    up = {"metadata": {"annotations": {"fluidmodel.io/down": None}}}
    ward.api.patch("v1", "Node", node, up)
    ward.running("stranded-worker-0")
    ward.doctor.see("the node to be back", "FM601", name="stranded")


def test_pods_are_judged_by_what_is_there_now(ward: Ward, whole: str) -> None:
    """Events of a fault that is over are no news."""
    ward.event("Pod", f"{whole}-master-0", "FailedMount", 'secret "gone" not found')
    ward.event("Pod", f"{whole}-worker-0", "FailedScheduling", "0/5: Insufficient memory")
    ward.doctor.look(hear=True)
    assert ward.doctor.codes(whole) == [], ward.doctor.told(whole)
