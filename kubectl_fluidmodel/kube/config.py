"""Which cluster, as whom: kubectl's connection flags over kubeconfig files or the pod's account.

The files are read by the `kubernetes` package (exec credential plugins, client certificates,
proxies, merged KUBECONFIG lists); this module only lays kubectl's flags over them.
"""

from __future__ import annotations

import logging
import os
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kubectl_fluidmodel.errors import UsageError
from kubectl_fluidmodel.kube.errors import ClusterUnreachable
from kubectl_fluidmodel.kube.kind import at

if TYPE_CHECKING:
    from kubernetes.client.configuration import Configuration

SERVICE_ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
_OVERRIDE = "kubectl-fluidmodel flags"


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
    """A resolved connection: the HTTP configuration, the namespace and who we act as."""

    configuration: Configuration
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


def load(connection: Connection) -> Access:
    """Resolve flags, KUBECONFIG and the in-cluster account, in kubectl's order.

    Raises:
        ClusterUnreachable: no kubeconfig, an unknown context, or a credential plugin failed.
    """
    from kubernetes.client.configuration import Configuration

    configuration: Any = Configuration()
    namespace = ""
    files = kubeconfig_files(connection.kubeconfig)
    if connection.kubeconfig and not files:
        raise ClusterUnreachable(
            "no cluster to talk to",
            f"there is no kubeconfig at {connection.kubeconfig}",
            "kubectl config get-contexts",
        )
    if files:
        namespace = _from_files(connection, files, configuration)
    elif connection.server:
        pass  # everything was given as flags
    elif os.environ.get("KUBERNETES_SERVICE_HOST") and (SERVICE_ACCOUNT / "token").exists():
        namespace = _from_pod(configuration)
    else:
        raise ClusterUnreachable(
            "no cluster to talk to",
            "there is no kubeconfig",
            "kubectl config get-contexts",
        )
    _apply_flags(connection, configuration)
    impersonation = [("Impersonate-User", connection.as_user)] if connection.as_user else []
    impersonation += [("Impersonate-Group", group) for group in connection.as_groups]
    if connection.as_groups and not connection.as_user:
        raise UsageError("--as-group needs --as", "a group is impersonated together with a user")
    return Access(
        configuration=configuration,
        namespace=connection.namespace or namespace or "default",
        impersonation=tuple(impersonation),
        request_timeout=parse_timeout(connection.request_timeout),
    )


def context_namespace(connection: Connection) -> str:
    """The namespace of flag or context, read without the Kubernetes client; else `default`.

    For client-side dry runs, which need no cluster and must stay light.
    """
    if connection.namespace:
        return connection.namespace
    contexts: dict[str, str] = {}
    current = connection.context or ""
    for file in kubeconfig_files(connection.kubeconfig):
        try:
            found = kubeconfig_content(file)
        except (OSError, ValueError):
            continue  # a dry run does not fail for a kubeconfig that it does not need
        current = current or str(found.get("current-context") or "")
        for entry in found.get("contexts") or []:
            contexts.setdefault(entry["name"], str(at(entry, "context", "namespace", default="")))
    return contexts.get(current) or "default"


def kubeconfig_content(file: str) -> dict[str, Any]:
    """What a kubeconfig file says.

    Raises:
        OSError: it cannot be read.
        ValueError: it is no kubeconfig.
    """
    import yaml

    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # ten times as fast, where it was built
    try:
        found = yaml.load(Path(file).read_bytes(), Loader=loader) or {}  # noqa: S506
    except yaml.YAMLError as err:
        raise ValueError(f"it is not YAML: {err}") from err
    if not isinstance(found, dict):
        raise ValueError("it is not a kubeconfig")
    for part in ("clusters", "users", "contexts"):
        entries = found.get(part) or []
        if not isinstance(entries, list) or not all(
            isinstance(at(entry, "name"), str) for entry in entries
        ):
            raise ValueError(f"its '{part}' are not a list of named entries")
    return found


def kubeconfig_files(flag: str | None) -> list[str]:
    if flag:
        return [flag] if Path(flag).is_file() else []
    listed = os.environ.get("KUBECONFIG")
    if listed:
        candidates = [part for part in listed.split(os.pathsep) if part]
    else:
        candidates = [str(Path("~/.kube/config").expanduser())]
    return [path for path in candidates if Path(path).is_file()]


