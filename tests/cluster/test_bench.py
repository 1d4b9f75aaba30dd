"""`bench` against a real API server; its pod runs for real and reads a directory as the claim."""

from __future__ import annotations

import json
import signal
import sys
from pathlib import Path
from typing import Any

import pytest

from kubectl_fluidmodel.inventory.read_rates import read_rates
from tests import weights
from tests.cluster.image import STAGE
from tests.cluster.objects import until
from tests.cluster.plugin import Plugin, error_line
from tests.cluster.test_cache_rbac import bind

pytestmark = pytest.mark.cluster

SHARD = 8 << 20


@pytest.fixture
def cached(cluster: Any, namespace: str, plugin: Plugin, bucket: Any) -> str:
    """A cache `demo`, whose claim a pod sees as a directory with the same model."""
    cluster.image(STAGE, path=[str(Path(sys.executable).parent)])
    bucket.put_model("demo", shards=2, shard_size=SHARD)
    plugin("cache", bucket.uri("demo"), "--name", "demo", timeout=180).ok()
    claim = cluster.state / "pvc" / namespace / "demo"
    claim.mkdir(parents=True, exist_ok=True)
    for number in (1, 2):
        name = f"model-{number:05d}-of-00002.safetensors"
        (claim / name).write_bytes(weights.random_safetensors(SHARD))
    return "demo"


def bench_jobs(cluster: Any, namespace: str) -> list[str]:
    jobs = cluster.api.list("batch/v1", "Job", namespace)
    return [each["metadata"]["name"] for each in jobs if "-bench-" in each["metadata"]["name"]]


def test_it_measures_every_way_of_reading_and_leaves_only_the_result(
    cluster: Any, namespace: str, plugin: Plugin, cached: str
) -> None:
    done = plugin(
        "bench", cached, "--image", STAGE, "--full", "--off-node", "-o", "json", timeout=180
    ).ok()
    document = json.loads(done.out)
    here, there = document["nodes"]
    assert not here["skipped"] and not there["skipped"]
    assert document["modelBytes"] == 2 * SHARD
    assert {read["source"] for read in here["reads"]} == {"mount", "page-cache", "store"}
    assert all(read["bytes"] == 2 * SHARD for read in here["reads"])
    assert there["holdsCache"] is False and there["name"] != here["name"]
    assert "so reading there is slow" in done.err
    dataset = cluster.api.get("data.fluid.io/v1alpha1", "Dataset", cached, namespace)
    kept = read_rates(dataset)
    assert kept is not None and kept.node == here["name"] and kept.store and kept.off_node
    assert bench_jobs(cluster, namespace) == []


def test_an_interruption_leaves_no_job(
    cluster: Any, namespace: str, plugin: Plugin, cached: str
) -> None:
    running = plugin.popen("bench", cached, "--image", STAGE, "--full")
    until("its Job", lambda: bench_jobs(cluster, namespace))
    running.send_signal(signal.SIGINT)
    _, err = running.communicate(timeout=60)
    assert running.returncode == 130, err
    until("the Job's removal", lambda: not bench_jobs(cluster, namespace))


def test_an_empty_claim_fails_with_the_pods_message(
    cluster: Any, namespace: str, plugin: Plugin, cached: str
) -> None:
    for path in (cluster.state / "pvc" / namespace / cached).iterdir():
        path.unlink()
    refused = plugin("bench", cached, "--image", STAGE)
    assert refused.code == 1
    assert "the claim is empty" in error_line(refused)
    assert bench_jobs(cluster, namespace) == []


def test_a_node_without_room_fails_with_what_the_scheduler_said(
    cluster: Any, namespace: str, plugin: Plugin, cached: str
) -> None:
    labels = f"release={cached},role=alluxio-worker"
    [worker] = cluster.api.list("v1", "Pod", namespace, labelSelector=labels)
    node = worker["spec"]["nodeName"]
    room = cluster.api.get("v1", "Node", node)["status"]["allocatable"]["cpu"]
    container = {"name": "x", "image": "x", "resources": {"requests": {"cpu": room}}}
    meta = {"name": "fills-the-node", "namespace": namespace}
    # Put there past the scheduler, which counts it all the same.
    spec = {"nodeName": node, "containers": [container]}
    cluster.api.create({"apiVersion": "v1", "kind": "Pod", "metadata": meta, "spec": spec})
    refused = plugin("bench", cached, "--image", STAGE, "--node", node, "--timeout", "30s")
    assert refused.code == 1
    assert "does not start" in error_line(refused) and "Insufficient cpu" in error_line(refused)
    assert bench_jobs(cluster, namespace) == []


def test_a_dry_run_prints_the_job_and_creates_none(
    cluster: Any, namespace: str, plugin: Plugin, cached: str
) -> None:
    for mode in ("client", "server"):
        shown = plugin("bench", cached, "--image", "img:1", f"--dry-run={mode}", "-o", "json").ok()
        (job,) = json.loads(shown.out)["items"]
        assert job["kind"] == "Job"
    assert bench_jobs(cluster, namespace) == []


def test_the_role_of_the_docs_is_enough_and_each_lack_is_named(
    cluster: Any, namespace: str, plugin: Plugin, cached: str
) -> None:
    user = f"bench-{namespace}"
    least = bind(cluster, namespace, user, "inspect", "bench")
    done = plugin("bench", cached, "--image", STAGE, env={"KUBECONFIG": str(least)}).ok()
    assert "is not kept" not in done.err
    looker = bind(cluster, namespace, f"looks-{namespace}", "inspect")
    refused = plugin("bench", cached, "--image", STAGE, env={"KUBECONFIG": str(looker)})
    assert refused.code == 1
    line = error_line(refused)
    assert "create jobs.batch" in line and "delete jobs.batch" in line and "get pods/log" in line
    assert bench_jobs(cluster, namespace) == []


def test_a_cache_that_does_not_exist_is_one_line(plugin: Plugin) -> None:
    refused = plugin("bench", "nope", "--image", "img:1")
    assert refused.code == 1
    assert "there is no cache nope" in error_line(refused)
