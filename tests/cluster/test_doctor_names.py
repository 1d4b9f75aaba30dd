"""Area 2xx of doctor, Datasets and names: each fault made for real, told, and mended as told."""

from __future__ import annotations

import secrets
import time
from collections.abc import Iterator
from typing import Any

import pytest

from tests.cluster import objects
from tests.cluster.cluster import Cluster
from tests.cluster.doctor_fixture import Doctor
from tests.cluster.fixtures import clear
from tests.cluster.plugin import Plugin
from tests.cluster.s3 import secret

pytestmark = pytest.mark.cluster

FLUID = objects.FLUID


def reader(namespace: str, claim: str, name: str = "chat-0") -> dict[str, Any]:
    """A pod that mounts a claim."""
    mounts = [{"name": "model", "mountPath": "/model"}]
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {
            "terminationGracePeriodSeconds": 0,
            "tolerations": [{"operator": "Exists"}],
            "containers": [{"name": "main", "image": "engine", "volumeMounts": mounts}],
            "volumes": [{"name": "model", "persistentVolumeClaim": {"claimName": claim}}],
        },
    }


def model(cluster: Cluster, namespace: str, name: str, bucket: Any, keys_in: str = "keys") -> None:
    """A Dataset with a runtime of its name, and the Secret with its keys."""
    keys = {"aws.accessKeyId": cluster.s3.access_key, "aws.secretKey": cluster.s3.secret_key}
    cluster.api.apply(secret(namespace, keys_in, keys))
    options = objects.s3_options(cluster)
    point = f"s3://{bucket.name}/demo/"
    cluster.api.apply(objects.dataset(namespace, name, point, options, keys_in))
    cluster.api.apply(objects.runtime(namespace, name))


@pytest.mark.breaks("FM201")
def test_name_with_a_dot_is_reported(
    cluster: Cluster, namespace: str, bucket: Any, doctor: Doctor
) -> None:
    bucket.put_model("demo")
    model(cluster, namespace, "qwen2.5-7b", bucket)
    report = doctor.until("FM201", "qwen2.5-7b")
    found = report.problem("FM201", f"dataset {namespace}/qwen2.5-7b")
    assert report.roots >= {"FM201"} and not report.roots & {"FM203", "FM204", "FM208"}
    assert "--name qwen2-5-7b" in found["fix"]["text"]
    doctor.heal(found)
    healed = doctor.until_gone("FM201")
    assert healed.code == 0, healed.document["problems"]


@pytest.mark.breaks("FM202")
def test_long_name_is_reported(
    cluster: Cluster, namespace: str, bucket: Any, doctor: Doctor
) -> None:
    bucket.put_model("demo")
    name = "a-model-with-a-name-that-is-longer-than-fluid-takes"
    model(cluster, namespace, name, bucket)
    report = doctor.until("FM202", name)
    found = report.problem("FM202", f"dataset {namespace}/{name}")
    doctor.heal(found)
    healed = doctor.until_gone("FM202")
    assert healed.code == 0, healed.document["problems"]


@pytest.mark.breaks("FM204", "FM205")
def test_runtime_with_another_name_is_reported(
    cluster: Cluster, namespace: str, bucket: Any, doctor: Doctor
) -> None:
    bucket.put_model("demo")
    objects.s3_model(cluster, namespace, "demo", bucket, "demo")
    cluster.api.delete(FLUID, "AlluxioRuntime", "demo", namespace)
    cluster.api.apply(objects.runtime(namespace, "demo-cache"))
    report = doctor.until("FM204")
    found = report.problem("FM204", f"dataset {namespace}/demo")
    assert "AlluxioRuntime demo-cache has no Dataset" in found["cause"]
    other = report.problem("FM205", f"alluxioruntime {namespace}/demo-cache")
    assert "Dataset demo has no runtime" in other["cause"]
    doctor.heal(found)
    doctor.until_gone("FM204")
    doctor.until_gone("FM205")
    assert objects.bound(cluster, namespace, "demo")


@pytest.mark.breaks("FM205")
def test_leftover_runtime_is_reported(cluster: Cluster, namespace: str, doctor: Doctor) -> None:
    cluster.api.apply(objects.runtime(namespace, "old"))
    found = doctor.until("FM205").problem("FM205", f"alluxioruntime {namespace}/old")
    doctor.heal(found)
    doctor.until_gone("FM205")


