"""Sockets to a server through a proxy, for any protocol."""

from __future__ import annotations

import contextlib
import http.client
import selectors
import socket
import ssl
import threading
from urllib.parse import unquote, urlsplit

from kubectl_fluidmodel.net import proxies, tls

_CHUNK_BYTES = 65536


class TunnelError(OSError):
    """The proxy does not lead to the server; the text names the proxy and says why."""


def open_tunnel(
    proxy: str,
    host: str,
    port: int,
    timeout: float,
    proxy_ssl_context: ssl.SSLContext | None = None,
) -> socket.socket:
    """Connect to `host:port` through a proxy.

    `proxy_ssl_context` verifies an https proxy; by default, this machine's CAs do.

    Raises:
        TunnelError: the connection failed.
        UnreachableError: the type of proxy is not supported.
    """
    target = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    proxies.require_supported(proxy)
    if urlsplit(proxy).scheme in proxies.SOCKS_SCHEMES:
        return _open_socks_tunnel(proxy, host, port, timeout, target)
    connection = connect_to_proxy(proxy, target, timeout, proxy_ssl_context)
    try:
        _send_connect(connection, proxy, target)
    except OSError as err:
        connection.close()
        raise _tunnel_error(proxy, target, err) from err
    if isinstance(connection, ssl.SSLSocket):
        return _start_tls_relay(connection, timeout)
    return connection


def connect_to_proxy(
    proxy: str, target: str, timeout: float, proxy_ssl_context: ssl.SSLContext | None = None
) -> socket.socket:
    """Connect to an http or https proxy, for a tunnel to `target`.

    Raises:
        TunnelError: the connection failed.
    """
    split = urlsplit(proxy)
    host, port = str(split.hostname), split.port or (443 if split.scheme == "https" else 80)
    try:
        connection = socket.create_connection((host, port), timeout)
    except OSError as err:
        raise _tunnel_error(proxy, target, err) from err
    if split.scheme == "http":
        return connection
    try:
        context = proxy_ssl_context or tls.create_ssl_context()
        return context.wrap_socket(connection, server_hostname=host)
    except OSError as err:
        connection.close()
        raise _tunnel_error(proxy, target, err) from err


def _tunnel_error(proxy: str, target: str, err: OSError) -> TunnelError:
    text = " ".join(str(err.strerror or err).split())
    return TunnelError(proxies.proxy_failure_reason(proxy, target, text))


def _send_connect(proxied: socket.socket, proxy: str, target: str) -> None:
    """Send CONNECT.

    Raises:
        OSError: the proxy refuses.
    """
    lines = [f"CONNECT {target} HTTP/1.1", f"Host: {target}"]
    lines += [f"{name}: {value}" for name, value in proxies.proxy_auth_header(proxy).items()]
    proxied.sendall("\r\n".join([*lines, "", ""]).encode())
    response = http.client.HTTPResponse(proxied, method="CONNECT")
    try:
        # the server does not send first, so this cannot consume any of its data
        response.begin()
        if response.status != 200:
            raise OSError(f"Tunnel connection failed: {response.status} {response.reason}")
    except http.client.HTTPException as err:
        raise OSError(f"its response is not HTTP ({type(err).__name__})") from err


def _open_socks_tunnel(
    proxy: str, host: str, port: int, timeout: float, target: str
) -> socket.socket:
    import socks

    split = urlsplit(proxy)
    try:
        connection: socket.socket = socks.create_connection(
            (host, port),
            timeout=timeout,
            proxy_type=socks.SOCKS5,
            proxy_addr=split.hostname,
            proxy_port=split.port or 1080,
            proxy_rdns=True,
            proxy_username=unquote(split.username) if split.username else None,
            proxy_password=unquote(split.password or "") if split.username else None,
        )
    except OSError as err:  # socks.ProxyError is one
        text = " ".join(str(err).split())
        raise TunnelError(proxies.proxy_failure_reason(proxy, target, text)) from err
    return connection


def _start_tls_relay(proxied: ssl.SSLSocket, timeout: float) -> socket.socket:
    """A socket whose data passes through another TLS socket, so TLS can be used inside it.

    Python's `ssl` wraps only real sockets, and a single thread has to do all work of a TLS socket.
    """
    local_end, relay_end = socket.socketpair()
    local_end.settimeout(timeout)
    proxied.settimeout(None)
    threading.Thread(
        target=_relay_bytes, args=(relay_end, proxied), name="proxy-relay", daemon=True
    ).start()
    return local_end


def _relay_bytes(plain: socket.socket, proxied: ssl.SSLSocket) -> None:
    with contextlib.suppress(OSError), plain, proxied, selectors.DefaultSelector() as selector:
        selector.register(plain, selectors.EVENT_READ)
        selector.register(proxied, selectors.EVENT_READ)
        while True:
            ready = {key.fileobj for key, _ in selector.select()}
            if plain in ready:
                data = plain.recv(_CHUNK_BYTES)
                if not data:
                    return
                proxied.sendall(data)
            if proxied in ready:
                data = proxied.recv(_CHUNK_BYTES)
                if not data:
                    return
                plain.sendall(data)
                while proxied.pending():  # decrypted already: no selector would report it
                    plain.sendall(proxied.recv(_CHUNK_BYTES))
