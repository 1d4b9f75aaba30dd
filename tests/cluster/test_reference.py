"""`cache dataset://NAMESPACE/NAME` with Fluid's controller of references: made, pinned, removed."""

from __future__ import annotations

import json
import secrets
import subprocess
from collections.abc import Iterator
from typing import Any

import pytest

from tests.cluster import binaries, components
from tests.cluster.objects import FLUID, until
from tests.cluster.operator import Operator
from tests.cluster.pinning import component, graph, running
from tests.cluster.plugin import Plugin, error_line
from tests.cluster.test_cache_rbac import bind

#: Alone, as each process that ran some of these tests would start a controller of its own.
pytestmark = [pytest.mark.cluster, pytest.mark.alone]


@pytest.fixture(scope="module", autouse=True)
def controller(cluster: Any) -> Iterator[None]:
    binary = binaries.ensure(programs=binaries.REFERENCES)["thinruntime-controller"]
    command, environment = components.thinruntime_controller(cluster.layout, binary)
    process = subprocess.Popen(
        command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    yield
    process.terminate()
    process.wait(30)


@pytest.fixture
def team(cluster: Any) -> Iterator[str]:
    """Another namespace than the cache's."""
    name = f"team-{secrets.token_hex(3)}"
    cluster.api.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
    yield name
    cluster.api.delete("v1", "Namespace", name)


def test_a_graph_of_another_namespace_runs_where_the_cache_is(
    cluster: Any, namespace: str, bucket: Any, plugin: Plugin, team: str
) -> None:
    bucket.put_model("demo")
    made = plugin("cache", bucket.uri("demo"), "-o", "json", timeout=300).ok()
    (home,) = json.loads(made.out)["nodes"]
    uri = f"dataset://{namespace}/demo"

    dry = plugin("cache", uri, "-n", team, "--dry-run=server", "-o", "json").ok()
    assert json.loads(dry.out)["items"][0]["spec"]["mounts"] == [{"mountPoint": uri}]
    assert cluster.api.find(FLUID, "Dataset", "demo", team) is None
    done = plugin("cache", uri, "-n", team, timeout=180).ok()
    assert f"demo refers to {namespace}/demo: " in done.out
    assert "all cached by the list of its master" in done.out
    assert "unchanged" in plugin("cache", uri, "-n", team, timeout=60).ok().err

    with Operator(cluster.api):
        cluster.api.create(graph(team, "chat", component("Work")))
        pinned = plugin("pin", "demo", "chat", "-n", team, "--wait", timeout=240).ok()
        assert "1 on a cache node" in pinned.err
        (pod,) = running(cluster, team, "chat", 1)
        assert pod["spec"]["nodeName"] == home
        shown = plugin("inspect", "demo", "-n", team).ok().out
        assert home in shown and uri in shown
        found = json.loads(plugin("doctor", "demo", "-n", team, "-o", "json").out)
        assert [each for each in found["problems"] if each["severity"] == "error"] == []

        held = plugin("uncache", "demo", "--force")
        assert f"other namespaces refer to it: {team}/demo" in error_line(held)
        assert "uncache demo -n" in error_line(held)
        assert cluster.api.find(FLUID, "AlluxioRuntime", "demo", namespace) is not None
        read = plugin("uncache", "demo", "-n", team)
        assert "pods read from cache demo" in error_line(read)
        plugin("unpin", "demo", "chat", "-n", team).ok()
        cluster.api.delete("nvidia.com/v1beta1", "DynamoGraphDeployment", "chat", team)
        until("the pods to go", lambda: not running_readers(cluster, team))
    plugin("uncache", "demo", "-n", team, timeout=120).ok()
    assert cluster.api.find(FLUID, "Dataset", "demo", team) is None
    plugin("uncache", "demo", timeout=120).ok()


def running_readers(cluster: Any, namespace: str) -> list[str]:
    return [
        pod["metadata"]["name"]
        for pod in cluster.api.list("v1", "Pod", namespace)
        if "demo" in str(pod["spec"].get("volumes"))
    ]


def test_the_role_of_the_docs_is_enough(
    cluster: Any, namespace: str, bucket: Any, plugin: Plugin, team: str
) -> None:
    bucket.put_model("demo")
    plugin("cache", bucket.uri("demo"), timeout=300).ok()
    uri, user = f"dataset://{namespace}/demo", f"refers-{team}"
    mine = bind(cluster, team, user, "cache-reference")
    env = {"KUBECONFIG": str(mine)}
    refused = plugin("cache", uri, "-n", team, env=env)
    assert f"get datasets.data.fluid.io in namespace {namespace}" in error_line(refused)
    bind(cluster, namespace, user, "cache-reference-source")
    few = plugin("cache", uri, "-n", team, env=env, timeout=180).ok()
    assert "complete by Fluid's totals" in few.out
    assert "note: compared by Fluid's rounded totals only: missing permission to" in few.err
    plugin("uncache", "demo", "-n", team, timeout=120).ok()
