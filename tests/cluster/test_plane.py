"""The control plane itself: what a client, a kubelet and an administrator would find."""

from __future__ import annotations

import json
import subprocess
import time
import urllib.request
from pathlib import Path

import pytest

from tests.cluster.api import ApiError
from tests.cluster.cluster import Cluster
from tests.cluster.objects import until
from tests.cluster.process import free_ports, start_time

pytestmark = pytest.mark.cluster


def test_nodes_and_controllers(cluster: Cluster) -> None:
    nodes = {each["metadata"]["name"]: each for each in cluster.api.list("v1", "Node")}
    assert {"gpu-0", "gpu-1", "gpu-2", "cpu-0", "cpu-1"} <= set(nodes)
    gpu = nodes["gpu-0"]
    assert gpu["status"]["allocatable"]["nvidia.com/gpu"] == "8"
    assert any(taint["key"] == "nvidia.com/gpu" for taint in gpu["spec"]["taints"])
    assert (
        "True"
        in cluster.kubectl(
            "get",
            "nodes",
            "-o",
            "jsonpath={.items[*].status.conditions[?(@.type=='Ready')].status}",
        ).stdout
    )
    deployments = {
        each["metadata"]["name"]
        for each in cluster.api.list("apps/v1", "Deployment", "fluid-system")
    }
    assert {"dataset-controller", "alluxioruntime-controller"} <= deployments


def test_exec_logs_and_port_forward(cluster: Cluster, namespace: str) -> None:
    endpoint = cluster.s3.expose(namespace, "store")
    port = int(endpoint.rsplit(":", 1)[1])
    cluster.kubectl("wait", "-n", namespace, "--for=condition=Ready", "pod/store", "--timeout=120s")
    said = cluster.kubectl("exec", "-n", namespace, "store", "--", "sh", "-c", "echo $((6*7))")
    assert said.stdout == "42\n"
    assert cluster.kubectl("logs", "-n", namespace, "store").returncode == 0
    [local] = free_ports(1)
    forward = subprocess.Popen(
        [
            cluster.facts["binaries"]["kubectl"],
            f"--kubeconfig={cluster.kubeconfig}",
            "port-forward",
            "-n",
            namespace,
            "svc/store",
            f"{local}:{port}",
        ],
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert "Forwarding" in (forward.stdout.readline() if forward.stdout else "")
        with urllib.request.urlopen(f"http://127.0.0.1:{local}/healthz", timeout=5) as answer:
            assert answer.status == 200
    finally:
        forward.terminate()
        forward.wait()


def job(namespace: str, name: str, script: str, **more: object) -> dict[str, object]:
    container = {"name": "main", "image": "busybox:1", "command": ["sh", "-c", script], **more}
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {
            "backoffLimit": 1,
            "template": {
                "spec": {
                    "restartPolicy": "Never",
                    "containers": [container],
                    "volumes": [
                        {"name": "conf", "configMap": {"name": "conf"}},
                        {"name": "scratch", "emptyDir": {}},
                    ],
                }
            },
        },
    }


def test_job_pods_run_for_real(cluster: Cluster, namespace: str) -> None:
    cluster.api.create(
        {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "data": {"greeting": "hello"},
            "metadata": {"name": "conf", "namespace": namespace},
        }
    )
    cluster.api.create(
        job(
            namespace,
            "good",
            'cat /conf/greeting; echo " $WHO $POD"; pwd; touch /scratch/x; ls /scratch; sleep 1; '
            "test -s /var/run/secrets/kubernetes.io/serviceaccount/token && echo token",
            workingDir="/scratch",
            env=[
                {
                    "name": "WHO",
                    "valueFrom": {"configMapKeyRef": {"name": "conf", "key": "greeting"}},
                },
                {"name": "POD", "valueFrom": {"fieldRef": {"fieldPath": "metadata.namespace"}}},
            ],
            volumeMounts=[
                {"name": "conf", "mountPath": "/conf"},
                {"name": "scratch", "mountPath": "/scratch"},
            ],
        )
    )
    until(
        "the Job's pod",
        lambda: cluster.api.list("v1", "Pod", namespace, fieldSelector="status.phase!=Pending"),
    )
    followed = cluster.kubectl("logs", "-n", namespace, "-f", "job/good", timeout=120)
    assert followed.stdout == f"hello hello {namespace}\n/scratch\nx\ntoken\n"
    cluster.kubectl(
        "wait", "-n", namespace, "--for=condition=Complete", "job/good", "--timeout=120s"
    )