@pytest.mark.breaks("FM206")
def test_two_runtimes_with_one_name_are_reported(
    cluster: Cluster, namespace: str, bucket: Any, doctor: Doctor
) -> None:
    bucket.put_model("demo")
    objects.s3_model(cluster, namespace, "demo", bucket, "demo")
    objects.bound(cluster, namespace, "demo")
    second = {
        "apiVersion": FLUID,
        "kind": "JuiceFSRuntime",
        "metadata": {"name": "demo", "namespace": namespace},
        "spec": {"replicas": 1},
    }
    cluster.api.apply(second)
    found = doctor.until("FM206").problem("FM206", f"dataset {namespace}/demo")
    assert found["fix"]["text"] == f"kubectl delete juicefsruntime demo -n {namespace}"
    doctor.heal(found)
    doctor.until_gone("FM206")


def foreign(namespace: str, name: str) -> dict[str, Any]:
    """A StatefulSet of somebody else."""
    labels = {"app": "foreign"}
    pod = {
        "metadata": {"labels": labels},
        "spec": {"containers": [{"name": "main", "image": "busybox"}]},
    }
    return {
        "apiVersion": "apps/v1",
        "kind": "StatefulSet",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {
            "replicas": 0,
            "selector": {"matchLabels": labels},
            "serviceName": name,
            "template": pod,
        },
    }


@pytest.mark.breaks("FM219", "FM208")
def test_foreign_workload_is_reported(
    cluster: Cluster, namespace: str, bucket: Any, doctor: Doctor
) -> None:
    bucket.put_model("demo")
    cluster.api.apply(foreign(namespace, "demo-master"))
    model(cluster, namespace, "demo", bucket)
    report = doctor.until("FM208")
    found = report.problem("FM219", f"statefulset {namespace}/demo-master")
    behind = report.problem("FM208", f"dataset {namespace}/demo")
    assert behind["causedBy"] == found["id"] and report.roots == {"FM219"}
    doctor.heal(found)
    doctor.until_gone("FM219")
    doctor.until_gone("FM208", seconds=90)
    assert objects.bound(cluster, namespace, "demo")


@pytest.mark.breaks("FM208")
def test_incomplete_release_is_reported(
    cluster: Cluster, namespace: str, bucket: Any, doctor: Doctor
) -> None:
    """The foreign workload is gone, and Fluid still believes that its release is whole."""
    bucket.put_model("demo")
    cluster.api.apply(foreign(namespace, "demo-master"))
    model(cluster, namespace, "demo", bucket)
    doctor.until("FM208")
    cluster.api.delete("apps/v1", "StatefulSet", "demo-master", namespace)
    doctor.until_gone("FM219")
    found = doctor.until("FM208").problem("FM208", f"dataset {namespace}/demo")
    assert "Helm release of the cache is incomplete" in found["cause"], found
    doctor.heal(found)
    doctor.until_gone("FM208", seconds=90)
    assert objects.bound(cluster, namespace, "demo")


@pytest.mark.breaks("FM208")
def test_tier_above_the_memory_limit_is_reported(
    cluster: Cluster, namespace: str, bucket: Any, doctor: Doctor
) -> None:
    bucket.put_model("demo")
    cluster.api.apply(objects.dataset(namespace, "demo", f"s3://{bucket.name}/demo/"))
    runtime = objects.runtime(namespace, "demo", quota="4Gi")
    runtime["spec"]["tieredstore"]["levels"][0] |= {"mediumtype": "MEM", "path": "/dev/shm"}
    runtime["spec"]["worker"] = {"resources": {"limits": {"memory": "1Gi"}}}
    cluster.api.apply(runtime)
    found = doctor.until("FM208").problem("FM208", f"dataset {namespace}/demo")
    assert "memory limit of the workers is below the quota" in found["cause"], found
    doctor.heal(found)
    doctor.until_gone("FM208", seconds=90)


@pytest.mark.breaks("FM208")
def test_image_tag_without_a_version_is_reported(
    cluster: Cluster, namespace: str, bucket: Any, doctor: Doctor
) -> None:
    bucket.put_model("demo")
    cluster.api.apply(objects.dataset(namespace, "demo", f"s3://{bucket.name}/demo/"))
    runtime = objects.runtime(namespace, "demo")
    runtime["spec"].setdefault("fuse", {})["imageTag"] = "latest"
    cluster.api.apply(runtime)
    found = doctor.until("FM208").problem("FM208", f"dataset {namespace}/demo")
    assert "latest is not one" in found["cause"], found
    doctor.heal(found)
    doctor.until_gone("FM208", seconds=90)


