"""Which cluster, as whom: kubectl's connection flags over kubeconfig files or the pod's account.

`kubeconfig.py` reads the files, `credentials.py` logs in, `transport.py` connects.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kubectl_fluidmodel.errors import UsageError
from kubectl_fluidmodel.kube.errors import ClusterUnreachable
from kubectl_fluidmodel.kube.kind import at

if TYPE_CHECKING:
    from kubectl_fluidmodel.kube.credentials import Credentials
    from kubectl_fluidmodel.kube.kubeconfig import Kubeconfig, Server

SERVICE_ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")


@dataclass(frozen=True)
class Connection:
    """kubectl's connection flags, as given; None where not given."""

    kubeconfig: str | None = None
    context: str | None = None
    cluster: str | None = None
    user: str | None = None
    namespace: str | None = None
    as_user: str | None = None
    as_groups: tuple[str, ...] = ()
    token: str | None = field(default=None, repr=False)
    server: str | None = None
    certificate_authority: str | None = None
    insecure_skip_tls_verify: bool = False
    tls_server_name: str | None = None
    request_timeout: str | None = None


@dataclass(frozen=True)
class Access:
    """A resolved connection: the server, who we are there, the namespace and who we act as."""

    server: Server
    credentials: Credentials
    namespace: str
    impersonation: tuple[tuple[str, str], ...]
    request_timeout: float | None
    """Seconds for one request; None for the client's default."""


def parse_timeout(text: str | None) -> float | None:
    """kubectl's --request-timeout in seconds: `0` (none), `30`, `30s`, `1m30s`, `2h`.

    Raises:
        UsageError: the text is not a duration.
    """
    if text is None or text == "0":
        return None
    if re.fullmatch(r"\d+(\.\d+)?", text):
        return float(text)
    units = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}
    if not re.fullmatch(r"(\d+(\.\d+)?(ms|s|m|h))+", text):
        raise UsageError(f"'{text}' is not a duration", "write 30s, 5m or 1h30m")
    return sum(
        float(number) * units[unit]
        for number, _, unit in re.findall(r"(\d+(\.\d+)?)(ms|s|m|h)", text)
    )


def load(connection: Connection, *, ask: bool = True) -> Access:
    """Resolve flags, KUBECONFIG and the in-cluster account, in kubectl's order.

    Without `ask` a credential plugin may not put questions, even on a terminal.

    Raises:
        ClusterUnreachable: no kubeconfig, an unknown context, or a credential plugin failed.
    """
    from kubectl_fluidmodel.kube import kubeconfig

    files = kubeconfig.paths(connection.kubeconfig)
    if connection.kubeconfig and not files:
        raise ClusterUnreachable(
            "no cluster to talk to",
            f"there is no kubeconfig at {connection.kubeconfig}",
            "kubectl config get-contexts",
        )
    if files:
        server, credentials, namespace = _from_files(connection, kubeconfig.merged(files), ask)
    elif connection.server:
        server, credentials, namespace = _from_flags(connection)
    elif os.environ.get("KUBERNETES_SERVICE_HOST") and (SERVICE_ACCOUNT / "token").exists():
        server, credentials, namespace = _from_pod(connection)
    else:
        raise ClusterUnreachable(
            "no cluster to talk to",
            "there is no kubeconfig",
            "kubectl config get-contexts",
        )
    impersonation = [("Impersonate-User", connection.as_user)] if connection.as_user else []
    impersonation += [("Impersonate-Group", group) for group in connection.as_groups]
    if connection.as_groups and not connection.as_user:
        raise UsageError("--as-group needs --as", "a group is impersonated together with a user")
    credentials.login()  # what fails fails now
    return Access(
        server=server,
        credentials=credentials,
        namespace=connection.namespace or namespace or "default",
        impersonation=tuple(impersonation),
        request_timeout=parse_timeout(connection.request_timeout),
    )


