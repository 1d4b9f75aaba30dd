"""Fluid's controllers with the Alluxio stand-in behind them, from Dataset to loaded cache."""

from __future__ import annotations

import http.server
import threading
from functools import partial
from pathlib import Path

import pytest

from tests.cluster.bucket import MIB, Bucket
from tests.cluster.cluster import Cluster
from tests.cluster.objects import (
    FLUID,
    bound,
    cached,
    dataload,
    dataset,
    loaded,
    runtime,
    s3_model,
    status,
    until,
)
from tests.cluster.s3 import secret

pytestmark = pytest.mark.cluster


def test_from_dataset_to_loaded_cache(cluster: Cluster, namespace: str, bucket: Bucket) -> None:
    sizes = bucket.put_model("m")
    s3_model(cluster, namespace, "demo", bucket)
    assert bound(cluster, namespace, "demo")["fileNum"] == str(len(sizes))
    claim = until(
        "the PVC", lambda: cluster.api.find("v1", "PersistentVolumeClaim", "demo", namespace)
    )
    assert claim and claim["spec"]["storageClassName"] == "fluid"
    cluster.api.apply(dataload(namespace, "demo"))
    assert loaded(cluster, namespace, "demo-load") == "Complete"
    assert cached(cluster, namespace, "demo") == sum(sizes.values())
    until(
        "100.0%",
        lambda: (
            (status(cluster, "Dataset", namespace, "demo").get("cacheStates") or {}).get(
                "cachedPercentage"
            )
            == "100.0%"
        ),
    )
    listed = cluster.kubectl(
        "exec",
        "-n",
        namespace,
        "demo-master-0",
        "-c",
        "alluxio-master",
        "--",
        "alluxio",
        "fs",
        "ls",
        "-R",
        "/",
    ).stdout
    rows = [line.split() for line in listed.splitlines()]
    assert {row[-1].lstrip("/"): int(row[0]) for row in rows} == sizes
    assert {row[-2] for row in rows} == {"100%"}
    labelled = until(
        "node labels",
        lambda: [
            node["metadata"]["name"]
            for node in cluster.api.list("v1", "Node")
            if f"fluid.io/s-{namespace}-demo" in node["metadata"]["labels"]
        ],
    )
    assert len(labelled) == 1


def master_is_ready(cluster: Cluster, namespace: str) -> bool:
    pod = cluster.api.find("v1", "Pod", "demo-master-0", namespace) or {}
    conditions = (pod.get("status") or {}).get("conditions") or []
    return {"Ready", "True"} in [{each["type"], each["status"]} for each in conditions]


def test_a_master_with_wrong_credentials_starts_and_cannot_list(
    cluster: Cluster, namespace: str, bucket: Bucket
) -> None:
    bucket.put_model("m", files={"config.json": 100})
    s3_model(cluster, namespace, "demo", bucket, secret_key="wrong")
    where = ("-n", namespace, "demo-master-0", "-c", "alluxio-master")
    until("the master to be ready", lambda: master_is_ready(cluster, namespace))
    log = cluster.kubectl("logs", *where).stdout
    assert "AlluxioS3Exception: SignatureDoesNotMatch:" in log
    assert cluster.s3.secret_key not in log
    asked = cluster.kubectl("exec", *where, "--", "alluxio", "fs", "ls", "/", check=False)
    assert asked.returncode != 0  # kwok's exec does not tell 255
    assert asked.stdout.startswith("SignatureDoesNotMatch:")
    keys = {"aws.accessKeyId": cluster.s3.access_key, "aws.secretKey": cluster.s3.secret_key}
    cluster.api.apply(secret(namespace, "demo-s3", keys))
    # Keys are read when a master starts.
    cluster.api.delete("v1", "Pod", "demo-master-0", namespace)
    bound(cluster, namespace, "demo")


def test_a_fault_can_keep_a_master_with_wrong_credentials_from_starting(
    cluster: Cluster, namespace: str, bucket: Bucket
) -> None:
    bucket.put_model("m", files={"config.json": 100})
    cluster.alluxio(namespace, "demo").set_knobs(check_root=True)
    s3_model(cluster, namespace, "demo", bucket, secret_key="wrong")

    def restarts() -> bool:
        pod = cluster.api.find("v1", "Pod", "demo-master-0", namespace) or {}
        statuses = (pod.get("status") or {}).get("containerStatuses") or []
        master = [each for each in statuses if each["name"] == "alluxio-master"]
        return bool(master) and not master[0]["ready"] and master[0]["restartCount"] >= 1

    until("restarts", restarts)
    events = cluster.kubectl("events", "-n", namespace, "--for=pod/demo-master-0").stdout
    assert "Startup probe failed" in events
    keys = {"aws.accessKeyId": cluster.s3.access_key, "aws.secretKey": cluster.s3.secret_key}
    cluster.api.apply(secret(namespace, "demo-s3", keys))
    bound(cluster, namespace, "demo")