@pytest.mark.breaks("FM220")
@pytest.mark.parametrize(
    "name", ["qwen2.5-keys", "the-keys-of-the-bucket-in-which-all-our-models-are"]
)
def test_unmountable_secret_name_is_reported(
    cluster: Cluster, namespace: str, bucket: Any, doctor: Doctor, name: str
) -> None:
    bucket.put_model("demo")
    model(cluster, namespace, "demo", bucket, name)
    report = doctor.until("FM208")
    found = report.problem("FM220", f"secret {namespace}/{name}")
    assert report.roots == {"FM220"}, report.document["problems"]
    doctor.heal(found)
    doctor.until_gone("FM220")
    assert objects.bound(cluster, namespace, "demo")


@pytest.mark.breaks("FM209")
def test_exclusive_placement_is_reported(
    cluster: Cluster, namespace: str, bucket: Any, doctor: Doctor
) -> None:
    bucket.put_model("demo")
    objects.s3_model(cluster, namespace, "one", bucket, "demo")
    cluster.api.patch(FLUID, "Dataset", "one", {"spec": {"placement": "Exclusive"}}, namespace)
    assert "FM209" not in doctor().codes, "alone it is in nobody's way"
    objects.s3_model(cluster, namespace, "two", bucket, "demo")
    found = doctor.until("FM209").problem("FM209", f"dataset {namespace}/one")
    assert found["severity"] == "warning"
    doctor.heal(found)
    doctor.until_gone("FM209")


@pytest.mark.breaks("FM210")
def test_files_below_the_root_are_reported(
    cluster: Cluster, namespace: str, bucket: Any, doctor: Doctor
) -> None:
    bucket.put_model("demo")
    objects.s3_model(cluster, namespace, "demo", bucket, "demo")
    dataset = cluster.api.get(FLUID, "Dataset", "demo", namespace)
    [mount] = dataset["spec"]["mounts"]
    mount.pop("path")
    cluster.api.patch(FLUID, "Dataset", "demo", {"spec": {"mounts": [mount]}}, namespace)
    found = doctor.until("FM210").problem("FM210", f"dataset {namespace}/demo")
    assert found["severity"] == "warning" and "/demo of the volume" in found["cause"]
    pod = reader(namespace, "demo")
    pod["spec"]["containers"][0]["volumeMounts"][0]["subPath"] = "demo"
    cluster.api.create(pod)
    doctor.until_gone("FM210")
    cluster.api.delete("v1", "Pod", pod["metadata"]["name"], namespace)
    doctor.heal(doctor.until("FM210").problem("FM210", f"dataset {namespace}/demo"))
    report = doctor.until_gone("FM210")
    assert not report.roots & {"FM211", "FM213", "FM214"}


@pytest.mark.breaks("FM214")
def test_duplicate_option_is_reported(
    cluster: Cluster, namespace: str, bucket: Any, doctor: Doctor
) -> None:
    bucket.put_model("demo")
    objects.s3_model(cluster, namespace, "demo", bucket, "demo")
    dataset = cluster.api.get(FLUID, "Dataset", "demo", namespace)
    [mount] = dataset["spec"]["mounts"]
    twice = mount["encryptOptions"][0]["name"]
    planted = secrets.token_hex(16)
    mount["options"][twice] = planted
    cluster.api.patch(FLUID, "Dataset", "demo", {"spec": {"mounts": [mount]}}, namespace)
    report = doctor.until("FM214")
    found = report.problem("FM214", f"dataset {namespace}/demo")
    assert planted not in str(report.document)
    doctor.heal(found)
    doctor.until_gone("FM214")


