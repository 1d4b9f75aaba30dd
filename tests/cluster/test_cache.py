"""`cache` and `uncache` from end to end: real API server, Fluid's controllers, real S3."""

from __future__ import annotations

import json
import signal
import time
from typing import Any

import pytest

from kubectl_fluidmodel.fluid.names import READ_RATES_ANNOTATION
from kubectl_fluidmodel.inventory.read_rates import ReadRates
from tests.cluster.plugin import Plugin

pytestmark = pytest.mark.cluster

DATASETS = "data.fluid.io/v1alpha1"


def cache(plugin: Plugin, bucket: Any, *args: str, prefix: str = "demo", **settings: Any) -> Any:
    """Run `cache` on a prefix of the test's bucket with the S3 server's own credentials."""
    return plugin("cache", bucket.uri(prefix), *args, **settings)


def test_a_bucket_becomes_a_proven_cache(
    cluster: Any, namespace: str, bucket: Any, plugin: Plugin
) -> None:
    files = bucket.put_model("demo")
    done = cache(plugin, bucket, "-o", "json", timeout=180)
    assert done.code == 0, done.err
    report = json.loads(done.out)
    assert report["proof"] == {
        "complete": True,
        "by": "file",
        "bytes": sum(files.values()),
        "cachedBytes": sum(files.values()),
        "files": len(files),
        "read": None,
    }
    dataset = cluster.api.get(DATASETS, "Dataset", "demo", namespace)
    assert dataset["status"]["phase"] == "Bound"
    claim = cluster.api.get("v1", "PersistentVolumeClaim", "demo", namespace)
    assert claim["status"]["phase"] == "Bound"
    load = cluster.api.get(DATASETS, "DataLoad", "demo", namespace)
    assert load["status"]["phase"] == "Complete"
    worker = cluster.api.get("v1", "Pod", "demo-worker-0", namespace)
    assert worker["spec"]["nodeName"] == report["nodes"][0]
    shown = json.dumps([dataset, claim, load]) + done.out + done.err
    assert cluster.s3.secret_key not in shown
    assert cluster.s3.access_key not in shown

    again = cache(plugin, bucket, timeout=60)
    assert again.code == 0, again.err
    assert "already complete" in again.err
    assert "every byte proven" in again.out
    assert "dataset.data.fluid.io/demo unchanged" in again.err
    assert "alluxioruntime.data.fluid.io/demo unchanged" in again.err

    gone = plugin("uncache", "demo", timeout=120)
    assert gone.code == 0, gone.err
    for api, kind, name in (
        (DATASETS, "Dataset", "demo"),
        (DATASETS, "AlluxioRuntime", "demo"),
        (DATASETS, "DataLoad", "demo"),
        ("v1", "Secret", "demo-store"),
    ):
        assert cluster.api.find(api, kind, name, namespace) is None
    assert plugin("uncache", "demo").code == 1


def test_files_that_a_load_skipped_are_loaded_again(
    cluster: Any, namespace: str, bucket: Any, plugin: Plugin
) -> None:
    bucket.put_model("demo")
    cluster.alluxio(namespace, "demo").set_knobs(skip_files={"*-00002-*": 1})
    done = cache(plugin, bucket, timeout=240)
    assert done.code == 0, done.err
    assert "DataLoad is Complete, but 1 file is not" in done.err
    assert "every byte proven" in done.out


def test_a_cache_that_stays_incomplete_fails_with_the_files(
    cluster: Any, namespace: str, bucket: Any, plugin: Plugin
) -> None:
    bucket.put_model("demo")
    cluster.alluxio(namespace, "demo").set_knobs(skip_files={"*-00002-*": 99})
    done = cache(plugin, bucket, timeout=300)
    assert done.code == 1
    error = done.err.strip().splitlines()[-1]
    assert error.startswith("error: cache demo is incomplete after 3 loads: model-00002-of-")
    assert "0% cached" in error


def test_two_nodes_each_cache_the_complete_model(
    cluster: Any, namespace: str, bucket: Any, plugin: Plugin
) -> None:
    bucket.put_model("demo")
    done = cache(plugin, bucket, "--replicas", "2", "-o", "json", timeout=240)
    assert done.code == 0, done.err
    report = json.loads(done.out)
    assert len(report["nodes"]) == 2
    pods = [
        cluster.api.get("v1", "Pod", f"demo-worker-{index}", namespace)["spec"]["nodeName"]
        for index in (0, 1)
    ]
    assert sorted(pods) == sorted(report["nodes"])


def worker_pods(cluster: Any, namespace: str) -> dict[str, tuple[str, str]]:
    """The UID and node of each worker."""
    return {
        pod["metadata"]["name"]: (pod["metadata"]["uid"], pod["spec"].get("nodeName", ""))
        for pod in cluster.api.list("v1", "Pod", namespace, labelSelector="role=alluxio-worker")
        if not pod["metadata"].get("deletionTimestamp")
    }


