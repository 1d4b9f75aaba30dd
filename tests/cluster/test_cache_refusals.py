"""What `cache` refuses before it writes anything, each with one line and its exit code."""

from __future__ import annotations

import shlex
from typing import Any

import pytest

from tests import weights
from tests.cluster.plugin import Plugin, error_line

pytestmark = pytest.mark.cluster

DATASETS = "data.fluid.io/v1alpha1"


def nothing_was_made(cluster: Any, namespace: str, name: str = "demo") -> bool:
    return all(
        cluster.api.find(api, kind, each, namespace) is None
        for api, kind, each in (
            (DATASETS, "Dataset", name),
            (DATASETS, "AlluxioRuntime", name),
            ("v1", "Secret", f"{name}-store"),
        )
    )


def test_an_empty_prefix_names_what_lies_nearby(
    cluster: Any, namespace: str, bucket: Any, plugin: Plugin
) -> None:
    bucket.put_model("org/llama")
    done = plugin("cache", bucket.uri("org/lama"), "--name", "demo")
    assert done.code == 1
    assert "is empty" in error_line(done) and "org/llama" in error_line(done)
    assert nothing_was_made(cluster, namespace)


def test_one_object_is_no_model(cluster: Any, namespace: str, bucket: Any, plugin: Plugin) -> None:
    bucket.put_model("demo")
    done = plugin("cache", bucket.uri("demo/config.json"))
    assert done.code == 1
    assert "it is one object, not a directory" in error_line(done)


def test_a_hub_cache_without_its_links(
    cluster: Any, namespace: str, bucket: Any, plugin: Plugin
) -> None:
    sha, top = "ab" * 20, "models--acme--tiny"
    for number, (key, content) in enumerate(weights.MODEL.items()):
        bucket.put(f"{top}/blobs/{number:040x}", content)
        bucket.put(f"{top}/snapshots/{sha}/{key}", b"")
    for prefix in (top, f"{top}/snapshots/{sha}", ""):
        done = plugin("cache", bucket.uri(prefix), "--name", "demo")
        assert done.code == 1
        assert "without its symbolic links" in error_line(done)
        assert f"cache acme/tiny@{sha} --to s3://{bucket.name} --name demo" in error_line(done)
    assert nothing_was_made(cluster, namespace)


def test_incomplete_weights_are_reported(
    cluster: Any, namespace: str, bucket: Any, plugin: Plugin
) -> None:
    bucket.put_model("demo")
    shard = "demo/model-00002-of-00003.safetensors"
    for content in (weights.safetensors_file(4096)[:3000], b"<html>Sign in</html>", b""):
        bucket.put(shard, content)
        done = plugin("cache", bucket.uri("demo"))
        assert done.code == 1
        assert "not a model that an engine can load" in error_line(done)
        assert "model-00002-of-00003.safetensors" in error_line(done)
    bucket.client.delete_object(Bucket=bucket.name, Key=shard)
    done = plugin("cache", bucket.uri("demo"))
    assert "is missing: model.safetensors.index.json names it" in error_line(done)
    assert nothing_was_made(cluster, namespace)


def test_a_missing_bucket(cluster: Any, namespace: str, bucket: Any, plugin: Plugin) -> None:
    done = plugin("cache", "s3://no-such-bucket-here/demo")
    assert done.code == 1
    assert "bucket 'no-such-bucket-here' does not exist" in error_line(done)
    assert nothing_was_made(cluster, namespace)


@pytest.mark.parametrize(
    ("env", "message"),
    [
        ({"AWS_ACCESS_KEY_ID": "nobody"}, "does not know this access key"),
        ({"AWS_SECRET_ACCESS_KEY": "wrong"}, "the secret key is wrong"),
    ],
)
def test_wrong_keys(
    cluster: Any, namespace: str, bucket: Any, plugin: Plugin, env: dict[str, str], message: str
) -> None:
    bucket.put_model("demo")
    done = plugin("cache", bucket.uri("demo"), env=env)
    assert done.code == 1
    assert message in error_line(done)
    assert "wrong" not in done.out and nothing_was_made(cluster, namespace)


def test_keys_without_rights(cluster: Any, namespace: str, bucket: Any, plugin: Plugin) -> None:
    bucket.put_model("demo")
    user = cluster.s3.create_user("stranger", "strangersecret", "user")
    done = plugin(
        "cache", bucket.uri("demo"),
        env={"AWS_ACCESS_KEY_ID": "stranger", "AWS_SECRET_ACCESS_KEY": "strangersecret"},
    )  # fmt: skip
    assert done.code == 1, user
    assert "access denied" in error_line(done) and "ListObjectsV2" in error_line(done)


def test_temporary_keys_are_refused(namespace: str, bucket: Any, plugin: Plugin) -> None:
    done = plugin(
        "cache", bucket.uri("demo"),
        env={"AWS_SESSION_TOKEN": "session"},
    )  # fmt: skip
    assert done.code == 1
    assert "temporary" in error_line(done)


