"""A user's kuberc says which credential plugins may run."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.kube.conformance.judge import Court

ANSWER = "echo '" + json.dumps(
    {
        "apiVersion": "client.authentication.k8s.io/v1",
        "kind": "ExecCredential",
        "status": {"token": "t"},
    }
) + "'"  # fmt: skip


@pytest.fixture(autouse=True)
def _plugin(court: Court) -> None:
    court.config(court.plugin(ANSWER, command="plugin.sh"))


def kuberc(court: Court, name: str = ".kube/kuberc", **fields: Any) -> str:
    head = {"apiVersion": "kubectl.config.k8s.io/v1beta1", "kind": "Preference"}
    return str(court.write(name, {**head, **fields}))


def path(court: Court) -> str:
    return f"{court.folder}:/usr/bin:/bin"


def allowed(*names: str) -> dict[str, Any]:
    return {
        "credentialPluginPolicy": "Allowlist",
        "credentialPluginAllowlist": [{"command": name} for name in names],
    }


@pytest.mark.parametrize("policy", ["", "AllowAll"])
def test_all(court: Court, policy: str) -> None:
    kuberc(court, credentialPluginPolicy=policy)
    court.agree(PATH=path(court))


def test_none(court: Court) -> None:
    kuberc(court, credentialPluginPolicy="DenyAll")
    found = court.refuse("not allowed: policy set to", "DenyAll", PATH=path(court))
    assert found.runs == 0


def test_no_plugin_is_needed_for_a_token(court: Court) -> None:
    kuberc(court, credentialPluginPolicy="DenyAll")
    court.agree("--token=t", PATH=path(court))


@pytest.mark.parametrize("name", ["plugin.sh", "FOLDER/plugin.sh"])
def test_those_of_a_list(court: Court, name: str) -> None:
    kuberc(court, **allowed("other", name.replace("FOLDER", str(court.folder))))
    court.agree(PATH=path(court))


def test_the_older_name_for_it(court: Court) -> None:
    kuberc(
        court,
        credentialPluginPolicy="Allowlist",
        credentialPluginAllowlist=[{"name": "plugin.sh"}],
    )
    court.agree(PATH=path(court))


@pytest.mark.parametrize("name", ["other", "/elsewhere/plugin.sh", "plugin"])
def test_not_in_the_list(court: Court, name: str) -> None:
    kuberc(court, **allowed(name))
    court.refuse("not permitted by the credential plugin allowlist", "not in the credentialPlugin",
                 PATH=path(court))  # fmt: skip


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
def test_a_policy_that_is_none(court: Court, fields: dict[str, Any]) -> None:
    kuberc(court, **fields)
    court.refuse("", "credentialPlugin", PATH=path(court))


def test_another_file(court: Court) -> None:
    file = kuberc(court, "other", credentialPluginPolicy="DenyAll")
    court.refuse("not allowed", "DenyAll", PATH=path(court), KUBERC=file)


def test_a_file_that_is_named_and_not_there(court: Court) -> None:
    court.refuse("no such file", "cannot be read", PATH=path(court), KUBERC="/nope")


@pytest.mark.parametrize("off", [{"KUBERC": "off"}, {"KUBECTL_KUBERC": "false"}], ids=str)
def test_switched_off(court: Court, off: dict[str, str]) -> None:
    kuberc(court, credentialPluginPolicy="DenyAll")
    court.agree(PATH=path(court), **off)


@pytest.mark.parametrize(
    "content",
    ["", "---\n", "kind: Other\n", "apiVersion: kubectl.config.k8s.io/v1beta1\nkind: Preference\n"],
)
def test_a_file_without_a_policy(court: Court, content: str) -> None:
    court.write(".kube/kuberc", content)
    court.agree(PATH=path(court))
