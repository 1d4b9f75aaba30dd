"""`cache` while things break around it: it says what is wrong, and goes on when it is mended."""

from __future__ import annotations

import http.server
import json
import threading
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests import weights
from tests.cluster.objects import until
from tests.cluster.plugin import Plugin, error_line
from tests.cluster.s3 import secret

pytestmark = pytest.mark.cluster

FLUID = "data.fluid.io/v1alpha1"


def test_a_setup_error_is_shown_during_the_wait(
    cluster: Any, namespace: str, bucket: Any, plugin: Plugin
) -> None:
    """A foreign StatefulSet has the master's name, so that Fluid's helm release fails."""
    bucket.put_model("demo")
    labels = {"app": "foreign"}
    cluster.api.apply(
        {
            "apiVersion": "apps/v1",
            "kind": "StatefulSet",
            "metadata": {"name": "demo-master", "namespace": namespace},
            "spec": {
                "replicas": 0,
                "selector": {"matchLabels": labels},
                "serviceName": "demo-master",
                "template": {
                    "metadata": {"labels": labels},
                    "spec": {"containers": [{"name": "main", "image": "busybox"}]},
                },
            },
        }
    )
    done = plugin("cache", bucket.uri("demo"), "--timeout", "25s")
    assert done.code == 124, done.err
    assert "problem: " in done.err
    assert "Fluid: " in done.err or "ErrorProcessRuntime" in done.err
    assert "still waiting for" in error_line(done)


def test_a_failed_load_is_an_error_with_fluids_message(
    cluster: Any, namespace: str, bucket: Any, plugin: Plugin
) -> None:
    bucket.put_model("demo")
    cluster.alluxio(namespace, "demo").set_knobs(
        fail={"fs setReplication": {"times": 99, "message": "java.lang.OutOfMemoryError: heap"}}
    )
    done = plugin("cache", bucket.uri("demo"), timeout=280)
    assert done.code == 1, done.err
    assert "DataLoad demo failed" in error_line(done)
    assert "kubectl logs" in error_line(done)


def test_reads_that_the_policy_denies_leave_it_incomplete(
    cluster: Any, namespace: str, bucket: Any, plugin: Plugin
) -> None:
    """Listing is allowed and reading is not: the load is Complete and nothing is cached."""
    bucket.put_model("demo")
    key, secret = f"list{namespace[2:8]}", "secretsecretsecret"
    bucket.user(key, secret, actions=["s3:ListBucket"])
    keys: dict[str, str | None] = {"AWS_ACCESS_KEY_ID": key, "AWS_SECRET_ACCESS_KEY": secret}
    done = plugin("cache", bucket.uri("demo"), env=keys, timeout=240)
    assert done.code == 1, done.err
    assert "is incomplete after 3 loads" in error_line(done)
    assert secret not in done.err and key not in done.err


def test_keys_under_the_usual_names_never_reach_the_workers(
    cluster: Any, namespace: str, bucket: Any, plugin: Plugin
) -> None:
    """Why our encryptOptions have the root mount's prefix: docs/why-these-settings.md, 2."""
    bucket.put_model("demo")
    printed = plugin("cache", bucket.uri("demo"), "--quota", "4Gi", "--dry-run", "-o", "yaml").ok()
    usual = printed.out.replace("alluxio.master.mount.table.root.option.aws.", "aws.")
    keys = {
        "AWS_ACCESS_KEY_ID": cluster.s3.access_key,
        "AWS_SECRET_ACCESS_KEY": cluster.s3.secret_key,
    }
    cluster.api.apply(secret(namespace, "demo-store", keys))
    cluster.kubectl("apply", "-n", namespace, "-f", "-", input=usual)
    until(
        "the load",
        lambda: (
            (
                (cluster.api.find(FLUID, "DataLoad", "demo", namespace) or {}).get("status") or {}
            ).get("phase")
            == "Complete"
        ),
        90,
    )
    listed = cluster.kubectl(
        "exec", "-n", namespace, "demo-master-0", "-c", "alluxio-master", "--",
        "alluxio", "fs", "ls", "-R", "/",
    ).stdout  # fmt: skip
    weights = [line for line in listed.splitlines() if ".safetensors" in line]
    assert weights and all(" 0% " in line for line in weights), listed


