"""`prune` from end to end: real API server, Fluid's controllers, real S3."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests import weights
from tests.cluster.objects import FLUID, until
from tests.cluster.plugin import Plugin, error_line
from tests.cluster.test_cache_rbac import bind
from tests.hub import FakeHub, Repo

pytestmark = pytest.mark.cluster

OURS = {"app.kubernetes.io/managed-by": "kubectl-fluidmodel", "fluidmodel.io/model": "gone"}
NOW = ("--older-than", "0")


@pytest.fixture
def hub() -> Iterator[FakeHub]:
    with FakeHub(Repo("acme/tiny", weights.MODEL), Repo("acme/other", weights.MODEL)) as running:
        yield running


def secret(namespace: str, name: str, labels: dict[str, str] | None = None) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": name, "namespace": namespace, "labels": labels or OURS},
    }


def reader(namespace: str, **volume: Any) -> dict[str, Any]:
    container = {
        "name": "main",
        "image": "busybox",
        "volumeMounts": [{"name": "v", "mountPath": "/v"}],
    }
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "reader", "namespace": namespace},
        "spec": {
            "containers": [container],
            "volumes": [{"name": "v", **volume}],
            "tolerations": [{"operator": "Exists"}],
        },
    }


def keys(bucket: Any) -> set[str]:
    listed = bucket.client.list_objects_v2(Bucket=bucket.name)
    return {entry["Key"] for entry in listed.get("Contents") or []}


def items(result: Any) -> dict[str, dict[str, Any]]:
    return {each["name"]: each for each in json.loads(result.out)["items"]}


def revisions(result: Any) -> dict[str, dict[str, Any]]:
    return {name: each for name, each in items(result).items() if each["kind"] == "revision"}


def test_only_revisions_that_no_cache_uses_are_removed(
    namespace: str, bucket: Any, plugin: Plugin, hub: FakeHub
) -> None:
    to, at = bucket.uri("models"), ("--endpoint-hub", hub.endpoint)
    plugin("cache", "acme/tiny", "--to", to, *at, "--stage-on", "client", timeout=240).ok()
    plugin("stage", "acme/other", "--to", to, *at).ok()
    bucket.put("models/acme/other/by-hand.txt", b"?")
    before = keys(bucket)

    young = plugin("prune", "--from", to).ok()
    assert young.out == "there are no leftovers\n", "fourteen days are not over"
    listed = plugin("prune", "--from", to, *NOW, "-o", "json").ok()
    [(uri, found)] = revisions(listed).items()
    assert uri.startswith(f"{to}/acme/other/") and found["kind"] == "revision"
    assert found["bytes"] == json.loads(listed.out)["bytes"] > 0
    assert keys(bucket) == before, "a dry run removes nothing"

    same = plugin("prune", *NOW, "-o", "json").ok()
    assert set(revisions(same)) == {uri}, "the cache's own store is looked into without --from"

    done = plugin("prune", "--from", to, *NOW, "--yes").ok()
    assert f"{uri} removed" in done.err
    gone = before - keys(bucket)
    assert gone and all("/acme/other/" in key for key in gone)
    assert "models/acme/other/by-hand.txt" in keys(bucket)
    assert not [key for key in keys(bucket) if "other/.fluidmodel" in key]
    plugin("stage", "acme/tiny", "--to", to, *at, "--verify").ok()
    assert revisions(plugin("prune", "--from", to, *NOW, "-o", "json").ok()) == {}


def test_our_objects_without_a_cache_are_removed_unless_in_use(
    cluster: Any, namespace: str, plugin: Plugin
) -> None:
    for name in ("gone-store", "used-store"):
        cluster.api.create(secret(namespace, name))
    cluster.api.create(secret(namespace, "foreign", {"fluidmodel.io/model": "gone"}))
    cluster.api.create(reader(namespace, secret={"secretName": "used-store"}))
    found = items(plugin("prune", *NOW, "-o", "json").ok())
    assert set(found) == {f"{namespace}/gone-store", f"{namespace}/used-store"}
    assert found[f"{namespace}/used-store"]["kept"] == "used by Pod reader"
    done = plugin("prune", *NOW, "--yes").ok()
    assert f"Secret {namespace}/gone-store deleted" in done.err
    left = {each["metadata"]["name"] for each in cluster.api.list("v1", "Secret", namespace)}
    assert left == {"used-store", "foreign"}


def test_a_cache_is_removed_only_by_name_and_never_with_a_reader(
    cluster: Any, namespace: str, bucket: Any, plugin: Plugin
) -> None:
    bucket.put_model("demo")
    plugin("cache", bucket.uri("demo"), timeout=180).ok()
    listed = plugin("prune", *NOW, "--yes").ok()
    assert "only removed if named" in listed.out
    assert cluster.api.find(FLUID, "Dataset", "demo", namespace) is not None
    cluster.api.create(reader(namespace, persistentVolumeClaim={"claimName": "demo"}))
    until("the reader", lambda: phase(cluster, namespace) == "Running")
    assert plugin("prune", "demo", *NOW, "--yes").ok().out == "there are no leftovers\n"
    assert cluster.api.find(FLUID, "Dataset", "demo", namespace) is not None
    cluster.api.delete("v1", "Pod", "reader", namespace)
    until("no reader", lambda: cluster.api.find("v1", "Pod", "reader", namespace) is None)
    plugin("prune", "demo", *NOW, "--yes", timeout=180).ok()
    assert cluster.api.find(FLUID, "Dataset", "demo", namespace) is None
    refused = plugin("prune", "demo", *NOW)
    assert "has no cache demo that this plugin created" in error_line(refused)


def phase(cluster: Any, namespace: str) -> str:
    return str(cluster.api.get("v1", "Pod", "reader", namespace)["status"].get("phase"))


def test_who_sees_only_a_namespace_removes_no_revision(
    cluster: Any, namespace: str, bucket: Any, plugin: Plugin, hub: FakeHub
) -> None:
    to = bucket.uri("models")
    plugin("stage", "acme/other", "--to", to, "--endpoint-hub", hub.endpoint).ok()
    cluster.api.create(secret(namespace, "gone-store"))
    before = keys(bucket)
    user = {"KUBECONFIG": str(bind(cluster, namespace, f"prune-{namespace}", "prune"))}
    done = plugin("prune", "--from", to, *NOW, "--yes", env=user).ok()
    assert "caches in other namespaces may use it" in done.out
    assert "no permission" not in done.err
    assert keys(bucket) == before
    assert cluster.api.find("v1", "Secret", "gone-store", namespace) is None
    both = bind(cluster, namespace, f"prune-all-{namespace}", "prune", "prune-revisions")
    plugin("prune", "--from", to, *NOW, "--yes", env={"KUBECONFIG": str(both)}).ok()
    assert keys(bucket) == set()


def test_a_missing_permission_is_named_before_anything_is_deleted(
    cluster: Any, namespace: str, plugin: Plugin
) -> None:
    cluster.api.create(secret(namespace, "gone-store"))
    user = {"KUBECONFIG": str(bind(cluster, namespace, f"look-{namespace}", "inspect"))}
    listed = plugin("prune", *NOW, env=user).ok()
    assert "note: secrets are skipped" in listed.err
    few = [{"apiGroups": [""], "resources": ["secrets"], "verbs": ["list"]}]
    some = str(cluster.user_kubeconfig(f"few-{namespace}", rules=few, namespace=namespace))
    refused = plugin("prune", *NOW, "--yes", env={"KUBECONFIG": some})
    assert refused.code == 1
    assert "datasets" in error_line(refused)
    assert cluster.api.find("v1", "Secret", "gone-store", namespace) is not None
