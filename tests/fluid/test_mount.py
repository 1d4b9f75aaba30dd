"""The mount of each kind of source, and where its keys go."""

from __future__ import annotations

import json
from typing import Any

import pytest

from kubectl_fluidmodel.errors import UsageError
from kubectl_fluidmodel.fluid.mount import Mount, MountCredentials, SecretKeys, build_mount
from kubectl_fluidmodel.model.source import SCHEMES, parse_source

KEYS = SecretKeys("store-keys", "access", "hidden")
ROOT = "alluxio.master.mount.table.root.option."
ACL = "alluxio.underfs.s3.inherit.acl"


def of(text: str, **access: Any) -> Mount:
    return build_mount(parse_source(text), "demo", "ns", MountCredentials(**access))


@pytest.mark.parametrize(
    ("text", "point"),
    [
        ("s3://models/llama", "s3://models/llama"),
        ("s3://models", "s3://models"),
        ("gs://models/llama", "gs://models/llama"),
        ("https://h/dir", "https://h/dir/"),
        ("http://h:8080/dir/", "http://h:8080/dir/"),
        ("hdfs://nn:8020/m", "hdfs://nn:8020/m"),
        ("pvc://claim/m", "pvc://claim/m"),
        ("local:///data/m", "local:///data/m"),
        ("nfs://server/export/m", "pvc://demo-nfs"),
    ],
)
def test_one_read_only_mount_at_the_root(text: str, point: str) -> None:
    spec = of(text).spec
    assert spec["mountPoint"] == point
    assert (spec["path"], spec["readOnly"], spec["name"]) == ("/", True, "demo")
    assert all(isinstance(value, str) for value in spec.get("options", {}).values())


def test_every_scheme_but_the_hub_has_a_mount() -> None:
    texts = {"hf": "org/model", "local": "local:///data/m", "nfs": "nfs://h/e"}
    for scheme in SCHEMES:
        source = parse_source(texts.get(scheme, f"{scheme}://host/m"))
        if scheme == "hf":
            with pytest.raises(UsageError, match="hf://"):
                build_mount(source, "demo", "ns", MountCredentials())
        else:
            assert build_mount(source, "demo", "ns", MountCredentials()).spec["mountPoint"]


@pytest.mark.parametrize(
    ("access", "options"),
    [
        ({}, {}),
        ({"region": "eu-1"}, {"alluxio.underfs.s3.region": "eu-1"}),
        (
            {"endpoint": "http://minio:9000"},
            {
                "alluxio.underfs.s3.endpoint": "http://minio:9000",
                "alluxio.underfs.s3.disable.dns.buckets": "true",
            },
        ),
        (
            {"endpoint": "http://minio:9000", "region": "r"},
            {
                "alluxio.underfs.s3.endpoint": "http://minio:9000",
                "alluxio.underfs.s3.disable.dns.buckets": "true",
                "alluxio.underfs.s3.endpoint.region": "r",
            },
        ),
    ],
)
def test_s3_options(access: dict[str, str], options: dict[str, str]) -> None:
    spec = of("s3://models/llama", **access).spec
    assert spec["options"] == {ACL: "false", **options}
    assert "encryptOptions" not in spec


def test_s3_keys_are_references_as_options_of_the_root_mount() -> None:
    spec = of("s3://models/llama", keys=KEYS).spec
    assert [(entry["name"], entry["valueFrom"]) for entry in spec["encryptOptions"]] == [
        (ROOT + "aws.accessKeyId", {"secretKeyRef": {"name": "store-keys", "key": "access"}}),
        (ROOT + "aws.secretKey", {"secretKeyRef": {"name": "store-keys", "key": "hidden"}}),
    ]
    assert "aws." not in json.dumps(spec["options"])


def test_gcs_reads_its_key_from_a_volume_of_master_and_workers() -> None:
    mount = of("gs://models/llama", gcs_secret="sa")
    (volume,), (at,) = mount.volumes, mount.volume_mounts
    assert volume["secret"] == {"secretName": "sa"}
    assert at["name"] == volume["name"]
    assert at["readOnly"] is True
    assert mount.spec["options"]["fs.gcs.credential.path"].startswith(at["mountPath"] + "/")
    assert "encryptOptions" not in mount.spec


def test_public_gcs_needs_no_volume() -> None:
    mount = of("gs://models/llama")
    assert mount.volumes == mount.volume_mounts == ()
    assert mount.spec["options"] == {"alluxio.underfs.gcs.version": "2"}


def test_nfs_makes_a_volume_and_a_claim_that_name_each_other() -> None:
    volume, claim = of("nfs://10.0.0.9/export/m").objects
    assert (volume["kind"], claim["kind"]) == ("PersistentVolume", "PersistentVolumeClaim")
    assert volume["spec"]["nfs"] == {"server": "10.0.0.9", "path": "/export/m", "readOnly": True}
    assert claim["spec"]["volumeName"] == volume["metadata"]["name"]
    reference = volume["spec"]["claimRef"]
    assert (reference["name"], reference["namespace"]) == ("demo-nfs", "ns")
    assert claim["metadata"]["name"] == "demo-nfs"
    assert volume["spec"]["accessModes"] == claim["spec"]["accessModes"] == ["ReadOnlyMany"]
    assert "namespace" not in volume["metadata"]
    assert volume["spec"]["persistentVolumeReclaimPolicy"] == "Retain"
