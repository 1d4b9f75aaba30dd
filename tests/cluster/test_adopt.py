"""`cache --adopt` of what was made by hand: real API server, Fluid's controllers, real S3."""

from __future__ import annotations

import copy
import json
import signal
import time
from typing import Any

import pytest

from tests.cache.adoption.samples import load_fixture
from tests.cluster.objects import FLUID, until
from tests.cluster.operator import Operator
from tests.cluster.pinning import GRAPHS, pods, running
from tests.cluster.plugin import Plugin, error_line
from tests.cluster.test_cache_rbac import bind, grant, roles, without

pytestmark = pytest.mark.cluster

NAME = "llama-by-hand"
MODEL = "acme/llama"
SERVING = "llama-serving"
ENGINE = {"key": "nvidia.com/gpu", "operator": "Exists"}


def make_by_hand(
    cluster: Any, namespace: str, bucket: Any, fixture: str = "full", *, load: bool = True
) -> None:
    """Apply a fixture as its reader would, with a quota and tolerations for these nodes."""
    bucket.put_model(MODEL)
    s3 = cluster.s3
    made = load_fixture(
        fixture,
        NAMESPACE=namespace,
        BUCKET=bucket.name,
        ENDPOINT=s3.endpoint,
        ACCESS_KEY=s3.access_key,
        SECRET_KEY=s3.secret_key,
    )
    for obj in made:
        if obj["kind"] == "Dataset":
            obj["spec"]["tolerations"] = [ENGINE]
        if obj["kind"] == "AlluxioRuntime":
            obj["spec"]["tieredstore"]["levels"][0]["quota"] = "3Gi"
        if load or obj["kind"] != "DataLoad":
            cluster.api.create(obj)


def loaded(cluster: Any, namespace: str) -> bool:
    load = cluster.api.get(FLUID, "DataLoad", f"{NAME}-loader", namespace)
    return bool((load.get("status") or {}).get("phase") == "Complete")


def objects(cluster: Any, namespace: str) -> dict[str, Any]:
    """What was made by hand, by kind, without what changes by itself."""
    found = {}
    for kind, name in (
        ("Dataset", NAME), ("AlluxioRuntime", NAME), ("DataLoad", f"{NAME}-loader"),
    ):  # fmt: skip
        obj = copy.deepcopy(cluster.api.get(FLUID, kind, name, namespace))
        obj.pop("status", None)
        for field in ("resourceVersion", "managedFields"):
            obj["metadata"].pop(field, None)
        found[kind] = obj
    return found


def pod_uids(cluster: Any, namespace: str) -> set[str]:
    return {pod["metadata"]["uid"] for pod in cluster.api.list("v1", "Pod", namespace)}


def reader(namespace: str) -> dict[str, Any]:
    mount = {"name": "model", "mountPath": "/model"}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "reader", "namespace": namespace},
        "spec": {
            "containers": [{"name": "main", "image": "busybox", "volumeMounts": [mount]}],
            "volumes": [{"name": "model", "persistentVolumeClaim": {"claimName": NAME}}],
            "tolerations": [ENGINE],
        },
    }


def test_a_cache_made_by_hand_is_adopted_proven_and_given_back_exactly(
    cluster: Any, namespace: str, bucket: Any, plugin: Plugin
) -> None:
    make_by_hand(cluster, namespace, bucket)
    until("the load", lambda: loaded(cluster, namespace))
    cluster.api.apply(reader(namespace))
    until(
        "the reader",
        lambda: cluster.api.get("v1", "Pod", "reader", namespace)["status"]["phase"] == "Running",
    )
    before, pods = objects(cluster, namespace), pod_uids(cluster, namespace)

    dry = plugin("cache", NAME, "--adopt", "--dry-run=server").ok()
    assert "keys " in dry.out and "plain text in the Dataset" in dry.out
    assert max(map(len, dry.out.splitlines()[:-1])) <= 80
    assert objects(cluster, namespace) == before, "a dry run writes nothing"

    done = plugin("cache", bucket.uri(MODEL), "--adopt", "-o", "json", timeout=120).ok()
    report = json.loads(done.out)
    assert (report["proof"]["complete"], report["proof"]["by"]) == (True, "file")
    assert report["proof"]["files"] == 8
    assert cluster.s3.secret_key not in done.out + done.err + dry.out + dry.err

    after = objects(cluster, namespace)
    for kind, obj in after.items():
        assert obj.get("spec") == before[kind].get("spec"), kind
        assert obj["metadata"]["generation"] == before[kind]["metadata"]["generation"], kind
        assert obj["metadata"]["labels"]["fluidmodel.io/adopted"] == "true"
    assert pod_uids(cluster, namespace) == pods, "nothing restarts"
    for kind, name in (("Dataset", NAME), ("AlluxioRuntime", NAME)):
        managed = cluster.api.get(FLUID, kind, name, namespace)["metadata"]["managedFields"]
        (ours,) = [each for each in managed if each["manager"] == "kubectl-fluidmodel"]
        assert list(ours["fieldsV1"]) == ["f:metadata"]

    again = plugin("cache", NAME, "--adopt", timeout=120).ok()
    assert "every byte proven" in again.out
    assert again.err.count(" unchanged") == 3
    assert objects(cluster, namespace) == after

    assert "made by hand and adopted" in plugin("inspect", NAME).ok().out
    refused = plugin("cache", bucket.uri(MODEL), "--name", NAME)
    assert "was made by hand and adopted" in error_line(refused)
    held = plugin("uncache", NAME)
    assert "pods read from cache" in error_line(held)
    assert "to keep these, and only take the adoption back" in held.err

    plugin("uncache", NAME, "--release").ok()
    assert objects(cluster, namespace) == before, "not a label is left"
    second = plugin("cache", bucket.uri(MODEL), "--dry-run=server").ok()
    assert f"Dataset {NAME} was made by hand and reads {bucket.uri(MODEL)}, too" in second.err
    assert pod_uids(cluster, namespace) == pods


