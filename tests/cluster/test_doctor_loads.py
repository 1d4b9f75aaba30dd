"""Doctor's checks of staging and loads, each broken for real and mended by the printed fix."""

from __future__ import annotations

import dataclasses
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from kubectl_fluidmodel.doctor.check import Fix
from kubectl_fluidmodel.fluid import names
from kubectl_fluidmodel.hub.client import HubClient as HubClient
from kubectl_fluidmodel.hub.http import HubCredentials
from kubectl_fluidmodel.kube.client import FIELD_MANAGER
from kubectl_fluidmodel.objects.plugin_pod import SecretKey
from kubectl_fluidmodel.objectstore.layout import BucketPrefix
from kubectl_fluidmodel.objectstore.s3_credentials import ACCESS_KEY, SECRET_KEY
from kubectl_fluidmodel.stage.job import JobSettings, build_job
from tests import weights
from tests.cluster import objects
from tests.cluster.api import Object
from tests.cluster.broken_caches import BrokenCaches, manage_broken_caches
from tests.cluster.cluster import Cluster
from tests.cluster.image import STAGE
from tests.cluster.objects import FLUID, until
from tests.cluster.s3 import secret
from tests.hub import FakeHub, Repo

pytestmark = pytest.mark.cluster

MODEL = "acme/tiny-llama"


