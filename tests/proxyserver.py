"""A real forward proxy on loopback: HTTP and SOCKS 5, which note what they were asked for."""

from __future__ import annotations

import base64
import contextlib
import selectors
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

Handshake = Callable[[socket.socket, "Proxy"], bytes]
"""Talks to a client, and gives what of its bytes belongs to the server."""


class _Refused(Exception):
    """The client got a refusal, and no connection."""


@dataclass
class Proxy:
    """Takes every destination to the one port that it was made for."""

    target: int
    requests: list[str] = field(default_factory=list)
    """What clients wanted, as `host:port`."""
    logins: list[str] = field(default_factory=list)
    """Name and password, as base64 for HTTP."""
    port: int = 0
    refusal: str = ""
    """What it answers instead, such as `403 Forbidden`; of SOCKS, the reply's number."""
    password: str = ""
    """`name:password` that SOCKS asks for."""


@contextlib.contextmanager
def connect_proxy(target: int, certificate: Path | None = None) -> Iterator[Proxy]:
    """An HTTP proxy that speaks CONNECT and takes absolute URLs; with a certificate, by TLS."""
    with _serve(Proxy(target), _connect, certificate) as proxy:
        yield proxy


@contextlib.contextmanager
def socks_proxy(target: int) -> Iterator[Proxy]:
    """A SOCKS 5 proxy, without a login unless its `password` is set."""
    with _serve(Proxy(target), _socks) as proxy:
        yield proxy


@contextlib.contextmanager
def breaking_relay(target: int, times: int) -> Iterator[Proxy]:
    """No proxy, but a balancer that breaks the first connections, after they asked."""
    left = [times]

    def handshake(client: socket.socket, proxy: Proxy) -> bytes:
        head = client.recv(65536)
        proxy.requests.append("")
        if left[0] > 0:
            left[0] -= 1
            raise _Refused
        return head

    with _serve(Proxy(target), handshake) as proxy:
        yield proxy


@contextlib.contextmanager
def _serve(proxy: Proxy, handshake: Handshake, certificate: Path | None = None) -> Iterator[Proxy]:
    context = None
    if certificate:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        proxy.port = listener.getsockname()[1]
        threading.Thread(
            target=_accept, args=(listener, proxy, handshake, context), daemon=True
        ).start()
        yield proxy


def _accept(
    listener: socket.socket, proxy: Proxy, handshake: Handshake, context: ssl.SSLContext | None
) -> None:
    with contextlib.suppress(OSError):
        while True:
            client, _ = listener.accept()
            threading.Thread(
                target=_carry, args=(client, proxy, handshake, context), daemon=True
            ).start()


def _carry(
    client: socket.socket, proxy: Proxy, handshake: Handshake, context: ssl.SSLContext | None
) -> None:
    with contextlib.suppress(OSError, _Refused), client:
        if context:
            client = context.wrap_socket(client, server_side=True)
        with client:
            first = handshake(client, proxy)
            with socket.create_connection(("127.0.0.1", proxy.target)) as server:
                server.sendall(first)
                _exchange(client, server)


def _exchange(client: socket.socket, server: socket.socket) -> None:
    """Carry bytes both ways until either side ends: in one thread, which TLS needs."""
    with selectors.DefaultSelector() as selector:
        selector.register(client, selectors.EVENT_READ, server)
        selector.register(server, selectors.EVENT_READ, client)
        while True:
            for key, _ in selector.select():
                source: socket.socket = key.fileobj  # type: ignore[assignment]
                more = True
                while more:
                    data = source.recv(65536)
                    if not data:
                        return
                    key.data.sendall(data)
                    more = isinstance(source, ssl.SSLSocket) and source.pending() > 0


def _connect(client: socket.socket, proxy: Proxy) -> bytes:
    head = b""
    while b"\r\n\r\n" not in head:
        data = client.recv(65536)
        if not data:
            raise _Refused
        head += data
    lines = head.decode("latin-1").split("\r\n")
    method, target, version = lines[0].split()
    tunnel = method == "CONNECT"
    proxy.requests.append(target if tunnel else target.split("/")[2])
    proxy.logins += [line.split()[-1] for line in lines if line.startswith("Proxy-Authorization")]
    if proxy.refusal:
        answer = f"HTTP/1.1 {proxy.refusal}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
        client.sendall(answer.encode())
        raise _Refused
    if tunnel:
        client.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
        return b""
    kept = [line for line in lines[1:] if not line.startswith("Proxy-")]
    path = "/" + target.split("/", 3)[3]
    return "\r\n".join([f"{method} {path} {version}", *kept]).encode("latin-1")


def _socks(client: socket.socket, proxy: Proxy) -> bytes:
    client.recv(2 + client.recv(2, socket.MSG_PEEK)[1])
    if proxy.password:
        client.sendall(b"\x05\x02")
        client.recv(1)
        name = client.recv(client.recv(1)[0]).decode()
        word = client.recv(client.recv(1)[0]).decode()
        login = f"{name}:{word}"
        proxy.logins.append(base64.b64encode(login.encode()).decode())
        client.sendall(b"\x01\x00" if login == proxy.password else b"\x01\x01")
        if login != proxy.password:
            raise _Refused
    else:
        client.sendall(b"\x05\x00")
    head = client.recv(5)
    if head[3] == 3:
        host = client.recv(head[4]).decode()
    else:
        host = socket.inet_ntoa(head[4:5] + client.recv(3))
    port = int.from_bytes(client.recv(2), "big")
    proxy.requests.append(f"{host}:{port}")
    reply = bytes([5, int(proxy.refusal or 0), 0, 1, 127, 0, 0, 1, 0, 0])
    client.sendall(reply)
    if proxy.refusal:
        raise _Refused
    return b""
