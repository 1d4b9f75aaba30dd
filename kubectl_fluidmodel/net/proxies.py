"""Proxies: selects the proxy of a request, with kubectl's rules for HTTPS_PROXY and NO_PROXY.

Python's rules differ from Go's in common cases: Go never uses a proxy for loopback (kind, minikube,
port-forwards), accepts networks such as 10.0.0.0/8 in NO_PROXY, and matches `.example.com` with
hosts below a domain but not with the domain itself.
"""

from __future__ import annotations

import base64
import ipaddress
import os
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

from kubectl_fluidmodel.errors import UnreachableError
from kubectl_fluidmodel.net import tls

if TYPE_CHECKING:
    import urllib3

_DEFAULT_PORTS = {"http": 80, "https": 443}


def proxy_for(url: str, environ: Mapping[str, str] | None = None) -> str:
    """Return the URL of the proxy that the environment sets for `url`; empty for none."""
    environ = os.environ if environ is None else environ
    split = urlsplit(url)
    if split.scheme not in _DEFAULT_PORTS or not split.hostname:
        return ""
    name = f"{split.scheme}_proxy"
    proxy = environ.get(name.upper()) or environ.get(name) or ""
    if not proxy:
        return ""
    no_proxy = environ.get("NO_PROXY") or environ.get("no_proxy") or ""
    if bypasses_proxy(split.hostname, split.port or _DEFAULT_PORTS[split.scheme], no_proxy):
        return ""
    return proxy if "://" in proxy else f"http://{proxy}"


def bypasses_proxy(host: str, port: int, no_proxy: str) -> bool:
    """Return whether `host:port` is reached directly; `no_proxy` is the value of NO_PROXY."""
    host = host.lower().rstrip(".")
    address = _parse_address(host)
    if host == "localhost" or (address is not None and address.is_loopback):
        return True
    entries = [entry.strip().lower() for entry in no_proxy.split(",")]
    return any(_matches_entry(entry, host, address, port) for entry in entries if entry)


def proxy_auth_header(proxy: str) -> dict[str, str]:
    """Return the authentication header for the user and password in a proxy's URL."""
    split = urlsplit(proxy)
    if not split.username:
        return {}
    pair = f"{unquote(split.username)}:{unquote(split.password or '')}"
    return {"Proxy-Authorization": "Basic " + base64.b64encode(pair.encode()).decode()}


def without_credentials(proxy: str) -> str:
    """Return a proxy's URL without user name and password."""
    scheme, separator, rest = proxy.partition("://")
    return f"{scheme}{separator}{rest.rpartition('@')[2].partition('/')[0]}"


def is_valid_proxy_url(proxy: str) -> bool:
    """Return whether a proxy's URL has a host and, if it has a port, a numeric one."""
    try:
        split = urlsplit(proxy)
        return bool(split.hostname) and split.port != 0
    except ValueError:
        return False


def create_pool(proxy: str, **options: Any) -> urllib3.PoolManager:
    """Create a urllib3 pool manager, through a proxy if one is given.

    `options` are those of its pools. The certificate of an https proxy is verified with this
    machine's CAs.

    Raises:
        UnreachableError: the type of proxy is not supported.
    """
    import urllib3

    if not proxy:
        return urllib3.PoolManager(**options)
    require_supported(proxy)
    scheme = urlsplit(proxy).scheme
    if scheme in SOCKS_SCHEMES:
        from urllib3.contrib.socks import SOCKSProxyManager

        # as with kubectl, the proxy resolves host names
        return SOCKSProxyManager(proxy.replace("socks5://", "socks5h://", 1), **options)
    if scheme == "https":
        options["proxy_ssl_context"] = tls.create_ssl_context()
    return urllib3.ProxyManager(proxy, proxy_headers=proxy_auth_header(proxy), **options)


SOCKS_SCHEMES = ("socks5", "socks5h")


def require_supported(proxy: str) -> None:
    """Check that a proxy's type is supported; SOCKS requires PySocks.

    Raises:
        UnreachableError: it is not.
    """
    scheme = proxy.partition("://")[0].lower()
    if scheme not in (*SOCKS_SCHEMES, "http", "https"):
        raise UnreachableError(
            f"cannot use the proxy {without_credentials(proxy)}",
            f"'{scheme}' is not http, https or socks5",
        )
    if not is_valid_proxy_url(proxy):
        raise UnreachableError(
            f"cannot use the proxy {without_credentials(proxy)}", "it is not a URL"
        )
    if scheme not in SOCKS_SCHEMES:
        return
    try:
        import socks  # noqa: F401
    except ImportError as err:
        raise UnreachableError(
            f"cannot use the proxy {without_credentials(proxy)}",
            "PySocks is not installed",
            "pip install PySocks",
        ) from err


def proxy_failure_reason(proxy: str, target: str, text: str) -> str:
    """Explain why a proxy did not reach `target`, from its client library's message."""
    name = f"the proxy {without_credentials(proxy)}"
    tunnel_failure = re.search(r"Tunnel connection failed: (\d+ ?.*)", text)
    if tunnel_failure:
        if tunnel_failure[1].startswith("407"):
            return f"{name} requires authentication ({tunnel_failure[1].strip()})"
        return f"{name} denies access to {target} ({tunnel_failure[1].strip()})"
    socks_failure = re.search(r"(0x0[1-8]: .*)", text)
    if socks_failure:
        return f"{name} cannot reach {target} ({socks_failure[1].strip()})"
    if "authentication" in text.lower():
        return f"{name} does not accept the user name and password in its URL"
    if "refused" in text.lower():
        return f"{name} refuses the connection"
    return f"{name} cannot be used: {text[:200]}"


_Address = ipaddress.IPv4Address | ipaddress.IPv6Address


def _parse_address(text: str) -> _Address | None:
    try:
        return ipaddress.ip_address(text)
    except ValueError:
        return None


def _matches_entry(entry: str, host: str, address: _Address | None, port: int) -> bool:
    if entry == "*":
        return True
    if "/" in entry:
        try:
            return address is not None and address in ipaddress.ip_network(entry, strict=False)
        except ValueError:
            return False
    name, entry_port = _split_host_port(entry)
    if entry_port and entry_port != str(port):
        return False
    entry_address = _parse_address(name)
    if entry_address is not None:
        return entry_address == address
    if name.startswith("*."):
        name = name[1:]
    if name.startswith("."):
        return host.endswith(name)
    return bool(name) and (host == name or host.endswith(f".{name}"))


def _split_host_port(entry: str) -> tuple[str, str]:
    """Return the host and port of an entry; a bare IPv6 address has no port."""
    if entry.startswith("["):
        host, _, rest = entry[1:].partition("]")
        return host, rest.removeprefix(":")
    if entry.count(":") == 1:
        host, _, port = entry.partition(":")
        return host, port
    return entry, ""
