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
from dataclasses import dataclass, field
from typing import Any

from kubectl_fluidmodel.kube.errors import ClusterUnreachable
from kubectl_fluidmodel.kube.kind import at
from kubectl_fluidmodel.kube.kubeconfig import Server

_VERSIONS = tuple(f"client.authentication.k8s.io/{version}" for version in ("v1", "v1beta1"))
_CONFIG = "client.authentication.k8s.io/exec"
"""The cluster's extension that is meant for its plugins."""


@dataclass(frozen=True)
class Credential:
    """What a plugin gave. It never appears in a repr."""

    token: str = field(default="", repr=False)
    certificate: str = field(default="", repr=False)
    key: str = field(default="", repr=False)
    until: float = math.inf
    """Seconds since the epoch."""


@dataclass(frozen=True)
class Plugin:
    """A command that prints an ExecCredential."""

    command: str
    arguments: tuple[str, ...]
    variables: Mapping[str, str] = field(repr=False)
    version: str
    interactive_mode: str
    hint: str
    cluster: Mapping[str, Any] | None
    """What it is told of the cluster, where it asks for that."""

    def run(self, ask: bool = True) -> Credential:
        """Run it; on a terminal it may ask its user, if `ask` allows.

        Raises:
            ClusterUnreachable: it is not there, failed, or printed no credential.
        """
        environ = {**os.environ, **self.variables}
        program = shutil.which(self.command, path=environ.get("PATH"))
        if program is None:
            raise _failed(f"{self.command} is not on PATH", self.hint)
        interactive = self._interactive(ask)
        spec: dict[str, Any] = {"interactive": interactive}
        if self.cluster is not None:
            spec["cluster"] = self.cluster
        asked = {"kind": "ExecCredential", "apiVersion": self.version, "spec": spec}
        environ["KUBERNETES_EXEC_INFO"] = json.dumps(asked)
        try:
            done = subprocess.run(
                [program, *self.arguments],
                env=environ,
                stdin=None if interactive else subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=None if interactive else subprocess.PIPE,
                check=False,
            )
        except OSError as err:
            raise _failed(f"{self.command}: {err.strerror}", self.hint) from err
        if done.returncode:
            said = (done.stderr or b"").decode("utf-8", "replace")
            raise _failed(f"{self.command} ended with {done.returncode}: {said}".rstrip(": \n"))
        return self._credential(done.stdout)

    def _interactive(self, ask: bool) -> bool:
        if self.interactive_mode == "Never":
            return False
        terminal = ask and sys.stdin is not None and sys.stdin.isatty()
        if self.interactive_mode == "Always" and not terminal:
            raise _failed(f"{self.command} wants to ask, and standard input is no terminal")
        return terminal

    def _credential(self, printed: bytes) -> Credential:
        try:
            answer = json.loads(printed)
        except ValueError as err:
            raise _failed(f"{self.command} did not print JSON") from err
        version = at(answer, "apiVersion")
        if at(answer, "kind") != "ExecCredential" or version != self.version:
            raise _failed(f"{self.command} did not print an ExecCredential of {self.version}")
        status = at(answer, "status", default={})
        token = str(at(status, "token", default="") or "")
        certificate = str(at(status, "clientCertificateData", default="") or "")
        key = str(at(status, "clientKeyData", default="") or "")
        if bool(certificate) != bool(key):
            raise _failed(f"{self.command} gave half of a client certificate")
        if not token and not certificate:
            raise _failed(f"{self.command} gave neither a token nor a client certificate")
        end = at(status, "expirationTimestamp")
        try:
            until = _seconds(str(end)) if end else math.inf
        except ValueError as err:
            raise _failed(f"{self.command} gave an end that is no time") from err
        return Credential(token, certificate, key, until)


def parse(entry: Any, server: Server) -> Plugin:
    """The plugin of a user's `exec`.

    Raises:
        ClusterUnreachable: the entry lacks something.
    """
    version = str(at(entry, "apiVersion", default=""))
    command = str(at(entry, "command", default="") or "")
    if not command:
        raise _failed("the kubeconfig names no command")
    if version not in _VERSIONS:
        raise _failed(f"{command} speaks '{version}', kubectl only {' and '.join(_VERSIONS)}")
    return Plugin(
        command=command,
        arguments=tuple(str(each) for each in at(entry, "args", default=None) or ()),
        variables={
            str(at(each, "name", default="")): str(at(each, "value", default=""))
            for each in at(entry, "env", default=None) or ()
        },
        version=version,
        interactive_mode=str(at(entry, "interactiveMode", default="IfAvailable")),
        hint=" ".join(str(at(entry, "installHint", default="") or "").split()),
        cluster=_cluster(server) if at(entry, "provideClusterInfo") else None,
    )


def _cluster(server: Server) -> dict[str, Any]:
    found: dict[str, Any] = {"server": server.url}
    if server.name:
        found["tls-server-name"] = server.name
    if server.insecure:
        found["insecure-skip-tls-verify"] = True
    if server.authority:
        found["certificate-authority-data"] = base64.b64encode(server.authority).decode()
    if server.proxy:
        found["proxy-url"] = server.proxy
    for each in server.extensions:
        if each.get("name") == _CONFIG:
            found["config"] = each.get("extension")
    return found


def _seconds(text: str) -> float:
    """RFC 3339 in seconds since the epoch; fractions are left out."""
    import re
    from datetime import datetime, timezone

    moment = datetime.fromisoformat(re.sub(r"\.\d+", "", text).replace("Z", "+00:00"))
    return (moment if moment.tzinfo else moment.replace(tzinfo=timezone.utc)).timestamp()


def _failed(why: str, hint: str = "") -> ClusterUnreachable:
    return ClusterUnreachable(
        "the kubeconfig's credential plugin failed",
        " ".join(why.split())[:300],
        hint or "kubectl auth whoami",
    )
