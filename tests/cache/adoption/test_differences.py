"""What a hand-made cache has differently, and what follows from it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import pytest

from kubectl_fluidmodel.cache.adoption.hand_made import require_adoptable
from kubectl_fluidmodel.fluid.mount import ROOT_OPTION, encrypt_option
from kubectl_fluidmodel.objects.access import Object
from tests.cache.adoption.samples import SECRET, desired, differences, hand_made, load_fixture


def tier(**fields: Any) -> dict[str, Any]:
    level = {"mediumtype": "MEM", "path": "/dev/shm", "quota": "300Gi", **fields}
    return {"tieredstore": {"levels": [level]}}


def load(**spec: Any) -> list[Object]:
    load_object: Object = load_fixture("full")[2]
    load_object["spec"].update(spec)
    return [load_object]


def affinity(key: str, value: str) -> dict[str, Any]:
    expression = {"key": key, "operator": "In", "values": [value]}
    terms = [{"matchExpressions": [expression]}]
    return {"nodeAffinity": {"required": {"nodeSelectorTerms": terms}}}


@dataclass(frozen=True)
class DifferenceCase:
    """A setting that differs: how it is, and a word of what follows; None where nothing does."""

    name: str
    setting: str
    current: str
    follows: str | None
    change: dict[str, Any] = field(default_factory=dict)
    fixture: str = "full"


DIFFERENCES = [
    DifferenceCase("plain keys", "keys", "plain text in the Dataset", "can use the bucket"),
    DifferenceCase(
        "keys that only the master reads",
        "option aws.secretKey",
        "as an Alluxio property",
        "the store rejects them",
        {
            "mount": {
                "encryptOptions": [
                    {
                        **encrypt_option("aws.secretKey", "s", "k", root=True),
                        "name": "aws.secretKey",
                    }
                ]
            }
        },
    ),
    DifferenceCase(
        "a generous quota", "quota", "300.0 GiB", "of a node's memory are reserved unnecessarily"
    ),
    DifferenceCase(
        "a generous quota on disk",
        "quota",
        "300.0 GiB",
        None,
        {"runtime": tier(mediumtype="SSD")},
    ),
    DifferenceCase("a narrow quota", "quota", "1.0 GiB", "never be cached", fixture="small"),
    DifferenceCase("parts of a model", "data.replicas", "1", "holds a part", fixture="small"),
    DifferenceCase("any node", "nodes", "any", "is recreated elsewhere"),
    DifferenceCase("no tolerations", "tolerations", "none", "stays Pending"),
    DifferenceCase(
        "nodes of a pool",
        "nodes",
        "by a nodeAffinity",
        "is recreated elsewhere",
        {"dataset": affinity("pool", "gpu")},
    ),
    DifferenceCase(
        "an exclusive node", "placement", "not set: Exclusive", "no other exclusive cache"
    ),
    DifferenceCase(
        "files below a name", "files in the claim", "below /short", "/short", fixture="small"
    ),
    DifferenceCase("Fluid's heaps", "JVM heaps", "16+12+16 GiB", "20.0 GiB of the node"),
    DifferenceCase("a request of the tier", "worker's memory request", "none", "more pods"),
    DifferenceCase(
        "FUSE on demand", "fuse.cleanPolicy", "not set: OnDemand", "waits for a new one"
    ),
    DifferenceCase("ACLs", "s3.inherit.acl", "not set", "the mount fails"),
    DifferenceCase(
        "virtual hosts",
        "s3.disable.dns.buckets",
        "not set",
        "has to resolve",
        {"mount": {"options": {"alluxio.underfs.s3.endpoint": "http://minio:9000"}}},
    ),
    DifferenceCase("upload options", "upload options", "set", None),
    DifferenceCase("timeouts", "timeouts", "50s, 60s", None),
    DifferenceCase(
        "options that are nobody's",
        "other options",
        "set",
        None,
        {"mount": {"options": {"alluxio.underfs.s3.threads.max": "9"}}},
    ),
    DifferenceCase("watermarks", "watermarks", "high 1.0, low 0.7", None),
    DifferenceCase(
        "a tier in the pod",
        "volume of the tier",
        "emptyDir",
        "is lost with the worker's pod",
        {"runtime": tier(volumeType="emptyDir")},
    ),
    DifferenceCase(
        "two tiers",
        "tiers",
        "2",
        "as fast as the tier",
        {"runtime": {"tieredstore": {"levels": [{"mediumtype": "MEM"}, {"mediumtype": "SSD"}]}}},
    ),
    DifferenceCase(
        "Fluid's block size", "block size", "Fluid's 16MB", "cost per block", fixture="small"
    ),
    DifferenceCase(
        "Fluid's metadata cache", "metadata expiration", "Fluid's 10 minutes", "load nothing"
    ),
    DifferenceCase(
        "a metadata cache that is kept for long",
        "metadata expiration",
        "2day",
        "load nothing",
        {"runtime": {"properties": {"alluxio.user.metadata.cache.expiration.time": "2day"}}},
    ),
    DifferenceCase("a read type", "read type", "CACHE_PROMOTE", None),
    DifferenceCase("a write type", "write type", "CACHE_THROUGH", None),
    DifferenceCase(
        "properties that are nobody's",
        "other properties",
        "set",
        None,
        {"runtime": {"properties": {"alluxio.user.network.timeout": "9s"}}},
    ),
    DifferenceCase(
        "fields that are nobody's",
        "other fields",
        "set",
        None,
        {"runtime": {"fuse": {"args": ["fuse", "-o", "ro"]}}},
    ),
    DifferenceCase(
        "writable",
        "accessModes",
        "ReadWriteMany",
        "write to the source through the cache",
        {"dataset": {"accessModes": ["ReadWriteMany"]}},
    ),
    DifferenceCase("never loaded", "DataLoad", "none", "waits for the store", {"loads": []}),
    DifferenceCase(
        "a load that finds no Dataset",
        "DataLoad llama-by-hand-loader",
        "without a namespace",
        "never starts",
        {"loads": load(dataset={"name": "llama-by-hand"})},
    ),
    DifferenceCase(
        "a load of a part",
        "DataLoad llama-by-hand-loader",
        "/config.json",
        "from the store",
        {"loads": load(target=[{"path": "/config.json", "replicas": 1}])},
    ),
    DifferenceCase(
        "a load of more copies than workers",
        "DataLoad llama-by-hand-loader",
        "replicas 3",
        "complete copy",
        {"loads": load(target=[{"path": "/", "replicas": 3}])},
    ),
]


@pytest.mark.parametrize("row", DIFFERENCES, ids=lambda row: row.name)
def test_a_setting_that_differs_comes_with_what_follows(row: DifferenceCase) -> None:
    difference = differences(hand_made(row.fixture, **row.change))[row.setting]
    assert difference.current == row.current
    assert difference.ours and difference.reason
    if row.follows is None:
        assert difference.consequence == ""
    else:
        assert row.follows in difference.consequence


def test_what_has_a_consequence_comes_first() -> None:
    consequences = [
        bool(difference.consequence) for difference in differences(hand_made()).values()
    ]
    assert consequences == sorted(consequences, reverse=True)
    assert consequences[0] and not consequences[-1]


def test_a_cache_as_this_plugin_makes_it_has_no_difference() -> None:
    """So a rule that finds a difference where there is none fails here."""
    by_hand = hand_made()
    desired_cache = desired(by_hand)
    assert desired_cache.load is not None
    same = {
        **desired_cache.dataset,
        "metadata": by_hand.dataset["metadata"],
        "spec": {**desired_cache.dataset["spec"], **affinity("kubernetes.io/hostname", "gpu-0")},
    }
    level = {"mediumtype": "MEM", "path": "/dev/shm", "quota": "141Gi", "volumeType": "hostPath"}
    runtime = {
        **desired_cache.runtime,
        "metadata": by_hand.runtime["metadata"],
        "spec": {**desired_cache.runtime["spec"], "tieredstore": {"levels": [level]}},
    }
    load_ = {**desired_cache.load, "metadata": {"name": "l", "namespace": "ns"}}
    assert differences(require_adoptable(same, runtime, [load_])) == {}


def test_the_quota_is_not_compared_where_the_source_cannot_be_listed() -> None:
    assert "quota" not in differences(hand_made(), listing=None)


def test_what_fluid_fills_in_by_itself_is_no_difference() -> None:
    filled = {
        "alluxioVersion": {},
        "podMetadata": {},
        "data": {"pin": False, "replicas": 0},
        "management": {"cleanCachePolicy": {"gracePeriodSeconds": 60}, "metadataSyncPolicy": {}},
        "jobMaster": {"podMetadata": {}, "resources": {}},
        "worker": {"podMetadata": {}, "resources": {"requests": {"memory": "300Gi"}}},
    }
    settings = differences(hand_made(runtime=filled))
    assert "other fields" not in settings
    assert settings["worker's memory request"].current == "the quota alone"


def test_no_value_of_a_key_is_ever_shown() -> None:
    for fixture in ("full", "small"):
        assert SECRET not in str(differences(hand_made(fixture)))


def test_keys_that_the_root_mount_hands_on_are_no_difference() -> None:
    option = encrypt_option("aws.secretKey", "s", "k", root=True)
    assert option["name"].startswith(ROOT_OPTION)
    settings = differences(hand_made(mount={"options": {}, "encryptOptions": [option]}))
    assert not [setting for setting in settings if "aws" in setting or setting == "keys"]
