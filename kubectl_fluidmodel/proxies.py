"""Proxies: which one a request goes through, by kubectl's reading of HTTPS_PROXY and NO_PROXY.

Python's own reading differs from Go's in what people run into: Go never sends loopback through
a proxy (kind, minikube, port-forwards), takes networks such as 10.0.0.0/8 in NO_PROXY, and lets
`.example.com` mean the hosts below a domain but not the domain.
"""

from __future__ import annotations

import base64
import ipaddress
import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

from kubectl_fluidmodel import trust
from kubectl_fluidmodel.errors import Unreachable

if TYPE_CHECKING:
    import urllib3

_PORTS = {"http": 80, "https": 443}


def proxy_for(url: str, environ: Mapping[str, str] | None = None) -> str:
    """The URL of the proxy that the environment names for `url`; empty for none."""
    environ = os.environ if environ is None else environ
    split = urlsplit(url)
    if split.scheme not in _PORTS or not split.hostname:
        return ""
    name = f"{split.scheme}_proxy"
    proxy = environ.get(name.upper()) or environ.get(name) or ""
    if not proxy:
        return ""
    exempt = environ.get("NO_PROXY") or environ.get("no_proxy") or ""
    if direct(split.hostname, split.port or _PORTS[split.scheme], exempt):
        return ""
    return proxy if "://" in proxy else f"http://{proxy}"


def direct(host: str, port: int, exempt: str) -> bool:
    """Whether `host:port` is reached without a proxy; `exempt` is NO_PROXY's text."""
    host = host.lower().rstrip(".")
    address = _address(host)
    if host == "localhost" or (address is not None and address.is_loopback):
        return True
    entries = [entry.strip().lower() for entry in exempt.split(",")]
    return any(_matches(entry, host, address, port) for entry in entries if entry)


def authorization(proxy: str) -> dict[str, str]:
    """The header that logs in at a proxy with the user and password of its URL."""
    split = urlsplit(proxy)
    if not split.username:
        return {}
    pair = f"{unquote(split.username)}:{unquote(split.password or '')}"
    return {"Proxy-Authorization": "Basic " + base64.b64encode(pair.encode()).decode()}


def pool(proxy: str, **options: Any) -> urllib3.PoolManager:
    """urllib3's connections, through a proxy if one is given; `options` are those of its pools.

    Raises:
        Unreachable: the proxy is of a kind that nobody here speaks.
    """
    import urllib3

    if not proxy:
        return urllib3.PoolManager(**options)
    scheme = urlsplit(proxy).scheme
    if scheme in ("socks5", "socks5h"):
        from urllib3.contrib.socks import SOCKSProxyManager

        # As with kubectl, it is the proxy that looks names up.
        return SOCKSProxyManager(proxy.replace("socks5://", "socks5h://", 1), **options)
    if scheme not in ("http", "https"):
        raise Unreachable("cannot use the proxy", f"'{scheme}' is none of http, https and socks5")
    if scheme == "https":
        options["proxy_ssl_context"] = trust.context()
    return urllib3.ProxyManager(proxy, proxy_headers=authorization(proxy), **options)


_Address = ipaddress.IPv4Address | ipaddress.IPv6Address


def _address(text: str) -> _Address | None:
    try:
        return ipaddress.ip_address(text)
    except ValueError:
        return None


def _matches(entry: str, host: str, address: _Address | None, port: int) -> bool:
    if entry == "*":
        return True
    if "/" in entry:
        try:
            return address is not None and address in ipaddress.ip_network(entry, strict=False)
        except ValueError:
            return False
    name, wanted = _split(entry)
    if wanted and wanted != str(port):
        return False
    exact = _address(name)
    if exact is not None:
        return exact == address
    if name.startswith("*."):
        name = name[1:]
    if name.startswith("."):
        return host.endswith(name)
    return bool(name) and (host == name or host.endswith(f".{name}"))


def _split(entry: str) -> tuple[str, str]:
    """Host and port of an entry; a bare IPv6 address has no port."""
    if entry.startswith("["):
        host, _, rest = entry[1:].partition("]")
        return host, rest.removeprefix(":")
    if entry.count(":") == 1:
        host, _, port = entry.partition(":")
        return host, port
    return entry, ""
