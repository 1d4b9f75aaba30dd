"""A model of the Hub on its way into a cache: staged from this machine, as one view shows it.

What is in the way of the cache itself is said before the first byte is moved.
"""

from __future__ import annotations

import base64
import json
import os
import re
import time
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from kubectl_fluidmodel.cache.existing import ExistingObjects
from kubectl_fluidmodel.cache.hub_staging import HubStaging
from kubectl_fluidmodel.cache.options import CacheOptions, StagingOptions
from kubectl_fluidmodel.cache.plan import plan_offline
from kubectl_fluidmodel.cache.preflight import PreflightResult
from kubectl_fluidmodel.cache.workflow import CacheWorkflow
from kubectl_fluidmodel.errors import FluidModelError, UsageError
from kubectl_fluidmodel.fluid import names
from kubectl_fluidmodel.hub.options import HubOptions
from kubectl_fluidmodel.kube.client import Client
from kubectl_fluidmodel.objects.kinds import JOBS, PODS, SECRETS
from kubectl_fluidmodel.objects.plugin_pod import parse_network
from kubectl_fluidmodel.objectstore.layout import parse_bucket_prefix
from kubectl_fluidmodel.output.progress import ProgressLike
from tests.cache.objects import Objects, objects
from tests.cache.test_options import make_options
from tests.cache.test_removal import reader_pod
from tests.fluid.cluster import make_node
from tests.hub import FakeHub, Repo
from tests.stage.s3server import S3Server

__all__ = ["objects"]

MODEL = "acme/model"
FILES = {"config.json": b"{}", "model.safetensors": os.urandom(6 << 20)}
STEPS = ["stage", "master", "worker", "Dataset", "PVC", "load"]


@dataclass
class RecordingReporter:
    """A reporter that records messages and progress."""

    logged: list[str] = field(default_factory=list)
    updates: list[ProgressLike] = field(default_factory=list)

    def log(self, text: str) -> None:
        self.logged.append(text)

    def update(self, progress: ProgressLike) -> None:
        self.updates.append(progress)


@pytest.fixture(scope="module")
def s3() -> Iterator[S3Server]:
    server = S3Server()
    try:
        yield server.start()
    finally:
        server.stop()


@pytest.fixture
def hub(s3: S3Server, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeHub]:
    for key, value in s3.env().items():
        monkeypatch.setenv(key, value)
    with FakeHub(Repo(MODEL, FILES)) as running:
        yield running


@pytest.fixture
def stager(s3: S3Server, hub: FakeHub) -> HubStaging:
    return make_staging(s3, hub, make_options(MODEL), bucket="staged-models")


def make_staging(
    s3: S3Server,
    hub: FakeHub,
    options: CacheOptions,
    client: Client | None = None,
    bucket: str = "models",
    **settings: Any,
) -> HubStaging:
    staging = StagingOptions(
        parse_bucket_prefix(f"s3://{bucket}"),
        hub=HubOptions(hub.endpoint),
        **{"on": "client", **settings},
    )
    store = replace(options.store, endpoint=s3.endpoint)
    return HubStaging.plan(replace(options, store=store, staging=staging), "ns", client)


def test_one_view_shows_all_steps(stager: HubStaging) -> None:
    reporter = RecordingReporter()
    assert stager.run(reporter, time.monotonic() + 60, wait=True)
    size = sum(map(len, FILES.values()))
    for view in reporter.updates:
        assert [step.name for step in view.steps] == STEPS
        assert {step.state for step in view.steps[1:]} == {"waiting"}
        assert (view.total_bytes, view.remaining_after) == (size, size), (
            "the load moves as much again"
        )
    last = reporter.updates[-1]
    assert last.steps[0].state == "done" and last.done_bytes == size
    assert (stager.done_step.name, stager.done_step.detail) == ("stage", "2 files, 6.0 MiB")

    again = RecordingReporter()
    assert stager.run(again, time.monotonic() + 60, wait=True)
    assert "already staged" in again.logged[0] and not again.updates


SMALL = make_node("gpu-0", memory="64Gi", disk="1Gi")


NOTHING_EXISTS = PreflightResult(ExistingObjects())


def make_workflow(objects: Objects, staging: HubStaging) -> CacheWorkflow:
    objects.lists["/api/v1/nodes"] = [SMALL]
    for kind in (JOBS, PODS):
        objects.lists.setdefault(kind.path("ns"), [])
    return CacheWorkflow(
        objects.client,
        "ns",
        staging.staged_options(),
        RecordingReporter(),
        time.monotonic() + 60.0,
        staging,
    )


