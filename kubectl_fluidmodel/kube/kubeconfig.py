"""Kubeconfig files: read, merged, and reduced to one cluster and one user.

As in client-go, the first file with a name takes precedence, and the first current-context. Paths
in a file are relative to that file.
"""

from __future__ import annotations

import base64
import os
import posixpath
import re
from collections.abc import Iterable, Mapping
from dataclasses import field
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote, urlsplit

from kubectl_fluidmodel.kube import kubeconfig_fields
from kubectl_fluidmodel.kube.errors import ClusterUnreachableError, kubeconfig_error
from kubectl_fluidmodel.output.shell import kubectl
from kubectl_fluidmodel.records import dataclass

KubeconfigEntry = Mapping[str, Any]
"""The content of a cluster, a user or a context."""
_CLUSTER_PATHS = ("certificate-authority",)
_USER_PATHS = ("client-certificate", "client-key", "tokenFile")


@dataclass(frozen=True)
class ServerInfo:
    """An API server, and how to verify it."""

    url: str
    """Without a trailing slash, a query, or credentials."""
    authority: bytes = field(default=b"", repr=False)
    """PEM; empty for this machine's CAs."""
    insecure: bool = False
    name: str = ""
    """Server name to verify in its certificate, if it differs from the URL's host."""
    proxy: str = field(default="", repr=False)
    """URL, which may contain a password; empty for the environment's proxy."""
    extensions: tuple[Mapping[str, Any], ...] = ()
    compressed: bool = True
    """Whether responses may be compressed."""
    address: str = field(default="", repr=False)
    """The URL as passed to plugins: almost as the kubeconfig spells it."""
    userinfo: str = field(default="", repr=False)
    """`name:password` of the URL; empty if it has none."""

    @property
    def secure(self) -> bool:
        """Whether the connection is encrypted; only then are credentials sent."""
        return self.url.startswith("https://")


@dataclass(frozen=True)
class Kubeconfig:
    """All files merged; entries by name."""

    clusters: Mapping[str, KubeconfigEntry]
    users: Mapping[str, KubeconfigEntry]
    contexts: Mapping[str, KubeconfigEntry]
    current: str

    def context(self, name: str) -> KubeconfigEntry:
        return self._named("context", self.contexts, name)

    def cluster(self, name: str) -> KubeconfigEntry:
        return self._named("cluster", self.clusters, name)

    def user(self, name: str) -> KubeconfigEntry:
        return self._named("user", self.users, name)

    def _named(
        self, kind: str, entries: Mapping[str, KubeconfigEntry], name: str
    ) -> KubeconfigEntry:
        if name not in entries:
            raise ClusterUnreachableError(
                "cannot use the kubeconfig",
                f"it has no {kind} '{name}'",
                kubectl("config", f"get-{kind}s"),
            )
        return entries[name]


def kubeconfig_paths(flag: str | None) -> list[str]:
    """Return the existing files of --kubeconfig, else KUBECONFIG, else the home directory."""
    listed = os.environ.get("KUBECONFIG")
    if flag:
        candidates = [flag]
    elif listed:
        candidates = list(dict.fromkeys(part for part in listed.split(os.pathsep) if part))
    else:
        candidates = [str(Path("~/.kube/config").expanduser())]
    return [path for path in candidates if not _missing(path)]


def _missing(path: str) -> bool:
    """Return whether there is no file at a path; an unreadable one is there, as for kubectl."""
    try:
        Path(path).stat()
    except (FileNotFoundError, ValueError):  # a path with a zero byte
        return True
    except OSError:
        pass
    return False


def read_file(file: str) -> dict[str, Any]:
    """Parse one file.

    Raises:
        OSError: it cannot be read.
        ValueError: it is not a kubeconfig.
    """
    import yaml

    from kubectl_fluidmodel.output import goyaml

    try:
        document = yaml.load(Path(file).read_bytes(), Loader=goyaml.GoLoader) or {}  # noqa: S506 - a safe one
    except yaml.YAMLError as err:
        raise ValueError(f"it is not YAML: {err}") from err
    if not isinstance(document, dict):
        raise ValueError("it is not a kubeconfig")
    kubeconfig_fields.validate_fields(document)
    return document


