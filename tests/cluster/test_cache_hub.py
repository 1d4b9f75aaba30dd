"""`cache org/model --to s3://…`: from the Hub to a proven cache in one command."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests import weights
from tests.cluster.image import STAGE
from tests.cluster.plugin import Plugin, error_line
from tests.hub import FakeHub, Repo

pytestmark = pytest.mark.cluster

FLUID = "data.fluid.io/v1alpha1"
MODEL = "acme/tiny-llama"
TOKEN = "hf_secret_of_the_test"


def files() -> dict[str, bytes]:
    shards = {
        f"model-0000{n}-of-00002.safetensors": weights.random_safetensors(3 << 20) for n in (1, 2)
    }
    return {**shards, "config.json": b"{}", "original/params.pth": b"left out by default"}


@pytest.fixture
def hub() -> Iterator[FakeHub]:
    with FakeHub(Repo(MODEL, files())) as running:
        yield running


@pytest.fixture
def stage(cluster: Any, hub: FakeHub, bucket: Any, plugin: Plugin) -> Any:
    """Run `cache` on the hub's model, staged below models/ of the test's bucket."""
    cluster.image(STAGE, path=[str(Path(sys.executable).parent)])

    def run(*arguments: str, **settings: Any) -> Any:
        settings.setdefault("timeout", 240)
        arguments = ("--timeout", "150s", *arguments)
        return plugin(
            "cache", MODEL, "--to", bucket.uri("models"), "--endpoint-hub", hub.endpoint,
            "--image", STAGE, *arguments, **settings,
        )  # fmt: skip

    return run


def test_one_command_from_the_hub_to_a_proven_cache(
    cluster: Any, namespace: str, bucket: Any, hub: FakeHub, stage: Any
) -> None:
    head = hub.repos[MODEL].head
    done = stage("-o", "json", env={"HF_TOKEN": TOKEN}).ok()
    report = json.loads(done.out)
    assert report["source"] == f"hf://{MODEL}" and report["commit"] == head
    assert report["files"] == 3 and report["proof"]["complete"]
    dataset = cluster.api.get(FLUID, "Dataset", "tiny-llama", namespace)
    assert dataset["spec"]["mounts"][0]["mountPoint"] == bucket.uri(f"models/{MODEL}/{head}")
    assert dataset["metadata"]["annotations"]["fluidmodel.io/commit"] == head
    jobs = cluster.api.list("batch/v1", "Job", namespace, labelSelector="fluidmodel.io/stage")
    assert len(jobs) == 1 and TOKEN not in json.dumps(jobs) + done.out + done.err
    assert cluster.s3.secret_key not in json.dumps(jobs) + done.out + done.err

    again = stage(env={"HF_TOKEN": TOKEN}).ok()
    assert "already staged" in again.err and "already complete" in again.err

    moved = hub.repos[MODEL].commit(files())
    newer = stage("-o", "json", env={"HF_TOKEN": TOKEN}).ok()
    assert json.loads(newer.out)["commit"] == moved
    assert "recreating it" in newer.err
    held = bucket.sizes(f"models/{MODEL}/{head}/")
    assert held, "a new revision goes beside the old one"


def test_from_this_machine_in_one_view(
    cluster: Any, namespace: str, bucket: Any, hub: FakeHub, stage: Any
) -> None:
    hub.total.rate = 0.5e6
    done = stage("--stage-on", "client", "-o", "json").ok()
    assert "stage: " in done.err and "load: " in done.err
    assert " left (" in done.err and " in total)" in done.err
    assert json.loads(done.out)["proof"]["complete"]
    assert not cluster.api.list("batch/v1", "Job", namespace, labelSelector="fluidmodel.io/stage")


def test_no_wait_ends_once_the_job_is_started(
    cluster: Any, namespace: str, hub: FakeHub, stage: Any
) -> None:
    started = stage("--no-wait").ok()
    assert "run the same command again" in started.err
    assert cluster.api.find(FLUID, "Dataset", "tiny-llama", namespace) is None
    done = stage().ok()
    assert "every byte proven" in done.out


def test_a_dry_run_prints_the_job_too_and_writes_nothing(
    cluster: Any, namespace: str, bucket: Any, hub: FakeHub, stage: Any, plugin: Plugin
) -> None:
    offline = stage("--dry-run", env={"KUBECONFIG": None}).ok()
    kinds = [obj["kind"] for obj in yaml.safe_load_all(offline.out)]
    assert kinds == ["Job", "Dataset", "AlluxioRuntime", "DataLoad"]
    server = stage("--dry-run=server", "-o", "name").ok()
    assert [line.split(".")[0].split("/")[0] for line in server.out.split()] == [
        "job", "dataset", "alluxioruntime", "dataload",
    ]  # fmt: skip
    assert not bucket.sizes() and not cluster.api.list("batch/v1", "Job", namespace)
    refused = plugin("cache", MODEL)
    assert refused.code == 2 and "--to s3://BUCKET" in error_line(refused)


def jobs_of(cluster: Any, namespace: str) -> dict[str, str]:
    """The staging Jobs by UID, with what they stage."""
    found = cluster.api.list("batch/v1", "Job", namespace, labelSelector="fluidmodel.io/stage")
    return {
        each["metadata"]["uid"]: each["metadata"]["annotations"]["fluidmodel.io/source"]
        for each in found
        if not each["metadata"].get("deletionTimestamp")
    }


def test_a_run_touches_only_the_job_of_its_own_model_and_commit(
    cluster: Any, namespace: str, bucket: Any, hub: FakeHub, stage: Any, plugin: Plugin
) -> None:
    head = hub.repos[MODEL].head
    hub.pause_after = 1 << 20
    stage("--no-wait").ok()
    first = jobs_of(cluster, namespace)
    assert list(first.values()) == [f"hf://{MODEL}@{head}"]
    # Another model whose last part is the same, as a second beginner would.
    with FakeHub(Repo("other/tiny-llama", files())) as theirs:
        refused = plugin(
            "cache", "other/tiny-llama", "--to", bucket.uri("models"),
            "--endpoint-hub", theirs.endpoint, "--image", STAGE,
        )  # fmt: skip
    assert refused.code == 1
    assert "the name tiny-llama is taken" in error_line(refused)
    assert f"is staging hf://{MODEL}@" in error_line(refused)
    assert jobs_of(cluster, namespace) == first
    # The branch moves while the Job is at work: what it has done is not thrown away.
    moved = hub.repos[MODEL].commit(files())
    newer = stage("--no-wait").ok()
    assert f"is still staging commit {head[:12]}, and is left running" in newer.err
    both = jobs_of(cluster, namespace)
    assert first.items() <= both.items()
    assert sorted(both.values()) == sorted([f"hf://{MODEL}@{head}", f"hf://{MODEL}@{moved}"])
    gone = plugin("uncache", "tiny-llama", timeout=120).ok()
    assert gone.out.count("job.batch/tiny-llama-stage-") == 2
    assert not jobs_of(cluster, namespace)


def test_without_an_image_both_fixes_are_named(
    cluster: Any, namespace: str, bucket: Any, hub: FakeHub, plugin: Plugin
) -> None:
    words = ("cache", MODEL, "--to", bucket.uri("models"), "--endpoint-hub", hub.endpoint)
    for flags in ([], ["--dry-run=server"]):
        refused = plugin(*words, *flags)
        assert refused.code == 2
        assert "docker build" in error_line(refused) and "--stage-on client" in error_line(refused)
    printed = plugin(*words, "--dry-run").ok()
    kinds = [obj["kind"] for obj in yaml.safe_load_all(printed.out)]
    assert kinds == ["Dataset", "AlluxioRuntime", "DataLoad"]
    assert "the staging Job is not printed" in printed.err
    assert not jobs_of(cluster, namespace) and hub.body_bytes == 0
    image = {"FLUIDMODEL_IMAGE": STAGE}
    named = plugin(*words, "--dry-run=server", "-o", "name", env=image).ok()
    assert named.out.startswith("job.batch/tiny-llama-stage-")


def test_the_jobs_network_settings_fit_the_real_schema(
    cluster: Any, namespace: str, stage: Any
) -> None:
    flags = ("--stage-proxy", "http://proxy:3128", "--stage-ca", "configmap/corporate:ca.pem")
    printed = stage("--dry-run", *flags, "--image-pull-secret", "registry").ok()
    sent = cluster.kubectl(
        "apply", "--server-side", "--dry-run=server", "--validate=strict", "-n", namespace, "-f",
        "-", input=printed.out, check=False,
    )  # fmt: skip
    assert sent.returncode == 0, sent.stderr


def test_a_gated_model_names_the_page_that_grants_access(
    cluster: Any, namespace: str, hub: FakeHub, stage: Any
) -> None:
    hub.gated[MODEL] = set()
    done = stage(env={"HF_TOKEN": TOKEN})
    assert done.code == 1
    assert MODEL in error_line(done) and "terms" in error_line(done)
    assert cluster.api.find(FLUID, "Dataset", "tiny-llama", namespace) is None
