"""Kubeconfig files: read, merged and narrowed down to one cluster and one user.

As client-go does it: of several files the first that has a name counts, and the first
current-context; paths in a file are relative to that file.
"""

from __future__ import annotations

import base64
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from kubectl_fluidmodel.kube.errors import ClusterUnreachable
from kubectl_fluidmodel.kube.kind import at

_CLUSTER_PATHS = ("certificate-authority",)
_USER_PATHS = ("client-certificate", "client-key", "tokenFile")


@dataclass(frozen=True)
class Server:
    """An API server, and how to be sure that it is the one."""

    url: str
    authority: bytes = field(default=b"", repr=False)
    """PEM; empty for what this machine trusts."""
    insecure: bool = False
    name: str = ""
    """Name to expect in its certificate, where that is not the URL's host."""
    proxy: str = ""
    """URL; empty for what the environment says."""
    extensions: tuple[Mapping[str, Any], ...] = ()


@dataclass(frozen=True)
class Kubeconfig:
    """All files as one; entries by name."""

    clusters: Mapping[str, Mapping[str, Any]]
    users: Mapping[str, Mapping[str, Any]]
    contexts: Mapping[str, Mapping[str, Any]]
    current: str

    def context(self, name: str) -> Mapping[str, Any]:
        return self._named("context", self.contexts, name)

    def cluster(self, name: str) -> Mapping[str, Any]:
        return self._named("cluster", self.clusters, name)

    def user(self, name: str) -> Mapping[str, Any]:
        return self._named("user", self.users, name)

    def _named(
        self, what: str, entries: Mapping[str, Mapping[str, Any]], name: str
    ) -> Mapping[str, Any]:
        if name not in entries:
            raise ClusterUnreachable(
                "cannot use the kubeconfig",
                f"it has no {what} '{name}'",
                f"kubectl config get-{what}s",
            )
        return entries[name]


def paths(flag: str | None) -> list[str]:
    """The files that are there, of --kubeconfig, else KUBECONFIG, else the home directory."""
    if flag:
        return [flag] if Path(flag).is_file() else []
    listed = os.environ.get("KUBECONFIG")
    if listed:
        candidates = [part for part in listed.split(os.pathsep) if part]
    else:
        candidates = [str(Path("~/.kube/config").expanduser())]
    return [path for path in candidates if Path(path).is_file()]


def read(file: str) -> dict[str, Any]:
    """What one file says.

    Raises:
        OSError: it cannot be read.
        ValueError: it is no kubeconfig.
    """
    import yaml

    # Some hold a hundred clusters, which libyaml reads ten times faster.
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    try:
        found = yaml.load(Path(file).read_bytes(), Loader=loader) or {}  # noqa: S506 - both are safe
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


def merged(files: Iterable[str]) -> Kubeconfig:
    """All files as one.

    Raises:
        ClusterUnreachable: one cannot be read.
    """
    clusters: dict[str, Mapping[str, Any]] = {}
    users: dict[str, Mapping[str, Any]] = {}
    contexts: dict[str, Mapping[str, Any]] = {}
    current = ""
    for file in files:
        try:
            found = read(file)
        except (OSError, ValueError) as err:
            raise ClusterUnreachable(
                "cannot read the kubeconfig", _plain(f"{file}: {err}"), "kubectl config view"
            ) from err
        base = Path(file).absolute().parent
        current = current or str(found.get("current-context") or "")
        for entry in found.get("clusters") or []:
            cluster = _resolved(entry.get("cluster"), _CLUSTER_PATHS, base)
            clusters.setdefault(entry["name"], cluster)
        for entry in found.get("users") or []:
            users.setdefault(entry["name"], _resolved(entry.get("user"), _USER_PATHS, base))
        for entry in found.get("contexts") or []:
            contexts.setdefault(entry["name"], _mapping(entry.get("context")))
    return Kubeconfig(clusters, users, contexts, current)


def server(entry: Mapping[str, Any]) -> Server:
    """The API server of a cluster's entry.

    Raises:
        ClusterUnreachable: the certificate authority cannot be read.
    """
    extensions = entry.get("extensions")
    return Server(
        url=str(entry.get("server") or "").rstrip("/"),
        authority=content(entry, "certificate-authority"),
        insecure=bool(entry.get("insecure-skip-tls-verify")),
        name=str(entry.get("tls-server-name") or ""),
        proxy=str(entry.get("proxy-url") or ""),
        extensions=tuple(_mapping(each) for each in extensions or () if isinstance(each, Mapping)),
    )


def content(entry: Mapping[str, Any], key: str) -> bytes:
    """`KEY-data`, else the file that `KEY` names; empty where the entry has neither.

    Raises:
        ClusterUnreachable: the data is not base64, or the file cannot be read.
    """
    data, file = entry.get(f"{key}-data"), entry.get(key)
    try:
        if data:
            return base64.b64decode("".join(str(data).split()), validate=True)
        return Path(str(file)).read_bytes() if file else b""
    except (OSError, ValueError) as err:
        reason = f"{file}: {err.strerror}" if isinstance(err, OSError) else "it is not base64"
        raise ClusterUnreachable(
            "cannot use the kubeconfig", f"{key}: {reason}", "kubectl config view"
        ) from err


def _resolved(entry: Any, keys: Iterable[str], base: Path) -> Mapping[str, Any]:
    """The entry with its paths made absolute."""
    found = dict(_mapping(entry))
    for key in keys:
        if found.get(key):
            found[key] = str(base / str(found[key]))
    plugin = found.get("exec")
    if isinstance(plugin, Mapping) and os.sep in str(plugin.get("command") or ""):
        found["exec"] = {**plugin, "command": str(base / str(plugin["command"]))}
    return found


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _plain(text: str) -> str:
    return " ".join(text.split())[:300]
