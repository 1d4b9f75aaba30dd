"""A user's kuberc says which credential plugins may run."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.kube.conformance.comparison import Comparison

ANSWER = (
    "echo '"
    + json.dumps(
        {
            "apiVersion": "client.authentication.k8s.io/v1",
            "kind": "ExecCredential",
            "status": {"token": "t"},
        }
    )
    + "'"
)


@pytest.fixture(autouse=True)
def _plugin(comparison: Comparison) -> None:
    comparison.config(comparison.plugin(ANSWER, command="plugin.sh"))


def kuberc(comparison: Comparison, name: str = ".kube/kuberc", **fields: Any) -> str:
    head = {"apiVersion": "kubectl.config.k8s.io/v1beta1", "kind": "Preference"}
    return str(comparison.write(name, {**head, **fields}))


def path(comparison: Comparison) -> str:
    return f"{comparison.folder}:/usr/bin:/bin"


def allowed(*names: str) -> dict[str, Any]:
    return {
        "credentialPluginPolicy": "Allowlist",
        "credentialPluginAllowlist": [{"command": name} for name in names],
    }


@pytest.mark.parametrize("policy", ["", "AllowAll"])
def test_all(comparison: Comparison, policy: str) -> None:
    kuberc(comparison, credentialPluginPolicy=policy)
    comparison.assert_same_request(PATH=path(comparison))


def test_none(comparison: Comparison) -> None:
    kuberc(comparison, credentialPluginPolicy="DenyAll")
    refusal = comparison.assert_refused(
        "not allowed: policy set to", "DenyAll", PATH=path(comparison)
    )
    assert refusal.runs == 0


def test_no_plugin_is_needed_for_a_token(comparison: Comparison) -> None:
    kuberc(comparison, credentialPluginPolicy="DenyAll")
    comparison.assert_same_request("--token=t", PATH=path(comparison))


@pytest.mark.parametrize("name", ["plugin.sh", "FOLDER/plugin.sh"])
def test_those_of_a_list(comparison: Comparison, name: str) -> None:
    kuberc(comparison, **allowed("other", name.replace("FOLDER", str(comparison.folder))))
    comparison.assert_same_request(PATH=path(comparison))


def test_the_older_name_for_it(comparison: Comparison) -> None:
    kuberc(
        comparison,
        credentialPluginPolicy="Allowlist",
        credentialPluginAllowlist=[{"name": "plugin.sh"}],
    )
    comparison.assert_same_request(PATH=path(comparison))


@pytest.mark.parametrize("name", ["other", "/elsewhere/plugin.sh", "plugin"])
def test_not_in_the_list(comparison: Comparison, name: str) -> None:
    kuberc(comparison, **allowed(name))
    comparison.assert_refused(
        "not permitted by the credential plugin allowlist",
        "not in the credentialPlugin",
        PATH=path(comparison),
    )


@pytest.mark.parametrize(
    "fields",
    [
        {"credentialPluginPolicy": "Allowlist"},
        allowed(),
        allowed(""),
        {"credentialPluginPolicy": "Some"},
        {**allowed("plugin.sh"), "credentialPluginPolicy": "AllowAll"},
        {**allowed("plugin.sh"), "credentialPluginPolicy": "DenyAll"},
    ],
    ids=str,
)
def test_a_policy_that_is_none(comparison: Comparison, fields: dict[str, Any]) -> None:
    kuberc(comparison, **fields)
    comparison.assert_refused("", "credentialPlugin", PATH=path(comparison))


def test_another_file(comparison: Comparison) -> None:
    file = kuberc(comparison, "other", credentialPluginPolicy="DenyAll")
    comparison.assert_refused("not allowed", "DenyAll", PATH=path(comparison), KUBERC=file)


def test_a_file_that_is_named_and_not_there(comparison: Comparison) -> None:
    comparison.assert_refused(
        "no such file", "cannot be read", PATH=path(comparison), KUBERC="/nope"
    )


@pytest.mark.parametrize("off", [{"KUBERC": "off"}, {"KUBECTL_KUBERC": "false"}], ids=str)
def test_switched_off(comparison: Comparison, off: dict[str, str]) -> None:
    kuberc(comparison, credentialPluginPolicy="DenyAll")
    comparison.assert_same_request(PATH=path(comparison), **off)


@pytest.mark.parametrize(
    "content",
    ["", "---\n", "kind: Other\n", "apiVersion: kubectl.config.k8s.io/v1beta1\nkind: Preference\n"],
)
def test_a_file_without_a_policy(comparison: Comparison, content: str) -> None:
    comparison.write(".kube/kuberc", content)
    comparison.assert_same_request(PATH=path(comparison))
