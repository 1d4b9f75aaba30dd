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
from kubectl_fluidmodel.hub.client import Hub as HubClient
from kubectl_fluidmodel.hub.http import Login
from kubectl_fluidmodel.kube.client import FIELD_MANAGER
from kubectl_fluidmodel.objects.plugin_pod import SecretKey
from kubectl_fluidmodel.objectstore.layout import Destination
from kubectl_fluidmodel.objectstore.s3 import ACCESS_KEY, SECRET_KEY
from kubectl_fluidmodel.stage.job import Settings, build
from tests import weights
from tests.cluster import objects
from tests.cluster.api import Object
from tests.cluster.broken_caches import Ward, ward_of
from tests.cluster.cluster import Cluster
from tests.cluster.image import STAGE
from tests.cluster.objects import FLUID, until
from tests.cluster.s3 import secret
from tests.hub import Hub, Repo

pytestmark = pytest.mark.cluster

MODEL = "acme/tiny-llama"


@pytest.fixture(scope="module")
def ward(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ward]:
    yield from ward_of(cluster, tmp_path_factory.mktemp("loads"))


@pytest.fixture(scope="module")
def bound(ward: Ward) -> str:
    """A cache that is Bound and empty; a test that loads it empties it again."""
    return ward.bound(ward.cache("bound"))


@pytest.fixture
def empty(ward: Ward, cluster: Cluster, bound: str) -> Iterator[str]:
    yield bound
    cluster.alluxio(ward.namespace, bound).set_knobs(
        fail=None, skip_files=None, load_bytes_per_second=None
    )
    for each in ward.api.list(FLUID, "DataLoad", ward.namespace):
        if each["spec"]["dataset"]["name"] == bound:
            ward.api.delete(FLUID, "DataLoad", each["metadata"]["name"], ward.namespace)

    def idle() -> bool:
        """No load is left, nor a pod of one that would go on."""
        loads = ward.api.list(FLUID, "DataLoad", ward.namespace)
        pods = ward.api.list("v1", "Pod", ward.namespace, labelSelector=f"targetDataset={bound}")
        return not pods and not [each for each in loads if each["spec"]["dataset"]["name"] == bound]

    until("the loads to go", idle)
    words = ["-c", "alluxio-master", "--", "alluxio", "fs", "free", "/"]
    cluster.kubectl("exec", "-n", ward.namespace, f"{bound}-master-0", *words)
    until(f"{bound} to be empty", lambda: share(ward, bound) == "0.0%")


def share(ward: Ward, name: str) -> str:
    """Of the model that is cached, as Fluid counts it."""
    states = ward.status("Dataset", name).get("cacheStates") or {}
    return str(states.get("cachedPercentage", ""))


def full(ward: Ward, name: str, percent: str = "100.0%", **how: Any) -> None:
    """Wait until the model is loaded, and nothing is wrong any more."""
    until(f"{name} to be whole", lambda: share(ward, name) == percent)
    ward.well(name, **how)


def load(ward: Ward, name: str, called: str = "", **spec: Any) -> str:
    made = objects.dataload(ward.namespace, name, called)
    made["spec"] |= spec
    ward.api.apply(made)
    return str(made["metadata"]["name"])


def ended(ward: Ward, name: str, phase: str = "Complete") -> None:
    assert objects.loaded(ward.cluster, ward.namespace, name) == phase


# -- loads ------------------------------------------------------------------------------------


@pytest.mark.breaks("FM601")
def test_nothing_was_loaded(ward: Ward, empty: str) -> None:
    found = ward.sees("FM601", empty, ward.ref("dataset", empty))
    assert found.cause == "nothing has loaded the model: 0 B of 3.0 MiB are cached"
    ward.doctor.run(found.fix)
    full(ward, empty)


@pytest.mark.breaks("FM602")
def test_a_load_without_a_namespace(ward: Ward, empty: str) -> None:
    name = load(ward, empty, dataset={"name": empty})
    found = ward.sees("FM602", empty, ward.ref("dataload", name), later=300)
    ward.doctor.run(found.fix)
    ended(ward, name)
    full(ward, empty)


