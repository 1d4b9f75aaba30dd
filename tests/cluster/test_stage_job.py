"""The staging Job: the object goes to a real API server, and its pods run for real."""

from __future__ import annotations

import json
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from kubectl_fluidmodel.errors import FluidModelError, WaitTimeoutError
from kubectl_fluidmodel.kube.client import Client
from kubectl_fluidmodel.kube.config import ConfigFlags
from kubectl_fluidmodel.objects import kinds
from kubectl_fluidmodel.objects.plugin_pod import SecretKey, parse_network
from kubectl_fluidmodel.stage.job import JobSettings, build_job
from kubectl_fluidmodel.stage.job_control import delete_job, ensure_job
from kubectl_fluidmodel.stage.job_run import wait_for_job
from tests.cluster import staged
from tests.cluster.image import STAGE
from tests.cluster.objects import until
from tests.cluster.staged import MODEL, a_file_is_stored, assert_staged, follow_it, plan_of, pods_of
from tests.hub import FakeHub

pytestmark = pytest.mark.cluster


@pytest.fixture
def hub() -> Iterator[FakeHub]:
    yield from staged.hub()


@pytest.fixture
def client(cluster: Any) -> Client:
    # What is in the image is where the tests' own Python has it.
    cluster.image(STAGE, path=[str(Path(sys.executable).parent)])
    return Client.connect(ConfigFlags(kubeconfig=str(cluster.kubeconfig)))


@pytest.fixture
def settings(cluster: Any, namespace: str, bucket: Any, hub: FakeHub) -> JobSettings:
    return staged.settings(cluster, namespace, bucket, hub)


def test_two_shards_stage_one_model(
    cluster: Any, client: Client, settings: JobSettings, hub: FakeHub
) -> None:
    hub.private[MODEL] = {"hf_of_the_pod"}
    plan = plan_of(hub, "hf_of_the_pod")
    job = build_job(plan, settings)
    assert ensure_job(client, job) == "started"
    views = follow_it(client, job)
    assert views[-1].steps[0].state == "done" and views[-1].done_bytes == plan.bytes
    assert_staged(cluster, settings, plan, hub)
    pods = cluster.api.list("v1", "Pod", settings.namespace)
    assert len(pods) == 2
    shown = json.dumps(pods) + json.dumps(
        client.get(kinds.JOBS, job["metadata"]["name"], settings.namespace)
    )
    assert cluster.s3.secret_key not in shown and "hf_of_the_pod" not in shown
    # Called although it is over, as when the bucket was emptied: the Job is made anew.
    assert ensure_job(client, job) == "started"
    assert follow_it(client, job)[-1].steps[0].state == "done"


def test_its_pods_are_admitted_where_pod_security_is_restricted(
    cluster: Any, settings: JobSettings, hub: FakeHub
) -> None:
    level = "pod-security.kubernetes.io/enforce=restricted"
    cluster.kubectl("label", "namespace", settings.namespace, level)
    network_ = parse_network("http://proxy:3128", None, "secret/corporate", ["registry"])
    job = build_job(plan_of(hub), replace(settings, network=network_))
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "tried", "namespace": settings.namespace},
        "spec": job["spec"]["template"]["spec"],
    }
    words = ("create", "--dry-run=server", "-f", "-")
    done = cluster.kubectl(*words, input=json.dumps(pod), check=False)
    assert done.returncode == 0, done.stderr
    pod["spec"]["hostNetwork"] = True
    assert cluster.kubectl(*words, input=json.dumps(pod), check=False).returncode != 0


def test_detached_and_attached_again(
    cluster: Any, client: Client, settings: JobSettings, hub: FakeHub
) -> None:
    plan = plan_of(hub)
    hub.pause_after = plan.bytes // 2
    job = build_job(plan, settings)
    ensure_job(client, job)
    with pytest.raises(WaitTimeoutError, match="in time"):
        follow_it(client, job, seconds=6)
    assert ensure_job(client, job) == "found running"
    hub.pause_after = None
    follow_it(client, job)
    assert_staged(cluster, settings, plan, hub)


