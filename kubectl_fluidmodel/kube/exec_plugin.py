"""Exec credential plugins of kubeconfigs (client.authentication.k8s.io/v1 and v1beta1).

https://kubernetes.io/docs/reference/access-authn-authz/authentication/#client-go-credential-plugins
"""

from __future__ import annotations

import base64
import json
import math
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import field
from typing import Any

from kubectl_fluidmodel.kube import kuberc
from kubectl_fluidmodel.kube.errors import ClusterUnreachableError
from kubectl_fluidmodel.kube.kubeconfig import ServerInfo
from kubectl_fluidmodel.kube.plugin_messages import PluginOutput, first_line
from kubectl_fluidmodel.objects.access import get_path
from kubectl_fluidmodel.records import dataclass

_VERSIONS = tuple(f"client.authentication.k8s.io/{version}" for version in ("v1", "v1beta1"))
_MODES = ("Never", "IfAvailable", "Always")
_CONFIG = "client.authentication.k8s.io/exec"
"""The cluster's extension for its credential plugins."""


@dataclass(frozen=True)
class ExecCredential:
    """A plugin's credentials. They never appear in a repr."""

    token: str = field(default="", repr=False)
    certificate: str = field(default="", repr=False)
    key: str = field(default="", repr=False)
    expires_at: float = math.inf
    """Seconds since the epoch."""


@dataclass(frozen=True)
class ExecPlugin:
    """A command that prints an ExecCredential."""

    command: str
    arguments: tuple[str, ...]
    env: Mapping[str, str] = field(repr=False)
    version: str
    interactive_mode: str
    hint: str
    cluster: Mapping[str, Any] | None
    """The cluster info for the plugin, if it requests that."""

    def run(self, interactive: bool = True) -> ExecCredential:
        """Run the plugin; `interactive` allows it to ask its user, on a terminal.

        Raises:
            ClusterUnreachableError: it is not installed, failed, or printed no credential.
        """
        program = shutil.which(self.command)
        if program is None:
            raise _plugin_error(f"{self.command} is not on PATH", self.hint)
        violation = kuberc.plugin_policy_violation(self.command, program)
        if violation:
            raise _plugin_error(violation, "kubectl kuberc view")
        has_terminal = self._has_terminal(interactive)
        spec: dict[str, Any] = {"interactive": has_terminal}
        if self.cluster is not None:
            spec["cluster"] = self.cluster
        request = {"kind": "ExecCredential", "apiVersion": self.version, "spec": spec}
        try:
            process = subprocess.Popen(
                [program, *self.arguments],
                env={
                    **os.environ,
                    **self.env,
                    "KUBERNETES_EXEC_INFO": json.dumps(request),
                },
                stdin=None if has_terminal else subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=None if has_terminal else subprocess.PIPE,
            )
        except OSError as err:
            raise _plugin_error(f"{self.command}: {err.strerror}", self.hint) from err
        with process:
            output = PluginOutput(process.stderr, shown=interactive)
            try:
                printed = process.stdout.read() if process.stdout else b""
                code = process.wait()
            except BaseException:  # interrupted: the plugin may be waiting for its user
                process.kill()
                process.wait()
                raise
            message = output.finish(failed=code != 0)
        if code:
            raise _plugin_error(f"{self.command} exited with {code}: {message}".rstrip(": \n"))
        return self._credential(printed)

    def _has_terminal(self, interactive: bool) -> bool:
        """Return whether the plugin may read from the terminal.

        Raises:
            ClusterUnreachableError: it requires a terminal, and there is none.
        """
        if self.interactive_mode == "Never":
            return False
        terminal = interactive and sys.stdin is not None and sys.stdin.isatty()
        if self.interactive_mode == "Always" and not terminal:
            raise _plugin_error(
                f"{self.command} needs input from a terminal, but standard input is not a terminal"
            )
        return terminal

    def _credential(self, printed: bytes) -> ExecCredential:
        answer = self._answer(printed)
        version = get_path(answer, "apiVersion")
        if get_path(answer, "kind") != "ExecCredential" or version != self.version:
            raise _plugin_error(f"{self.command} did not print an ExecCredential of {self.version}")
        status = get_path(answer, "status", default={})
        token = _text(status, "token")
        certificate = _text(status, "clientCertificateData")
        key = _text(status, "clientKeyData")
        if bool(certificate) != bool(key):
            raise _plugin_error(f"{self.command} returned an incomplete client certificate")
        if not token and not certificate:
            raise _plugin_error(f"{self.command} returned neither a token nor a client certificate")
        end = get_path(status, "expirationTimestamp")
        try:
            until = _seconds(str(end)) if end else math.inf
        except ValueError as err:
            raise _plugin_error(f"{self.command} returned an expiry that is not a time") from err
        return ExecCredential(token, certificate, key, until)

    def _answer(self, printed: bytes) -> Any:
        """Parse the output: JSON, or YAML, which kubectl also accepts."""
        try:
            return json.loads(printed)
        except ValueError as err:
            import yaml

            try:
                document = yaml.safe_load(printed)
            except (yaml.YAMLError, ValueError):
                document = None
            if isinstance(document, dict) and "kind" in document:
                return document
            raise _plugin_error(f"{self.command} printed {first_line(printed)}") from err


