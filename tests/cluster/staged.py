"""What tests of the staging Job share: a Hub with a model, settings, and what has to come of it."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

from kubectl_fluidmodel.hub.client import HubClient as HubClient
from kubectl_fluidmodel.hub.http import HubCredentials
from kubectl_fluidmodel.kube.client import Client
from kubectl_fluidmodel.model.plan import StagingPlan
from kubectl_fluidmodel.objects.plugin_pod import SecretKey
from kubectl_fluidmodel.objectstore.layout import BucketPrefix, StagingLayout
from kubectl_fluidmodel.objectstore.s3 import S3Store
from kubectl_fluidmodel.objectstore.s3_credentials import S3Credentials
from kubectl_fluidmodel.stage import manifest
from kubectl_fluidmodel.stage.job import JobSettings
from kubectl_fluidmodel.stage.job_run import wait_for_job
from tests import weights
from tests.cluster.image import STAGE
from tests.cluster.s3 import secret
from tests.hub import FakeHub, Repo

MODEL = "acme/model"
MIB = 1 << 20


def hub() -> Iterator[FakeHub]:
    """The life of a Hub with the model, for a fixture."""
    files = {
        f"model-{n}.safetensors": weights.random_safetensors((n + 1) * 6 * MIB) for n in range(4)
    }
    with FakeHub(Repo(MODEL, {**files, "config.json": weights.model_config()})) as running:
        yield running


def settings(cluster: Any, namespace: str, bucket: Any, hub: FakeHub, **more: Any) -> JobSettings:
    """A Job of two shards, and the Secrets that it names."""
    keys = {"access": cluster.s3.access_key, "hidden": cluster.s3.secret_key}
    cluster.api.create(secret(namespace, "keys", keys))
    cluster.api.create(secret(namespace, "hub", {"HF_TOKEN": "hf_of_the_pod"}))
    return JobSettings(
        name="model",
        namespace=namespace,
        to=BucketPrefix(bucket.name, "staged"),
        endpoint=cluster.s3.endpoint,
        region=cluster.s3.region,
        endpoint_hub=hub.endpoint,
        access_key=SecretKey("keys", "access"),
        secret_key=SecretKey("keys", "hidden"),
        hub_token=SecretKey("hub", "HF_TOKEN"),
        **{"shards": 2, "image": STAGE, **more},
    )


def plan_of(hub: FakeHub, token: str = "") -> StagingPlan:
    return HubClient(HubCredentials(hub.endpoint, token)).plan(MODEL)


def pods_of(cluster: Any, settings: JobSettings) -> list[dict[str, Any]]:
    return list(cluster.api.list("v1", "Pod", settings.namespace))


def follow_it(client: Client, job: dict[str, Any], seconds: float = 240) -> list[Any]:
    views: list[Any] = []
    wait_for_job(client, job, views.append, deadline=time.monotonic() + seconds)
    return views


def a_file_is_stored(cluster: Any, settings: JobSettings, plan: StagingPlan) -> bool:
    """Whether the bucket has a whole file, so that another run need not read all again."""
    place = StagingLayout(settings.to, plan.repo, plan.commit)
    listed = cluster.s3.client().list_objects_v2(Bucket=settings.to.bucket)
    there = {each["Key"] for each in listed.get("Contents") or []}
    return any(place.object_key(file.path) in there for file in plan.files if file.size > MIB)


def assert_staged(cluster: Any, settings: JobSettings, plan: StagingPlan, hub: FakeHub) -> None:
    keys = S3Credentials(cluster.s3.access_key, cluster.s3.secret_key)
    store = S3Store(cluster.s3.endpoint, "us-east-1", keys)
    place = StagingLayout(settings.to, plan.repo, plan.commit)
    marked = manifest.read_manifest(store, place)
    assert marked is not None and marked.covers(plan.files)
    s3 = cluster.s3.client()
    for path, blob in hub.repos[MODEL].files.items():
        body = s3.get_object(Bucket=settings.to.bucket, Key=place.object_key(path))["Body"].read()
        assert body == blob.data, path