def test_a_dead_endpoint(cluster: Any, namespace: str, plugin: Plugin) -> None:
    done = plugin("cache", "s3://models/demo", "--endpoint", "http://127.0.0.1:9")
    assert done.code == 3
    assert "does not respond" in error_line(done)
    assert nothing_was_made(cluster, namespace)


def test_an_api_server_that_is_away(bucket: Any, plugin: Plugin) -> None:
    done = plugin("cache", bucket.uri("demo"), "-s", "https://127.0.0.1:9")
    assert done.code == 3
    assert "no response from https://127.0.0.1:9" in error_line(done)


def test_a_missing_namespace(bucket: Any, plugin: Plugin) -> None:
    done = plugin("cache", bucket.uri("demo"), "-n", "no-such-namespace")
    assert done.code == 1
    assert "namespace no-such-namespace does not exist" in error_line(done)
    assert "kubectl create namespace no-such-namespace" in error_line(done)


@pytest.mark.parametrize("level", ["baseline", "restricted"])
def test_a_namespace_that_does_not_admit_fluids_pods(
    cluster: Any, namespace: str, bucket: Any, plugin: Plugin, level: str
) -> None:
    """As the StatefulSet controller would be told, when all was made already."""
    bucket.put_model("demo")
    cluster.kubectl("label", "namespace", namespace, f"pod-security.kubernetes.io/enforce={level}")
    done = plugin("cache", bucket.uri("demo"))
    assert done.code == 1
    assert f"'{level}'" in error_line(done) and nothing_was_made(cluster, namespace)
    words = shlex.split(error_line(done).rpartition("another namespace, or ")[2])
    cluster.kubectl(*words[1:])
    assert plugin("cache", bucket.uri("demo"), "--dry-run=server").code == 0


def test_a_quota_under_the_models_size(namespace: str, bucket: Any, plugin: Plugin) -> None:
    bucket.put_model("demo", {"model.safetensors": 3 << 30, "config.json": 10}, sparse=True)
    done = plugin("cache", bucket.uri("demo"), "--quota", "3Gi")
    assert done.code == 2
    assert "--quota 3Gi is too small" in error_line(done) and "try: --quota " in error_line(done)


def test_no_node_has_the_room(namespace: str, bucket: Any, plugin: Plugin) -> None:
    bucket.put_model("demo")
    done = plugin(
        "cache", bucket.uri("demo"),
        "--medium", "MEM", "--quota", "40Ti",
    )  # fmt: skip
    assert done.code == 1
    assert "no node fits the cache" in error_line(done) and "GiB short" in error_line(done)


def test_an_unknown_node(namespace: str, bucket: Any, plugin: Plugin) -> None:
    bucket.put_model("demo")
    done = plugin("cache", bucket.uri("demo"), "--node", "no-such-node")
    assert done.code == 2
    assert "node 'no-such-node' does not exist" in error_line(done)


def test_a_foreign_dataset_has_the_name(
    cluster: Any, namespace: str, bucket: Any, plugin: Plugin
) -> None:
    bucket.put_model("demo")
    cluster.api.apply(
        {
            "apiVersion": DATASETS,
            "kind": "Dataset",
            "metadata": {"name": "demo", "namespace": namespace},
            "spec": {"mounts": [{"mountPoint": "s3://others/model", "name": "demo"}]},
        }
    )
    done = plugin("cache", bucket.uri("demo"))
    assert done.code == 1
    assert "Dataset demo" in error_line(done) and "was not made by this plugin" in error_line(done)
    assert "--name demo-2" in error_line(done)


def test_the_name_caches_another_source(
    cluster: Any, namespace: str, bucket: Any, plugin: Plugin
) -> None:
    bucket.put_model("one")
    bucket.put_model("two")
    common = ("--name", "demo")
    assert plugin("cache", bucket.uri("one"), *common, "--no-wait").code == 0
    done = plugin("cache", bucket.uri("two"), *common)
    assert done.code == 1
    assert f"it caches {bucket.uri('one')}" in error_line(done)


def test_a_foreign_claim_and_volume_and_secret(
    cluster: Any, namespace: str, bucket: Any, plugin: Plugin
) -> None:
    bucket.put_model("demo")
    run = ("cache", bucket.uri("demo"))
    cluster.api.apply(
        {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {"name": "demo-store", "namespace": namespace},
        }
    )
    done = plugin(*run)
    assert done.code == 1 and "Secret demo-store was not made by this plugin" in error_line(done)
    cluster.api.apply(
        {
            "apiVersion": "v1",
            "kind": "PersistentVolumeClaim",
            "metadata": {"name": "demo", "namespace": namespace},
            "spec": {
                "accessModes": ["ReadWriteOnce"],
                "resources": {"requests": {"storage": "1Gi"}},
            },
        }
    )
    done = plugin(*run)
    assert done.code == 1 and "PersistentVolumeClaim demo exists" in error_line(done)


