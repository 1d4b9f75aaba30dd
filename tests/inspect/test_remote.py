"""What `inspect NAME` reads from the bucket: with which keys, and what it says if it cannot."""

from __future__ import annotations

import base64
from typing import Any, cast

import pytest

from kubectl_fluidmodel.fluid import names
from kubectl_fluidmodel.inspect import remote
from kubectl_fluidmodel.inventory.cache import Cache
from kubectl_fluidmodel.kube.client import Client
from kubectl_fluidmodel.kube.errors import ForbiddenError, NotFoundError
from kubectl_fluidmodel.objectstore.layout import StagingLayout
from kubectl_fluidmodel.objectstore.s3 import S3Store
from kubectl_fluidmodel.stage import manifest

COMMIT = "0" * 40
ENDPOINT = "https://s3.example.com"


def staged_cache() -> Cache:
    """A cache of a commit that was staged, with its keys in a Secret."""
    options = {"alluxio.underfs.s3.endpoint": ENDPOINT, "alluxio.underfs.s3.endpoint.region": "eu"}
    encrypted = [
        {"name": name, "valueFrom": {"secretKeyRef": {"name": "m-store", "key": key}}}
        for name, key in (("aws.accessKeyId", "id"), ("aws.secretKey", "hidden"))
    ]
    mount = {
        "mountPoint": f"s3://models/org/m/{COMMIT}/",
        "options": options,
        "encryptOptions": encrypted,
    }
    annotations = {names.SOURCE_ANNOTATION: "hf://org/m", names.COMMIT_ANNOTATION: COMMIT}
    dataset = {
        "kind": "Dataset",
        "metadata": {"name": "m", "namespace": "ns", "annotations": annotations},
        "spec": {"mounts": [mount]},
    }
    return Cache("ns", "m", dataset)


class Secrets:
    """A client that may read one Secret, or not."""

    def __init__(self, refusal: Exception | None = None) -> None:
        self.refusal = refusal

    def get(self, _kind: Any, name: str, namespace: str) -> dict[str, Any]:
        assert (name, namespace) == ("m-store", "ns")
        if self.refusal is not None:
            raise self.refusal
        keys = {"id": "cache-key", "hidden": "cache-secret"}
        return {"data": {k: base64.b64encode(v.encode()).decode() for k, v in keys.items()}}


@pytest.fixture
def stores(monkeypatch: pytest.MonkeyPatch) -> list[S3Store]:
    """The stores from which a manifest was read; none has one."""
    opened_stores: list[S3Store] = []

    def read(store: S3Store, _: StagingLayout) -> None:
        opened_stores.append(store)

    monkeypatch.setattr(manifest, "read_manifest", read)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "own-key")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "own-secret")
    return opened_stores


@pytest.mark.parametrize(
    ("refusal", "key"),
    [(None, "cache-key"), (ForbiddenError("no", "secrets is forbidden", status=403), "own-key")],
    ids=["the cache's keys", "no permission: the environment's keys"],
)
def test_the_manifest_is_read_with_the_keys_at_hand(
    stores: list[S3Store], refusal: Exception | None, key: str
) -> None:
    staged = remote.read_staging_manifest(staged_cache(), cast(Client, Secrets(refusal)))
    assert staged is not None and staged.verified is False
    (store,) = stores
    assert (store.endpoint, store.region) == (ENDPOINT, "eu")
    assert store.credentials is not None and store.credentials.access_key == key


def test_a_missing_secret_is_the_reason(stores: list[S3Store]) -> None:
    refusal = NotFoundError("cannot get secrets m-store", "it does not exist", status=404)
    staged = remote.read_staging_manifest(staged_cache(), cast(Client, Secrets(refusal)))
    assert staged is not None and staged.verified is None and stores == []
    assert staged.reason == "Secret m-store has no usable id"
