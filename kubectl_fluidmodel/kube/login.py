"""Who we are to the API server, by the kubeconfig alone and without the Kubernetes client.

For completion, which has no time for more. What it does not know (SOCKS proxies, auth providers
of old) fails at the server, and completion then has nothing to offer.
"""

from __future__ import annotations

import base64
import json
import os
import ssl
import subprocess
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kubectl_fluidmodel import __version__
from kubectl_fluidmodel.kube.config import (
    SERVICE_ACCOUNT,
    Connection,
    kubeconfig_content,
    kubeconfig_files,
)
from kubectl_fluidmodel.kube.kind import Object, at, dicts

if TYPE_CHECKING:
    from urllib.request import OpenerDirector

_PLUGIN_SECONDS = 5.0
Entry = tuple[Object, Path]
"""An entry of a kubeconfig, and the directory that its relative paths start from."""


@dataclass(frozen=True)
class Login:
    """Where the API server is, and how to speak to it."""

    server: str
    namespace: str
    headers: dict[str, str] = field(repr=False)
    context: ssl.SSLContext
    proxy: str = ""

    def opener(self) -> OpenerDirector:
        """Opens URLs of this server; follows no redirect, which would take the token along."""
        from urllib.request import (
            HTTPHandler,
            HTTPRedirectHandler,
            HTTPSHandler,
            ProxyHandler,
            build_opener,
        )

        class Stay(HTTPRedirectHandler):
            def redirect_request(self, *_: Any) -> None:
                return None

        proxies = {"http": self.proxy, "https": self.proxy} if self.proxy else None
        return build_opener(
            Stay(), ProxyHandler(proxies), HTTPHandler(), HTTPSHandler(context=self.context)
        )


class _Named(ssl.SSLContext):
    """A context that expects another name than the address has (--tls-server-name)."""

    expected = ""

    def wrap_socket(self, sock: Any, *args: Any, **kwargs: Any) -> ssl.SSLSocket:
        if self.expected:
            kwargs["server_hostname"] = self.expected
        return super().wrap_socket(sock, *args, **kwargs)


def merged(connection: Connection, part: str) -> dict[str, Entry]:
    """`contexts`, `clusters` or `users` by name; of two with a name the first counts, as ever."""
    found: dict[str, Entry] = {}
    for file in kubeconfig_files(connection.kubeconfig):
        for entry in dicts(kubeconfig_content(file), part):
            found.setdefault(str(entry["name"]), (entry, Path(file).parent))
    return found


def login(connection: Connection) -> Login:
    """Flags over kubeconfig over the pod's account, as everywhere.

    Raises:
        OSError, ValueError, subprocess.SubprocessError: something is not as it should be.
    """
    if connection.as_groups:
        raise ValueError("several headers of one name are more than urllib can send")
    context, cluster, user, cluster_home, user_home = _chosen(connection)
    if isinstance(at(user, "exec"), dict) and not connection.token:
        user = {**user, **_asked_plugin(user["exec"], user_home)}
    tls = _tls(connection, cluster, cluster_home)
    token = connection.token or _token(user, user_home)
    headers = {"User-Agent": f"kubectl-fluidmodel/{__version__}"}
    if token:
        headers["Authorization"] = f"Bearer {token}"
    elif at(user, "username"):
        pair = f"{user['username']}:{at(user, 'password', default='')}".encode()
        headers["Authorization"] = f"Basic {base64.b64encode(pair).decode()}"
    if not connection.token:
        _load_certificate(tls, user, user_home)
    if connection.as_user:
        headers["Impersonate-User"] = connection.as_user
    return Login(
        str(connection.server or at(cluster, "server", default="")).rstrip("/"),
        str(connection.namespace or at(context, "namespace", default="") or "default"),
        headers,
        tls,
        str(at(cluster, "proxy-url", default="")),
    )