LATE = [
    # flags, variables, words of the refusal
    ({"nodes": ("gpu-O",)}, {}, "node 'gpu-O' does not exist"),
    ({"quota": "1Gi"}, {}, "--quota 1Gi is too small"),
    ({"medium": "SSD"}, {}, "no node fits the cache"),
    ({"replicas": 2}, {}, "no node fits the cache"),
    ({}, {"AWS_SESSION_TOKEN": "T9"}, "these S3 credentials are temporary"),
    ({"s3_secret": "nowhere"}, {}, "Secret nowhere does not exist"),
    ({"s3_secret": "loaned"}, {}, "the keys in Secret loaned are temporary"),
]


@pytest.mark.parametrize("on", ["client", "cluster"])
@pytest.mark.parametrize(("flags", "env", "message"), LATE, ids=[row[2] for row in LATE])
def test_what_the_plan_shows_is_refused_before_a_byte_moves(
    s3: S3Server,
    hub: FakeHub,
    objects: Objects,
    monkeypatch: pytest.MonkeyPatch,
    on: str,
    flags: dict[str, Any],
    env: dict[str, str],
    message: str,
) -> None:
    for name, value in env.items():
        monkeypatch.setenv(name, value)
    keys = {"AWS_ACCESS_KEY_ID": "A", "AWS_SECRET_ACCESS_KEY": "B", "AWS_SESSION_TOKEN": "C"}
    data = {name: base64.b64encode(value.encode()).decode() for name, value in keys.items()}
    objects.add(SECRETS, {"metadata": {"name": "loaned", "namespace": "ns"}, "data": data})
    requested = make_options(MODEL, **flags)
    staging = make_staging(s3, hub, requested, objects.client, "never-made", on=on, image="i:1")
    with pytest.raises(FluidModelError, match=re.escape(message)):
        make_workflow(objects, staging).plan_ahead(NOTHING_EXISTS, staging)
    assert hub.body_bytes == 0
    assert not {request.method for request in objects.asked} & {"POST", "PATCH", "DELETE"}
    buckets = s3.client().list_buckets()["Buckets"]
    assert "never-made" not in {bucket["Name"] for bucket in buckets}


def test_pods_that_read_from_the_cache_of_another_commit_are_seen_first(
    s3: S3Server, hub: FakeHub, objects: Objects
) -> None:
    staging = make_staging(s3, hub, make_options(MODEL), objects.client, "never-made")
    workflow = make_workflow(objects, staging)
    _, old = plan_offline(replace(staging.staged_options(), commit="0" * 40), "ns")
    existing = json.loads(json.dumps(old.dataset).replace(staging.files.commit, "0" * 40))
    checked = PreflightResult(ExistingObjects(existing, old.runtime))
    objects.lists["/api/v1/nodes"] = [make_node("gpu-0")]
    objects.lists[PODS.path("ns")] = [reader_pod("engine-0", "model")]
    with pytest.raises(FluidModelError, match="pods read from it: engine-0"):
        workflow.plan_ahead(checked, staging)
    assert hub.body_bytes == 0


def test_an_object_created_in_the_meantime_is_not_changed(
    s3: S3Server, hub: FakeHub, objects: Objects
) -> None:
    staging = make_staging(s3, hub, make_options(MODEL), objects.client, "meanwhile")
    workflow = make_workflow(objects, staging)
    taken = {
        "kind": "Dataset",
        "metadata": {
            "name": "model",
            "namespace": "ns",
            "labels": names.managed_labels("model"),
            "annotations": {names.SOURCE_ANNOTATION: "hf://other/model"},
        },
    }
    objects.add(names.DATASETS, taken)
    assert workflow.stage(staging)
    with pytest.raises(FluidModelError, match="the name model is taken"):
        workflow.after_staging(NOTHING_EXISTS)


def test_a_job_needs_an_image_unless_all_is_staged(
    s3: S3Server, hub: FakeHub, objects: Objects
) -> None:
    there = make_staging(s3, hub, make_options(MODEL), objects.client, "imageless", on="cluster")
    with pytest.raises(UsageError, match="needs an image") as caught:
        make_workflow(objects, there).stage(there)
    assert "docker build" in caught.value.hint and "--stage-on client" in caught.value.hint
    assert not there.job.objects() and hub.body_bytes == 0
    assert make_staging(s3, hub, make_options(MODEL), bucket="imageless").run(
        RecordingReporter(), time.monotonic() + 60, wait=True
    )
    assert make_workflow(objects, there).stage(there), "nothing is left for a Job to do"


