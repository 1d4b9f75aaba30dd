"""The staging Job in real containers: a kubelet, containerd and runc, and an image of our own.

The Job is the plugin's, with one thing changed in a copy of it: `hostNetwork: true`, because the
stand-in of the Hub and the S3 server listen on the loopback interface only.  All else that a
container has and a process has not is looked at here: the user, the file systems, the memory limit,
what becomes of a killed one, and what a node says of a container that it cannot make.
"""

from __future__ import annotations

import copy
import json
import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from kubectl_fluidmodel.errors import FluidModelError, WaitTimeoutError
from kubectl_fluidmodel.kube.client import Client
from kubectl_fluidmodel.kube.config import ConfigFlags
from kubectl_fluidmodel.objects.plugin_pod import USER, SecretKey
from kubectl_fluidmodel.objects.quantity import quantity_to_int
from kubectl_fluidmodel.stage.job import JobSettings, build_job
from kubectl_fluidmodel.stage.job_control import delete_job, ensure_job
from kubectl_fluidmodel.stage.job_description import STAGE_CONTAINER, STAGE_LABEL
from kubectl_fluidmodel.stage.job_run import wait_for_job
from tests.cluster import cgroups, image, staged
from tests.cluster.cluster import Cluster
from tests.cluster.fleet import REAL, REAL_TAINT
from tests.cluster.objects import until
from tests.cluster.plugin import Plugin, error_line
from tests.cluster.real import policy
from tests.cluster.s3 import secret
from tests.cluster.staged import (
    MIB,
    MODEL,
    a_file_is_stored,
    assert_staged,
    follow_it,
    plan_of,
    pods_of,
)
from tests.hub import FakeHub, Repo

pytestmark = [pytest.mark.real_node]

JobObject = dict[str, Any]