def test_a_job_with_other_settings_is_replaced(
    cluster: Any, client: Client, settings: JobSettings, hub: FakeHub
) -> None:
    """As when `cache` is called again with more shards, or with the image's name put right."""
    plan = plan_of(hub)
    hub.pause_after = plan.bytes // 2
    old = build_job(plan, replace(settings, shards=1))
    theirs = build_job(plan, replace(settings, name="other", shards=1))
    for each in (old, theirs):
        assert ensure_job(client, each) == "started"
    until("their pods", lambda: len(pods_of(cluster, settings)) == 2, 120)
    job = build_job(plan, settings)
    assert ensure_job(client, job) == f"started in place of {old['metadata']['name']}"
    left = {each["metadata"]["name"] for each in pods_of(cluster, settings)}
    assert not [name for name in left if name.startswith(old["metadata"]["name"])]
    hub.pause_after = None
    follow_it(client, job)
    assert_staged(cluster, settings, plan, hub)
    jobs = cluster.api.list("batch/v1", "Job", settings.namespace)
    names = {each["metadata"]["name"] for each in jobs}
    assert names == {job["metadata"]["name"], theirs["metadata"]["name"]}


def test_a_pod_that_dies_is_replaced_and_its_shard_resumes(
    cluster: Any, client: Client, settings: JobSettings, hub: FakeHub
) -> None:
    # Two parts of 16 MiB in flight: of three quarters, a file is surely on its way into the store.
    settings = replace(settings, shards=1, workers=2)
    plan = plan_of(hub)
    hub.pause_after = plan.bytes * 3 // 4
    job = build_job(plan, settings)
    ensure_job(client, job)
    views: list[Any] = []
    thread = threading.Thread(
        target=lambda: wait_for_job(client, job, views.append, deadline=time.monotonic() + 240)
    )
    thread.start()
    until("a file in the store", lambda: a_file_is_stored(cluster, settings, plan), 90)
    first = {pod["metadata"]["uid"] for pod in pods_of(cluster, settings)}
    for pod in pods_of(cluster, settings):
        name = pod["metadata"]["name"]
        cluster.api.delete("v1", "Pod", name, settings.namespace, gracePeriodSeconds=1)
    # The object goes when its process is dead: from then on all that is read is read anew.
    until(
        "the first pod to go",
        lambda: not first & {pod["metadata"]["uid"] for pod in pods_of(cluster, settings)},
        60,
    )
    hub.pause_after = None
    before = hub.body_bytes
    thread.join(180)
    assert views and views[-1].steps[0].state == "done"
    assert hub.body_bytes - before < plan.bytes
    assert_staged(cluster, settings, plan, hub)


def test_the_pods_error_is_the_commands_error(
    client: Client, settings: JobSettings, hub: FakeHub
) -> None:
    plan = plan_of(hub)
    hub.gated[MODEL] = set()
    job = build_job(plan, settings)
    ensure_job(client, job)
    with pytest.raises(FluidModelError, match="acme/model is gated") as caught:
        follow_it(client, job)
    assert "accept" in caught.value.hint
    # Mended, the same command makes the Job anew.
    hub.gated.clear()
    assert ensure_job(client, job) == "started"
    follow_it(client, job)


def test_a_missing_secret_is_reported(client: Client, settings: JobSettings, hub: FakeHub) -> None:
    plan = plan_of(hub)
    settings = replace(settings, hub_token=SecretKey("nowhere", "HF_TOKEN"), shards=1)
    job = build_job(plan, settings)
    ensure_job(client, job)
    with pytest.raises(WaitTimeoutError) as caught:
        follow_it(client, job, seconds=8)
    assert "nowhere" in caught.value.reason
    delete_job(client, job["metadata"]["name"], settings.namespace)