def test_missing_bucket_and_dead_endpoint(cluster: Cluster, namespace: str, bucket: Bucket) -> None:
    s3_model(cluster, namespace, "gone", bucket)
    spec = cluster.api.get(FLUID, "Dataset", "gone", namespace)["spec"]
    for name, mount, endpoint, words in (
        ("nobucket", "s3://no-such-bucket-here/m/", cluster.s3.endpoint, "NoSuchBucket"),
        ("dead", f"s3://{bucket.name}/m/", "http://127.0.0.1:9", "Connection refused"),
    ):
        options = {**spec["mounts"][0]["options"], "alluxio.underfs.s3.endpoint": endpoint}
        cluster.api.apply(dataset(namespace, name, mount, options, "gone-s3"))
        cluster.api.apply(runtime(namespace, name))
        pod = f"{name}-master-0"
        until(
            words,
            lambda pod=pod, words=words: (
                words
                in cluster.kubectl(  # type: ignore[misc]
                    "logs", "-n", namespace, pod, "-c", "alluxio-master", check=False
                ).stdout
            ),
        )


def test_a_load_that_skips_a_file_still_completes(
    cluster: Cluster, namespace: str, bucket: Bucket
) -> None:
    sizes = bucket.put_model("m")
    cluster.alluxio(namespace, "demo").set_knobs(skip_files={"*00002-of-*": 1})
    s3_model(cluster, namespace, "demo", bucket)
    bound(cluster, namespace, "demo")
    cluster.api.apply(dataload(namespace, "demo"))
    assert loaded(cluster, namespace, "demo-load") == "Complete"
    assert cached(cluster, namespace, "demo") == sum(sizes.values()) - MIB
    cluster.api.apply(dataload(namespace, "demo", "again"))
    assert loaded(cluster, namespace, "again") == "Complete"
    assert cached(cluster, namespace, "demo") == sum(sizes.values())


def test_the_quota_is_the_end_and_a_lost_worker_loses_its_blocks(
    cluster: Cluster, namespace: str, bucket: Bucket
) -> None:
    bucket.put_model("m", shards=3, shard_size=10 * MIB)
    s3_model(cluster, namespace, "demo", bucket, quota="25Mi")
    bound(cluster, namespace, "demo")
    cluster.api.apply(dataload(namespace, "demo"))
    assert loaded(cluster, namespace, "demo-load") == "Complete"
    assert cached(cluster, namespace, "demo") == 25 * MIB
    cluster.api.delete("v1", "Pod", "demo-worker-0", namespace)
    until("the loss", lambda: cached(cluster, namespace, "demo") == 0)


def test_a_load_can_be_watched(cluster: Cluster, namespace: str, bucket: Bucket) -> None:
    bucket.put_model("m", files={"w.safetensors": 300 * MIB}, sparse=True)
    cluster.alluxio(namespace, "demo").set_knobs(load_bytes_per_second=100 * MIB)
    s3_model(cluster, namespace, "demo", bucket)
    bound(cluster, namespace, "demo")
    cluster.api.apply(dataload(namespace, "demo"))
    until("some", lambda: 0 < cached(cluster, namespace, "demo") < 300 * MIB)
    assert loaded(cluster, namespace, "demo-load") == "Complete"
    assert cached(cluster, namespace, "demo") == 300 * MIB


def test_a_web_directory(cluster: Cluster, namespace: str, tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "config.json").write_bytes(b"{}")
    (tmp_path / "sub" / "w.bin").write_bytes(b"x" * 5000)
    handler = partial(http.server.SimpleHTTPRequestHandler, directory=str(tmp_path))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        mount = f"http://127.0.0.1:{server.server_port}/"
        cluster.api.apply(dataset(namespace, "web", mount))
        cluster.api.apply(runtime(namespace, "web"))
        assert bound(cluster, namespace, "web")["ufsTotal"] == "4.88KiB"
        cluster.api.apply(dataload(namespace, "web"))
        assert loaded(cluster, namespace, "web-load") == "Complete"
        server.shutdown()
    assert cached(cluster, namespace, "web") == 5002


def test_a_local_directory(cluster: Cluster, namespace: str, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_bytes(b"{}")
    (tmp_path / "w.bin").write_bytes(b"x" * 5000)
    cluster.api.apply(dataset(namespace, "local", f"local://{tmp_path}"))
    cluster.api.apply(runtime(namespace, "local"))
    bound(cluster, namespace, "local")
    cluster.api.apply(dataload(namespace, "local"))
    assert loaded(cluster, namespace, "local-load") == "Complete"
    assert cached(cluster, namespace, "local") == 5002