def context_namespace(connection: Connection) -> str:
    """The namespace of flag or context; else `default`.

    For client-side dry runs, which need no cluster and must stay light.
    """
    if connection.namespace:
        return connection.namespace
    from kubectl_fluidmodel.kube import kubeconfig

    contexts: dict[str, str] = {}
    current = connection.context or ""
    for file in kubeconfig.paths(connection.kubeconfig):
        try:
            found = kubeconfig.read(file)
        except (OSError, ValueError):
            continue  # a dry run does not fail for a kubeconfig that it does not need
        current = current or str(found.get("current-context") or "")
        for entry in found.get("contexts") or []:
            contexts.setdefault(entry["name"], str(at(entry, "context", "namespace", default="")))
    return contexts.get(current) or "default"


_Found = tuple["Server", "Credentials", str]


def _from_files(connection: Connection, files: Kubeconfig, ask: bool) -> _Found:
    from kubectl_fluidmodel.kube import credentials, kubeconfig

    context: Mapping[str, Any] = {}
    name = connection.context or files.current
    if name:
        context = files.context(name)
    elif not (connection.cluster or connection.user or connection.server):
        raise ClusterUnreachable(
            "no context is chosen",
            "the kubeconfig has no current-context",
            "kubectl config use-context NAME",
        )
    cluster = connection.cluster or str(context.get("cluster") or "")
    if not cluster and not connection.server:
        raise ClusterUnreachable(
            "cannot use the kubeconfig",
            f"the context '{name}' names no cluster",
            "kubectl config get-contexts",
        )
    found = kubeconfig.server(files.cluster(cluster)) if cluster else kubeconfig.Server("")
    server = _with_flags(found, connection)
    user = connection.user or str(context.get("user") or "")
    namespace = str(context.get("namespace") or "")
    if connection.token:  # replaces the user's own way to log in
        return server, credentials.bearer(connection.token), namespace
    if user:
        return server, credentials.of_user(files.user(user), server, ask=ask), namespace
    return server, credentials.nobody(), namespace


def _from_flags(connection: Connection) -> _Found:
    from kubectl_fluidmodel.kube import credentials, kubeconfig

    token = connection.token
    who = credentials.bearer(token) if token else credentials.nobody()
    return _with_flags(kubeconfig.Server(""), connection), who, ""


def _from_pod(connection: Connection) -> _Found:
    """The account of the pod that this runs in."""
    from kubectl_fluidmodel.kube import credentials, kubeconfig

    host = os.environ["KUBERNETES_SERVICE_HOST"]
    host = f"[{host}]" if ":" in host else host
    port = os.environ.get("KUBERNETES_SERVICE_PORT") or "443"
    try:
        authority = (SERVICE_ACCOUNT / "ca.crt").read_bytes()
        file = SERVICE_ACCOUNT / "namespace"
        namespace = file.read_text().strip() if file.exists() else ""
    except OSError as err:
        raise ClusterUnreachable(
            "cannot use the pod's service account", f"{err.filename}: {err.strerror}"
        ) from err
    server = kubeconfig.Server(f"https://{host}:{port}", authority)
    token = connection.token
    who = credentials.bearer(token) if token else None
    who = who or credentials.token_file(SERVICE_ACCOUNT / "token")
    return _with_flags(server, connection), who, namespace


def _with_flags(server: Server, connection: Connection) -> Server:
    """The server as flags change it, with a URL that has a scheme."""
    if connection.server:
        # The name in the certificate was that of the other server.
        server = replace(server, url=connection.server.rstrip("/"), name="")
    if connection.tls_server_name:
        server = replace(server, name=connection.tls_server_name)
    if connection.certificate_authority:
        try:
            authority = Path(connection.certificate_authority).read_bytes()
        except OSError as err:
            raise UsageError(
                "--certificate-authority",
                f"{connection.certificate_authority} is not a file that can be read",
            ) from err
        if not authority:
            raise UsageError("--certificate-authority", "the file is empty")
        server = replace(server, authority=authority, insecure=False)
    if connection.insecure_skip_tls_verify:
        server = replace(server, authority=b"", insecure=True)
    if server.url and "://" not in server.url:
        secure = server.authority or server.insecure
        server = replace(server, url=f"{'https' if secure else 'http'}://{server.url}")
    if not re.match(r"https?://[^/]", server.url):
        raise ClusterUnreachable(
            "cannot use the kubeconfig",
            f"the server's address '{server.url}' is no URL",
            "kubectl config view",
        )
    return server