def test_a_cache_that_is_being_deleted_is_not_called_proven(
    cluster: Any, namespace: str, bucket: Any, plugin: Plugin
) -> None:
    """A pod holds it: it still says Bound, and goes with all its bytes when that ends."""
    bucket.put_model("demo")
    plugin("cache", bucket.uri("demo"), timeout=240).ok()
    mounts = [{"name": "model", "mountPath": "/model"}]
    cluster.api.create(
        {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": "reader", "namespace": namespace},
            "spec": {
                "terminationGracePeriodSeconds": 0,
                "tolerations": [{"operator": "Exists"}],
                "containers": [{"name": "main", "image": "engine", "volumeMounts": mounts}],
                "volumes": [{"name": "model", "persistentVolumeClaim": {"claimName": "demo"}}],
            },
        }
    )
    until(
        "the reader",
        lambda: cluster.api.get("v1", "Pod", "reader", namespace)["status"]["phase"] == "Running",
    )
    plugin("uncache", "demo", "--force", "--timeout", "5s")
    again = plugin("cache", bucket.uri("demo"), "--timeout", "30s")
    assert again.code == 1, again.err
    line = error_line(again)
    assert line.startswith("error: Dataset demo is being deleted: since "), line
    assert "held by pod reader" in line
    assert "proven" not in again.out + again.err
    cluster.api.delete("v1", "Pod", "reader", namespace)


def test_a_node_that_is_being_removed_is_named(
    cluster: Any, namespace: str, bucket: Any, plugin: Plugin
) -> None:
    bucket.put_model("demo")
    node = f"gone-{namespace[2:8]}"
    cluster.add_node(node, memory="1Ti")  # no GPUs, so that no other test's cache chooses it
    cluster.alluxio(namespace, "demo").set_knobs(load_bytes_per_second=50_000)
    running = plugin.popen("cache", bucket.uri("demo"), "--node", node)
    try:
        until(
            "the worker's node",
            lambda: (
                (cluster.api.find("v1", "Pod", "demo-worker-0", namespace) or {})
                .get("spec", {})
                .get("nodeName")
            ),
        )
    finally:
        cluster.remove_node(node)
    _, err = running.communicate(timeout=120)
    assert "Traceback" not in err
    assert running.returncode == 1, err
    assert f"problem: node {node} does not exist" in err, err
    assert err.strip().splitlines()[-1].startswith(f"error: node {node} does not exist")
    cluster.alluxio(namespace, "demo").set_knobs(load_bytes_per_second=None)
    done = plugin("cache", bucket.uri("demo"), "-o", "json", timeout=240)
    refused = plugin("cache", bucket.uri("demo"), "--node", node)
    assert refused.code == 2 and "does not exist" in error_line(refused)
    assert done.code == 0, done.err
    assert json.loads(done.out)["nodes"] != [node]


def test_two_models_share_a_node_whose_taints_are_tolerated(
    cluster: Any, namespace: str, bucket: Any, plugin: Plugin
) -> None:
    node = f"busy-{namespace[2:8]}"
    cluster.add_node(
        node,
        memory="1Ti",
        taints=[{"key": "team", "value": "llm", "effect": "NoSchedule"}],
    )
    try:
        for name in ("one", "two"):
            bucket.put_model(name)
            plugin("cache", bucket.uri(name), "--node", node, timeout=180).ok()
            pod = cluster.api.get("v1", "Pod", f"{name}-worker-0", namespace)
            assert pod["spec"]["nodeName"] == node
    finally:
        for name in ("one", "two"):
            plugin("uncache", name, timeout=120)
        cluster.remove_node(node)


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: Any) -> None:
        """Tests need no access log."""


@pytest.fixture
def web(tmp_path: Path) -> Iterator[tuple[str, Path]]:
    """A real web server that shows an index of a directory."""
    root = tmp_path / "web"
    root.mkdir()
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(root)))
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}", root
    server.shutdown()
    server.server_close()


def test_a_web_directory(
    cluster: Any, namespace: str, plugin: Plugin, web: tuple[str, Path]
) -> None:
    url, root = web
    (root / "tiny" / "sub").mkdir(parents=True)
    (root / "tiny" / "config.json").write_text("{}")
    (root / "tiny" / "model.safetensors").write_bytes(weights.safetensors_file(300_000))
    (root / "tiny" / "sub" / "notes.txt").write_text("hello")
    done = plugin("cache", f"{url}/tiny/", "-o", "json", timeout=180).ok()
    report = json.loads(done.out)
    assert report["files"] == 3 and report["bytes"] == 300_007
    assert report["proof"]["complete"] and report["proof"]["by"] == "file"