@pytest.mark.breaks("FM215")
def test_option_with_whitespace_is_reported(
    cluster: Cluster, namespace: str, bucket: Any, doctor: Doctor
) -> None:
    """A nested mount: its options go into the script's command line as they are."""
    bucket.put_model("demo")
    objects.s3_model(cluster, namespace, "demo", bucket, "demo")
    dataset = cluster.api.get(FLUID, "Dataset", "demo", namespace)
    [mount] = dataset["spec"]["mounts"]
    mount |= {"path": "/demo"}
    mount["options"]["alluxio.underfs.s3.owner.id.to.username.mapping"] = "1=a b"
    cluster.api.patch(FLUID, "Dataset", "demo", {"spec": {"mounts": [mount]}}, namespace)
    found = doctor.until("FM215").problem("FM215", f"dataset {namespace}/demo")
    assert "alluxio.underfs.s3.owner.id.to.username.mapping" in found["cause"]
    del mount["options"]["alluxio.underfs.s3.owner.id.to.username.mapping"]
    mount["options"]["alluxio.underfs.s3.owner.id.to.username.mapping"] = "1=a"
    cluster.api.patch(FLUID, "Dataset", "demo", {"spec": {"mounts": [mount]}}, namespace)
    doctor.until_gone("FM215")


@pytest.mark.breaks("FM221", "FM223")
def test_unbound_references_are_reported(
    cluster: Cluster, namespace: str, bucket: Any, doctor: Doctor
) -> None:
    """One refers to nothing; the other to what is there, and no ThinRuntime controller runs."""
    bucket.put_model("demo")
    objects.s3_model(cluster, namespace, "phys", bucket, "demo")
    objects.bound(cluster, namespace, "phys")
    cluster.api.apply(objects.dataset(namespace, "ghost", "dataset://no-such-space/llama"))
    cluster.api.apply(objects.dataset(namespace, "good", f"dataset://{namespace}/phys"))
    report = doctor.until("FM223", "ghost")
    found = report.problem("FM223", f"dataset {namespace}/ghost")
    assert found["cause"] == "it refers to no-such-space/llama, which does not exist"
    assert report.code == 1 and report.roots == {"FM223"}
    report = doctor.until("FM221", "good")
    found = report.problem("FM221", f"dataset {namespace}/good")
    assert found["cause"].startswith("it has been NotBound for ")
    assert "FM209" not in report.codes


@pytest.mark.breaks("FM222")
def test_repeated_sync_failure_is_reported(
    cluster: Cluster, namespace: str, bucket: Any, doctor: Doctor
) -> None:
    bucket.put_model("demo")
    objects.s3_model(cluster, namespace, "demo", bucket, "demo")
    objects.bound(cluster, namespace, "demo")
    runtime = cluster.api.get(FLUID, "AlluxioRuntime", "demo", namespace)
    stamp = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    cluster.api.create(
        {
            "apiVersion": "v1",
            "kind": "Event",
            "type": "Warning",
            "reason": "RuntimeMountUfsFailed",
            "message": "Failed to execute mount ufs command",
            "count": 5,
            "firstTimestamp": stamp,
            "lastTimestamp": stamp,
            "metadata": {"name": "demo.mount", "namespace": namespace},
            "involvedObject": {
                "kind": "AlluxioRuntime",
                "name": "demo",
                "namespace": namespace,
                "uid": runtime["metadata"]["uid"],
            },
        }
    )
    report = doctor.until("FM222", "--only", "FM222")
    found = report.problem("FM222", f"alluxioruntime {namespace}/demo")
    assert "RuntimeMountUfsFailed, 5 times" in found["cause"]


@pytest.mark.breaks("FM114")
def test_terminating_namespace_is_reported(cluster: Cluster, bucket: Any, doctor: Doctor) -> None:
    """Held by a pod with a finalizer: all else in it is on its way."""
    name = f"t-{secrets.token_hex(3)}-ending"
    cluster.api.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
    bucket.put_model("demo")
    objects.s3_model(cluster, name, "demo", bucket, "demo")
    pod = reader(name, "demo")
    pod["metadata"]["finalizers"] = ["example.com/hold"]
    cluster.api.create(pod)
    cluster.api.delete("v1", "Namespace", name)
    try:
        report = doctor.until("FM114", "-n", name)
        found = report.problem("FM114", f"namespace {name}")
        assert "it is being deleted, since" in found["cause"]
        assert report.code == 1
    finally:
        body = {"metadata": {"finalizers": None}}
        cluster.api.patch("v1", "Pod", "chat-0", body, name)
        clear(cluster, name)