def test_copies_are_added_and_removed_while_it_runs(
    cluster: Any, namespace: str, bucket: Any, plugin: Plugin
) -> None:
    bucket.put_model("demo")
    cache(plugin, bucket, timeout=240).ok()
    first = worker_pods(cluster, namespace)
    dataset = cluster.api.get(DATASETS, "Dataset", "demo", namespace)["metadata"]["uid"]

    dry = cache(plugin, bucket, "--replicas", "2", "--dry-run=server").ok()
    assert "copies: 1 → 2; the running workers stay as they are" in dry.err
    assert worker_pods(cluster, namespace) == first
    more = cache(plugin, bucket, "--replicas", "2", "-o", "json", timeout=300).ok()
    report = json.loads(more.out)
    both = worker_pods(cluster, namespace)
    assert both["demo-worker-0"] == first["demo-worker-0"], "it was not restarted"
    assert sorted(report["nodes"]) == sorted(node for _, node in both.values())
    assert len(set(report["nodes"])) == 2 and report["proof"]["complete"]
    again = cache(plugin, bucket, timeout=120).ok()
    assert "already complete" in again.err and worker_pods(cluster, namespace) == both

    mount = {"name": "m", "mountPath": "/model"}
    volume = {"name": "m", "persistentVolumeClaim": {"claimName": "demo"}}
    reader = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "reader", "namespace": namespace},
        "spec": {
            "nodeName": both["demo-worker-1"][1],
            "containers": [{"name": "main", "image": "busybox", "volumeMounts": [mount]}],
            "volumes": [volume],
        },
    }
    cluster.api.apply(reader)
    held = cache(plugin, bucket, "--replicas", "1")
    assert held.code == 1
    assert f"pods read it there: reader on {both['demo-worker-1'][1]}" in held.err
    assert worker_pods(cluster, namespace) == both
    cluster.api.delete("v1", "Pod", "reader", namespace)
    fewer = cache(plugin, bucket, "--replicas", "1", "-o", "json", timeout=300).ok()
    assert json.loads(fewer.out)["nodes"] == [first["demo-worker-0"][1]]
    assert worker_pods(cluster, namespace) == first
    kept = cluster.api.get(DATASETS, "Dataset", "demo", namespace)
    assert kept["metadata"]["uid"] == dataset, "nothing was recreated"


def test_ctrl_c_leaves_it_running_and_a_second_run_resumes(
    cluster: Any, namespace: str, bucket: Any, plugin: Plugin
) -> None:
    bucket.put_model("demo")
    cluster.alluxio(namespace, "demo").set_knobs(load_bytes_per_second=100_000)
    running = plugin.popen("cache", bucket.uri("demo"))
    deadline = time.monotonic() + 90
    while cluster.api.find(DATASETS, "DataLoad", "demo", namespace) is None:
        assert time.monotonic() < deadline and running.poll() is None
        time.sleep(0.2)
    running.send_signal(signal.SIGINT)
    _, stderr = running.communicate(timeout=90)
    assert running.returncode == 130
    assert stderr.strip().splitlines()[-1].startswith("error: interrupted")
    assert "Traceback" not in stderr
    cluster.alluxio(namespace, "demo").set_knobs(load_bytes_per_second=None)
    done = cache(plugin, bucket, timeout=120)
    assert done.code == 0, done.err


def test_a_timeout_names_the_step_and_the_reason(
    cluster: Any, namespace: str, bucket: Any, plugin: Plugin
) -> None:
    """The endpoint refuses connections: the master starts all the same, and the load says why."""
    done = plugin(
        "cache", "s3://nowhere/demo", "--endpoint", "http://127.0.0.1:9", "--quota", "4Gi",
        "--timeout", "40s", timeout=90,
    )  # fmt: skip
    assert done.code == 124, done.err
    assert "note: the size of the source is unknown" in done.err
    error = done.err.strip().splitlines()[-1]
    assert "still waiting for load" in error
    assert "refuses connections" in error


def test_a_changed_quota_recreates_the_cache_unless_it_has_readers(
    cluster: Any, namespace: str, bucket: Any, plugin: Plugin
) -> None:
    bucket.put_model("demo")
    assert cache(plugin, bucket, timeout=180).code == 0
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "reader", "namespace": namespace},
        "spec": {
            "containers": [
                {
                    "name": "main",
                    "image": "busybox",
                    "volumeMounts": [{"name": "model", "mountPath": "/model"}],
                }
            ],
            "volumes": [{"name": "model", "persistentVolumeClaim": {"claimName": "demo"}}],
        },
    }
    cluster.api.apply(pod)
    refused = cache(plugin, bucket, "--quota", "5Gi")
    assert refused.code == 1
    assert "pods read from it: reader" in refused.err
    assert plugin("uncache", "demo").code == 1
    cluster.api.delete("v1", "Pod", "reader", namespace)
    deadline = time.monotonic() + 30
    while cluster.api.find("v1", "Pod", "reader", namespace) is not None:
        assert time.monotonic() < deadline
        time.sleep(0.2)
    done = cache(plugin, bucket, "--quota", "5Gi", timeout=300)
    assert done.code == 0, done.err
    assert "recreating it" in done.err
    runtime = cluster.api.get(DATASETS, "AlluxioRuntime", "demo", namespace)
    assert runtime["spec"]["tieredstore"]["levels"][0]["quota"] == "5Gi"


