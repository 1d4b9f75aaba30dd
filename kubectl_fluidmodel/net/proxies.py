"""Proxies: which one a request goes through, by kubectl's reading of HTTPS_PROXY and NO_PROXY.

Python's own reading differs from Go's in what people run into: Go never sends loopback through
a proxy (kind, minikube, port-forwards), takes networks such as 10.0.0.0/8 in NO_PROXY, and lets
`.example.com` mean the hosts below a domain but not the domain.
"""

from __future__ import annotations

import base64
import ipaddress
import os
import re
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

from kubectl_fluidmodel.errors import Unreachable
from kubectl_fluidmodel.net import tls

if TYPE_CHECKING:
    import ssl

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


def shown(proxy: str) -> str:
    """A proxy's URL without name and password."""
    scheme, separator, rest = proxy.partition("://")
    return f"{scheme}{separator}{rest.rpartition('@')[2].partition('/')[0]}"


def well_formed(proxy: str) -> bool:
    """Whether a proxy's URL has a host, and a port that is a number if it has one."""
    try:
        split = urlsplit(proxy)
        return bool(split.hostname) and split.port != 0
    except ValueError:
        return False


def pool(proxy: str, trusted: ssl.SSLContext | None = None, **options: Any) -> urllib3.PoolManager:
    """urllib3's connections, through a proxy if one is given; `options` are those of its pools.

    `trusted` checks the certificate of a proxy that has one; without it the machine's trust does.

    Raises:
        Unreachable: the proxy is of a kind that nobody here speaks.
    """
    import urllib3

    if not proxy:
        return urllib3.PoolManager(**options)
    require(proxy)
    scheme = urlsplit(proxy).scheme
    if scheme in SOCKS:
        from urllib3.contrib.socks import SOCKSProxyManager

        # As with kubectl, it is the proxy that looks names up.
        return SOCKSProxyManager(proxy.replace("socks5://", "socks5h://", 1), **options)
    if scheme == "https":
        options["proxy_ssl_context"] = trusted or tls.context()
    return urllib3.ProxyManager(proxy, proxy_headers=authorization(proxy), **options)


SOCKS = ("socks5", "socks5h")


def require(proxy: str) -> None:
    """Whether a proxy is of a kind that is spoken here; SOCKS takes PySocks.

    Raises:
        Unreachable: it is not.
    """
    scheme = proxy.partition("://")[0].lower()
    if scheme not in (*SOCKS, "http", "https"):
        raise Unreachable(
            f"cannot use the proxy {shown(proxy)}", f"'{scheme}' is none of http, https and socks5"
        )
    if not well_formed(proxy):
        raise Unreachable(f"cannot use the proxy {shown(proxy)}", "it is no URL")
    if scheme not in SOCKS:
        return
    try:
        import socks  # noqa: F401
    except ImportError as err:
        raise Unreachable(
            f"cannot use the proxy {shown(proxy)}",
            "PySocks is not installed",
            "pip install PySocks",
        ) from err


def fault(err: BaseException, proxy: str, target: str) -> str:
    """What a failed request to `target` says of its proxy; empty where it is not at fault."""
    import urllib3

    if not proxy:
        return ""
    chain = list(_causes(err))
    words = " ".join(str(chain[-1]).split())
    errors = urllib3.exceptions
    # urllib3's SOCKS says so only by failing to connect: it connects to nothing but the proxy.
    its_own: tuple[type[BaseException], ...] = (errors.ProxyError,)
    if urlsplit(proxy).scheme in SOCKS:
        its_own += (errors.NewConnectionError, errors.ConnectTimeoutError)
    return reason(proxy, target, words) if any(isinstance(e, its_own) for e in chain) else ""


def reason(proxy: str, target: str, words: str) -> str:
    """Why a proxy did not lead to `target`, from what its client's library says of it."""
    name = f"the proxy {shown(proxy)}"
    answered = re.search(r"Tunnel connection failed: (\d+ ?.*)", words)
    if answered:
        if answered[1].startswith("407"):
            return f"{name} wants a login ({answered[1].strip()})"
        return f"{name} does not let through to {target} ({answered[1].strip()})"
    socks = re.search(r"(0x0[1-8]: .*)", words)
    if socks:
        return f"{name} does not lead to {target} ({socks[1].strip()})"
    if "authentication" in words.lower():
        return f"{name} does not accept the name and password of its URL"
    if "refused" in words.lower():
        return f"{name} refuses the connection"
    return f"{name} cannot be used: {words[:200]}"


def _causes(err: BaseException) -> Iterator[BaseException]:
    """An error of urllib3's and those that it stands for, the first cause last."""
    current: BaseException | None = err
    while current is not None:
        yield current
        inner = getattr(current, "reason", None) or getattr(current, "original_error", None)
        current = inner if isinstance(inner, BaseException) else None


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
