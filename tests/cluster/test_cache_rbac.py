"""The Roles of docs/rbac.md are exactly enough: no less works, and each lack is named."""

from __future__ import annotations

import copy
import re
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests import weights
from tests.cluster.image import STAGE
from tests.cluster.plugin import Plugin
from tests.hub import FakeHub, Repo

pytestmark = pytest.mark.cluster

DOC = Path(__file__).parents[2] / "docs" / "rbac.md"


def roles(name: str) -> list[dict[str, Any]]:
    """The objects of the YAML block of docs/rbac.md that is marked `role=NAME`."""
    block = re.search(rf"```yaml role={name}\n(.*?)```", DOC.read_text(), re.DOTALL)
    assert block, f"docs/rbac.md has no block role={name}"
    return list(yaml.safe_load_all(block[1]))


def bind(cluster: Any, namespace: str, user: str, *blocks: str) -> Path:
    """A kubeconfig of a user with exactly the Roles of some blocks, in this test's namespace."""
    for block in blocks:
        for role in copy.deepcopy(roles(block)):
            grant(cluster, namespace, user, role)
    return Path(cluster.user_kubeconfig(user, rules=[], namespace=namespace))


def grant(cluster: Any, namespace: str, user: str, role: dict[str, Any]) -> None:
    name = f"{role['metadata']['name']}-{user}"
    role["metadata"]["name"] = name
    if role["metadata"].get("namespace") == "models":
        role["metadata"]["namespace"] = namespace
    cluster.api.apply(role)
    kind = role["kind"]
    binding = {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": f"{kind}Binding",
        "metadata": {"name": name},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": kind, "name": name},
        "subjects": [{"kind": "User", "apiGroup": "rbac.authorization.k8s.io", "name": user}],
    }
    if kind == "Role":
        binding["metadata"]["namespace"] = role["metadata"]["namespace"]
    cluster.api.apply(binding)


def test_the_least_role_builds_a_cache(
    cluster: Any, namespace: str, bucket: Any, plugin: Plugin
) -> None:
    bucket.put_model("demo")
    kubeconfig = bind(cluster, namespace, f"least-{namespace}", "cache")
    done = plugin(
        "cache", bucket.uri("demo"),
        env={"KUBECONFIG": str(kubeconfig)}, timeout=240,
    )  # fmt: skip
    assert done.code == 0, done.err
    assert "without permission to get and create pods/exec" in done.err
    assert "complete by Fluid's totals" in done.out


def test_the_better_role_proves_by_file_and_uncache_has_its_own(
    cluster: Any, namespace: str, bucket: Any, plugin: Plugin
) -> None:
    bucket.put_model("demo")
    kubeconfig = bind(cluster, namespace, f"better-{namespace}", "cache", "cache-better")
    run = ("cache", bucket.uri("demo"))
    done = plugin(*run, env={"KUBECONFIG": str(kubeconfig)}, timeout=240)
    assert done.code == 0, done.err
    assert "every byte proven" in done.out
    (note,) = [line for line in done.err.splitlines() if line.startswith("note: ")]
    assert note.startswith("note: not preheated: there is no image for its pod"), "no right lacks"
    other = bind(cluster, namespace, f"un-{namespace}", "uncache")
    gone = plugin("uncache", "demo", env={"KUBECONFIG": str(other)}, timeout=180)
    assert gone.code == 0, gone.err


def test_a_hub_model_needs_the_documented_roles(
    cluster: Any, namespace: str, bucket: Any, plugin: Plugin
) -> None:
    cluster.image(STAGE, path=[str(Path(sys.executable).parent)])
    few = {"KUBECONFIG": str(bind(cluster, namespace, f"hub-few-{namespace}", "cache"))}
    hub_ = f"hub-{namespace}"
    more = {"KUBECONFIG": str(bind(cluster, namespace, hub_, "cache", "cache-hub"))}
    with FakeHub(Repo("acme/tiny", weights.MODEL)) as hub:
        words = (
            "cache", "acme/tiny", "--to", bucket.uri("models"), "--endpoint-hub", hub.endpoint,
            "--image", STAGE, "--timeout", "150s",
        )  # fmt: skip
        refused = plugin(*words, env=few)
        assert refused.code == 1
        assert f"missing permission to get jobs.batch in namespace {namespace}" in refused.err
        assert hub.body_bytes == 0
        done = plugin(*words, env=more, timeout=240).ok()
        assert "complete by Fluid's totals" in done.out
        here = ("--stage-on", "client", "--name", "here")
        assert "complete" in plugin(*words, *here, env=few, timeout=240).ok().out


def test_uncache_asks_first_and_never_stops_half_way(
    cluster: Any, namespace: str, bucket: Any, plugin: Plugin
) -> None:
    """Under the Role of `cache`, which may delete DataLoads and nothing else."""
    bucket.put_model("demo")
    plugin("cache", bucket.uri("demo"), "--no-wait").ok()
    for index, (group, resource, verb) in enumerate(permissions_of("uncache")):
        if resource in ("jobs", "pods", "persistentvolumeclaims"):
            continue  # seen where they may be, and of these this cache has none
        role = without(roles("uncache")[0], resource, verb)
        user = f"un-lacks-{index}-{namespace}"
        grant(cluster, namespace, user, role)
        kubeconfig = cluster.user_kubeconfig(user, rules=[], namespace=namespace)
        full = f"{resource}.{group}" if group else resource
        for flags in ([], ["--dry-run=server"], ["--dry-run"]):
            done = plugin("uncache", "demo", *flags, env={"KUBECONFIG": str(kubeconfig)})
            assert done.code == 1 and not done.out, (full, verb, flags, done.out, done.err)
            error = done.err.strip().splitlines()[-1]
            assert f"missing permission to {verb} {full} in namespace {namespace}" in error
    for kind in ("Dataset", "AlluxioRuntime", "DataLoad"):
        assert cluster.api.find("data.fluid.io/v1alpha1", kind, "demo", namespace), kind


def permissions_of(block: str) -> list[tuple[str, str, str]]:
    found = []
    for rule in roles(block)[0]["rules"]:
        for resource in rule["resources"]:
            found += [(rule["apiGroups"][0], resource, verb) for verb in rule["verbs"]]
    return found


def without(role: dict[str, Any], resource: str, verb: str) -> dict[str, Any]:
    """A Role less one verb on one resource."""
    rules = []
    for rule in role["rules"]:
        for each in rule["resources"]:
            verbs = [v for v in rule["verbs"] if (each, v) != (resource, verb)]
            rules.append({"apiGroups": rule["apiGroups"], "resources": [each], "verbs": verbs})
    return {**copy.deepcopy(role), "rules": rules}


def test_each_missing_permission_is_named(
    cluster: Any, namespace: str, bucket: Any, plugin: Plugin
) -> None:
    bucket.put_model("demo")
    for index, (group, resource, verb) in enumerate(permissions_of("cache")):
        role = without(roles("cache")[0], resource, verb)
        user = f"lacks-{index}-{namespace}"
        grant(cluster, namespace, user, role)
        kubeconfig = cluster.user_kubeconfig(user, rules=[], namespace=namespace)
        done = plugin(
            "cache", bucket.uri("demo"),
            env={"KUBECONFIG": str(kubeconfig)},
        )  # fmt: skip
        full = f"{resource}.{group}" if group else resource
        assert done.code == 1, (full, verb, done.err)
        error = done.err.strip().splitlines()[-1]
        assert f"missing permission to {verb} {full} in namespace {namespace}" in error
        assert f"try: kubectl auth can-i {verb} {full} -n {namespace}" in error