def test_temporary_keys_are_sent_with_their_token(
    s3: S3Server, hub: FakeHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_SESSION_TOKEN", "T9")
    stager = make_staging(s3, hub, make_options(MODEL), on="cluster", image="i:1")
    (secret,) = stager.job.secrets()
    assert set(secret["data"]) == {
        "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN",
    }  # fmt: skip
    (job,) = stager.job.objects()
    env = job["spec"]["template"]["spec"]["containers"][0]["env"]
    refs = {variable["name"]: variable["valueFrom"] for variable in env if "valueFrom" in variable}
    for name in secret["data"]:
        assert refs[name] == {"secretKeyRef": {"name": "model-store", "key": name}}


@pytest.mark.parametrize("by", ["flag", "HF_ENDPOINT"])
def test_the_job_asks_the_hub_that_the_plan_is_of(
    s3: S3Server, hub: FakeHub, monkeypatch: pytest.MonkeyPatch, by: str
) -> None:
    if by == "HF_ENDPOINT":
        monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", hub.endpoint)
    staging = StagingOptions(
        parse_bucket_prefix("s3://models"),
        hub=HubOptions(hub.endpoint if by == "flag" else None),
        image="i:1",
    )
    options = replace(make_options(MODEL, endpoint=s3.endpoint), staging=staging)
    (job,) = HubStaging.plan(options, "ns", None).job.objects()
    arguments = job["spec"]["template"]["spec"]["containers"][0]["args"]
    assert f"--endpoint-hub={hub.endpoint}" in arguments
    assert f"--endpoint={s3.endpoint}" in arguments


FOREIGN = {"metadata": {"name": "model-hub", "namespace": "ns"}, "data": {"HF_TOKEN": "eA=="}}


@pytest.mark.parametrize(
    ("flags", "message", "way"),
    [
        ({}, "Secret model-hub was not made by this plugin", "--hf-secret model-hub"),
        ({"pull_secrets": ("registry",)}, "Secret registry does not exist", "kubectl get secrets"),
        ({"ca": "configmap/corporate"}, "ConfigMap corporate does not exist", "configmaps"),
        ({"ca": "secret/model-hub"}, "Secret model-hub has no key ca.crt", "secret/model-hub:KEY"),
    ],
)
def test_what_the_job_refers_to_has_to_be_there(
    s3: S3Server,
    hub: FakeHub,
    objects: Objects,
    monkeypatch: pytest.MonkeyPatch,
    flags: dict[str, Any],
    message: str,
    way: str,
) -> None:
    if not flags:
        monkeypatch.setenv("HF_TOKEN", "hf_x")
    objects.add(SECRETS, FOREIGN)
    network = parse_network(
        **{"proxy": None, "no_proxy": None, "ca": None, "pull_secrets": (), **flags}
    )
    stager = make_staging(
        s3,
        hub,
        make_options(MODEL),
        objects.client,
        "models",
        on="cluster",
        image="i:1",
        network=network,
    )
    with pytest.raises(FluidModelError, match=message) as caught:
        make_workflow(objects, stager).plan_ahead(NOTHING_EXISTS, stager)
    assert way in caught.value.hint
    assert not {request.method for request in objects.asked} & {"POST", "PATCH", "DELETE"}


def test_of_two_who_begin_at_once_the_later_one_yields(
    s3: S3Server, hub: FakeHub, objects: Objects
) -> None:
    """Both looked when there was no Job yet, with two models of one last name."""
    stager = make_staging(
        s3, hub, make_options(MODEL), objects.client, "raced", on="cluster", image="i:1"
    )
    (ours,) = stager.job.objects()
    ours["metadata"] |= {"uid": "1", "creationTimestamp": "2026-01-01T00:00:05Z"}
    theirs = json.loads(json.dumps(ours).replace(MODEL, "other/model"))
    theirs["metadata"] |= {"name": "model-stage-1", "creationTimestamp": "2026-01-01T00:00:04Z"}
    objects.add(JOBS, ours)
    objects.lists[JOBS.path("ns")] = [theirs, ours]
    objects.add(SECRETS, {"metadata": {"name": "model-store", "namespace": "ns"}})
    with pytest.raises(FluidModelError, match="name model is taken") as caught:
        stager.run(RecordingReporter(), time.monotonic() + 30, wait=True)
    assert "model-stage-1" in caught.value.reason
    deleted = [request.path for request in objects.asked if request.method == "DELETE"]
    assert deleted == [JOBS.path("ns", ours["metadata"]["name"])]
    # The earlier one goes on.
    objects.add(JOBS, ours)
    theirs["metadata"]["creationTimestamp"] = "2026-01-01T00:00:06Z"
    assert stager.run(RecordingReporter(), time.monotonic() + 30, wait=False) is False


def test_following_a_job_requires_no_image(s3: S3Server, hub: FakeHub, objects: Objects) -> None:
    """As the same command does where FLUIDMODEL_IMAGE is not set, or of an older plugin's Job."""
    there = make_staging(
        s3, hub, make_options(MODEL), objects.client, "followed", on="cluster", image="old:1"
    )
    (running,) = there.job.objects()
    objects.lists[JOBS.path("ns")] = [running]
    reporter = RecordingReporter()
    again = make_staging(s3, hub, make_options(MODEL), objects.client, "followed", on="cluster")
    assert again.run(reporter, time.monotonic() + 30, wait=False) is False
    assert reporter.logged == [f"job.batch/{running['metadata']['name']} found running"]
    assert not {request.method for request in objects.asked} & {"POST", "PATCH", "DELETE"}
    elsewhere = make_staging(
        s3, hub, make_options(MODEL), objects.client, "elsewhere", on="cluster"
    )
    with pytest.raises(UsageError, match="needs an image"):
        elsewhere.run(RecordingReporter(), time.monotonic() + 30, wait=False)


@pytest.mark.parametrize(
    ("on", "env", "asked", "not_asked"),
    [
        ("client", {}, set(), {"create jobs.batch in namespace ns"}),
        (
            "cluster",
            {},
            {"create jobs.batch in namespace ns", "get pods/log in namespace ns"},
            set(),
        ),
        ("cluster", {"HF_TOKEN": "hf_x"}, {"create secrets in namespace ns"}, set()),
    ],
)
def test_staging_permissions_are_checked_first(
    s3: S3Server,
    hub: FakeHub,
    objects: Objects,
    monkeypatch: pytest.MonkeyPatch,
    on: str,
    env: dict[str, str],
    asked: set[str],
    not_asked: set[str],
) -> None:
    for name, value in env.items():
        monkeypatch.setenv(name, value)
    keys = {"AWS_ACCESS_KEY_ID": "QQ==", "AWS_SECRET_ACCESS_KEY": "Qg=="}
    objects.add(SECRETS, {"metadata": {"name": "keys", "namespace": "ns"}, "data": keys})
    options = make_options(MODEL, s3_secret="keys")
    required = {
        str(permission)
        for permission in make_staging(
            s3, hub, options, objects.client, on=on
        ).job.required_permissions()
    }
    assert asked <= required and not (not_asked & required)


def test_local_only_settings_are_reported(
    s3: S3Server, hub: FakeHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A proxy or certificates that got the plan here, and that the Job knows nothing of."""
    flags: dict[str, Any] = {"proxy": None, "no_proxy": None, "ca": None, "pull_secrets": ()}
    network = {**flags, "proxy": "http://p:1", "ca": "configmap/c"}
    here = make_staging(s3, hub, make_options(MODEL), on="cluster", image="i:1")
    there = make_staging(
        s3, hub, make_options(MODEL), on="cluster", image="i:1", network=parse_network(**network)
    )
    mine = make_staging(s3, hub, make_options(MODEL), on="client")
    for name in ("REQUESTS_CA_BUNDLE", "SSL_CERT_FILE", "AWS_CA_BUNDLE", "HTTPS_PROXY"):
        monkeypatch.delenv(name, raising=False)
    assert not [line for line in here.summary_lines() if "--stage-" in line]
    monkeypatch.setenv("SSL_CERT_FILE", "/etc/corporate.pem")
    monkeypatch.setenv("HTTPS_PROXY", "http://proxy:3128")
    public = replace(here.job.hub, endpoint="https://huggingface.co")
    here, there, mine = (
        replace(staging, job=replace(staging.job, hub=public)) for staging in (here, there, mine)
    )
    summary = "\n".join(here.summary_lines())
    assert "--stage-proxy" in summary and "SSL_CERT_FILE" in summary and "--stage-ca" in summary
    for staging in (there, mine):
        assert "--stage-" not in "\n".join(staging.summary_lines())


@pytest.mark.parametrize(
    ("endpoint", "on", "warned"),
    [
        ("http://localhost:8000", "cluster", True),
        ("http://[::1]:8000", "cluster", True),
        ("http://localhost:8000", "client", False),
        ("http://hub.team.svc:8000", "cluster", False),
    ],
)
def test_a_loopback_hub_that_a_job_is_given_is_warned_of(
    s3: S3Server, hub: FakeHub, endpoint: str, on: str, warned: bool
) -> None:
    staging = make_staging(s3, hub, make_options(MODEL), on=on, image="i:1")
    local = replace(staging.job, hub=replace(staging.job.hub, endpoint=endpoint))
    lines = "\n".join(replace(staging, job=local).summary_lines())
    assert (f"warning: the Hub's endpoint {endpoint} is this machine" in lines) is warned