def test_the_graph_of_the_write_up_is_not_restarted(
    cluster: Any, namespace: str, bucket: Any, plugin: Plugin
) -> None:
    """Its cache is adopted, and each verb takes the graph for what it is: pinned."""
    make_by_hand(cluster, namespace, bucket)
    until("the load", lambda: loaded(cluster, namespace))
    (graph,) = load_fixture("graph", NAMESPACE=namespace)
    for component in graph["spec"]["components"]:
        component["podTemplate"]["spec"]["tolerations"] = [ENGINE]
    with Operator(cluster.api):
        cluster.api.create(graph)
        workers = {pod["metadata"]["uid"] for pod in running(cluster, namespace, SERVING, 2)}
        before = stored_graph(cluster, namespace)

        plugin("cache", NAME, "--adopt", timeout=120).ok()
        assert "unchanged (pinned already, by hand: " in plugin("pin", NAME, SERVING).ok().out
        plugin("pin", NAME, SERVING, "--adopt", "--wait", "--timeout", "60s").ok()
        again = plugin("pin", NAME, SERVING).ok()
        assert f"unchanged (already pinned to {NAME})" in again.out
        found = json.loads(plugin("doctor", NAME, "-o", "json").out)
        problems = {each["code"] for each in found["problems"] if each["code"].startswith("FM7")}
        assert problems <= {"FM745"}, "only the Hub, which nothing in the graph turns off"

        after = stored_graph(cluster, namespace)
        assert after["spec"] == before["spec"]
        assert after["metadata"]["generation"] == before["metadata"]["generation"]
        assert {pod["metadata"]["uid"] for pod in pods(cluster, namespace, SERVING)} == workers


def stored_graph(cluster: Any, namespace: str) -> dict[str, Any]:
    return dict(cluster.api.get(GRAPHS, "DynamoGraphDeployment", SERVING, namespace))


def test_what_it_lacks_is_loaded_only_where_that_is_asked_for(
    cluster: Any, namespace: str, bucket: Any, plugin: Plugin
) -> None:
    """Also: its files lie below the mount's name, on two workers."""
    make_by_hand(cluster, namespace, bucket, "small")
    lacking = plugin("cache", "short", "--adopt", timeout=120)
    assert lacking.code == 1
    error = error_line(lacking)
    assert "is adopted, but incomplete: short/config.json: 0% cached" in error
    assert error.endswith(f"try: kubectl fluidmodel cache short --adopt --load -n {namespace}")
    assert cluster.api.find(FLUID, "DataLoad", "short", namespace) is None
    done = plugin("cache", "short", "--adopt", "--load", timeout=180).ok()
    assert "8 files, 3.0 MiB, every byte proven" in done.out
    gone = plugin("uncache", "short", timeout=120).ok()
    assert "warning: made by hand and adopted, and removed with the rest" in gone.err
    for kind in ("Dataset", "AlluxioRuntime", "DataLoad"):
        assert cluster.api.find(FLUID, kind, "short", namespace) is None


def test_ctrl_c_changes_nothing_and_the_same_command_resumes(
    cluster: Any, namespace: str, bucket: Any, plugin: Plugin
) -> None:
    """Interrupted while the master is asked what it holds."""
    make_by_hand(cluster, namespace, bucket)
    until("the load", lambda: loaded(cluster, namespace))
    cluster.alluxio(namespace, NAME).set_knobs(delay={"fs ls": 30})
    running = plugin.popen("cache", NAME, "--adopt")
    until("the labels", lambda: "fluidmodel.io/adopted" in labels_of(cluster, namespace))
    time.sleep(1)
    running.send_signal(signal.SIGINT)
    _, stderr = running.communicate(timeout=60)
    assert running.returncode == 130
    assert stderr.strip().splitlines()[-1].startswith("error: interrupted")
    assert "Traceback" not in stderr
    cluster.alluxio(namespace, NAME).set_knobs(delay=None)
    done = plugin("cache", NAME, "--adopt", timeout=120).ok()
    assert "every byte proven" in done.out


def labels_of(cluster: Any, namespace: str) -> dict[str, str]:
    dataset = cluster.api.get(FLUID, "Dataset", NAME, namespace)
    return dict(dataset["metadata"].get("labels") or {})


def test_the_role_of_adoption_is_exactly_enough(
    cluster: Any, namespace: str, bucket: Any, plugin: Plugin
) -> None:
    make_by_hand(cluster, namespace, bucket)
    until("the load", lambda: loaded(cluster, namespace))
    enough = {"KUBECONFIG": str(bind(cluster, namespace, f"ad-{namespace}", "cache-adopt"))}
    done = plugin("cache", NAME, "--adopt", env=enough, timeout=120).ok()
    assert "complete by Fluid's totals" in done.out, "it may not exec"
    (role,) = roles("cache-adopt")
    user = f"ad-less-{namespace}"
    grant(cluster, namespace, user, without(role, "datasets", "patch"))
    less = str(cluster.user_kubeconfig(user, rules=[], namespace=namespace))
    refused = plugin("cache", NAME, "--adopt", env={"KUBECONFIG": less})
    missing = f"missing permission to patch datasets.data.fluid.io in namespace {namespace}"
    assert missing in error_line(refused)
    dry = plugin("cache", NAME, "--adopt", "--dry-run", env={"KUBECONFIG": less})
    assert dry.code == 0, "to look takes no right to write"