def _chosen(connection: Connection) -> tuple[Object, Object, Object, Path, Path]:
    files = kubeconfig_files(connection.kubeconfig)
    here = Path()
    if not files:
        if connection.server or not (SERVICE_ACCOUNT / "token").exists():
            return {}, {}, {}, here, here
        host = os.environ.get("KUBERNETES_SERVICE_HOST", "")
        port = os.environ.get("KUBERNETES_SERVICE_PORT", "443")
        cluster = {
            "server": f"https://{f'[{host}]' if ':' in host else host}:{port}",
            "certificate-authority": str(SERVICE_ACCOUNT / "ca.crt"),
        }
        namespace = (SERVICE_ACCOUNT / "namespace").read_text().strip()
        user = {"tokenFile": str(SERVICE_ACCOUNT / "token")}
        return {"namespace": namespace}, cluster, user, here, here
    current = connection.context or next(
        (name for file in files if (name := kubeconfig_content(file).get("current-context"))), ""
    )
    nothing: Entry = ({}, here)
    context = at(merged(connection, "contexts").get(str(current), nothing)[0], "context") or {}
    cluster_name = connection.cluster or str(at(context, "cluster", default=""))
    user_name = connection.user or str(at(context, "user", default=""))
    cluster_entry, cluster_home = merged(connection, "clusters").get(cluster_name, nothing)
    user_entry, user_home = merged(connection, "users").get(user_name, nothing)
    return (
        context,
        at(cluster_entry, "cluster", default={}),
        at(user_entry, "user", default={}),
        cluster_home,
        user_home,
    )


def _token(user: Object, home: Path) -> str:
    if at(user, "token"):
        return str(user["token"])
    if at(user, "tokenFile"):
        return (home / str(user["tokenFile"])).read_text().strip()
    return ""


def _tls(connection: Connection, cluster: Object, home: Path) -> ssl.SSLContext:
    context = _Named(ssl.PROTOCOL_TLS_CLIENT)
    context.expected = connection.tls_server_name or str(at(cluster, "tls-server-name", default=""))
    if connection.insecure_skip_tls_verify or at(cluster, "insecure-skip-tls-verify"):
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    elif connection.certificate_authority:
        context.load_verify_locations(cafile=connection.certificate_authority)
    elif at(cluster, "certificate-authority-data"):
        data = base64.b64decode(cluster["certificate-authority-data"]).decode("ascii")
        context.load_verify_locations(cadata=data)
    elif at(cluster, "certificate-authority"):
        context.load_verify_locations(cafile=home / str(cluster["certificate-authority"]))
    else:
        context.load_default_certs()
    return context


def _load_certificate(context: ssl.SSLContext, user: Object, home: Path) -> None:
    """The user's client certificate, where there is one; data win over files."""
    with tempfile.TemporaryDirectory() as folder:  # of mode 0700, and gone once ssl has read it
        paths: list[Path] = []
        for part in ("client-certificate", "client-key"):
            data = at(user, f"{part}-data")
            if data:
                paths.append(Path(folder) / part)
                paths[-1].write_bytes(base64.b64decode(str(data)))
            elif at(user, part):
                paths.append(home / str(user[part]))
        if len(paths) == 2:
            context.load_cert_chain(paths[0], paths[1])


def _asked_plugin(spec: Object, home: Path) -> Object:
    """What an exec credential plugin answers, as entries of a kubeconfig's user."""
    command = str(at(spec, "command", default=""))
    if at(spec, "interactiveMode") == "Always" or not command:
        raise ValueError("the plugin has questions, and there is nobody to answer")
    given = {str(at(each, "name")): str(at(each, "value")) for each in dicts(spec, "env")}
    info = {
        "apiVersion": at(spec, "apiVersion"),
        "kind": "ExecCredential",
        "spec": {"interactive": False},
    }
    done = subprocess.run(
        [str(home / command) if "/" in command else command, *map(str, at(spec, "args") or [])],
        env={**os.environ, **given, "KUBERNETES_EXEC_INFO": json.dumps(info)},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        timeout=_PLUGIN_SECONDS,
        check=True,
    )
    status = at(json.loads(done.stdout), "status", default={})
    found = {"token": at(status, "token", default="")}
    for part, key in (
        ("client-certificate-data", "clientCertificateData"),
        ("client-key-data", "clientKeyData"),
    ):
        text = str(at(status, key, default=""))
        if text:
            found[part] = base64.b64encode(text.encode()).decode()
    return found
