"""exec over a real WebSocket: its channels, its end, and as whom it is asked for."""

from __future__ import annotations

import base64
import hashlib
import json
import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest

from kubectl_fluidmodel.errors import FluidModelError
from kubectl_fluidmodel.kube import exec as execs
from kubectl_fluidmodel.kube.client import Client
from kubectl_fluidmodel.kube.config import Connection
from kubectl_fluidmodel.kube.errors import ClusterUnreachable, Forbidden, KubeError, NotFound
from tests.kube.server import client, status
from tests.loopback import free_port, serve

_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
OUT, ERR, STATUS = 1, 2, 3


def frame(channel: int, data: bytes) -> bytes:
    """A binary frame of the protocol v4.channel.k8s.io."""
    payload = bytes([channel]) + data
    head = struct.pack("!BBH", 0x82, 126, len(payload))
    return head + payload


def ended(**fields: Any) -> bytes:
    return frame(STATUS, json.dumps({"kind": "Status", **fields}).encode())


def exit_code(code: int) -> bytes:
    causes = [{"reason": "ExitCode", "message": str(code)}]
    return ended(status="Failure", reason="NonZeroExitCode", details={"causes": causes})


@dataclass
class Upgraded:
    """A server that takes one WebSocket, sends what it is told and hangs up."""

    frames: tuple[bytes, ...]
    port: int = 0
    request: str = ""
    done: threading.Event = field(default_factory=threading.Event)

    def answer(self, listener: socket.socket) -> None:
        peer, _ = listener.accept()
        with peer:
            data = b""
            while b"\r\n\r\n" not in data:
                data += peer.recv(65536)
            self.request = data.decode()
            key = self.header("Sec-WebSocket-Key")[0].encode()
            digest = base64.b64encode(hashlib.sha1(key + _GUID).digest()).decode()
            peer.sendall(
                "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                f"Sec-WebSocket-Accept: {digest}\r\n"
                "Sec-WebSocket-Protocol: v4.channel.k8s.io\r\n\r\n".encode()
            )
            for each in self.frames:
                peer.sendall(each)
            self.done.wait(0.6 if not self.frames else 0)

    def header(self, name: str) -> list[str]:
        prefix = f"{name.lower()}: "
        lines = self.request.split("\r\n")
        return [line[len(prefix) :] for line in lines if line.lower().startswith(prefix)]


@contextmanager
def upgraded(*frames: bytes) -> Iterator[Upgraded]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        found = Upgraded(frames, listener.getsockname()[1])
        thread = threading.Thread(target=found.answer, args=(listener,), daemon=True)
        thread.start()
        yield found
        found.done.set()
        thread.join(5)


def run(server: Upgraded, timeout: float = 5.0, **flags: Any) -> execs.Result:
    kube = Client(Connection(server=f"http://127.0.0.1:{server.port}", **flags))
    return execs.run(kube, "ns", "p", "c", ["alluxio", "fs", "ls", "/a b"], timeout=timeout)


@pytest.mark.parametrize(
    ("frames", "result"),
    [
        ([frame(OUT, b"one "), frame(OUT, b"two"), ended(status="Success")], (0, "one two", "")),
        ([frame(ERR, b"no\n"), exit_code(3)], (3, "", "no\n")),
        ([frame(OUT, b"x" * 60000)] * 3 + [ended(status="Success")], (0, "x" * 180000, "")),
        ([frame(OUT, "ü".encode()[:1]), frame(OUT, "ü".encode()[1:]), ended(status="Success")],
         (0, "ü", "")),
    ],
    ids=["success", "exit code", "large", "split character"],
)  # fmt: skip
def test_output_and_exit_code(frames: list[bytes], result: tuple[int, str, str]) -> None:
    with upgraded(*frames) as server:
        assert run(server) == execs.Result(*result)


def test_the_command_goes_word_by_word_and_as_the_same_person() -> None:
    """The client of the `kubernetes` package would drop the impersonation."""
    with upgraded(ended(status="Success")) as server:
        run(server, token="t-1", as_user="jane", as_groups=("dev", "ops"))
        assert server.request.startswith(
            "GET /api/v1/namespaces/ns/pods/p/exec?command=alluxio&command=fs&command=ls"
            "&command=%2Fa+b&container=c&stdout=true&stderr=true HTTP/1.1"
        )
        assert server.header("Authorization") == ["Bearer t-1"]
        assert server.header("Impersonate-User") == ["jane"]
        assert server.header("Impersonate-Group") == ["dev", "ops"]


@pytest.mark.parametrize(
    ("frames", "words"),
    [
        ([frame(OUT, b"half")], "lost"),
        ([ended(status="Failure", message="container not found")], "container not found"),
        ([frame(STATUS, b"no json")], "the stream ended early"),
    ],
)
def test_an_end_without_an_exit_code_is_no_success(frames: list[bytes], words: str) -> None:
    with upgraded(*frames) as server, pytest.raises(FluidModelError, match=words) as caught:
        run(server)
    assert caught.value.what == "cannot run alluxio in pod p"


def test_silence_ends() -> None:
    with upgraded() as server, pytest.raises(ClusterUnreachable, match="no answer within"):
        run(server, timeout=0.3)


@pytest.mark.parametrize(
    ("code", "kind"), [(403, Forbidden), (404, NotFound), (500, KubeError), (503, KubeError)]
)
def test_a_refused_upgrade(code: int, kind: type[KubeError]) -> None:
    with serve(lambda _: status(code, "words of the server")) as server:
        with pytest.raises(kind, match="words of the server"):
            execs.run(client(server), "ns", "p", "c", ["true"])


def test_nobody_listens() -> None:
    kube = Client(Connection(server=f"http://127.0.0.1:{free_port()}"))
    with pytest.raises(ClusterUnreachable, match="refused"):
        execs.run(kube, "ns", "p", "c", ["true"])