@pytest.mark.breaks("FM603")
def test_a_load_in_another_namespace(ward: Ward, empty: str, namespace: str) -> None:
    made = objects.dataload(ward.namespace, empty)
    made["metadata"]["namespace"] = namespace
    ward.api.apply(made)

    def seen() -> bool:
        ward.doctor.look(everywhere=True, later=300)
        return "FM603" in ward.doctor.codes(empty)

    until("the load that is elsewhere", seen)
    [found] = ward.doctor.found(empty)["FM603"]
    assert found.about == f"dataload {namespace}/{empty}-load"
    ward.doctor.run(found.fix)
    full(ward, empty)


@pytest.mark.breaks("FM604", "FM610")
def test_a_load_that_fails(ward: Ward, cluster: Cluster, empty: str) -> None:
    """The loader's pod says why; once it is gone, the load is all that is known."""
    fail = {"fs distributedLoad": {"times": 1, "message": "Connection refused", "exit": 1}}
    cluster.alluxio(ward.namespace, empty).set_knobs(fail=fail)
    name = load(ward, empty)
    job = f"{name}-loader-job"
    until("the loader's Job", lambda: ward.find("Job", job))
    # As somebody who does not want to wait: by default it is tried four times.
    ward.api.patch("batch/v1", "Job", job, {"spec": {"backoffLimit": 0}}, ward.namespace)
    ended(ward, name, "Failed")
    pods = ward.api.list("v1", "Pod", ward.namespace, labelSelector=f"job-name={job}")
    [pod] = [each["metadata"]["name"] for each in pods]
    found = ward.sees("FM610", empty, ward.ref("pod", pod), hear=True)
    assert found.cause.startswith("the loader failed")
    assert "FM604" in ward.doctor.codes(empty)
    ward.api.delete("v1", "Pod", pod, ward.namespace)
    found = ward.sees("FM604", empty, ward.ref("dataload", name))
    assert "BackoffLimitExceeded" in found.evidence[1].text
    ward.doctor.run(found.fix)
    full(ward, empty)


@pytest.mark.breaks("FM605")
def test_a_load_that_leaves_a_file_out(ward: Ward, cluster: Cluster, empty: str) -> None:
    cluster.alluxio(ward.namespace, empty).set_knobs(skip_files={"*00002*": 1})
    ended(ward, load(ward, empty))
    # Fluid's count may be one sync behind.
    until("its count", lambda: '"2.0' in json.dumps(ward.status("Dataset", empty)))
    found = ward.sees("FM605", empty, ward.ref("dataset", empty), later=300)
    assert "the load is Complete, and 2.0 MiB of 3.0 MiB" in found.cause
    ward.doctor.run(found.fix)
    full(ward, empty)


@pytest.mark.breaks("FM606")
def test_a_load_behind_another(ward: Ward, cluster: Cluster, empty: str) -> None:
    cluster.alluxio(ward.namespace, empty).set_knobs(load_bytes_per_second=1000)
    first = load(ward, empty)
    until("its start", lambda: ward.status("DataLoad", first).get("phase") == "Executing")
    second = load(ward, empty, f"{empty}-second")
    found = ward.sees("FM606", empty, ward.ref("dataload", second), later=300)
    assert found.cause == f"it waits for the load {first}"
    cluster.alluxio(ward.namespace, empty).set_knobs(load_bytes_per_second=None)
    ward.api.delete(FLUID, "DataLoad", first, ward.namespace)
    ended(ward, second)
    full(ward, empty)


@pytest.mark.breaks("FM607")
def test_a_loader_that_no_node_takes(ward: Ward, empty: str) -> None:
    taint = {"key": "team", "value": "llm", "effect": "NoSchedule"}
    node = ward.node("loader", taints=[taint])
    name = load(ward, empty, nodeSelector={"kubernetes.io/hostname": node})

    def waits() -> Object | None:
        labels = f"job-name={name}-loader-job"
        return next(iter(ward.api.list("v1", "Pod", ward.namespace, labelSelector=labels)), None)

    pod = (until("the loader", waits) or {})["metadata"]["name"]
    found = ward.sees("FM607", empty, ward.ref("pod", pod))
    assert "untolerated taint" in found.evidence[0].text
    assert f"{node}: untolerated taint team=llm:NoSchedule" in found.cause
    ward.doctor.run(found.fix)
    full(ward, empty)