@pytest.mark.breaks("FM217")
def test_dataset_held_by_a_pod_is_reported(
    cluster: Cluster, namespace: str, bucket: Any, doctor: Doctor
) -> None:
    bucket.put_model("demo")
    objects.s3_model(cluster, namespace, "demo", bucket, "demo")
    objects.bound(cluster, namespace, "demo")
    objects.until(
        "the claim", lambda: cluster.api.find("v1", "PersistentVolumeClaim", "demo", namespace)
    )
    cluster.api.create(reader(namespace, "demo"))
    objects.until(
        "the reader",
        lambda: cluster.api.get("v1", "Pod", "chat-0", namespace)["status"]["phase"] == "Running",
    )
    cluster.api.delete(FLUID, "Dataset", "demo", namespace)
    report = doctor.until("FM217")
    found = report.problem("FM217", f"dataset {namespace}/demo")
    assert "chat-0 still mounts it" in found["cause"]
    assert found["fix"]["text"] == f"kubectl delete pod chat-0 -n {namespace}"
    doctor.heal(found)
    doctor.until_gone("FM217", seconds=90)
    objects.until(
        "the Dataset's end",
        lambda: cluster.api.find(FLUID, "Dataset", "demo", namespace) is None,
        60,
    )


@pytest.mark.breaks("FM218")
def test_hub_mount_point_is_reported(cluster: Cluster, namespace: str, doctor: Doctor) -> None:
    mount = "hf://Qwen/Qwen2.5-0.5B"
    cluster.api.apply(objects.dataset(namespace, "qwen", mount))
    cluster.api.apply(objects.runtime(namespace, "qwen"))
    found = doctor.until("FM218").problem("FM218", f"dataset {namespace}/qwen")
    told = "kubectl fluidmodel cache Qwen/Qwen2.5-0.5B --name qwen --to s3://BUCKET"
    assert told in found["fix"]["text"]


def test_healthy_cache_has_no_findings(
    cluster: Cluster, namespace: str, bucket: Any, plugin: Plugin, doctor: Doctor
) -> None:
    """No false alarms, from the very moment that `cache` returns."""
    bucket.put_model("demo")
    plugin("cache", bucket.uri("demo"), timeout=240).ok()
    report = doctor("demo")
    assert report.document["problems"] == []
    cluster.api.create(reader(namespace, "demo"))
    objects.until(
        "the reader",
        lambda: cluster.api.get("v1", "Pod", "chat-0", namespace)["status"]["phase"] == "Running",
    )
    report = doctor()
    assert report.document["problems"] == []


@pytest.mark.breaks("FM211")
def test_plaintext_keys_are_reported(
    cluster: Cluster, namespace: str, bucket: Any, doctor: Doctor
) -> None:
    """The option is named, its value never."""
    bucket.put_model("demo")
    planted = secrets.token_hex(20)
    keys = {"aws.accessKeyId": "AKIDPLAIN", "aws.secretKey": planted}
    options = {**objects.s3_options(cluster), **keys}
    point = f"s3://{bucket.name}/demo/"
    cluster.api.apply(objects.dataset(namespace, "demo", point, options))
    report = doctor.until("FM211")
    found = report.problem("FM211", f"dataset {namespace}/demo")
    assert found["severity"] == "warning" and "aws.secretKey" in found["cause"]
    assert planted not in str(report.document)
    doctor.heal(found)
    report = doctor.until_gone("FM211")
    assert not report.roots & {"FM210", "FM212", "FM213", "FM214"}


@pytest.mark.breaks("FM212")
def test_missing_secrets_are_reported(
    cluster: Cluster, namespace: str, bucket: Any, doctor: Doctor
) -> None:
    """First the whole Secret, then one key of it; both commands take the keys from AWS_*."""
    bucket.put_model("demo")
    model(cluster, namespace, "demo", bucket)
    cluster.api.delete("v1", "Secret", "keys", namespace)
    report = doctor.until("FM212")
    found = report.problem("FM212", f"secret {namespace}/keys")
    assert "does not exist" in found["cause"] and "FM212" in report.roots
    doctor.heal(found)
    doctor.until_gone("FM212")
    cluster.api.patch("v1", "Secret", "keys", {"data": {"aws.secretKey": None}}, namespace)
    found = doctor.until("FM212").problem("FM212", f"secret {namespace}/keys")
    assert "key aws.secretKey of Secret keys" in found["cause"]
    doctor.heal(found)
    report = doctor.until_gone("FM212")
    assert cluster.s3.secret_key not in str(report.document)
    assert objects.bound(cluster, namespace, "demo")