def test_job_failure_memory_and_deletion(cluster: Cluster, namespace: str) -> None:
    cluster.api.create(
        {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "data": {},
            "metadata": {"name": "conf", "namespace": namespace},
        }
    )
    cluster.api.create(job(namespace, "bad", "echo no >&2; exit 3"))
    cluster.api.create(
        job(
            namespace,
            "fat",
            "exec python3 -c 'x = b\"1\" * (300 << 20); import time; time.sleep(20)'",
            resources={"limits": {"memory": "100Mi"}},
        )
    )
    cluster.api.create(job(namespace, "long", "sleep 300"))

    def ended(name: str) -> dict[str, object] | None:
        for pod in cluster.api.list("v1", "Pod", namespace, labelSelector=f"job-name={name}"):
            state = ((pod["status"].get("containerStatuses") or [{}])[0]).get("state") or {}
            if "terminated" in state:
                return dict(state["terminated"])
        return None

    assert until("bad", lambda: ended("bad"))["exitCode"] == 3  # type: ignore[index]
    assert until("fat", lambda: ended("fat"))["reason"] == "OOMKilled"  # type: ignore[index]
    cluster.kubectl("wait", "-n", namespace, "--for=condition=Failed", "job/bad", "--timeout=120s")

    def processes() -> list[Path]:
        pods = cluster.api.list("v1", "Pod", namespace, labelSelector="job-name=long")
        return [
            path
            for pod in pods
            for path in (cluster.state / "pods" / pod["metadata"]["uid"]).glob("*.pid.json")
        ]

    record = json.loads(until("long", processes)[0].read_text())
    assert start_time(record["pid"]) == record["start"]
    cluster.kubectl("delete", "job", "-n", namespace, "long", "--timeout=120s")
    until("the process's end", lambda: start_time(record["pid"]) != record["start"], 60)


def test_a_user_has_exactly_the_given_rules(cluster: Cluster, namespace: str) -> None:
    rules = [{"apiGroups": [""], "resources": ["configmaps"], "verbs": ["list"]}]
    kubeconfig = cluster.user_kubeconfig(f"u-{namespace}", rules, namespace)

    def can(*what: str) -> str:
        done = cluster.kubectl(
            "auth", "can-i", *what, "-n", namespace, f"--kubeconfig={kubeconfig}", check=False
        )
        return done.stdout.strip()

    until("the Role", lambda: can("list", "configmaps") == "yes")
    assert can("get", "configmaps") == "no"
    assert can("list", "secrets") == "no"


def test_s3_users_and_policies(cluster: Cluster, namespace: str) -> None:
    from botocore.exceptions import ClientError

    from tests.cluster.bucket import Bucket

    bucket = Bucket(cluster.s3, f"b-{namespace}"[:40].rstrip("-"))
    sizes = bucket.put_model("m", shard_size=5000)
    assert sum(bucket.sizes("m/").values()) == sum(sizes.values())
    bucket.put_sparse("big/w.safetensors", 1 << 37)
    assert bucket.sizes("big/") == {"big/w.safetensors": 1 << 37}
    bucket.user(f"A{namespace}", "secret-secret-1", deny=["s3:GetObject"])
    theirs = cluster.s3.client(f"A{namespace}", "secret-secret-1")
    assert theirs.list_objects_v2(Bucket=bucket.name)["KeyCount"] > 0
    with pytest.raises(ClientError, match="AccessDenied"):
        theirs.get_object(Bucket=bucket.name, Key="m/config.json")
    bucket.delete()


@pytest.mark.slow
@pytest.mark.alone
def test_two_side_by_side_and_down_ends_what_it_started(cluster: Cluster) -> None:
    other = Cluster(f"second-{time.time_ns():x}")
    try:
        started = time.monotonic()
        other.up(nodes=2, dynamo=None)
        assert time.monotonic() - started < 45
        assert len(other.api.list("v1", "Node")) == 2
        records = [other.processes.spec(name) for name in other.processes.names()]
        with pytest.raises(ApiError):
            other.api.get("v1", "Node", "gpu-2")
    finally:
        other.down()
    assert not other.state.exists()
    for record in records:
        assert record and start_time(record["pid"]) != record["start"]
    assert cluster.running()