def test_high_concurrency_reaches_the_fuse_clients_and_stays(
    cluster: Any, namespace: str, bucket: Any, plugin: Plugin
) -> None:
    """Fluid's own chart renders the runtime."""
    bucket.put_model("demo")
    assert cache(plugin, bucket, timeout=180).code == 0
    dry = cache(plugin, bucket, "--high-concurrency", "--dry-run=server", timeout=60)
    assert dry.code == 0, dry.err
    assert "would be recreated: high concurrency: off → on" in dry.err
    done = cache(plugin, bucket, "--high-concurrency", timeout=300)
    assert done.code == 0, done.err
    assert "changes high concurrency: off → on" in done.err
    assert "no page cache" in done.err

    daemons = cluster.api.get("apps/v1", "DaemonSet", "demo-fuse", namespace)
    [client] = daemons["spec"]["template"]["spec"]["containers"]
    options = next(word for word in client["args"] if word.startswith("--fuse-opts="))
    assert "max_background=256,congestion_threshold=256" in options
    assert ",ro," in options and options.count("allow_other") == 1
    shared = cluster.api.get("v1", "ConfigMap", "demo-config", namespace)["data"]
    for word in (
        "-Dalluxio.fuse.jnifuse.enabled=false",
        "-Dalluxio.fuse.jnifuse.libfuse.version=2",
        "-Dalluxio.user.block.worker.client.pool.max=8192",
        "-Dalluxio.user.direct.memory.io.enabled=false",
        "-Dalluxio.worker.network.reader.buffer.size=64MB",
    ):
        assert word in json.dumps(shared), word
    assert "jnifuse.enabled=true" not in json.dumps(shared)

    again = cache(plugin, bucket, timeout=60)
    assert again.code == 0, again.err
    assert "alluxioruntime.data.fluid.io/demo unchanged" in again.err
    back = cache(plugin, bucket, "--no-high-concurrency", timeout=300)
    assert back.code == 0, back.err
    runtime = cluster.api.get(DATASETS, "AlluxioRuntime", "demo", namespace)
    assert "args" not in runtime["spec"]["fuse"]


def test_the_longest_name_that_is_taken_works(
    cluster: Any, namespace: str, bucket: Any, plugin: Plugin
) -> None:
    """Its Secret's name has to fit into that of a volume, which it would not with a suffix."""
    bucket.put_model("demo")
    name = "m" * 45
    plugin("cache", bucket.uri("demo"), "--name", name, timeout=180).ok()
    plugin("uncache", name, timeout=120).ok()
    secrets = cluster.api.list("v1", "Secret", namespace)
    assert [each["metadata"]["name"] for each in secrets] == []
    refused = plugin("cache", bucket.uri("demo"), "--s3-secret", "a.b")
    assert refused.code == 2 and "Fluid cannot mount the Secret a.b" in refused.err


def test_the_estimate_uses_what_was_measured_of_the_cache(
    cluster: Any, namespace: str, bucket: Any, plugin: Plugin
) -> None:
    bucket.put_model("demo")
    first = cache(plugin, bucket, "--dry-run=server").ok()
    assert "estimate: loading: 3.0 MiB from the store" in first.err
    assert "(500.0 MiB/s, assumed)" in first.err
    cache(plugin, bucket, timeout=180).ok()
    rates = ReadRates("2026-11-01T00:00:00Z", "gpu-0", mapped=2.0 * (1 << 30), store=1 << 30)
    notes = {"metadata": {"annotations": {READ_RATES_ANNOTATION: rates.to_annotation()}}}
    cluster.api.patch(DATASETS, "Dataset", "demo", notes, namespace)
    again = cache(plugin, bucket, "--dry-run=server", "--price-per-gib", "0.1").ok()
    assert "(1.0 GiB/s, measured by bench)" in " ".join(again.err.split())
    assert "estimate: price: 0.00 once" in again.err
    shown = plugin("inspect", "demo", "-o", "json", "--price-per-gib", "0.1").ok()
    estimate = json.loads(shown.out)["estimate"]
    assert estimate["startSeconds"]["cachedMeasuredBy"] == "bench"
    assert estimate["price"]["perGiB"] == 0.1