def test_a_volume_of_another_namespace_has_the_name(
    cluster: Any, namespace: str, bucket: Any, plugin: Plugin
) -> None:
    bucket.put_model("demo")
    volume = f"{namespace}-demo"
    cluster.api.apply(
        {
            "apiVersion": "v1",
            "kind": "PersistentVolume",
            "metadata": {"name": volume},
            "spec": {
                "capacity": {"storage": "1Gi"},
                "accessModes": ["ReadOnlyMany"],
                "hostPath": {"path": "/nowhere"},
                "claimRef": {"namespace": "elsewhere", "name": "demo"},
            },
        }
    )
    try:
        done = plugin("cache", bucket.uri("demo"))
    finally:
        cluster.api.delete("v1", "PersistentVolume", volume)
    assert done.code == 1
    assert f"PersistentVolume {volume} exists" in error_line(
        done
    ) and "elsewhere/demo" in error_line(done)


def test_an_admission_webhook_that_is_down(
    cluster: Any, namespace: str, bucket: Any, plugin: Plugin
) -> None:
    bucket.put_model("demo")
    name = f"down-{namespace}"
    cluster.api.apply(
        {
            "apiVersion": "admissionregistration.k8s.io/v1",
            "kind": "ValidatingWebhookConfiguration",
            "metadata": {"name": name},
            "webhooks": [
                {
                    "name": "check.models.example.com",
                    "clientConfig": {"url": "https://127.0.0.1:9/check"},
                    "rules": [
                        {
                            "apiGroups": ["data.fluid.io"],
                            "apiVersions": ["*"],
                            "resources": ["datasets"],
                            "operations": ["CREATE", "UPDATE"],
                        }
                    ],
                    "namespaceSelector": {
                        "matchLabels": {"kubernetes.io/metadata.name": namespace}
                    },
                    "failurePolicy": "Fail",
                    "sideEffects": "None",
                    "admissionReviewVersions": ["v1"],
                    "timeoutSeconds": 3,
                }
            ],
        }
    )
    try:
        done = plugin("cache", bucket.uri("demo"), timeout=120)
    finally:
        cluster.api.delete(
            "admissionregistration.k8s.io/v1", "ValidatingWebhookConfiguration", name
        )
    assert done.code == 1
    assert "check.models.example.com does not respond" in error_line(done)


@pytest.mark.parametrize(
    "args",
    [
        ("pvc://no-such-claim/dir", "--quota", "4Gi"),
        ("s3://models/demo", "--s3-secret", "no-such-secret"),
    ],
)
def test_what_it_refers_to_must_exist(
    namespace: str, plugin: Plugin, args: tuple[str, ...]
) -> None:
    done = plugin("cache", *args)
    assert done.code == 1
    assert "does not exist" in error_line(done)


@pytest.mark.parametrize(
    "args",
    [
        ("s3://models/demo", "--s3-secret", "keys", "--endpoint", "http://127.0.0.1:9"),
        ("gs://models/demo", "--gcs-secret", "key"),
        ("hdfs://namenode:8020/models/demo",),
        ("nfs://filer/exports/models/demo",),
        ("local:///models/demo", "--node", "gpu-0"),
        ("pvc://claim/models/demo",),
        ("https://127.0.0.1:9/models/demo/",),
    ],
)
def test_every_kind_of_source_fits_the_real_schemas(
    cluster: Any, namespace: str, plugin: Plugin, args: tuple[str, ...]
) -> None:
    """The printed YAML is what a real API server with Fluid's CRDs takes, strictly."""
    printed = plugin("cache", *args, "--quota", "4Gi", "--dry-run=client", "-o", "yaml")
    assert printed.code == 0, printed.err
    sent = cluster.kubectl(
        "apply", "--server-side", "--dry-run=server", "--validate=strict", "-n", namespace, "-f",
        "-", input=printed.out, check=False,
    )  # fmt: skip
    assert sent.returncode == 0, sent.stderr


def test_a_quota_that_does_not_admit_the_pods_is_found_first(
    cluster: Any, namespace: str, bucket: Any, plugin: Plugin
) -> None:
    bucket.put_model("demo")
    quota = {
        "apiVersion": "v1",
        "kind": "ResourceQuota",
        "metadata": {"name": "team", "namespace": namespace},
        "spec": {"hard": {"pods": "2"}},
    }
    cluster.api.apply(quota)
    done = plugin("cache", bucket.uri("demo"))
    assert done.code == 1
    assert "ResourceQuota team allows 2 of pods: 0 used, 3 needed" in error_line(done)
    assert nothing_was_made(cluster, namespace)
