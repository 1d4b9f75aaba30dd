"""Which credential plugins may run: the policy in the user's kuberc, as kubectl applies it.

Only the policy is read, because it concerns security; a kuberc's defaults and aliases are for
kubectl's own commands. Source: kubectl, pkg/kuberc/kuberc.go, and client-go,
plugin/pkg/client/auth/exec/exec.go (v0.36).
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

from kubectl_fluidmodel.objects.access import get_list, get_path

_LIST = "credentialPluginAllowlist"
_VERSIONS = ("kubectl.config.k8s.io/v1beta1",)
"""Versions of a kuberc that have a policy."""


def plugin_policy_violation(command: str, program: str) -> str:
    """Return why the user's policy forbids a plugin; empty if it is allowed.

    `command` is the kubeconfig's spelling, `program` the file that it resolves to.
    """
    try:
        preferences = _read()
    except (OSError, ValueError) as err:
        return f"{_file()} , which restricts plugins, cannot be read: {err}"
    policy = get_path(preferences, "credentialPluginPolicy", default="") or ""
    if policy in ("", "AllowAll", "DenyAll"):
        if get_path(preferences, _LIST) is not None:
            return f"{_file()} has a {_LIST}, but not the policy Allowlist"
        denied = policy == "DenyAll"
        return f"{_file()} denies all credential plugins (DenyAll)" if denied else ""
    if policy != "Allowlist":
        return f"{_file()} has a credentialPluginPolicy that is unknown: '{policy}'"
    names = [
        str(entry.get("command") or entry.get("name") or "")
        for entry in get_list(preferences, _LIST)
    ]
    if not names or not all(names):
        return f"{_file()} has the policy Allowlist, but nothing in its {_LIST}"
    paths = {os.path.normpath(command), program}
    if paths & set(names):
        return ""
    same_name = (name for name in names if Path(name).name == Path(program).name)
    if any(shutil.which(name) == program for name in same_name):
        return ""
    return f"{command} is not in the {_LIST} of {_file()}"


def _file() -> str:
    return os.environ.get("KUBERC") or str(Path("~/.kube/kuberc").expanduser())


def _read() -> Any:
    """Return the first preferences in the file that kubectl knows; empty without a file.

    Raises:
        OSError: the file cannot be read, or does not exist although KUBERC names it.
        ValueError: it is not YAML.
    """
    configured = os.environ.get("KUBERC")
    if configured == "off" or os.environ.get("KUBECTL_KUBERC", "").lower() in ("false", "f", "0"):
        return {}
    try:
        content = Path(_file()).read_bytes()
    except FileNotFoundError:
        if configured:
            raise
        return {}
    import yaml

    try:
        for document in yaml.safe_load_all(content):
            if (
                get_path(document, "kind") == "Preference"
                and get_path(document, "apiVersion") in _VERSIONS
            ):
                return document
    except yaml.YAMLError as err:
        raise ValueError("it is not YAML") from err
    return {}
