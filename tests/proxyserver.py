"""A real forward proxy on loopback: CONNECT, and SOCKS 5, which note what they were asked for."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

Handshake = Callable[[socket.socket, "Proxy"], None]


@dataclass
class Proxy:
    """Takes every destination to the one port that it was made for."""

    target: int
    asked: list[str] = field(default_factory=list)
    """What clients wanted, as `host:port`."""
    logins: list[str] = field(default_factory=list)
    port: int = 0


@contextlib.contextmanager
def connect_proxy(target: int) -> Iterator[Proxy]:
    """An HTTP proxy that speaks CONNECT."""
    with _serve(Proxy(target), _connect) as proxy:
        yield proxy


@contextlib.contextmanager
def socks_proxy(target: int) -> Iterator[Proxy]:
    """A SOCKS 5 proxy without a login."""
    with _serve(Proxy(target), _socks) as proxy:
        yield proxy


@contextlib.contextmanager
def _serve(proxy: Proxy, handshake: Handshake) -> Iterator[Proxy]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        proxy.port = listener.getsockname()[1]
        threading.Thread(target=_accept, args=(listener, proxy, handshake), daemon=True).start()
        yield proxy


def _accept(listener: socket.socket, proxy: Proxy, handshake: Handshake) -> None:
    with contextlib.suppress(OSError):
        while True:
            client, _ = listener.accept()
            threading.Thread(target=_carry, args=(client, proxy, handshake), daemon=True).start()


def _carry(client: socket.socket, proxy: Proxy, handshake: Handshake) -> None:
    with contextlib.suppress(OSError), client:
        handshake(client, proxy)
        with socket.create_connection(("127.0.0.1", proxy.target)) as server:
            threading.Thread(target=_copy, args=(client, server), daemon=True).start()
            _copy(server, client)


def _copy(source: socket.socket, sink: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(65536):
            sink.sendall(data)
        sink.shutdown(socket.SHUT_WR)


def _connect(client: socket.socket, proxy: Proxy) -> None:
    head = b""
    while b"\r\n\r\n" not in head:
        head += client.recv(65536)
    lines = head.decode().split("\r\n")
    proxy.asked.append(lines[0].split()[1])
    proxy.logins += [line.split()[-1] for line in lines if line.startswith("Proxy-Authorization")]
    client.sendall(b"HTTP/1.1 200 OK\r\n\r\n")


def _socks(client: socket.socket, proxy: Proxy) -> None:
    client.recv(2 + client.recv(2, socket.MSG_PEEK)[1])
    client.sendall(b"\x05\x00")
    head = client.recv(5)
    if head[3] == 3:
        host = client.recv(head[4]).decode()
    else:
        host = socket.inet_ntoa(head[4:5] + client.recv(3))
    port = int.from_bytes(client.recv(2), "big")
    proxy.asked.append(f"{host}:{port}")
    client.sendall(b"\x05\x00\x00\x01\x7f\x00\x00\x01\x00\x00")