@pytest.mark.breaks("FM607")
def test_a_quota_that_allows_no_loader(ward: Ward, empty: str) -> None:
    quota = {
        "apiVersion": "v1",
        "kind": "ResourceQuota",
        "metadata": {"name": "no-pods", "namespace": ward.namespace},
        "spec": {"hard": {"pods": "0"}},
    }
    ward.api.apply(quota)
    try:
        name = load(ward, empty)
        about = ward.ref("dataload", name)

        def refused() -> bool:
            found = ward.sees("FM607", empty, about, later=300)
            assert found.cause == "it is Executing, and there is no pod of its loader"
            return any("exceeded quota: no-pods" in each.text for each in found.evidence)

        until("why there is none", refused)
    finally:
        ward.api.delete("v1", "ResourceQuota", "no-pods", ward.namespace)


@pytest.mark.breaks("FM608")
def test_a_load_of_nothing(ward: Ward) -> None:
    ward.api.apply(objects.dataload(ward.namespace, "gone"))
    ward.doctor.look()
    [found] = ward.doctor.found()["FM608"]
    assert found.about == ward.ref("dataload", "gone-load")
    assert found.cause == f"its Dataset {ward.namespace}/gone does not exist"
    ward.doctor.run(found.fix)
    ward.doctor.look()
    assert "FM608" not in ward.doctor.codes()


@pytest.mark.breaks("FM609")
@pytest.mark.parametrize(
    ("target", "cause"),
    [
        ([], "it names no path, so nothing is loaded"),
        ([{"path": "/config.json", "replicas": 1}], "it loads only /config.json of the model"),
    ],
)
def test_a_load_of_a_part(ward: Ward, empty: str, target: list[dict[str, Any]], cause: str) -> None:
    name = load(ward, empty, target=target)
    ended(ward, name)
    found = ward.sees("FM609", empty, ward.ref("dataload", name), later=300)
    assert found.cause == cause
    ward.doctor.run(found.fix)
    full(ward, empty)


@pytest.mark.breaks("FM611")
def test_a_path_that_is_not_there(ward: Ward, empty: str) -> None:
    name = load(ward, empty, target=[{"path": "/model", "replicas": 1}])
    found = ward.sees("FM611", empty, ward.ref("dataload", name), hear=True,
                      beside=("FM609",))  # fmt: skip
    assert found.cause == "the cache has no path /model"
    ward.doctor.run(found.fix)
    full(ward, empty, hear=True)


@pytest.mark.breaks("FM612")
def test_a_load_of_fewer_copies_than_wanted(ward: Ward) -> None:
    ward.cache("copies", runtime={"replicas": 2, "data": {"replicas": 2}})
    ward.bound("copies")
    name = load(ward, "copies")
    ended(ward, name)
    found = ward.sees("FM612", "copies", ward.ref("dataload", name), later=300)
    assert found.cause == "it makes 1 of the 2 copies of /"
    ward.doctor.run(found.fix)
    full(ward, "copies", "200.0%")


@pytest.mark.breaks("FM614")
def test_a_store_that_lost_files(ward: Ward, cluster: Cluster, empty: str) -> None:
    """As a Dataset that was restored from a backup: its notes are of the model of then."""
    ended(ward, load(ward, empty))
    full(ward, empty)
    note = {"metadata": {"annotations": {names.BYTES_ANNOTATION: str(2 * ward.bytes)}}}
    ward.api.patch(FLUID, "Dataset", empty, note, ward.namespace)
    found = ward.sees("FM614", empty, ward.ref("dataset", empty), later=300)
    assert found.cause.startswith("the store has 3.0 MiB, less than the 6.0 MiB")
    note = {"metadata": {"annotations": {names.BYTES_ANNOTATION: str(ward.bytes)}}}
    ward.api.patch(FLUID, "Dataset", empty, note, ward.namespace)
    full(ward, empty)
    note["metadata"]["annotations"] = {names.BYTES_ANNOTATION: None}  # type: ignore[dict-item]
    ward.api.patch(FLUID, "Dataset", empty, note, ward.namespace)


# -- staging ----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def hub(cluster: Cluster) -> Iterator[Hub]:
    cluster.image(STAGE, path=[str(Path(sys.executable).parent)])
    with Hub(Repo(MODEL, files())) as running:
        yield running


def files() -> dict[str, bytes]:
    return {"model.safetensors": weights.noise(1 << 20), "config.json": b"{}"}