def validate_entry(user: str, entry: Any) -> None:
    """Check the `exec` of a user as kubectl does; `user` is its name in messages.

    Raises:
        ClusterUnreachableError: something is missing.
    """
    version = _text(entry, "apiVersion")
    mode = _text(entry, "interactiveMode")
    if not get_path(entry, "command"):
        raise _plugin_error(f"the kubeconfig has no command for {user}")
    if not version:
        raise _plugin_error(f"{user} has no apiVersion for it")
    if not all(get_path(variable, "name") for variable in get_path(entry, "env") or ()):
        raise _plugin_error(f"{user} has an environment variable without a name")
    if not mode and version == _VERSIONS[0]:
        raise _plugin_error(
            f"{user} has no interactiveMode for it, which {version} requires: Never, "
            "IfAvailable or Always"
        )
    if mode and mode not in _MODES:
        raise _plugin_error(f"{user} has an interactiveMode that is not one of {', '.join(_MODES)}")


def parse_exec_plugin(entry: Any, server: ServerInfo) -> ExecPlugin:
    """Return the plugin of a user's `exec`.

    Raises:
        ClusterUnreachableError: the entry is incomplete.
    """
    version = _text(entry, "apiVersion")
    command = _text(entry, "command")
    if version not in _VERSIONS:
        raise _plugin_error(
            f"{command} uses '{version}', kubectl supports only {' and '.join(_VERSIONS)}"
        )
    return ExecPlugin(
        command=command,
        arguments=tuple(str(argument or "") for argument in get_path(entry, "args") or ()),
        env={
            _text(variable, "name"): _text(variable, "value")
            for variable in get_path(entry, "env") or ()
        },
        version=version,
        interactive_mode=_text(entry, "interactiveMode") or "IfAvailable",
        hint=" ".join(_text(entry, "installHint").split()),
        cluster=_cluster(server) if get_path(entry, "provideClusterInfo") else None,
    )


def _cluster(server: ServerInfo) -> dict[str, Any]:
    cluster: dict[str, Any] = {"server": server.address or server.url}
    if server.name:
        cluster["tls-server-name"] = server.name
    if server.insecure:
        cluster["insecure-skip-tls-verify"] = True
    if server.authority:
        cluster["certificate-authority-data"] = base64.b64encode(server.authority).decode()
    cluster["config"] = None
    if server.proxy:
        cluster["proxy-url"] = server.proxy
    if not server.compressed:
        cluster["disable-compression"] = True
    for extension in server.extensions:
        if extension.get("name") == _CONFIG:
            cluster["config"] = extension.get("extension")
    return cluster


def _text(value: Any, key: str) -> str:
    """Return the text under a key; empty if there is none."""
    return str(get_path(value, key) or "")


def _seconds(text: str) -> float:
    """Parse RFC 3339 to seconds since the epoch; fractions are ignored."""
    import re
    from datetime import datetime, timezone

    moment = datetime.fromisoformat(re.sub(r"\.\d+", "", text).replace("Z", "+00:00"))
    return (moment if moment.tzinfo else moment.replace(tzinfo=timezone.utc)).timestamp()


def _plugin_error(reason: str, hint: str = "") -> ClusterUnreachableError:
    return ClusterUnreachableError(
        "the kubeconfig's credential plugin failed",
        " ".join(reason.split())[:300],
        hint or "kubectl auth whoami",
    )