@pytest.fixture(scope="session")
def real(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Cluster:
    """The cluster with its real node, and the staging image on it."""
    cluster.add_real_node()
    archive = tmp_path_factory.mktemp("image") / "stage.tar"
    for name, made in ((image.STAGE, image.stage()), (image.PYTHON, image.python())):
        cluster.load_image(image.write(archive, name, *made))
    archive.unlink()
    return cluster


def door(cluster: Cluster, hub: FakeHub) -> AbstractContextManager[None]:
    """The way from the node to the Hub, which listens on this machine's loopback interface."""
    return cluster.real.door(*(urlsplit(each).port or 0 for each in (hub.endpoint, hub.cdn)))


@pytest.fixture
def hub(real: Cluster) -> Iterator[FakeHub]:
    for running in staged.hub():
        with door(real, running):
            yield running


@pytest.fixture
def client(real: Cluster) -> Client:
    return Client.connect(ConfigFlags(kubeconfig=str(real.kubeconfig)))


@pytest.fixture
def settings(real: Cluster, namespace: str, bucket: Any, hub: FakeHub) -> JobSettings:
    return staged.settings(
        real,
        namespace,
        bucket,
        hub,
        # Two of them fit a machine of two cores: that is what they ask for.
        image=image.STAGE,
        node_selector={"kubernetes.io/hostname": REAL},
        tolerations=[{**REAL_TAINT, "operator": "Equal"}],
    )


def on_loopback(job: JobObject) -> JobObject:
    """The Job in the host's network."""
    changed = copy.deepcopy(job)
    changed["spec"]["template"]["spec"]["hostNetwork"] = True
    return changed


def container_pids(cluster: Cluster, pod: JobObject) -> set[int]:
    """The processes of a pod's container as this machine sees them, by its control group."""
    group = container_group(cluster, pod)
    if group is None:
        return set()
    return {int(pid) for pid in (group / "cgroup.procs").read_text().split()}


def container_group(cluster: Cluster, pod: JobObject) -> Path | None:
    statuses = (pod.get("status") or {}).get("containerStatuses") or []
    ident = (statuses[0].get("containerID") or "") if statuses else ""
    if not ident:
        return None
    root = cgroups.holder() / cluster.real.taken()[REAL].cgroup
    return next(iter(root.glob(f"kubepods/**/{ident.rpartition('/')[2]}")), None)


def staging_process(cluster: Cluster, pod: JobObject) -> int:
    """The process that stages, once it does."""

    def found() -> int:
        now = cluster.api.get("v1", "Pod", pod["metadata"]["name"], pod["metadata"]["namespace"])
        for pid in container_pids(cluster, now):
            if b"kubectl_fluidmodel" in Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0"):
                return pid
        return 0

    return until(f"{pod['metadata']['name']} to stage", found, 90)


def test_two_shards_stage_a_model_as_nobody(
    real: Cluster, client: Client, settings: JobSettings, hub: FakeHub
) -> None:
    plan = plan_of(hub)
    hub.pause_after = plan.bytes // 2
    job = on_loopback(build_job(plan, settings))
    assert ensure_job(client, job) == "started"
    pods = until("two pods", lambda: len(pods_of(real, settings)) == 2 and pods_of(real, settings))
    for pod in pods:
        assert pod["spec"]["nodeName"] == REAL
        pid = staging_process(real, pod)
        status = dict(
            line.split(":\t", 1)
            for line in Path(f"/proc/{pid}/status").read_text().splitlines()
            if ":\t" in line
        )
        assert status["Uid"].split() == [str(USER)] * 4
        assert status["Gid"].split() == [str(USER)] * 4
        assert int(status["CapEff"], 16) == 0 and int(status["CapBnd"], 16) == 0
        assert status["NoNewPrivs"] == "1" and status["Seccomp"] == "2"
        mounts = mounts_of(pid)
        assert "ro" in mounts["/"] and "rw" in mounts["/fluidmodel"]
        assert not [path for path in mounts if "serviceaccount" in path]
        assert not Path("/proc", str(pid), "root", "var/run/secrets").exists()
        assert memory_limit(real, pod) == quantity_to_int(
            job["spec"]["template"]["spec"]["containers"][0]["resources"]["limits"]["memory"]
        )
        before = (Path(f"/proc/{pid}/cmdline").read_bytes()).decode()
        assert real.s3.secret_key not in before and "hf_of_the_pod" not in before
    hub.pause_after = None
    views = follow_it(client, job)
    assert views[-1].steps[0].state == "done" and views[-1].done_bytes == plan.bytes
    assert_staged(real, settings, plan, hub)
    for pod in pods_of(real, settings):
        ended = pod["status"]["containerStatuses"][0]["state"]["terminated"]
        assert ended["exitCode"] == 0, ended
    shown = json.dumps(pods_of(real, settings))
    assert real.s3.secret_key not in shown and "hf_of_the_pod" not in shown


def mounts_of(pid: int) -> dict[str, set[str]]:
    """Mount points of a process with their options; the last one mounted counts."""
    lines = Path(f"/proc/{pid}/mountinfo").read_text().splitlines()
    return {words[4]: set(words[5].split(",")) for words in map(str.split, lines)}


def memory_limit(cluster: Cluster, pod: JobObject) -> int:
    now = cluster.api.get("v1", "Pod", pod["metadata"]["name"], pod["metadata"]["namespace"])
    group = container_group(cluster, now)
    assert group is not None
    files = [group / "memory.limit_in_bytes", group / "memory.max"]
    return int(next(each for each in files if each.exists()).read_text())


def test_a_killed_container_is_replaced_and_its_shard_goes_on(
    real: Cluster, client: Client, settings: JobSettings, hub: FakeHub
) -> None:
    # Two parts of 16 MiB in flight: of three quarters, a file is surely on its way into the store.
    settings = replace(settings, shards=1, workers=2)
    plan = plan_of(hub)
    hub.pause_after = plan.bytes * 3 // 4
    job = on_loopback(build_job(plan, settings))
    ensure_job(client, job)
    views: list[Any] = []
    thread = threading.Thread(
        target=lambda: wait_for_job(client, job, views.append, deadline=time.monotonic() + 240)
    )
    thread.start()
    until("a file in the store", lambda: a_file_is_stored(real, settings, plan), 120)
    [first] = pods_of(real, settings)
    os.kill(staging_process(real, first), signal.SIGKILL)
    name = first["metadata"]["name"]
    until(
        "the first pod to fail",
        lambda: real.api.get("v1", "Pod", name, settings.namespace)["status"]["phase"] == "Failed",
        60,
    )
    hub.pause_after = None
    before = hub.body_bytes
    thread.join(180)
    assert views and views[-1].steps[0].state == "done"
    assert hub.body_bytes - before < plan.bytes
    assert_staged(real, settings, plan, hub)
    codes = sorted(
        pod["status"]["containerStatuses"][0]["state"]["terminated"]["exitCode"]
        for pod in pods_of(real, settings)
    )
    assert codes == [0, 137]


def test_a_missing_secret_is_named(
    real: Cluster, client: Client, settings: JobSettings, hub: FakeHub
) -> None:
    settings = replace(settings, hub_token=SecretKey("nowhere", "HF_TOKEN"), shards=1)
    job = on_loopback(build_job(plan_of(hub), settings))
    ensure_job(client, job)
    until("it", lambda: waiting(real, settings) == "CreateContainerConfigError", 90)
    with pytest.raises(WaitTimeoutError) as told:
        follow_it(client, job, seconds=4)
    assert "nowhere" in told.value.reason
    # Mended, the very same Job goes on by itself.
    real.api.create(secret(settings.namespace, "nowhere", {"HF_TOKEN": "hf_of_the_pod"}))
    assert ensure_job(client, job) == "found running"
    assert follow_it(client, job)[-1].steps[0].state == "done"


def test_a_missing_image_is_named(
    real: Cluster, client: Client, settings: JobSettings, hub: FakeHub
) -> None:
    # Nothing listens at port 1: no name is asked for, no registry reached.
    absent = "127.0.0.1:1/kubectl-fluidmodel:absent"
    job = on_loopback(build_job(plan_of(hub), replace(settings, image=absent, shards=1)))
    ensure_job(client, job)
    until("it", lambda: waiting(real, settings) in ("ErrImagePull", "ImagePullBackOff"), 90)
    with pytest.raises(WaitTimeoutError) as told:
        follow_it(client, job, seconds=4)
    assert absent in told.value.reason
    delete_job(client, job["metadata"]["name"], settings.namespace)


def waiting(cluster: Cluster, settings: JobSettings) -> str:
    """Why the container of the only pod waits."""
    for pod in pods_of(cluster, settings):
        for status in pod["status"].get("containerStatuses") or []:
            assert status["name"] == STAGE_CONTAINER
            return str((status["state"].get("waiting") or {}).get("reason") or "")
    return ""


def test_a_model_larger_than_its_memory_limit_goes_through(
    real: Cluster, client: Client, settings: JobSettings
) -> None:
    settings = replace(settings, shards=1)
    one = os.urandom(160 * MIB)
    files = {f"model-{n}.safetensors": bytes([n]) + one for n in range(4)}
    with FakeHub(Repo(MODEL, files)) as hub, door(real, hub):
        settings = replace(settings, endpoint_hub=hub.endpoint)
        plan = plan_of(hub)
        hub.pause_after = plan.bytes - 32 * MIB
        job = on_loopback(build_job(plan, settings))
        ensure_job(client, job)
        until("nearly all of it", lambda: hub.body_bytes >= plan.bytes - 64 * MIB, 200)
        [pod] = pods_of(real, settings)
        assert plan.bytes > memory_limit(real, pod)
        hub.pause_after = None
        follow_it(client, job)
        assert_staged(real, settings, plan, hub)
    [pod] = pods_of(real, settings)
    assert pod["status"]["containerStatuses"][0]["state"]["terminated"]["exitCode"] == 0


def test_an_image_without_the_package_is_told(
    real: Cluster, client: Client, settings: JobSettings, hub: FakeHub
) -> None:
    """Nothing is installed; the Job ends at once, with what to do."""
    settings = replace(settings, image=image.PYTHON, shards=1)
    job = on_loopback(build_job(plan_of(hub), settings))
    ensure_job(client, job)
    with pytest.raises(FluidModelError, match="does not have this plugin") as told:
        follow_it(client, job)
    assert "No module named" in told.value.reason and "--image" in told.value.hint


def test_cache_stages_in_containers(
    real: Cluster, namespace: str, bucket: Any, hub: FakeHub, plugin: Plugin
) -> None:
    """The command as its user types it, from the Hub to a proven cache."""
    policy.direct(real.api, namespace, {STAGE_LABEL: "true"})
    words = (
        "cache", MODEL, "--to", bucket.uri("models"), "--endpoint-hub", hub.endpoint,
    )  # fmt: skip
    absent = "127.0.0.1:1/kubectl-fluidmodel:absent"
    late = plugin(*words, "--image", absent, "--timeout", "25s")
    assert late.code == 124 and absent in error_line(late)
    done = plugin(
        *words, "--image", image.STAGE, "--shards", "2", "--timeout", "200s", timeout=240
    ).ok()
    assert "every byte proven" in done.out
    assert "started in place of" in done.err
    pods = real.api.list("v1", "Pod", namespace, labelSelector=STAGE_LABEL)
    ended = [pod for pod in pods if pod["status"]["phase"] == "Succeeded"]
    assert len(ended) == len(pods) == 2
    assert {pod["spec"]["nodeName"] for pod in ended} == {REAL}
    again = plugin(*words, "--image", image.STAGE, "--shards", "2").ok()
    assert "already staged" in again.err