@pytest.mark.breaks("FM213")
def test_key_options_that_workers_do_not_get_are_reported(
    cluster: Cluster, namespace: str, bucket: Any, doctor: Doctor
) -> None:
    bucket.put_model("demo")
    model(cluster, namespace, "demo", bucket)
    [mount] = cluster.api.get(FLUID, "Dataset", "demo", namespace)["spec"]["mounts"]
    for option in mount["encryptOptions"]:
        option["name"] = option["name"].rpartition("option.")[2]
    cluster.api.patch(FLUID, "Dataset", "demo", {"spec": {"mounts": [mount]}}, namespace)
    found = doctor.until("FM213").problem("FM213", f"dataset {namespace}/demo")
    assert "aws.accessKeyId, aws.secretKey reach only the master" in found["cause"]
    doctor.heal(found)
    report = doctor.until_gone("FM213")
    assert report.code == 0, report.document["problems"]


@pytest.fixture
def pair(cluster: Cluster) -> Iterator[tuple[str, str]]:
    """Two namespaces, `x-a` and `x`: the caches `b` and `a-b` in them share a volume's name."""
    stem = f"t{secrets.token_hex(3)}"
    spaces = (f"{stem}-a", stem)
    for name in spaces:
        cluster.api.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
    yield spaces
    for name in spaces:
        clear(cluster, name)


@pytest.mark.breaks("FM207")
def test_volume_name_collision_is_reported(
    cluster: Cluster, pair: tuple[str, str], bucket: Any, doctor: Doctor
) -> None:
    bucket.put_model("demo")
    first, second = pair
    model(cluster, first, "b", bucket)
    objects.bound(cluster, first, "b")
    volume = f"{first}-b"
    objects.until("the volume", lambda: cluster.api.find("v1", "PersistentVolume", volume))
    model(cluster, second, "a-b", bucket)
    report = doctor.until("FM207", "-n", second)
    found = report.problem("FM207", f"dataset {second}/a-b")
    assert f"PersistentVolume {volume}" in found["cause"] and f"{first}/b" in found["cause"]
    assert "FM207" in report.roots
    assert "FM207" not in doctor("-n", first).codes
    assert found["fix"]["how"] == "advice" and "--name a-b-2" in found["fix"]["text"]
    # As advised, both go: alone the second would take the volume of the first along.
    for space, name in ((first, "b"), (second, "a-b")):
        cluster.api.delete(FLUID, "Dataset", name, space)
        cluster.api.delete(FLUID, "AlluxioRuntime", name, space)
    objects.until(
        "the end of both",
        lambda: not any(cluster.api.list(FLUID, "AlluxioRuntime", space) for space in pair),
        60,
    )
    model(cluster, first, "b", bucket)
    model(cluster, second, "a-b-2", bucket)
    for space, name in ((first, "b"), (second, "a-b-2")):
        objects.bound(cluster, space, name)
    assert "FM207" not in {*doctor("-n", first).codes, *doctor("-n", second).codes}


@pytest.mark.breaks("FM216")
def test_endless_counting_is_reported(
    cluster: Cluster, namespace: str, bucket: Any, doctor: Doctor
) -> None:
    """The commands that count hang; that it does so for an hour is made believe."""
    bucket.put_model("demo")
    cluster.alluxio(namespace, "demo").set_knobs(delay={"fs count": 600, "fs loadMetadata": 600})
    model(cluster, namespace, "demo", bucket)

    def counting() -> list[dict[str, Any]] | None:
        found = objects.status(cluster, "Dataset", namespace, "demo")
        if found.get("phase") != "Bound" or found.get("ufsTotal") != "[Calculating]":
            return None
        conditions: list[dict[str, Any]] = found["conditions"]
        return conditions

    conditions = objects.until("the count", counting, 60) or []
    assert "FM216" not in doctor("--only", "2xx").codes
    for each in conditions:
        each["lastTransitionTime"] = "2026-01-01T00:00:00Z"
    body = {"status": {"conditions": conditions}}
    cluster.api.patch(FLUID, "Dataset", "demo", body, namespace, "status")
    found = doctor("--only", "2xx").problem("FM216", f"dataset {namespace}/demo")
    assert found["severity"] == "warning" and "[Calculating]" in str(found["evidence"])
    cluster.alluxio(namespace, "demo").set_knobs(delay=None)