def job(ward: Ward, hub: Hub, name: str, **settings: Any) -> Object:
    """The Job that `cache` would make to stage the newest commit, with ways to spoil it."""
    keys = {ACCESS_KEY: ward.cluster.s3.access_key, SECRET_KEY: ward.cluster.s3.secret_key}
    ward.api.apply(secret(ward.namespace, "stage-keys", keys))
    given = Settings(
        name=name,
        namespace=ward.namespace,
        to=Destination(ward.bucket.name, "staged"),
        endpoint=ward.cluster.s3.endpoint,
        region=ward.cluster.s3.region,
        endpoint_hub=hub.endpoint,
        access_key=SecretKey("stage-keys", ACCESS_KEY),
        secret_key=SecretKey("stage-keys", SECRET_KEY),
        image=STAGE,
    )
    plan = HubClient(Login(hub.endpoint, "")).plan(MODEL)
    made = build(plan, dataclasses.replace(given, **settings))
    return ward.api.apply(made, manager=FIELD_MANAGER)


def over(ward: Ward, made: Object, how: str) -> None:
    def check() -> bool:
        listed = ward.status("Job", made["metadata"]["name"]).get("conditions") or []
        return any(each["type"] == how and each["status"] == "True" for each in listed)

    until(f"{how} of {made['metadata']['name']}", check)


def cached(ward: Ward, hub: Hub, name: str) -> None:
    words = f"kubectl fluidmodel cache {MODEL} --to {ward.bucket.uri('staged')} --name {name}"
    words += f" -n {ward.namespace} --endpoint {ward.cluster.s3.endpoint} --image {STAGE}"
    ward.doctor.run(Fix(f"{words} --endpoint-hub {hub.endpoint}"), timeout=240)
    ward.well(name)


@pytest.mark.breaks("FM623")
def test_staging_that_failed_before_there_was_a_cache(ward: Ward, hub: Hub) -> None:
    """The Job's key is one that the store does not know; `cache` has the right one."""
    wrong = SecretKey("wrong-keys", "hidden")
    ward.api.apply(secret(ward.namespace, "wrong-keys", {"hidden": "not-the-key"}))
    made = job(ward, hub, "abandoned", secret_key=wrong)
    over(ward, made, "Failed")
    ward.doctor.look(hear=True)
    [found] = ward.doctor.found()["FM623"]
    assert found.about == ward.ref("job", made["metadata"]["name"])
    assert found.cause.startswith(f"staging {MODEL} failed, and there is no cache of it: ")
    ward.doctor.run(found.fix, timeout=240)
    ward.well("abandoned")


@pytest.mark.breaks("FM620", "FM621", "FM622")
def test_staging_of_a_later_commit(ward: Ward, hub: Hub) -> None:
    """It runs on, fails, and is there at last; the cache has the earlier commit all the while."""
    cached(ward, hub, "moving")
    held = {"node_selector": {"no": "such"}}
    again = job(ward, hub, "moving", **held)
    found = ward.sees("FM621", "moving", ward.ref("job", again["metadata"]["name"]))
    assert found.cause.startswith("it is still staging the 1.0 MiB of the commit")
    ward.api.delete("batch/v1", "Job", again["metadata"]["name"], ward.namespace)
    until("its end", lambda: not ward.find("Job", again["metadata"]["name"]))
    ward.well("moving")

    moved = hub.repos[MODEL].commit(files())
    ward.api.apply(secret(ward.namespace, "wrong-keys", {"hidden": "not-the-key"}))
    made = job(ward, hub, "moving", secret_key=SecretKey("wrong-keys", "hidden"))
    over(ward, made, "Failed")
    found = ward.sees("FM620", "moving", ward.ref("job", made["metadata"]["name"]), hear=True)
    assert found.cause.startswith(f"staging {MODEL} failed: ")
    ward.api.delete("batch/v1", "Job", made["metadata"]["name"], ward.namespace)

    made = job(ward, hub, "moving")
    over(ward, made, "Complete")
    found = ward.sees("FM622", "moving", ward.ref("dataset", "moving"))
    assert found.cause.startswith(f"commit {moved[:12]} is staged, and the cache holds ")
    ward.doctor.run(Fix(f"{found.fix.text}" if found.fix else ""), timeout=240)
    ward.well("moving")
