"""Applies flags to the entries of a kubeconfig, and validates them.

Source of the rules: client-go, tools/clientcmd/client_config.go and validation.go (v0.36).
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from kubectl_fluidmodel.errors import UsageError
from kubectl_fluidmodel.kube.errors import kubeconfig_error
from kubectl_fluidmodel.net import proxies

if TYPE_CHECKING:
    from kubectl_fluidmodel.kube.config import ConfigFlags
    from kubectl_fluidmodel.kube.kubeconfig import KubeconfigEntry


def apply_cluster_flags(entry: KubeconfigEntry, flags: ConfigFlags) -> dict[str, Any]:
    """Return a cluster's entry with the flags applied."""
    applied = dict(entry)
    values = {"server": flags.server, "proxy-url": flags.proxy_url}
    applied |= {key: value for key, value in values.items() if value}
    if flags.disable_compression:
        applied["disable-compression"] = True
    if flags.certificate_authority or flags.insecure_skip_tls_verify:
        applied["certificate-authority"] = flags.certificate_authority
        applied["certificate-authority-data"] = None
        applied["insecure-skip-tls-verify"] = flags.insecure_skip_tls_verify
    if flags.tls_server_name or flags.server:
        # The name in the certificate belonged to the other server.
        applied["tls-server-name"] = flags.tls_server_name
    return applied


def apply_user_flags(entry: KubeconfigEntry, flags: ConfigFlags) -> dict[str, Any]:
    """Return a user's entry with the flags applied."""
    applied = dict(entry)
    values = {
        "token": flags.token,
        "username": flags.username,
        "password": flags.password,
        "as": flags.as_user,
        "as-uid": flags.as_uid,
        "as-groups": list(flags.as_groups),
    }
    applied |= {key: value for key, value in values.items() if value}
    for key, file in (
        ("client-certificate", flags.client_certificate),
        ("client-key", flags.client_key),
    ):
        if file:
            applied |= {key: file, f"{key}-data": None}
    extra: dict[str, list[str]] = {}
    for attribute in flags.as_user_extra:
        key, separator, value = attribute.partition("=")
        if separator:
            extra.setdefault(key, []).append(value)
    if extra:
        applied["as-user-extra"] = {**(applied.get("as-user-extra") or {}), **extra}
    return applied


def validate_cluster(name: str, entry: KubeconfigEntry, flags: ConfigFlags) -> None:
    """Validate a cluster's entry.

    Raises:
        UsageError: a flag names a file that cannot be read, or contradicts another flag.
        ClusterUnreachableError: the entry contradicts itself.
    """
    if flags.certificate_authority:
        _require_readable("--certificate-authority", flags.certificate_authority)
        if flags.insecure_skip_tls_verify:
            raise UsageError(
                "--certificate-authority and --insecure-skip-tls-verify",
                "the first verifies the server's certificate, the second does not",
            )
    subject = f"the cluster '{name}'" if name else "the cluster"
    if entry.get("certificate-authority") and entry.get("certificate-authority-data"):
        raise kubeconfig_error(
            f"{subject} has both certificate-authority and certificate-authority-data"
        )
    _open(entry, "certificate-authority")
    proxy = str(entry.get("proxy-url") or "")
    scheme = proxy.partition("://")[0].lower()
    is_supported = "://" in proxy and scheme in ("http", "https", "socks5")
    if proxy and not (is_supported and proxies.is_valid_proxy_url(proxy)):
        raise kubeconfig_error(
            f"{subject} has a proxy-url that is not one of http://, https:// and socks5://"
        )


def validate_trust(entry: KubeconfigEntry) -> None:
    """Check that the settings for verifying an https server's certificate are consistent.

    Raises:
        ClusterUnreachableError: they contradict each other.
    """
    authority = entry.get("certificate-authority") or entry.get("certificate-authority-data")
    if authority and entry.get("insecure-skip-tls-verify"):
        raise kubeconfig_error(
            "the cluster has a certificate-authority and insecure-skip-tls-verify, which "
            "contradict each other"
        )


def validate_user(name: str, entry: KubeconfigEntry, flags: ConfigFlags) -> None:
    """Validate a user's entry.

    Raises:
        UsageError: a flag names a file that cannot be read, or --as is missing.
        ClusterUnreachableError: the entry contradicts itself or is incomplete.
    """
    for flag, file in (
        ("--client-certificate", flags.client_certificate),
        ("--client-key", flags.client_key),
    ):
        if file:
            _require_readable(flag, file)
    subject = f"the user '{name}'" if name else "the user"
    if entry.get("token") and (entry.get("username") or entry.get("password")):
        raise kubeconfig_error(f"{subject} has both a token and a name with a password")
    if _has(entry, "client-certificate"):
        for key in ("client-certificate", "client-key"):
            if entry.get(key) and entry.get(f"{key}-data"):
                raise kubeconfig_error(f"{subject} has both {key} and {key}-data")
            _open(entry, key)
        if not _has(entry, "client-key"):
            raise kubeconfig_error(f"{subject} has a client-certificate, but no client-key")
    if entry.get("exec") is not None:
        if entry.get("auth-provider") is not None:
            raise kubeconfig_error(f"{subject} has both an auth-provider and a credential plugin")
        from kubectl_fluidmodel.kube import exec_plugin

        exec_plugin.validate_entry(subject, entry["exec"])
    if not entry.get("as") and any(
        entry.get(key) for key in ("as-uid", "as-groups", "as-user-extra")
    ):
        if flags.as_groups or flags.as_uid or flags.as_user_extra:
            used_flag = "--as-group" if flags.as_groups else "--as-uid" if flags.as_uid else ""
            raise UsageError(
                f"{used_flag or '--as-user-extra'} requires --as",
                "a group, UID or extra attribute needs a user to impersonate",
            )
        raise kubeconfig_error(
            f"{subject} impersonates a UID, groups or extra attributes (as-uid, as-groups, "
            "as-user-extra) without a user (as)"
        )


def impersonation_headers(entry: KubeconfigEntry) -> tuple[tuple[str, str], ...]:
    """Return the impersonation headers of a user's entry."""
    if not entry.get("as"):
        return ()
    headers = [("Impersonate-User", str(entry["as"]))]
    if entry.get("as-uid"):
        headers.append(("Impersonate-Uid", str(entry["as-uid"])))
    headers += [("Impersonate-Group", group or "") for group in entry.get("as-groups") or ()]
    for key, values in (entry.get("as-user-extra") or {}).items():
        name = f"Impersonate-Extra-{_escaped(str(key))}"
        headers += [(name, value or "") for value in values or ()]
    return tuple(headers)


_TOKEN = frozenset(b"!#$&'*+-.^_`|~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz")


def _escaped(key: str) -> str:
    """Escape a key for a header's name (client-go, transport/round_trippers.go)."""
    return "".join(chr(byte) if byte in _TOKEN else f"%{byte:02X}" for byte in key.encode())


def _has(entry: KubeconfigEntry, key: str) -> bool:
    return bool(entry.get(key) or entry.get(f"{key}-data"))


def _require_readable(flag: str, file: str) -> None:
    try:
        Path(file).open("rb").close()
    except OSError as err:
        raise UsageError(flag, f"{file} is not a readable file") from err


def _open(entry: KubeconfigEntry, key: str) -> None:
    if not entry.get(key):
        return
    try:
        Path(str(entry[key])).open("rb").close()
    except OSError as err:
        raise kubeconfig_error(f"{key}: {entry[key]}: {err.strerror}") from err