def merge(files: Iterable[str]) -> Kubeconfig:
    """Merge all files.

    Raises:
        ClusterUnreachableError: a file cannot be read.
    """
    clusters: dict[str, KubeconfigEntry] = {}
    users: dict[str, KubeconfigEntry] = {}
    contexts: dict[str, KubeconfigEntry] = {}
    current = ""
    for file in files:
        try:
            document = read_file(file)
        except (OSError, ValueError) as err:
            raise ClusterUnreachableError(
                "cannot read the kubeconfig", _plain(f"{file}: {err}"), "kubectl config view"
            ) from err
        base = Path(file).absolute().parent
        current = current or str(document.get("current-context") or "")
        for entry in document.get("clusters") or []:
            cluster = _resolved(entry.get("cluster"), _CLUSTER_PATHS, base)
            clusters.setdefault(entry["name"], cluster)
        for entry in document.get("users") or []:
            users.setdefault(entry["name"], _resolved(entry.get("user"), _USER_PATHS, base))
        for entry in document.get("contexts") or []:
            contexts.setdefault(entry["name"], _mapping(entry.get("context")))
    return Kubeconfig(clusters, users, contexts, current)


def server_from_entry(entry: KubeconfigEntry) -> ServerInfo:
    """Return the API server of a cluster's entry.

    Raises:
        ClusterUnreachableError: the URL is invalid, or the certificate authority cannot be read.
    """
    address = str(entry.get("server") or "")
    url, userinfo = _url(address)
    secure = url.startswith("https://")
    extensions = entry.get("extensions")
    return ServerInfo(
        url=url,
        # Without TLS, CAs are irrelevant; kubectl ignores them, too.
        authority=read_inline_or_file(entry, "certificate-authority") if secure else b"",
        insecure=secure and bool(entry.get("insecure-skip-tls-verify")),
        name=str(entry.get("tls-server-name") or "") if secure else "",
        proxy=str(entry.get("proxy-url") or ""),
        extensions=tuple(
            _mapping(extension) for extension in extensions or () if isinstance(extension, Mapping)
        ),
        compressed=not entry.get("disable-compression"),
        address=address.partition("#")[0].partition("?")[0] if urlsplit(url).path else address,
        userinfo=userinfo,
    )


def _url(address: str) -> tuple[str, str]:
    """Return the base URL of requests, and its `name:password`.

    Without a scheme, the URL uses plain http, whatever else the cluster's entry has. Only URLs with
    a scheme can have a path (client-go, rest/url_utils.go).

    Raises:
        ClusterUnreachableError: it is not a URL.
    """
    has_scheme = "://" in address
    try:
        split = urlsplit(address if has_scheme else f"http://{address}")
        port = f":{split.port}" if split.port is not None else ""
        host = split.hostname
    except ValueError:  # a port that is not a number, or half an IPv6 address
        split, port, host = urlsplit(""), "", None
    path = posixpath.normpath("/" + unquote(split.path)).lstrip("/")
    legal = host and re.fullmatch(r"[^\s<>\"\\^`{|}]+", host)
    if not legal or split.scheme not in ("http", "https") or (path and not has_scheme):
        raise kubeconfig_error(f"the server's address '{_shown(address)}' is not a URL")
    host = f"[{host}]" if ":" in str(host) else split.netloc.rpartition("@")[2].partition(":")[0]
    userinfo = split.netloc.rpartition("@")[0]
    url = f"{split.scheme}://{host}{port}"
    return url + (f"/{quote(path, safe='$&+,/:;=@~')}" if path else ""), unquote(userinfo)


def _shown(address: str) -> str:
    """Return an address without credentials, on one line."""
    bare = re.sub(r"^(\w+://)?.*@", r"\1", address, flags=re.DOTALL)
    return "".join(char if char.isprintable() else " " for char in bare)[:200]


def read_inline_or_file(entry: KubeconfigEntry, key: str) -> bytes:
    """Return `KEY-data`, else the content of the file `KEY`; empty if the entry has neither.

    Raises:
        ClusterUnreachableError: the data is not base64, or the file is empty or cannot be read.
    """
    data, file = entry.get(f"{key}-data"), entry.get(key)
    try:
        if data:
            return base64.b64decode("".join(str(data).split()), validate=True)
        content = Path(str(file)).read_bytes() if file else b""
    except OSError as err:
        reason = f"{file}: {err.strerror}"
    except ValueError:
        reason = "it is not base64"
    else:
        if content.strip() or not file:
            return content
        reason = f"{file} is empty"
    raise kubeconfig_error(f"{key}: {reason}")


def _resolved(entry: Any, keys: Iterable[str], base: Path) -> KubeconfigEntry:
    """Return the entry with absolute paths."""
    resolved = dict(_mapping(entry))
    for key in keys:
        if resolved.get(key):
            resolved[key] = os.path.normpath(base / str(resolved[key]))
    plugin = resolved.get("exec")
    if isinstance(plugin, Mapping) and os.sep in str(plugin.get("command") or ""):
        resolved["exec"] = {**plugin, "command": os.path.normpath(base / str(plugin["command"]))}
    return resolved


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _plain(text: str) -> str:
    return " ".join(text.split())[:300]
