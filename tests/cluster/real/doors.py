"""``python -m tests.cluster.real.doors STATE NODE PID [PORT…]``: what a node reaches, and who it.

A node's network has no way to the machine's.  Doors are sockets in both: what is listened to in one
network leads to a connection in the other.  Without PORTs the node gets

- the API server and the S3 server at the loopback addresses that they have on the machine, so that
  kubeconfigs and endpoints stay as they are,
- the API server once more at the address that pods know of,
- a DNS that knows the Services with ready endpoints, and nothing else,

and the API server gets to the kubelet.  With PORTs, only these of the machine's loopback interface.
"""

from __future__ import annotations

import concurrent.futures
import contextlib
import ctypes
import os
import socket
import struct
import sys
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import urllib3

from .. import cgroups
from ..api import Api, ApiError
from ..process import read_json
from .node import IN_CLUSTER, Node, taken

Address = tuple[str, int]
#: Of linux/sched.h.
CLONE_NEWNET = 0x40000000
BLOCK = 1 << 20
LOOPBACK = "127.0.0.1"


class Network:
    """A network namespace, in which sockets can be made."""

    def __init__(self, pid: int) -> None:
        self._namespace = os.open(f"/proc/{pid}/ns/net", os.O_RDONLY)

    def enter(self) -> None:
        """Let this thread make its sockets there from now on."""
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.setns(self._namespace, CLONE_NEWNET):
            raise OSError(ctypes.get_errno(), "setns")

    def within(self, make: Callable[[], socket.socket]) -> socket.socket:
        """A socket that is made there: it stays there, whoever uses it.

        Raises:
            OSError: it cannot be made.
        """

        def inside() -> socket.socket:
            self.enter()
            return make()

        with concurrent.futures.ThreadPoolExecutor(1) as thread:
            return thread.submit(inside).result()


def open_door(inside: Network, at: Address, outside: Network, to: Address) -> None:
    """Lead connections to an address in one network to one in another."""
    server = inside.within(lambda: socket.create_server(at, backlog=128))

    def listen() -> None:
        outside.enter()  # and so all threads that it starts
        while True:
            accepted, _ = server.accept()
            start(_through, accepted, to)

    start(listen)


def start(run: Callable[..., None], *arguments: object) -> threading.Thread:
    """A thread that ends with the process."""
    thread = threading.Thread(target=run, args=arguments, daemon=True)
    thread.start()
    return thread


def _through(near: socket.socket, to: Address) -> None:
    with near:
        try:
            far = socket.create_connection(to, timeout=10)
        except OSError:
            return
        with far:
            far.settimeout(None)
            for each in (near, far):
                each.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            back = start(_copy, far, near)
            _copy(near, far)
            back.join()


def _copy(source: socket.socket, target: socket.socket) -> None:
    """Copy until the end, which is handed on; the kernel moves the bytes."""
    read, write = os.pipe()
    try:
        with contextlib.suppress(OSError):
            while moved := os.splice(source.fileno(), write, BLOCK):
                while moved:
                    moved -= os.splice(read, target.fileno(), moved)
    finally:
        os.close(read)
        os.close(write)
        for each, how in ((source, socket.SHUT_RD), (target, socket.SHUT_WR)):
            with contextlib.suppress(OSError):
                each.shutdown(how)


class Names:
    """The Services of a cluster by their names, with the addresses of what is ready behind them."""

    def __init__(self, api: Api) -> None:
        self._api = api
        self._addresses: dict[str, list[str]] = {}

    def follow(self) -> None:
        """Ask the API server for ever; while it is not there, what was known holds."""
        while True:
            with contextlib.suppress(ApiError, OSError, urllib3.exceptions.HTTPError):
                self._addresses = self._read()
            time.sleep(0.5)

    def _read(self) -> dict[str, list[str]]:
        found: dict[str, list[str]] = {}
        for part in self._api.list("discovery.k8s.io/v1", "EndpointSlice"):
            service = (part["metadata"].get("labels") or {}).get("kubernetes.io/service-name")
            name = f"{service}.{part['metadata']['namespace']}.svc.cluster.local"
            for endpoint in part.get("endpoints") or []:
                if (endpoint.get("conditions") or {}).get("ready", True):
                    found.setdefault(name, []).extend(endpoint["addresses"])
        return found

    def answer(self, query: bytes) -> bytes:
        """The answer to a query (RFC 1035): A records, or that there is no such name.

        Raises:
            IndexError: it is no query.
            UnicodeDecodeError: it asks for no name of a Service.
        """
        labels, at = [], 12
        while query[at]:
            labels.append(query[at + 1 : at + 1 + query[at]].decode("ascii"))
            at += query[at] + 1
        question = query[12 : at + 5]
        known = self._addresses.get(".".join(labels).lower())
        is_a = question[-4:] == struct.pack("!HH", 1, 1)
        addresses = sorted(known or []) if is_a else []
        flags = 0x8580 | (0 if known else 3)  # authoritative, recursion available; NXDOMAIN
        head = query[:2] + struct.pack("!5H", flags, 1, len(addresses), 0, 0)
        # A pointer to the question's name, type and class, 1 s to live, and the address.
        record = b"\xc0\x0c" + struct.pack("!HHIH", 1, 1, 1, 4)
        return head + question + b"".join(record + socket.inet_aton(each) for each in addresses)

    def serve(self, server: socket.socket) -> None:
        """Answer over UDP, for ever."""
        while True:
            query, client = server.recvfrom(512)
            with contextlib.suppress(IndexError, UnicodeDecodeError):
                server.sendto(self.answer(query), client)


def bound(at: Address) -> socket.socket:
    """A UDP socket at an address."""
    server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    server.bind(at)
    return server


def opened(state: Path, node: Node, ports: Sequence[int] = ()) -> Path:
    """The file that says that these doors are open."""
    return node.home(state) / "-".join(["doors", *map(str, ports), "open"])


def main(state: Path, name: str, pid: int, ports: list[int]) -> None:
    node = taken(state)[name]
    (cgroups.holder() / node.cgroup / cgroups.OWN / "cgroup.procs").write_text(str(os.getpid()))
    machine, inside = Network(os.getpid()), Network(pid)
    for port in ports or _control_plane(state, node, machine, inside):
        open_door(inside, (LOOPBACK, port), machine, (LOOPBACK, port))
    opened(state, node, ports).touch()
    threading.Event().wait()


def _control_plane(state: Path, node: Node, machine: Network, inside: Network) -> list[int]:
    facts = read_json(state / "cluster.json")
    api = int(facts["ports"]["kube-apiserver"])
    open_door(inside, (IN_CLUSTER, 443), machine, (LOOPBACK, api))
    kubelet = (node.address, node.port)
    open_door(machine, kubelet, inside, kubelet)
    names = Names(Api(state / "kubeconfigs" / "admin.yaml"))
    start(names.follow)
    start(names.serve, inside.within(lambda: bound((node.address, 53))))
    return [api, int(facts["ports"]["s3"])]


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]), [int(each) for each in sys.argv[4:]])
