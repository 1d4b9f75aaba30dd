"""The Roles of docs/rbac.md for `pin`, `unpin` and TAB: enough, and no more than is needed."""

from __future__ import annotations

import copy
from collections.abc import Iterator

import pytest

from tests.cluster.cluster import Cluster
from tests.cluster.operator import Operator
from tests.cluster.pinning import cache, component, graph
from tests.cluster.plugin import Plugin
from tests.cluster.test_cache_rbac import bind, grant, roles

pytestmark = pytest.mark.cluster


@pytest.fixture(scope="module", autouse=True)
def operator(cluster: Cluster) -> Iterator[Operator]:
    with Operator(cluster.api) as found:
        yield found


@pytest.fixture
def pinnable(cluster: Cluster, namespace: str) -> None:
    cache(cluster, namespace, "llama", ["gpu-0"])
    cluster.api.create(graph(namespace, "chat", component("decode", gpus=0)))


def test_the_least_role_pins_and_unpins(
    cluster: Cluster, namespace: str, plugin: Plugin, pinnable: None
) -> None:
    env = {"KUBECONFIG": str(bind(cluster, namespace, f"pin-{namespace}", "pin"))}
    done = plugin("pin", "llama", "chat", env=env).ok()
    assert "the cache llama was not checked: datasets (" in done.err
    gone = plugin("unpin", "llama", "chat", env=env).ok()
    assert "unpinned from llama" in gone.out


def test_the_better_role_checks_and_waits(
    cluster: Cluster, namespace: str, plugin: Plugin, pinnable: None
) -> None:
    kubeconfig = bind(cluster, namespace, f"better-{namespace}", "pin", "pin-better")
    done = plugin("pin", "llama", "chat", "--wait", env={"KUBECONFIG": str(kubeconfig)}).ok()
    assert "not checked" not in done.err
    assert "1 pod ready, 1 on a cache node" in done.err


def test_each_verb_of_the_least_role_is_needed(
    cluster: Cluster, namespace: str, plugin: Plugin, pinnable: None
) -> None:
    """Without either of them pin fails in one line that names it, and nothing is changed."""
    for verb in ("get", "patch"):
        role = copy.deepcopy(roles("pin")[0])
        (rule,) = role["rules"]
        rule["verbs"].remove(verb)
        user = f"lacks-{verb}-{namespace}"
        grant(cluster, namespace, user, role)
        kubeconfig = cluster.user_kubeconfig(user, rules=[], namespace=namespace)
        done = plugin("pin", "llama", "chat", env={"KUBECONFIG": str(kubeconfig)})
        assert done.code == 1, (verb, done.out, done.err)
        assert f"cannot {verb} " in done.err.splitlines()[-1]
    pinned = cluster.api.get("nvidia.com/v1beta1", "DynamoGraphDeployment", "chat", namespace)
    assert "annotations" not in pinned["metadata"]