@pytest.fixture(scope="module")
def caches(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[BrokenCaches]:
    yield from manage_broken_caches(cluster, tmp_path_factory.mktemp("loads"))


@pytest.fixture(scope="module")
def bound(caches: BrokenCaches) -> str:
    """A cache that is Bound and empty; a test that loads it empties it again."""
    return caches.wait_until_bound(caches.create_cache("bound"))


@pytest.fixture
def empty(caches: BrokenCaches, cluster: Cluster, bound: str) -> Iterator[str]:
    yield bound
    cluster.alluxio(caches.namespace, bound).set_knobs(
        fail=None, skip_files=None, load_bytes_per_second=None
    )
    for each in caches.api.list(FLUID, "DataLoad", caches.namespace):
        if each["spec"]["dataset"]["name"] == bound:
            caches.api.delete(FLUID, "DataLoad", each["metadata"]["name"], caches.namespace)

    def idle() -> bool:
        """No load is left, nor its Job, its pods and its lock: the next load would wait for it."""
        loads = caches.api.list(FLUID, "DataLoad", caches.namespace)
        selector = f"targetDataset={bound}"
        pods = caches.api.list("v1", "Pod", caches.namespace, labelSelector=selector)
        jobs = caches.api.list("batch/v1", "Job", caches.namespace, labelSelector=selector)
        left = [each for each in loads if each["spec"]["dataset"]["name"] == bound]
        locked = caches.status_of("Dataset", bound).get("operationRef")
        return not pods and not jobs and not left and not locked

    until("the loads to go", idle)
    words = ["-c", "alluxio-master", "--", "alluxio", "fs", "free", "/"]
    cluster.kubectl("exec", "-n", caches.namespace, f"{bound}-master-0", *words)
    until(f"{bound} to be empty", lambda: share(caches, bound) == "0.0%")


def share(caches: BrokenCaches, name: str) -> str:
    """Of the model that is cached, as Fluid counts it."""
    states = caches.status_of("Dataset", name).get("cacheStates") or {}
    return str(states.get("cachedPercentage", ""))


def full(caches: BrokenCaches, name: str, percent: str = "100.0%", **how: Any) -> None:
    """Wait until the model is loaded, and nothing is wrong any more."""
    until(f"{name} to be whole", lambda: share(caches, name) == percent)
    caches.wait_until_healthy(name, **how)


def load(caches: BrokenCaches, name: str, called: str = "", **spec: Any) -> str:
    made = objects.dataload(caches.namespace, name, called)
    made["spec"] |= spec
    caches.api.apply(made)
    return str(made["metadata"]["name"])


def ended(caches: BrokenCaches, name: str, phase: str = "Complete") -> None:
    assert objects.loaded(caches.cluster, caches.namespace, name) == phase


# -- loads ------------------------------------------------------------------------------------


@pytest.mark.breaks("FM601")
def test_cache_without_a_load_is_reported(caches: BrokenCaches, empty: str) -> None:
    found = caches.wait_for_root("FM601", empty, caches.reference("dataset", empty))
    assert found.cause == "nothing has loaded the model: 0 B of 3.0 MiB are cached"
    caches.doctor.run(found.fix)
    full(caches, empty)


@pytest.mark.breaks("FM602")
def test_load_without_a_dataset_namespace_is_reported(caches: BrokenCaches, empty: str) -> None:
    name = load(caches, empty, dataset={"name": empty})
    found = caches.wait_for_root("FM602", empty, caches.reference("dataload", name), later=300)
    caches.doctor.run(found.fix)
    ended(caches, name)
    full(caches, empty)


@pytest.mark.breaks("FM603")
def test_load_in_another_namespace_is_reported(
    caches: BrokenCaches, empty: str, namespace: str
) -> None:
    made = objects.dataload(caches.namespace, empty)
    made["metadata"]["namespace"] = namespace
    caches.api.apply(made)

    def seen() -> bool:
        caches.doctor.diagnose(everywhere=True, later=300)
        return "FM603" in caches.doctor.codes(empty)

    until("the load that is elsewhere", seen)
    [found] = caches.doctor.found(empty)["FM603"]
    assert found.about == f"dataload {namespace}/{empty}-load"
    caches.doctor.run(found.fix)
    full(caches, empty)


@pytest.mark.breaks("FM604", "FM610")
def test_failed_load_is_reported(caches: BrokenCaches, cluster: Cluster, empty: str) -> None:
    """The loader's pod says why; once it is gone, the load is all that is known."""
    fail = {"fs distributedLoad": {"times": 1, "message": "Connection refused", "exit": 1}}
    cluster.alluxio(caches.namespace, empty).set_knobs(fail=fail)
    name = load(caches, empty)
    job = f"{name}-loader-job"
    until("the loader's Job", lambda: caches.find("Job", job))
    # As somebody who does not want to wait: by default it is tried four times.
    caches.api.patch("batch/v1", "Job", job, {"spec": {"backoffLimit": 0}}, caches.namespace)
    ended(caches, name, "Failed")
    pods = caches.api.list("v1", "Pod", caches.namespace, labelSelector=f"job-name={job}")
    [pod] = [each["metadata"]["name"] for each in pods]
    found = caches.wait_for_root("FM610", empty, caches.reference("pod", pod), read_logs=True)
    assert found.cause.startswith("the loader failed")
    assert "FM604" in caches.doctor.codes(empty)
    caches.api.delete("v1", "Pod", pod, caches.namespace)
    found = caches.wait_for_root("FM604", empty, caches.reference("dataload", name))
    assert "BackoffLimitExceeded" in found.evidence[1].text
    caches.doctor.run(found.fix)
    full(caches, empty)


@pytest.mark.breaks("FM605")
def test_incomplete_load_is_reported(caches: BrokenCaches, cluster: Cluster, empty: str) -> None:
    cluster.alluxio(caches.namespace, empty).set_knobs(skip_files={"*00002*": 1})
    ended(caches, load(caches, empty))
    # Fluid's count may be one sync behind.
    until("its count", lambda: '"2.0' in json.dumps(caches.status_of("Dataset", empty)))
    found = caches.wait_for_root("FM605", empty, caches.reference("dataset", empty), later=300)
    assert "the load is Complete, and 2.0 MiB of 3.0 MiB" in found.cause
    caches.doctor.run(found.fix)
    full(caches, empty)


@pytest.mark.breaks("FM606")
def test_load_waiting_for_another_is_reported(
    caches: BrokenCaches, cluster: Cluster, empty: str
) -> None:
    cluster.alluxio(caches.namespace, empty).set_knobs(load_bytes_per_second=1000)
    first = load(caches, empty)
    until("its start", lambda: caches.status_of("DataLoad", first).get("phase") == "Executing")
    second = load(caches, empty, f"{empty}-second")
    found = caches.wait_for_root("FM606", empty, caches.reference("dataload", second), later=300)
    assert found.cause == f"it waits for the load {first}"
    cluster.alluxio(caches.namespace, empty).set_knobs(load_bytes_per_second=None)
    caches.api.delete(FLUID, "DataLoad", first, caches.namespace)
    ended(caches, second)
    full(caches, empty)


@pytest.mark.breaks("FM607")
def test_unschedulable_loader_is_reported(caches: BrokenCaches, empty: str) -> None:
    taint = {"key": "team", "value": "llm", "effect": "NoSchedule"}
    node = caches.add_node("loader", taints=[taint])
    name = load(caches, empty, nodeSelector={"kubernetes.io/hostname": node})

    def waits() -> Object | None:
        labels = f"job-name={name}-loader-job"
        return next(
            iter(caches.api.list("v1", "Pod", caches.namespace, labelSelector=labels)), None
        )

    pod = (until("the loader", waits) or {})["metadata"]["name"]
    found = caches.wait_for_root("FM607", empty, caches.reference("pod", pod))
    assert "untolerated taint" in found.evidence[0].text
    assert f"{node}: untolerated taint team=llm:NoSchedule" in found.cause
    caches.doctor.run(found.fix)
    full(caches, empty)


@pytest.mark.breaks("FM607")
def test_quota_that_forbids_the_loader_is_reported(caches: BrokenCaches, empty: str) -> None:
    quota = {
        "apiVersion": "v1",
        "kind": "ResourceQuota",
        "metadata": {"name": "no-pods", "namespace": caches.namespace},
        "spec": {"hard": {"pods": "0"}},
    }
    caches.api.apply(quota)
    try:
        name = load(caches, empty)
        about = caches.reference("dataload", name)

        def refused() -> bool:
            found = caches.wait_for_root("FM607", empty, about, later=300)
            assert found.cause == "it is Executing, but its loader has no pod"
            return any("exceeded quota: no-pods" in each.text for each in found.evidence)

        until("why there is none", refused)
    finally:
        caches.api.delete("v1", "ResourceQuota", "no-pods", caches.namespace)


@pytest.mark.breaks("FM608")
def test_load_without_a_dataset_is_reported(caches: BrokenCaches) -> None:
    caches.api.apply(objects.dataload(caches.namespace, "gone"))
    caches.doctor.diagnose()
    [found] = caches.doctor.found()["FM608"]
    assert found.about == caches.reference("dataload", "gone-load")
    assert found.cause == f"its Dataset {caches.namespace}/gone does not exist"
    caches.doctor.run(found.fix)
    caches.doctor.diagnose()
    assert "FM608" not in caches.doctor.codes()


@pytest.mark.breaks("FM609")
@pytest.mark.parametrize(
    ("target", "cause"),
    [
        ([{"path": "/config.json", "replicas": 1}], "it loads only /config.json of the model"),
    ],
)
def test_partial_load_target_is_reported(
    caches: BrokenCaches, empty: str, target: list[dict[str, Any]], cause: str
) -> None:
    name = load(caches, empty, target=target)
    ended(caches, name)
    found = caches.wait_for_root("FM609", empty, caches.reference("dataload", name), later=300)
    assert found.cause == cause
    caches.doctor.run(found.fix)
    full(caches, empty)


@pytest.mark.parametrize("spec", [{}, {"target": []}], ids=["no target", "an empty target"])
def test_load_without_a_target_loads_everything(
    caches: BrokenCaches, empty: str, spec: dict[str, Any]
) -> None:
    made = objects.dataload(caches.namespace, empty)
    del made["spec"]["target"]
    made["spec"] |= spec
    caches.api.apply(made)
    ended(caches, made["metadata"]["name"])
    full(caches, empty)


@pytest.mark.breaks("FM611")
def test_missing_load_path_is_reported(caches: BrokenCaches, empty: str) -> None:
    name = load(caches, empty, target=[{"path": "/model", "replicas": 1}])
    found = caches.wait_for_root("FM611", empty, caches.reference("dataload", name), read_logs=True,
                      beside=("FM609",))  # fmt: skip
    assert found.cause == "the cache has no path /model"
    caches.doctor.run(found.fix)
    full(caches, empty, read_logs=True)


@pytest.mark.breaks("FM612")
def test_load_with_too_few_copies_is_reported(caches: BrokenCaches) -> None:
    caches.create_cache("copies", runtime={"replicas": 2, "data": {"replicas": 2}})
    caches.wait_until_bound("copies")
    name = load(caches, "copies")
    ended(caches, name)
    found = caches.wait_for_root("FM612", "copies", caches.reference("dataload", name), later=300)
    assert found.cause == "it makes 1 of the 2 copies of /"
    caches.doctor.run(found.fix)
    full(caches, "copies", "200.0%")


@pytest.mark.breaks("FM614")
def test_source_with_missing_files_is_reported(
    caches: BrokenCaches, cluster: Cluster, empty: str
) -> None:
    """As a Dataset that was restored from a backup: its notes are of the model of then."""
    ended(caches, load(caches, empty))
    full(caches, empty)
    note = {"metadata": {"annotations": {names.BYTES_ANNOTATION: str(2 * caches.bytes)}}}
    caches.api.patch(FLUID, "Dataset", empty, note, caches.namespace)
    found = caches.wait_for_root("FM614", empty, caches.reference("dataset", empty), later=300)
    assert found.cause.startswith("the store has 3.0 MiB, less than the 6.0 MiB")
    note = {"metadata": {"annotations": {names.BYTES_ANNOTATION: str(caches.bytes)}}}
    caches.api.patch(FLUID, "Dataset", empty, note, caches.namespace)
    full(caches, empty)
    note["metadata"]["annotations"] = {names.BYTES_ANNOTATION: None}  # type: ignore[dict-item]
    caches.api.patch(FLUID, "Dataset", empty, note, caches.namespace)


# -- staging ----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def hub(cluster: Cluster) -> Iterator[FakeHub]:
    cluster.image(STAGE, path=[str(Path(sys.executable).parent)])
    with FakeHub(Repo(MODEL, files())) as running:
        yield running


def files() -> dict[str, bytes]:
    return {"model.safetensors": weights.random_safetensors(1 << 20), "config.json": b"{}"}


def job(caches: BrokenCaches, hub: FakeHub, name: str, **settings: Any) -> Object:
    """The Job that `cache` would make to stage the newest commit, with ways to spoil it."""
    keys = {ACCESS_KEY: caches.cluster.s3.access_key, SECRET_KEY: caches.cluster.s3.secret_key}
    caches.api.apply(secret(caches.namespace, "stage-keys", keys))
    given = JobSettings(
        name=name,
        namespace=caches.namespace,
        to=BucketPrefix(caches.bucket.name, "staged"),
        endpoint=caches.cluster.s3.endpoint,
        region=caches.cluster.s3.region,
        endpoint_hub=hub.endpoint,
        access_key=SecretKey("stage-keys", ACCESS_KEY),
        secret_key=SecretKey("stage-keys", SECRET_KEY),
        image=STAGE,
    )
    plan = HubClient(HubCredentials(hub.endpoint, "")).plan(MODEL)
    made = build_job(plan, dataclasses.replace(given, **settings))
    return caches.api.apply(made, manager=FIELD_MANAGER)


def over(caches: BrokenCaches, made: Object, how: str) -> None:
    def check() -> bool:
        listed = caches.status_of("Job", made["metadata"]["name"]).get("conditions") or []
        return any(each["type"] == how and each["status"] == "True" for each in listed)

    until(f"{how} of {made['metadata']['name']}", check)


def cached(caches: BrokenCaches, hub: FakeHub, name: str) -> None:
    words = f"kubectl fluidmodel cache {MODEL} --to {caches.bucket.uri('staged')} --name {name}"
    words += f" -n {caches.namespace} --endpoint {caches.cluster.s3.endpoint} --image {STAGE}"
    caches.doctor.run(Fix(f"{words} --endpoint-hub {hub.endpoint}"), timeout=240)
    caches.wait_until_healthy(name)


@pytest.mark.breaks("FM623")
def test_failed_staging_without_a_cache_is_reported(caches: BrokenCaches, hub: FakeHub) -> None:
    """The Job's key is one that the store does not know; `cache` has the right one."""
    wrong = SecretKey("wrong-keys", "hidden")
    caches.api.apply(secret(caches.namespace, "wrong-keys", {"hidden": "not-the-key"}))
    made = job(caches, hub, "abandoned", secret_key=wrong)
    over(caches, made, "Failed")
    caches.doctor.diagnose(read_logs=True)
    [found] = caches.doctor.found()["FM623"]
    assert found.about == caches.reference("job", made["metadata"]["name"])
    assert found.cause.startswith(f"staging {MODEL} failed, and there is no cache of it: ")
    caches.doctor.run(found.fix, timeout=240)
    caches.wait_until_healthy("abandoned")


@pytest.mark.breaks("FM620", "FM621", "FM622")
def test_newer_staged_commit_is_reported(caches: BrokenCaches, hub: FakeHub) -> None:
    """It runs on, fails, and is there at last; the cache has the earlier commit all the while."""
    cached(caches, hub, "moving")
    held = {"node_selector": {"no": "such"}}
    again = job(caches, hub, "moving", **held)
    found = caches.wait_for_root(
        "FM621", "moving", caches.reference("job", again["metadata"]["name"])
    )
    assert found.cause.startswith("it is still staging the 1.0 MiB of the commit")
    caches.api.delete("batch/v1", "Job", again["metadata"]["name"], caches.namespace)
    until("its end", lambda: not caches.find("Job", again["metadata"]["name"]))
    caches.wait_until_healthy("moving")

    moved = hub.repos[MODEL].commit(files())
    caches.api.apply(secret(caches.namespace, "wrong-keys", {"hidden": "not-the-key"}))
    made = job(caches, hub, "moving", secret_key=SecretKey("wrong-keys", "hidden"))
    over(caches, made, "Failed")
    found = caches.wait_for_root(
        "FM620", "moving", caches.reference("job", made["metadata"]["name"]), read_logs=True
    )
    assert found.cause.startswith(f"staging {MODEL} failed: ")
    caches.api.delete("batch/v1", "Job", made["metadata"]["name"], caches.namespace)

    made = job(caches, hub, "moving")
    over(caches, made, "Complete")
    found = caches.wait_for_root("FM622", "moving", caches.reference("dataset", "moving"))
    assert found.cause.startswith(f"commit {moved[:12]} is staged, and the cache holds ")
    caches.doctor.run(found.fix, timeout=240)
    assert not caches.find("Dataset", "moving")
    caches.wait_until_healthy(f"moving-{moved[:7]}")


@pytest.mark.breaks("FM615")
def test_alluxio_without_distributed_load_is_reported_before_the_load_fails(
    caches: BrokenCaches,
) -> None:
    caches.create_cache("too-new", runtime={"alluxioVersion": {"imageTag": "2.9.4"}})
    caches.wait_until_bound("too-new")
    about = caches.reference("alluxioruntime", "too-new")
    found = caches.wait_for_root("FM615", "too-new", about)
    assert found.evidence[0].text.endswith(":2.9.4"), found.evidence
    caches.doctor.run(found.fix)
    caches.wait_until_bound("too-new")
    caches.doctor.diagnose()
    assert "FM615" not in caches.doctor.codes("too-new")
