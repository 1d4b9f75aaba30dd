"""Resolves kubectl's connection flags, kubeconfig files and the pod's account to one connection.

`kubeconfig.py` reads the files, `overrides.py` applies the flags to an entry and validates it,
`credentials.py` authenticates, `transport.py` connects. Precedence is client-go's
(tools/clientcmd/client_config.go); `client.py` lists the intended differences.
"""

from __future__ import annotations

import os
import re
from dataclasses import field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kubectl_fluidmodel.errors import UsageError
from kubectl_fluidmodel.kube.errors import ClusterUnreachableError, kubeconfig_error
from kubectl_fluidmodel.objects.access import get_path
from kubectl_fluidmodel.records import dataclass

if TYPE_CHECKING:
    from kubectl_fluidmodel.kube.credentials import Credentials
    from kubectl_fluidmodel.kube.kubeconfig import Kubeconfig, KubeconfigEntry, ServerInfo

SERVICE_ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")


@dataclass(frozen=True)
class ConfigFlags:
    """kubectl's connection flags; None if not given."""

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
    client_certificate: str | None = None
    client_key: str | None = None
    as_uid: str | None = None
    as_user_extra: tuple[str, ...] = ()
    """`KEY=VALUE` each."""
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    proxy_url: str | None = field(default=None, repr=False)
    disable_compression: bool = False


@dataclass(frozen=True)
class RestConfig:
    """A resolved connection: server, credentials, namespace and impersonation."""

    server: ServerInfo
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


def load_rest_config(connection: ConfigFlags, *, interactive: bool = True) -> RestConfig:
    """Resolve flags, KUBECONFIG and the in-cluster account, in kubectl's order.

    Unless `interactive`, a credential plugin may not ask questions, even on a terminal.

    Raises:
        ClusterUnreachableError: no kubeconfig, an unknown context, or a credential plugin failed.
    """
    from kubectl_fluidmodel.kube import credentials, kubeconfig, overrides

    paths = kubeconfig.kubeconfig_paths(connection.kubeconfig)
    if connection.kubeconfig and not paths:
        raise _no_cluster_error(f"there is no kubeconfig at {connection.kubeconfig}")
    files = kubeconfig.merge(paths)
    context_name, context = _context(files, connection)
    cluster_name, cluster = _cluster(files, connection, context)
    user_name, user = _user(files, connection, context)
    cluster = overrides.apply_cluster_flags(cluster, connection)
    if not cluster.get("server"):
        if not _is_in_cluster():
            raise _no_server_error(paths, context_name, cluster_name)
        cluster = overrides.apply_cluster_flags(_in_cluster_entry(), connection)
        user = {} if connection.token else {"tokenFile": str(SERVICE_ACCOUNT / "token")}
    user = overrides.apply_user_flags(user, connection)
    overrides.validate_user(user_name, user, connection)
    overrides.validate_cluster(cluster_name, cluster, connection)
    server = kubeconfig.server_from_entry(cluster)
    if server.secure:
        overrides.validate_trust(cluster)
        login = credentials.from_kubeconfig_user(user, server, interactive=interactive)
    else:
        login = credentials.anonymous()  # plain HTTP would expose credentials
    login.auth_headers()  # fail now, not at the first request
    return RestConfig(
        server=server,
        credentials=login,
        namespace=connection.namespace or _namespace(context),
        impersonation=overrides.impersonation_headers(user),
        request_timeout=parse_timeout(connection.request_timeout),
    )


def context_namespace(connection: ConfigFlags) -> str:
    """The namespace of the flag, the context or the pod; else `default`.

    For client-side dry runs, which need no cluster and must start fast.
    """
    if connection.namespace:
        return connection.namespace
    from kubectl_fluidmodel.kube import kubeconfig

    contexts: dict[str, Any] = {}
    current = connection.context or ""
    for file in kubeconfig.kubeconfig_paths(connection.kubeconfig):
        try:
            document = kubeconfig.read_file(file)
        except (OSError, ValueError):
            continue  # a client-side dry run does not need it
        current = current or str(document.get("current-context") or "")
        for entry in document.get("contexts") or []:
            contexts.setdefault(entry["name"], get_path(entry, "context", default={}))
    return _namespace(contexts.get(current) or {})


def _context(files: Kubeconfig, connection: ConfigFlags) -> tuple[str, KubeconfigEntry]:
    name = connection.context or files.current
    return name, files.context(name) if name else {}


def _cluster(
    files: Kubeconfig, connection: ConfigFlags, context: KubeconfigEntry
) -> tuple[str, KubeconfigEntry]:
    name = connection.cluster or str(context.get("cluster") or "")
    return name, files.cluster(name) if name else {}


def _user(
    files: Kubeconfig, connection: ConfigFlags, context: KubeconfigEntry
) -> tuple[str, KubeconfigEntry]:
    name = connection.user or str(context.get("user") or "")
    return name, files.user(name) if name else {}


def _namespace(context: KubeconfigEntry) -> str:
    """The context's namespace, else that of the pod we run in, as in kubectl."""
    namespace = context.get("namespace")
    if namespace or not _is_in_cluster():
        return str(namespace or "default")
    try:
        pod_namespace = (SERVICE_ACCOUNT / "namespace").read_text().strip()
    except (OSError, ValueError):
        pod_namespace = ""
    return os.environ.get("POD_NAMESPACE") or pod_namespace or "default"


def _is_in_cluster() -> bool:
    """Whether we run in a pod with a service account."""
    has_address = all(os.environ.get(f"KUBERNETES_SERVICE_{part}") for part in ("HOST", "PORT"))
    return has_address and (SERVICE_ACCOUNT / "token").is_file()


def _in_cluster_entry() -> KubeconfigEntry:
    """A kubeconfig entry for the cluster we run in."""
    host = os.environ["KUBERNETES_SERVICE_HOST"]
    host = f"[{host}]" if ":" in host else host
    authority = SERVICE_ACCOUNT / "ca.crt"
    return {
        "server": f"https://{host}:{os.environ['KUBERNETES_SERVICE_PORT']}",
        # Without it the system's CAs are used, as in kubectl.
        "certificate-authority": str(authority) if authority.is_file() else None,
    }


def _no_server_error(paths: list[str], context: str, cluster: str) -> ClusterUnreachableError:
    """Why no API server address is known."""
    if cluster:
        return kubeconfig_error(f"the cluster '{cluster}' has no server")
    if context:
        return ClusterUnreachableError(
            "cannot use the kubeconfig",
            f"the context '{context}' names no cluster",
            "kubectl config get-contexts",
        )
    if paths:
        return ClusterUnreachableError(
            "no context is selected",
            "the kubeconfig has no current-context",
            "kubectl config use-context NAME",
        )
    listed = os.environ.get("KUBECONFIG")
    return _no_cluster_error(
        f"there is no kubeconfig at {listed}, which KUBECONFIG names"
        if listed
        else "there is no kubeconfig"
    )


def _no_cluster_error(reason: str) -> ClusterUnreachableError:
    return ClusterUnreachableError("no cluster to talk to", reason, "kubectl config get-contexts")