def test_rubbish_is_neither_loaded_nor_counted(
    cluster: Any, namespace: str, bucket: Any, plugin: Plugin
) -> None:
    sizes = bucket.put_model("demo", shards=2)
    bucket.put("demo/.cache/huggingface/download/x.metadata", b"x")
    bucket.put("demo/.cache/huggingface/download/y.incomplete", 3 << 20)
    done = plugin("cache", bucket.uri("demo"), "-o", "json", timeout=180).ok()
    report = json.loads(done.out)
    assert report["files"] == len(sizes) and report["bytes"] == sum(sizes.values())
    assert report["proof"]["complete"] and report["proof"]["by"] == "file"
    assert "2 files of 3.0 MiB are the Hub client's own" in done.err
    assert "neither loaded nor counted" in done.err
    listed = cluster.kubectl(
        "exec", "-n", namespace, "demo-master-0", "-c", "alluxio-master", "--",
        "alluxio", "fs", "ls", "-R", "/",
    ).stdout  # fmt: skip
    assert [
        line.split("%")[0].split()[-1] for line in listed.splitlines() if ".incomplete" in line
    ] == ["0"]
    again = plugin("cache", bucket.uri("demo"), timeout=180).ok()
    assert "already complete" in again.err
    seen = json.loads(plugin("inspect", "demo", "-o", "json").ok().out)
    assert seen["cached"]["percent"] == 100.0
    found = plugin("doctor", "demo", "-o", "json", timeout=180)
    codes = {each["code"] for each in json.loads(found.out)["problems"]}
    assert "FM542" in codes and not codes & {"FM605", "FM609", "FM614", "FM536"}


def test_a_directory_of_a_node(
    cluster: Any, namespace: str, plugin: Plugin, tmp_path: Path
) -> None:
    model = tmp_path / "weights" / "tiny"
    model.mkdir(parents=True)
    (model / "config.json").write_text("{}")
    (model / "model.safetensors").write_bytes(b"w" * 200_000)
    done = plugin(
        "cache", f"local://{model}", "--node", "gpu-0", "--quota", "3Gi", "-o", "json", timeout=180
    ).ok()
    report = json.loads(done.out)
    assert report["proof"]["complete"]
    assert report["proof"]["files"] == 2 and report["proof"]["bytes"] == 200_002


def test_an_endpoint_that_is_a_service_is_reached_through_a_port_forward(
    cluster: Any, namespace: str, bucket: Any, plugin: Plugin
) -> None:
    """As with the write-up's `http://minio:9000`, which means nothing on a laptop."""
    bucket.put_model("demo")
    endpoint = cluster.s3.expose(namespace, "minio")
    env: dict[str, str | None] = {"AWS_ENDPOINT_URL": None, "AWS_ENDPOINT_URL_S3": None}
    done = plugin(
        "cache", bucket.uri("demo"), "--endpoint", endpoint, "-o", "json", env=env, timeout=180
    ).ok()
    report = json.loads(done.out)
    assert report["bytes"] and report["proof"]["complete"]
    dataset = cluster.api.get(FLUID, "Dataset", "demo", namespace)
    options = dataset["spec"]["mounts"][0]["options"]
    assert options["alluxio.underfs.s3.endpoint"] == endpoint


def test_it_returns_soon_after_the_load_is_complete(
    cluster: Any, namespace: str, bucket: Any, plugin: Plugin
) -> None:
    """Woken by a watch: the bound is generous, a poll of several seconds would still break it."""
    bucket.put_model("demo")
    running = plugin.popen("cache", bucket.uri("demo"))
    until(
        "the load",
        lambda: (
            (
                (cluster.api.find(FLUID, "DataLoad", "demo", namespace) or {}).get("status") or {}
            ).get("phase")
            == "Complete"
        ),
        90,
    )
    seen = time.monotonic()
    _, err = running.communicate(timeout=60)
    assert running.returncode == 0, err
    assert time.monotonic() - seen < 5.0