class _Captured(logging.Handler):
    """The `kubernetes` package logs a failing credential plugin and goes on without one."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.messages: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.messages.append(record.getMessage())


def _from_files(connection: Connection, files: list[str], configuration: Any) -> str:
    from kubernetes.config.config_exception import ConfigException
    from kubernetes.config.kube_config import KubeConfigLoader, KubeConfigMerger

    captured = _Captured()
    root = logging.getLogger()
    root.addHandler(captured)
    try:
        current = _current(files)
        merged = KubeConfigMerger(os.pathsep.join(files)).config
        context = _context(connection, merged, current)
        loader = KubeConfigLoader(merged, active_context=context, config_base_path=None)
        if connection.token:
            loader._user = None  # a given token replaces the user's own way to log in
        loader.load_and_set(configuration)
    except ConfigException as err:
        raise ClusterUnreachable(
            "cannot use the kubeconfig", _plain(str(err)), "kubectl config get-contexts"
        ) from err
    except (OSError, ValueError, TypeError, AttributeError, KeyError) as err:
        raise ClusterUnreachable(
            "cannot read the kubeconfig",
            _plain(str(err)),
            "kubectl config view",
        ) from err
    finally:
        root.removeHandler(captured)
    if captured.messages:
        raise ClusterUnreachable(
            "the kubeconfig's credential plugin failed",
            _plain(captured.messages[-1]),
            "kubectl auth whoami",
        )
    return str(loader.current_context["context"].get("namespace") or "")


def _current(files: list[str]) -> str:
    """The current-context of the first file that has one, as kubectl has it.

    The `kubernetes` package takes the last.
    """
    for file in files:
        try:
            found = kubeconfig_content(file).get("current-context")
        except ValueError as err:
            raise ValueError(f"{file}: {err}") from err
        if found:
            return str(found)
    return ""


def _context(connection: Connection, merged: Any, current: str) -> str:
    """The context to load: the one named, or a made one where --cluster or --user is given."""
    name = connection.context or current
    if not name and not (connection.cluster or connection.user):
        raise ClusterUnreachable(
            "no context is chosen",
            "the kubeconfig has no current-context",
            "kubectl config use-context NAME",
        )
    base: dict[str, Any] = {}
    if name:
        base = dict(merged["contexts"].get_with_name(name)["context"].value)
    user = connection.user or base.get("user")
    if user and not connection.token and merged["users"].get_with_name(user, safe=True) is None:
        # The package would go on as nobody.
        raise ClusterUnreachable(
            "cannot use the kubeconfig", f"it has no user '{user}'", "kubectl config get-users"
        )
    if name and not (connection.cluster or connection.user):
        return name
    if connection.cluster:
        base["cluster"] = connection.cluster
    if connection.user:
        base["user"] = connection.user
    merged.value.setdefault("contexts", []).append({"name": _OVERRIDE, "context": base})
    return _OVERRIDE


def _from_pod(configuration: Any) -> str:
    from kubernetes.config.config_exception import ConfigException
    from kubernetes.config.incluster_config import load_incluster_config

    try:
        load_incluster_config(client_configuration=configuration)
    except ConfigException as err:
        raise ClusterUnreachable("cannot use the pod's service account", _plain(str(err))) from err
    namespace = SERVICE_ACCOUNT / "namespace"
    return namespace.read_text().strip() if namespace.exists() else ""


def _apply_flags(connection: Connection, configuration: Any) -> None:
    if connection.server:
        configuration.host = connection.server.rstrip("/")
    if connection.token:
        configuration.api_key["BearerToken"] = f"Bearer {connection.token}"
        configuration.cert_file = configuration.key_file = None
    if connection.certificate_authority:
        if not Path(connection.certificate_authority).is_file():
            raise UsageError(
                "--certificate-authority", f"{connection.certificate_authority} is not a file"
            )
        configuration.ssl_ca_cert = connection.certificate_authority
    if connection.insecure_skip_tls_verify:
        configuration.verify_ssl = False
        configuration.ssl_ca_cert = None
    if connection.tls_server_name:
        configuration.tls_server_name = connection.tls_server_name


def _plain(text: str) -> str:
    return " ".join(text.split())[:300]
